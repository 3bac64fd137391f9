"""`skpot fit`: the model of make_potential, from files."""

import ase.io
import joblib
import numpy as np
import pytest
import yaml

import skpot
from skpot.cli._card import data_hash
from skpot.datasets import load_ethanol, load_silicon
from skpot.persistence import read_card
from tests.commands import copper, error, run

FAST = ["--preset", "fast"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    ase.io.write(folder / "train.xyz", copper(12))
    ase.io.write(folder / "test.xyz", copper(4, seed=1))
    return folder


def fitted(folder, name, *options, files=("train.xyz",)):
    """Fit to files of the folder; return the model and what was printed."""
    target = folder / f"{name}.skpot"
    result = run("fit", *[folder / file for file in files], "-o", target, *options)
    assert result.exit_code == 0, result.output + str(result.exception)
    return skpot.load(target), result.stdout


def assert_same(a, b):
    """Compare models from files to the last bit."""
    assert joblib.hash(a) == joblib.hash(b)


@pytest.mark.parametrize(("load", "n"), [(load_silicon, 40), (load_ethanol, 30)])
@pytest.mark.parametrize("preset", ["fast", "default"])
def test_is_make_potential_to_the_last_bit(tmp_path, load, n, preset):
    X, y, _, _ = load(return_X_y=True)
    path = tmp_path / "train.xyz"
    ase.io.write(path, y[:n].to_atoms(X[:n]))
    model, _ = fitted(tmp_path, "model", "--preset", preset)
    X, y = skpot.read(path)
    expected = skpot.make_potential(preset).fit(X, y)
    skpot.dump(expected, tmp_path / "expected.skpot")
    assert_same(model, skpot.load(tmp_path / "expected.skpot"))
    a, b = model.predict(X, return_std="all"), expected.predict(X, return_std="all")
    for ours, theirs in zip(a, b, strict=True):
        np.testing.assert_array_equal(ours.energy, theirs.energy)
        np.testing.assert_array_equal(ours.forces_flat, theirs.forces_flat)


def test_default_options_are_the_default_preset(folder):
    model, _ = fitted(folder, "plain")
    assert model.get_params()["regressor__n_sparse"] == 1500
    assert model[-1].exact_


def test_reports_and_writes_a_model(folder):
    model, output = fitted(
        folder, "told", *FAST, "--test", folder / "test.xyz", "--sigma-forces", 0.05,
        "--sigma-energy", 0.003, "--sigma-stress", 0.001, "--seed", 3,
    )  # fmt: skip
    assert "12 frames of 4 atoms, 48 atoms in all" in output
    assert "cold 6, hot 6" in output
    for name in ("train ", "test ", "  cold ", "  hot "):
        assert any(line.startswith(name) for line in output.splitlines()), name
    assert "where the squared error comes from" in output
    assert "noise: energy 0.003 eV/atom, forces 0.05 eV/Å, stress 0.001 eV/Å³" in output
    regressor = model[-1]
    assert (regressor.sigma_forces, regressor.random_state) == (0.05, 3)
    assert (regressor.sigma_energy_, regressor.sigma_stress_) == (0.003, 0.001)
    lines = [line for line in output.splitlines() if str(folder) not in line]
    assert max(map(len, lines)) < 80


def test_several_files_formats_and_slices(folder):
    X, y = skpot.read(folder / "train.xyz")
    labeled = y.to_atoms(X)
    ase.io.write(folder / "one.db", labeled[:6])
    ase.io.write(folder / "two.traj", labeled[6:])
    files = ("one.db@0:6:2", "two.traj@-3:", "test.xyz@::2")
    _, output = fitted(folder, "several", *FAST, files=files)
    assert "8 frames of 4 atoms" in output
    card = read_card(folder / "several.skpot")["training"]
    assert card["files"] == [
        f"{folder / name}, {n} frames" for name, n in zip(files, (3, 3, 2), strict=True)
    ]
    X_test, y_test = skpot.read(folder / "test.xyz")
    chosen = [0, 2, 4, 9, 10, 11]
    tested = [X_test[i] for i in (0, 2)]
    expected = data_hash(
        [X[i] for i in chosen] + tested, np.concatenate([y[chosen], y_test[[0, 2]]])
    )
    assert card["hash"] == expected
    assert "is read by this command" in error(
        "fit", folder / "two.traj@:2", "-o", folder / "two.traj", "--force"
    )


@pytest.mark.parametrize(
    ("typed", "energy", "source"),
    [("Cu=-1.25", -1.25, "given"), ("least_squares", None, "least_squares")],
)
def test_energies_of_free_atoms(folder, typed, energy, source):
    model, _ = fitted(folder, f"e0-{source}", *FAST, "--e0", typed)
    assert model[-1].e0_source_ == source
    assert energy is None or model[-1].e0_ == {29: energy}


@pytest.mark.parametrize("name", ["train", "again"])
def test_a_run_file_makes_the_same_model(folder, name):
    options = ["--seed", 4, "--test-fraction", 0.25, "--sigma-energy", 0.002, "--e0", "Cu=-0.5"]
    grid = ["--grid", "n_sparse=20,30", "--grid", "pca__n_components=12", "--cv", 2]
    first, output = fitted(folder, f"first-{name}", *FAST, *options, *grid)
    assert "grid search, 2 folds of blocks of time" in output
    settings = yaml.safe_load((folder / f"first-{name}.yaml").read_text())
    assert settings["train"] == ["train.xyz"] and settings["cv"] is None
    best = first.get_params()["regressor__n_sparse"]
    assert settings["grid"] == [
        "features__soap__pca__n_components=12",
        f"regressor__n_sparse={best}",
    ]
    config = ["--config", folder / f"first-{name}.yaml"]
    target = folder / f"second-{name}.skpot"
    result = run("fit", *config, "-o", target)
    assert result.exit_code == 0, result.output
    assert "search" not in result.output and "warning" not in result.output
    second = skpot.load(target)
    assert_same(first, second)
    cards = [read_card(folder / f"{nth}-{name}.skpot") for nth in ("first", "second")]
    for part in ("training", "test", "errors", "chosen"):
        assert cards[0][part] == cards[1][part]
    # With the name of the model, too; the settings are then not written but stay.
    before = (folder / f"first-{name}.yaml").read_bytes()
    result = run("fit", *config, "--force")
    assert result.exit_code == 0, result.output
    assert_same(first, skpot.load(folder / f"first-{name}.skpot"))
    assert (folder / f"first-{name}.yaml").read_bytes() == before
    assert "would replace it" in error("fit", *config, "--force", "--seed", 5)


def test_a_run_file_may_be_written_by_hand(folder, monkeypatch):
    (folder / "runs").mkdir()
    (folder / "runs" / "run.yaml").write_text(
        "train: ../train.xyz@:6\noutput: ../by-hand.skpot\npreset: fast\n"
        "e0: {Cu: -0.25}\nsigma-forces: 2e-2\ngrid: {n_sparse: 25}\n"
    )
    monkeypatch.chdir(folder / "runs")
    result = run("fit", "--config", "run.yaml", "--sigma-forces", 0.03)
    assert result.exit_code == 0, result.output
    regressor = skpot.load(folder / "by-hand.skpot")[-1]
    assert regressor.e0 == {"Cu": -0.25}
    assert (regressor.sigma_forces, regressor.n_sparse) == (0.03, 25)
    assert read_card(folder / "by-hand.skpot")["training"]["frames"] == 6
    assert yaml.safe_load((folder / "by-hand.yaml").read_text())["train"] == ["train.xyz@:6"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("presett: fast", "has no options presett; there are baseline, "),
        ("- fast", "must have lines"),
        ("a: [", "is no YAML"),
        (None, "No such file"),
    ],
)
def test_run_files_that_are_wrong(folder, text, part):
    config = folder / "wrong.yaml"
    config.unlink(missing_ok=True)
    if text is not None:
        config.write_text(text)
    target = folder / "wrong.skpot"
    assert part in error("fit", folder / "train.xyz", "-o", target, "--config", config)
    assert not target.exists()


