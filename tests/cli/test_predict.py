"""`skpot predict`, `skpot info` and `skpot relax`."""

import json
import warnings

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from sklearn.pipeline import make_pipeline

import skpot
from tests.commands import copper, error, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    ase.io.write(folder / "train.xyz", copper(12))
    ase.io.write(folder / "test.xyz", copper(4, seed=1))
    options = ["--preset", "fast", "--test", folder / "test.xyz"]
    result = run("fit", folder / "train.xyz", "-o", folder / "model.skpot", *options)
    assert result.exit_code == 0, result.output
    X, y = skpot.read(folder / "train.xyz")
    ridge = make_pipeline(skpot.SOAP(n_max=2, l_max=1), skpot.LinearRidge()).fit(X, y)
    skpot.dump(ridge, folder / "ridge.skpot")
    return folder


def test_predictions_are_read_back_by_ase(folder):
    target = folder / "predicted.xyz"
    result = run("predict", folder / "model.skpot", folder / "test.xyz", "-o", target)
    assert result.exit_code == 0, result.output
    assert max(len(line) for line in result.stdout.splitlines() if str(target) not in line) < 80
    X, _ = skpot.read(folder / "test.xyz")
    model = skpot.load(folder / "model.skpot")
    y, std = model.predict(X, return_std="all")
    for i, atoms in enumerate(ase.io.read(target, ":")):
        assert atoms.get_potential_energy() == pytest.approx(y.energy[i], abs=1e-7)
        np.testing.assert_allclose(atoms.get_forces(), y.forces[i], atol=1e-7)
        np.testing.assert_allclose(atoms.get_stress(), y.stress[i], atol=1e-8)
        assert atoms.info["energy_std"] == pytest.approx(std.energy[i], rel=1e-6)
        np.testing.assert_allclose(atoms.arrays["forces_std"], std.forces[i], atol=1e-7)
        np.testing.assert_allclose(atoms.info["stress_std"], std.stress[i], atol=1e-8)
        assert atoms.arrays["extrapolation_grade"].shape == (4,)
        assert atoms.info["run"] == X[i].info["run"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # deviations are not taken for labels
        assert skpot.read(target)[1].has_stress.all()


def test_predictions_of_some_frames_without_deviations(folder):
    target = folder / "plain.traj"
    files = [folder / "test.xyz@::3", folder / "train.xyz@0"]
    options = ["--no-deviations", "-o", target]
    result = run("predict", folder / "model.skpot", *files, *options)
    assert result.exit_code == 0, result.output
    frames = ase.io.read(target, ":")
    assert len(frames) == 3
    assert "energy_std" not in frames[0].info and np.isfinite(frames[2].get_stress()).all()


def test_the_card_is_shown(folder):
    result = run("info", folder / "model.skpot")
    assert result.exit_code == 0, result.output
    for part in (
        "by skpot fit", "12 frames; atoms: Cu 48", "energy 12, forces 12, stress 12",
        "preset fast", "SparseGPR, ", "free atoms (least squares): Cu ", "test     energy ",
        "stress eV/Å³", f"skpot {skpot.__version__}", "'energy' in 12 frames",
    ):  # fmt: skip
        assert part in result.stdout, part
    lines = [line for line in result.stdout.splitlines() if "/" not in line]
    assert max(map(len, lines)) < 80
    card = json.loads(run("info", folder / "model.skpot", "--json").stdout)
    X, y = skpot.read(folder / "test.xyz")
    predicted = skpot.load(folder / "model.skpot").predict(X)
    expected = skpot.metrics.forces_rmse(y, predicted)
    assert card["errors"]["test"]["forces"]["rmse"] == pytest.approx(expected, rel=1e-12)
    assert card["training"]["labels"] == {"energy": 12, "forces": 12, "stress": 12}


def test_models_without_a_card_are_described(folder):
    result = run("info", folder / "ridge.skpot")
    assert result.exit_code == 0, result.output
    assert "Pipeline, not written by skpot fit" in result.stdout
    assert "It has no card" in result.stdout and "LinearRidge" in result.stdout
    assert run("info", folder / "ridge.skpot", "--json").stdout.strip() == "{}"


def test_other_cards_are_shown_as_they_are(folder):
    model = skpot.load(folder / "ridge.skpot")
    skpot.dump(model, folder / "noted.skpot", card={"training": "a", "errors": 3})
    result = run("info", folder / "noted.skpot")
    assert result.exit_code == 0, result.output
    assert '"training": "a"' in result.stdout and "LinearRidge" in result.stdout


@pytest.mark.parametrize("cell", [False, True])
@pytest.mark.parametrize("optimizer", ["bfgs", "fire"])
def test_structures_relax(folder, cell, optimizer):
    target = folder / f"relaxed-{cell}-{optimizer}.xyz"
    options = ["--cell"] * cell + ["--fmax", 0.02, "--optimizer", optimizer]
    result = run("relax", folder / "model.skpot", folder / "test.xyz@:2", "-o", target, *options)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("  converged") == 2 and "step " in result.stdout
    for atoms, start in zip(
        ase.io.read(target, ":"), ase.io.read(folder / "test.xyz", ":2"), strict=True
    ):
        assert atoms.info["converged"]
        assert np.abs(atoms.get_forces()).max() <= 0.02
        moved = np.abs(atoms.cell.array - start.cell.array).max()
        assert (moved > 1e-3) == cell
        if cell:
            assert np.abs(atoms.get_stress()).max() * atoms.get_volume() < 0.1


def test_what_is_not_converged_is_told(folder):
    target = folder / "unrelaxed.xyz"
    line = error(
        "relax", folder / "model.skpot", folder / "test.xyz@:2", "-o", target, "--steps", 1
    )
    assert "2 of 2 structures are not converged to 0.01 eV/Å after 1 steps" in line
    assert [atoms.info["converged"] for atoms in ase.io.read(target, ":")] == [False, False]


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["predict", "{d}/model.skpot", "{d}/gold.xyz", "-o", "{d}/x.xyz"], "structure 0: "),
        (["predict", "{d}/model.skpot", "{d}/none.xyz", "-o", "{d}/x.xyz"], "No such file"),
        (["predict", "{d}/model.skpot", "{d}/test.xyz", "-o", "{d}/x.what"], "use a suffix such"),
        (["predict", "{d}/model.skpot", "{d}/test.xyz", "-o", "{d}/gold.xyz"], "add --force"),
        (["predict", "{d}/model.skpot", "{d}/test.xyz@:2", "-o", "{d}/test.xyz"], "is read by"),
        (["info", "{d}/test.xyz"], "no model file"),
        (["relax", "{d}/model.skpot", "{d}/gold.xyz", "-o", "{d}/x.xyz"], "species Au"),
        (["relax", "{d}/model.skpot", "{d}/flat.xyz", "--cell", "-o", "{d}/x.xyz"], "no three"),
    ],
)
def test_errors_are_one_line_and_leave_no_file(folder, args, part):
    ase.io.write(folder / "gold.xyz", bulk("Au"))
    flat = bulk("Cu", cubic=True)
    flat.cell[2] = 0.0
    flat.pbc[2] = False
    ase.io.write(folder / "flat.xyz", flat)
    before = sorted(folder.iterdir())
    assert part in error(*(a.format(d=folder) for a in args))
    assert sorted(folder.iterdir()) == before
