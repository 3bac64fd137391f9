"""Predictions as arrays in HDF5: the same numbers, whole or not at all, and continued."""

import ase.io
import numpy as np
import pytest
from ase.build import molecule

import skpot
from skpot.exceptions import InputError, StructureError
from tests.commands import run
from tests.md.test_evaluate import folder, model, small_tasks  # noqa: F401

h5py = pytest.importorskip("h5py")


def test_arrays_are_those_of_predict(folder, model, tmp_path, small_tasks):  # noqa: F811
    frames = skpot.Frames(folder / "frames.xyz")
    out = tmp_path / "out.h5"
    assert skpot.evaluate(model, frames, out, deviations=True) == 60
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]
    y, std = model.predict(frames, return_std="all")
    grades = model[-1].extrapolation_grade(model[0].transform(list(frames)))
    with h5py.File(out) as file:
        np.testing.assert_allclose(file["energy"][:], y.energy, rtol=1e-9)
        np.testing.assert_allclose(file["forces"][:], y.forces_flat, rtol=0, atol=1e-8)
        np.testing.assert_allclose(file["stress"][:], y.stress, rtol=0, atol=1e-9)
        np.testing.assert_allclose(file["energy_std"][:], std.energy, rtol=1e-6)
        np.testing.assert_allclose(file["forces_std"][:], std.forces_flat, rtol=1e-6)
        np.testing.assert_allclose(file["extrapolation_grade"][:], grades, rtol=1e-4)
        assert file["offsets"][:].tolist() == list(range(0, 488, 8))
        assert (file["numbers"][:] == 14).all() and len(file["numbers"]) == 480
        assert file["forces"].attrs["unit"] == "eV/Å"
        assert file.attrs["skpot_model"] == skpot.Calculator(model).parameters["model_hash"]


def test_structures_without_stress_have_none(tmp_path):
    X = [molecule("H2O"), molecule("H2O"), molecule("H2O")]
    X[1].set_cell([9.0, 9.0, 9.0])
    for seed, atoms in enumerate(X):
        atoms.rattle(0.05, seed=seed)
    forces = [np.zeros((3, 3))] * 3
    fitted = skpot.make_potential("fast").fit(X, skpot.Targets([-1.0, -1.1, -1.2], forces))
    skpot.evaluate(fitted, X, tmp_path / "out.hdf5")
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert np.isnan(file["stress"][:]).any(axis=1).tolist() == [True, False, True]
    skpot.evaluate(fitted, X[::2], tmp_path / "none.h5")
    with h5py.File(tmp_path / "none.h5") as file:
        assert "stress" not in file and len(file["forces"]) == 6


def test_an_interrupted_run_goes_on(folder, model, tmp_path, small_tasks, monkeypatch):  # noqa: F811
    frames, out = skpot.Frames(folder / "frames.xyz"), tmp_path / "out.h5"
    task, done = small_tasks._task, []

    def interrupted(*args):
        done.append(1)
        if len(done) == 4:
            raise KeyboardInterrupt
        return task(*args)

    monkeypatch.setattr(small_tasks, "_task", interrupted)
    with pytest.raises(KeyboardInterrupt):
        skpot.evaluate(model, frames, out)
    assert not out.exists() and (tmp_path / "out.parts").is_dir()
    monkeypatch.setattr(small_tasks, "_task", task)
    other = skpot.load(folder / "model.skpot")
    other[-1].dual_coef_ = 2.0 * other[-1].dual_coef_
    for changed, message in (
        ((other, frames), "predictions of another model"),
        ((model, frames[::-1]), "predictions of other frames"),
        ((model, frames[:5]), "predictions of other frames"),
    ):
        with pytest.raises(InputError, match=message):
            skpot.evaluate(*changed, out)
    with pytest.raises(InputError, match="other deviations"):
        skpot.evaluate(model, frames, out, deviations=True)
    assert skpot.evaluate(model, frames, out) == 60 - 21
    skpot.evaluate(model, frames, tmp_path / "at_once.h5")
    with h5py.File(out) as one, h5py.File(tmp_path / "at_once.h5") as all_at_once:
        assert one.keys() == all_at_once.keys()
        for name, values in one.items():
            assert np.array_equal(values[:], all_at_once[name][:])
    assert not (tmp_path / "out.parts").exists()


def test_errors_leave_nothing(folder, model, tmp_path):  # noqa: F811
    out = tmp_path / "out.h5"
    with pytest.raises(InputError, match="species"):
        skpot.evaluate(model, [molecule("H2O")], out)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", ["out.h5", "out.xyz"])
def test_results_of_others_are_replaced(folder, model, tmp_path, out):  # noqa: F811
    X = ase.io.read(folder / "frames.xyz", ":2")
    for atoms in X:
        atoms.info |= {"energy": 1.0, "stress": np.ones(6), "energy_std": 7.0, "kept": 1}
        atoms.set_array("forces", np.ones((8, 3)))
    y = model.predict(X)
    skpot.evaluate(model, X, tmp_path / out)
    if out.endswith(".h5"):
        with h5py.File(tmp_path / out) as file:
            found, forces, stress = file["energy"][:], file["forces"][:], file["stress"][:]
            assert "energy_std" not in file
    else:
        frames = ase.io.read(tmp_path / out, ":")
        found = [atoms.get_potential_energy() for atoms in frames]
        forces = np.concatenate([atoms.get_forces() for atoms in frames])
        stress = [atoms.get_stress() for atoms in frames]
        assert all("energy_std" not in a.info and a.info["kept"] == 1 for a in frames)
    np.testing.assert_allclose(found, y.energy, atol=1e-7)
    np.testing.assert_allclose(forces, y.forces_flat, atol=1e-7)
    np.testing.assert_allclose(stress, y.stress, atol=1e-7)
    assert X[0].info["energy"] == 1.0 and (X[0].arrays["forces"] == 1.0).all()


def test_files_of_others_stay(folder, model, tmp_path):  # noqa: F811
    X = ase.io.read(folder / "frames.xyz", ":2")
    parts = tmp_path / "out.parts"
    parts.mkdir()
    (parts / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds notes\.txt: name another file"):
        skpot.evaluate(model, X, tmp_path / "out.h5")
    assert (parts / "notes.txt").read_text() == "mine"
    (parts / "notes.txt").unlink()
    (parts / "000000000000.npz").write_bytes(b"")
    with pytest.raises(InputError, match="a damaged file"):
        skpot.evaluate(model, X, tmp_path / "out.h5")
    with pytest.raises(OSError, match="none"):
        skpot.evaluate(model, X, tmp_path / "none" / "out.h5")
    for name in ("folder.h5", "folder.xyz"):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match="is a folder"):
            skpot.evaluate(model, X, tmp_path / name)


def test_no_frames(model, tmp_path):  # noqa: F811
    with pytest.raises(StructureError, match="at least one structure"):
        skpot.evaluate(model, [], tmp_path / "out.h5")
    assert not list(tmp_path.iterdir())


def test_from_the_shell(folder, tmp_path):  # noqa: F811
    out = tmp_path / "predicted.h5"
    result = run("predict", folder / "model.skpot", folder / "frames.xyz", "-o", out)
    assert result.exit_code == 0, result.output
    assert "60 frames" in result.stdout and "extrapolation_grade" in result.stdout
    with h5py.File(out) as file:
        assert len(file["energy"]) == len(ase.io.read(folder / "frames.xyz", ":"))
