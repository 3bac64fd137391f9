"""`skpot select`: what is chosen, why, and how few labels will do."""

import ase.io
import numpy as np
import pytest

import skpot
from skpot.active import VOptimal, prune
from skpot.exceptions import InputError
from tests.commands import copper, error, run
from tests.samples import crystals, labels_of_emt


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("select")
    X = crystals(n=8, rattle=0.05)
    model = skpot.make_potential("fast").fit(X, labels_of_emt(X))
    skpot.dump(model, folder / "model.skpot")
    pool = crystals(n=6, rattle=0.05, first=20) + crystals(n=2, rattle=0.3, first=40)
    ase.io.write(folder / "pool.xyz", pool)
    ase.io.write(folder / "labeled.xyz", copper(24))
    return folder


def test_the_structures_of_the_query_are_written_with_reasons(folder, monkeypatch):
    monkeypatch.chdir(folder)
    target = folder / "next.xyz"
    options = "-n", 3, "-o", target
    result = run("select", folder / "model.skpot", folder / "pool.xyz", *options)
    assert result.exit_code == 0, result.output
    pool, chosen = ase.io.read(folder / "pool.xyz", ":"), ase.io.read(target, ":")
    model = skpot.load(folder / "model.skpot")
    expected = VOptimal(model).select(None, candidates=pool, batch_size=3)
    for rank, (i, atoms) in enumerate(zip(expected.indices, chosen, strict=True)):
        np.testing.assert_allclose(atoms.positions, pool[i].positions, atol=1e-7)
        assert atoms.info["selected_rank"] == rank
        assert atoms.info["selected_from"] == f"frame {i} of pool.xyz"
        assert atoms.info["selected_gain"] == pytest.approx(expected.gains[rank], rel=1e-6)
        np.testing.assert_allclose(
            atoms.arrays["force_deviation"], expected.forces_std[rank], rtol=1e-4, atol=1e-6
        )
        worst = int(np.argmax(expected.forces_std[rank]))
        assert f"Cu {worst}: " in result.stdout
    assert {*expected.indices[:2]} == {6, 7}
    assert max(len(line) for line in result.stdout.splitlines() if "/" not in line) < 80


@pytest.mark.parametrize("by", ["information", "forces", "distance", "random"])
def test_other_reasons(folder, by):
    target = folder / f"{by}.xyz"
    options = "-n", 2, "-o", target, "--by", by, "--random-share", 0.5
    result = run("select", folder / "model.skpot", folder / "pool.xyz", *options)
    assert result.exit_code == 0, result.output
    assert len(ase.io.read(target, ":")) == 2
    assert "at random" in result.stdout


def test_pruning_says_what_it_costs(folder):
    target = folder / "kept.xyz"
    options = "--prune", "--tolerance", 0.3, "-o", target
    result = run("select", folder / "model.skpot", folder / "labeled.xyz", *options)
    assert result.exit_code == 0, result.output
    kept = ase.io.read(target, ":")
    assert 0 < len(kept) <= 24 and kept[0].calc is not None
    assert "errors on 5 structures that were held out" in result.stdout
    assert " 19 " in result.stdout  # all others
    assert "leave out -n" in error(
        "select", folder / "model.skpot", folder / "labeled.xyz", *options, "-n", 3, "--force"
    )


def test_pruned_errors_are_those_of_a_fit():
    X = crystals(n=30, rattle=0.05)
    X = [*X, *[atoms.copy() for atoms in X[:10]]]
    for atoms in X[30:]:
        atoms.rattle(1e-4)
    y = labels_of_emt(X)
    model = skpot.make_potential("fast")
    found = prune(model, X, y, tolerance=0.5)
    (n, errors), (n_all, whole) = found.tried[-2:]
    assert n < n_all == 40 - found.n_held_out
    assert errors["forces"] <= 1.5 * whole["forces"]
    assert errors["energy"] <= 1.5 * whole["energy"]
    assert len(found.indices) < 30  # none of the copies
    assert len({*(found.indices % 30).tolist()}) == len(found.indices)
    with pytest.raises(InputError, match="too few"):
        prune(model, X[:3], y[:3])