@pytest.mark.parametrize(("text", "part"), [("preset: quick", "'quick'"), ("seed: x", "'--seed'")])
def test_values_in_run_files_are_checked_like_typed_ones(folder, text, part):
    config = folder / "values.yaml"
    config.write_text(text)
    result = run("fit", folder / "train.xyz", "-o", folder / "no.skpot", "--config", config)
    assert result.exit_code == 2 and part in result.stderr


def test_other_data_than_those_of_the_run_file_are_told(folder):
    fitted(folder, "told-data", *FAST)
    config = folder / "told-data.yaml"
    result = run("fit", folder / "test.xyz", "-o", folder / "other.skpot", "--config", config)
    assert result.exit_code == 0, result.output
    assert "the training data are not those for which" in result.stderr


def test_cross_validation_without_a_grid(folder):
    _, output = fitted(folder, "cv", *FAST, "--cv", 3, "--group-key", "run")
    assert "cross-validation, 3 folds of groups" in output
    assert "held out " in output


def test_groups_are_held_out(folder):
    _, output = fitted(folder, "groups", *FAST, "--test-fraction", 0.5, "--group-key", "run")
    assert "test: 2 of 4 groups" in output
    card = read_card(folder / "groups.skpot")
    assert card["training"]["frames"] == card["test"]["frames"] == 6


