"""Structures with predictions, as files of frames hold them."""

import ase.io
import numpy as np
import pytest

import skpot
from skpot.datasets import load_silicon
from skpot.md import predicted
from skpot.md.frames import require_format, write_frames
from skpot.md.relaxation import relax
from tests.samples import crystal


@pytest.fixture(scope="module")
def model():
    X, y, _, _ = load_silicon(return_X_y=True)
    return skpot.make_potential("fast").fit(X[:30], y[:30])


def test_without_deviations_where_there_are_none(model):
    X = [crystal("Si", seed=seed) for seed in range(2)]
    found = list(predicted(skpot.Calculator(skpot.compile(model)), X))
    assert not {"forces_std", "energies_std"} & found[0].arrays.keys()
    np.testing.assert_allclose(found[1].get_forces(), model.predict(X).forces[1], atol=1e-8)
    assert X[0].calc is None and not X[0].info
    found[0].positions += 1.0  # results do not share memory with anything
    found[0].arrays["numbers"][:] = 1
    assert (X[0].numbers == 14).all()


def test_the_structure_that_cannot_be_predicted_is_named(model):
    X = [crystal("Si"), crystal("Cu")]
    with pytest.raises(ValueError, match="^structure 1: species Cu"):
        list(predicted(skpot.Calculator(model), X))


def test_arguments_in_the_wrong_order_are_told(model):
    with pytest.raises(TypeError, match="must be a skpot.Calculator, got list; the structures"):
        list(predicted([crystal("Si")], skpot.Calculator(model)))


@pytest.mark.parametrize("name", ["a.xyz", "a.traj", "a.db", "a.cif"])
def test_files_of_frames_are_whole(model, tmp_path, name, monkeypatch):
    frames = list(predicted(skpot.Calculator(model), [crystal("Si", seed=s) for s in range(2)]))
    path = tmp_path / name
    write_frames(path, frames)
    write_frames(path, frames)  # replaces the file, also where ASE would append
    assert len(ase.io.read(path, ":")) == 2
    assert sorted(tmp_path.iterdir()) == [path]
    before = path.read_bytes()
    monkeypatch.setattr("skpot.md.frames.write", lambda *args, **options: 1 / 0)
    with pytest.raises(ValueError, match=f"{name} cannot be written as"):
        write_frames(path, frames)
    assert path.read_bytes() == before and sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.what", "a", "a.gpw"])
def test_names_of_no_format_are_refused(name):
    with pytest.raises(ValueError, match="use a suffix such as .xyz"):
        require_format(name)


def test_relaxed_cells_have_no_stress(model):
    atoms = crystal("Si", a=5.3)
    atoms.calc = skpot.Calculator(model)
    steps = []
    assert relax(atoms, cell=True, on_step=lambda *step: steps.append(step))
    assert np.abs(atoms.get_stress()).max() * atoms.get_volume() < 0.05
    assert [step for step, _, _ in steps] == list(range(len(steps)))
    assert steps[-1][1] < steps[0][1] and steps[-1][2] <= 0.01
    with pytest.raises(ValueError, match="'cg' is not one of bfgs"):
        relax(atoms, optimizer="cg")
