"""`skpot fit --max-memory`: the same model of structures that stay in their files."""

import ase.io
import joblib
import numpy as np
import pytest

import skpot
from skpot.cli import _in_files
from skpot.data import AtomicFeatures, StreamedFeatures
from skpot.persistence import read_card
from tests.cli.test_fit import FAST, fitted
from tests.commands import copper, error


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in_files")
    frames = copper(24)
    ase.io.write(folder / "a.xyz", frames[:14])
    ase.io.write(folder / "b.xyz", frames[14:])
    ase.io.write(folder / "test.xyz", copper(4, seed=1))
    return folder


FILES = "a.xyz", "b.xyz"


@pytest.fixture
def small_parts(monkeypatch):
    """Work on few atoms at a time, and refuse to hold the features of all."""
    for name in ("_frames", "_streamed_features"):
        monkeypatch.setattr(f"skpot.data.{name}.ATOMS_AT_A_TIME", 20)
    monkeypatch.setattr("skpot.data._frames._FRAMES_AT_A_TIME", 5)
    monkeypatch.setattr("skpot.data.tasks.TASK_ATOMS", 40)
    monkeypatch.setattr("skpot.rows.folding._SHORTEST", 3.0)
    whole = StreamedFeatures.loaded

    def refused(self) -> AtomicFeatures:
        assert len(self) < 10, "the features of all structures were computed at once"
        return whole(self)

    monkeypatch.setattr(StreamedFeatures, "loaded", refused)


def lines_of(output, folder):
    """Return what a fit printed, without what depends on time and on names."""
    told = [line for line in output.splitlines() if " took " not in line]
    return [line for line in told if str(folder) not in line and ".yaml" not in line]


@pytest.mark.parametrize(
    "options",
    [
        ["--test", "test.xyz"],
        ["--test-fraction", 0.25, "--group-key", "run"],
        ["--test-fraction", 0.2, "--grid", "n_sparse=10,20", "--cv", 2],
    ],
)
def test_the_same_model_cards_and_tables(folder, options, small_parts):
    options = [folder / o if o == "test.xyz" else o for o in options]
    whole, expected = fitted(folder, "whole", *FAST, *options, "--force", files=["[ab].xyz"])
    limited = [*FAST, *options, "--max-memory", "300MB", "--force"]
    model, output = fitted(folder, "parts", *limited, files=FILES)
    assert model.get_params()["regressor__max_memory"] == 300e6
    model.set_params(regressor__max_memory=None)
    model[-1].model_.max_memory = None
    X = skpot.read(folder / "test.xyz")[0]
    a, b = whole.predict(X, return_std="all"), model.predict(X, return_std="all")
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.forces_flat, other.forces_flat)
    ours, others = read_card(folder / "parts.skpot"), read_card(folder / "whole.skpot")
    assert ours["training"]["hash"] == others["training"]["hash"]
    assert ours["training"]["labels used"] == others["training"]["labels used"]
    assert ours["chosen"] == others["chosen"]
    for kind, entry in others["errors"]["test"].items():
        assert ours["errors"]["test"][kind]["rmse"] == pytest.approx(entry["rmse"], rel=1e-9)
    assert lines_of(output, folder) == lines_of(expected, folder)
    assert "max_memory: 300MB" in (folder / "parts.yaml").read_text()


def test_errors_of_large_training_sets_are_those_of_some(folder, small_parts, monkeypatch):
    monkeypatch.setattr(_in_files, "_MOST_ATOMS", 30)
    _, output = fitted(folder, "some", *FAST, "--max-memory", "1GB", files=FILES)
    assert "errors\n  train: 7 of 24 frames, at random\n" in output
    entry = read_card(folder / "some.skpot")
    assert entry["training"]["frames"] == 24 and entry["errors"]["train"]


@pytest.mark.parametrize(
    ("text", "size"), [("600MB", 6e8), ("1.5 GB", 1.5e9), ("2GiB", 2 * 1024.0**3), ("8e8", 8e8)]
)
def test_sizes_are_read_as_they_are_written(text, size):
    assert _in_files.memory_size(text) == size


def test_what_needs_all_structures_is_refused(folder):
    def failed(*options):
        target = folder / "refused.skpot"
        text = error("fit", folder / "a.xyz", "-o", target, *FAST, *options)
        assert not target.exists()
        return text

    assert "read by this command" in error(
        "fit", folder / "?.xyz", "-o", folder / "a.xyz", *FAST, "--force"
    )
    for size in ("much", "0", "1e400", "1e305GB"):
        assert "expected a size such as" in failed("--max-memory", size)
    assert "--baseline needs all" in failed("--max-memory", "1GB", "--baseline", "emt")
    page = folder / "page.html"
    assert "skpot evaluate --report" in failed("--max-memory", "1GB", "--report", page)
    assert "add --max-memory" in failed("--scheduler", "tcp://127.0.0.1:1")
    assert "max_memory allows 10 kB" in failed("--max-memory", "10kB")


def test_processes_and_a_cluster_fit_the_same(folder, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("skpot.data.tasks.TASK_ATOMS", 40)
    monkeypatch.setattr("skpot.rows.folding._SHORTEST", 3.0)
    monkeypatch.setattr(_in_files, "_TIMEOUT", "1s")
    limited = [*FAST, "--max-memory", "1GB", "--force"]
    alone, _ = fitted(folder, "alone", *limited, files=FILES)
    used = []
    backend = joblib.parallel_config

    def noted(name, **options):
        used.append((name, options))
        return backend("threading" if name == "loky" else name, **options)

    monkeypatch.setattr(joblib, "parallel_config", noted)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        for options in (["--jobs", 2], ["--scheduler", address]):
            model, _ = fitted(folder, "others", *limited, *options, files=FILES)
            one, other = model[-1].model_.dual_coef_, alone[-1].model_.dual_coef_
            np.testing.assert_array_equal(one, other)
    assert used == [("loky", {"n_jobs": 2}), ("dask", {})]
    target = folder / "nobody.skpot"
    text = error(
        "fit", folder / "a.xyz", "-o", target, *limited, "--scheduler", "tcp://127.0.0.1:1"
    )
    assert "nobody answers there" in text