def test_errors_of_free_atoms_stand_apart(tmp_path):
    X, y, X_test, y_test = load_silicon(return_X_y=True)
    assert len(X[0]) == 1
    ase.io.write(tmp_path / "train.xyz", y[:20].to_atoms(X[:20]))
    model, output = fitted(tmp_path, "model", *FAST)
    rows = {line[:16].strip(): line.split() for line in output.splitlines()}
    assert (rows["train"][1], rows["free atoms"][2]) == ("19", "1")
    y_pred = model.predict(X[1:20])
    expected = skpot.metrics.summary(y[1:20], y_pred, n_atoms=[len(atoms) for atoms in X[1:20]])
    assert float(rows["train"][2]) == pytest.approx(expected["energy"]["rmse"], abs=0.005)
    errors = read_card(tmp_path / "model.skpot")["errors"]["train"]
    assert errors["energy"]["rmse"] == pytest.approx(expected["energy"]["rmse"], rel=1e-6)


def test_processes_find_the_same(folder):
    options = [*FAST, "--grid", "n_sparse=5,20", "--cv", 2]
    models = [fitted(folder, f"jobs-{n}", *options, "--jobs", n)[0] for n in (1, 2)]
    assert_same(*models)


def test_named_labels(folder):
    frames = copper(6)
    for atoms in frames:
        atoms.info["dft"] = atoms.get_potential_energy()
        atoms.arrays["dft_forces"] = atoms.get_forces()
        atoms.info["dft_virial"] = -atoms.get_stress(voigt=False) * atoms.get_volume()
        atoms.calc = None
    ase.io.write(folder / "named.xyz", frames)
    keys = ["--energy-key", "dft", "--forces-key", "dft_forces", "--virial-key", "dft_virial"]
    _, output = fitted(folder, "named", *FAST, *keys, files=("named.xyz",))
    assert output.count("6 frames ") == 4
    result = run("evaluate", folder / "named.skpot", folder / "named.xyz", *keys)
    assert result.exit_code == 0, result.output


def test_a_baseline_is_added(folder):
    model, _ = fitted(folder, "delta", *FAST, "--baseline", "emt")
    X, y = skpot.read(folder / "test.xyz")
    # The labels are those of the baseline, so that nothing is left to learn.
    np.testing.assert_allclose(model.predict(X).forces_flat, y.forces_flat, atol=1e-3)
    for command in ("evaluate", "info"):
        files = [folder / "test.xyz"] if command == "evaluate" else []
        result = run(command, folder / "delta.skpot", *files)
        assert result.exit_code == 0, result.output
    assert "baseline emt" in result.output


def test_quiet_and_log(folder):
    log = folder / "fit.log"
    _, output = fitted(folder, "quiet", *FAST, "--quiet", "--log", log)
    assert output == ""
    lines = log.read_text().splitlines()
    assert any("12 frames of 4 atoms" in line for line in lines)
    assert lines[-1].startswith("wrote ")
    path = folder / "bad.xyz"
    path.write_text("this is\nno structure\n")
    options = ["--log", folder / "bad.log", "--quiet"]
    told = error("fit", path, "-o", folder / "bad.skpot", *options)
    assert (folder / "bad.log").read_text().splitlines()[-1] == told
    # Another run adds to the log; what is no log stays as it is.
    error("fit", path, "-o", folder / "bad.skpot", *options)
    assert (folder / "bad.log").read_text().count(told) == 2
    assert "no log of skpot" in error("info", folder / "quiet.skpot", "--log", folder / "bad.xyz")
    assert path.read_text() == "this is\nno structure\n"


def test_writes_a_report(folder):
    page = folder / "report.html"
    options = [*FAST, "--report", page]
    _, output = fitted(folder, "reported", *options, "--test", folder / "test.xyz")
    assert f"wrote {page}" in output
    text = page.read_text(encoding="utf-8")
    assert "<h1>reported.skpot: errors</h1>" in text
    assert "Errors of 4 structures" in text and "none of which is in the training set" in text
    assert '<section id="reliability">' in text
    assert '<th scope="row">settings · preset</th><td>fast</td>' in text
    page.unlink()
    fitted(folder, "untested", *options)
    text = page.read_text(encoding="utf-8")
    assert "has learned from these very structures" in text
    assert '<section id="reliability">' not in text


def test_force_replaces(folder):
    for name in ("forced.skpot", "forced.yaml"):
        (folder / name).write_text("old")
        assert "add --force" in error("fit", folder / "train.xyz", "-o", folder / "forced.skpot")
    fitted(folder, "forced", *FAST, "--force")


def test_a_fitted_model_outlives_errors_of_what_follows(folder, monkeypatch):
    def fail(parts):
        raise skpot.exceptions.InputError("no table")

    monkeypatch.setattr("skpot.cli._report.error_table", fail)
    target = folder / "kept.skpot"
    assert "no table" in error("fit", folder / "train.xyz", "-o", target, *FAST)
    assert len(skpot.load(target).predict(copper(1)).energy) == 1
    assert read_card(target)["errors"]["train"]["forces"]["unit"] == "eV/Å"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--e0", "Cu"], "expected isolated, least_squares or energies"),
        (["--e0", "Cu=x"], "expected isolated, least_squares or energies"),
        (["--e0", "Cux=1"], "Cux"),
        (["--e0", "isolated"], "no structure is an isolated atom"),
        (["--baseline", "emtt"], "no calculator that can be named"),
        (["--sigma-forces", "-1"], "sigma_forces"),
        (["--grid", "zeta=2,4"], "zeta is no parameter"),
        (["--grid", "random_state=1,2"], "fits several of the parameters"),
        (["--test", "{d}/test.xyz", "--test-fraction", "0.1"], "give one"),
        (["--test-fraction", "0.01"], "no test set can be held out"),
        (["--cv", "3", "--group-key", "k"], "no frame has it"),
        (["--log", "{d}/train.xyz", "--force"], "read or written by this command"),
        (["--report", "{d}/report.xyz"], "must end in .html"),
    ],
)
def test_errors_come_before_the_fit(folder, options, part):
    options = [option.format(d=folder) for option in options]
    target = folder / "never.skpot"
    assert part in error("fit", folder / "train.xyz", "-o", target, *FAST, *options)
    assert not target.exists() and not target.with_suffix(".yaml").exists()
