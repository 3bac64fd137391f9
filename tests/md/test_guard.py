"""Runs in which the model extrapolates."""

import os

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.bussi import Bussi
from ase.md.verlet import VelocityVerlet
from sklearn.pipeline import make_pipeline

import skpot
from skpot.exceptions import SkpotError
from skpot.md import Guard, LimitPassed
from skpot.md.dynamics import thermalize
from skpot.md.frames import FrameFile
from tests.samples import crystal, crystals, labels_of_emt
from tests.third_party import SummedFeatures


@pytest.fixture(scope="module")
def model():
    X = crystals(n=20, rattle=0.05)
    y = labels_of_emt(X)
    soap = skpot.SOAP(cutoff=4.0, n_max=4, l_max=3)
    return make_pipeline(soap, skpot.SparseGPR(n_sparse=30)).fit(X, y)


def copper(model, **options):
    atoms = crystal("Cu", 0.03, seed=5)
    atoms.calc = skpot.Calculator(model, **options)
    return atoms


def test_within_the_limits_nothing_happens(model):
    atoms = copper(model)
    guard = Guard(
        atoms, max_grade=5.0, max_energy_std=0.1, max_forces_std=5.0, max_temperature=1000.0,
        min_distance=1.8,
    )  # fmt: skip
    guard()
    grade = atoms.calc.get_property("extrapolation_grade", atoms).max()
    assert guard.values["max_grade"] == grade
    std = model.predict([atoms], return_std="all")[1]
    assert guard.values["max_energy_std"] == pytest.approx(std.energy[0] / 4)
    assert guard.values["max_forces_std"] == pytest.approx(std.forces[0].max(), rel=1e-6)
    assert guard.values["min_distance"] == np.inf  # distances beyond the limit are not searched


def test_a_dimer_pushed_together_stops(model):
    atoms = Atoms("Cu2", [[0, 0, 0], [3.0, 0, 0]])
    atoms.set_velocities([[0.2, 0, 0], [-0.2, 0, 0]])
    atoms.calc = skpot.Calculator(model)
    dynamics = VelocityVerlet(atoms, 1.0 * units.fs)
    guard = Guard(atoms, min_distance=1.5)
    dynamics.attach(guard)
    with pytest.raises(LimitPassed, match="min_distance 1.5 is passed: 1.4"):
        dynamics.run(200)
    assert guard.values["min_distance"] == pytest.approx(atoms.get_distance(0, 1))
    assert 0 < dynamics.nsteps < 200


def test_a_hot_run_stops(model):
    atoms = copper(model) * 2
    atoms.calc = skpot.Calculator(model)
    thermalize(atoms, 300.0)
    rng = np.random.default_rng(0)
    dynamics = Bussi(atoms, 2.0 * units.fs, temperature_K=900, taut=50 * units.fs, rng=rng)
    dynamics.attach(Guard(atoms, max_temperature=500.0))
    with pytest.raises(LimitPassed, match="max_temperature 500"):
        dynamics.run(500)
    assert 500 < atoms.get_temperature() < 700


def test_frames_far_from_the_training_set_are_recorded(model, tmp_path):
    path = tmp_path / "far.xyz"
    atoms = copper(model)
    guard = Guard(atoms, max_grade=1.0, action="record", path=path)
    guard()
    assert guard.n_recorded == 0
    assert not path.exists()
    thermalize(atoms, 3000.0)
    dynamics = VelocityVerlet(atoms, 1.0 * units.fs)
    dynamics.attach(guard, interval=10)
    dynamics.run(30)
    frames = ase.io.read(path, ":")
    assert len(frames) == guard.n_recorded > 0
    for frame in frames:
        assert "max_grade 1 is passed: " in frame.info["guard"]
        features = model[:-1].transform([frame])
        assert model[-1].extrapolation_grade(features).max() > 1.0
        assert frame.get_kinetic_energy() > 0
        assert frame.calc is None  # a prediction is no label


def test_labeled_frames_teach_the_model(model, tmp_path):
    path = tmp_path / "labeled.xyz"
    X = crystals(n=20, rattle=0.05)
    y = labels_of_emt(X)
    learning = make_pipeline(*(step for _, step in model.steps[:-1]), skpot.SparseGPR(n_sparse=80))
    learning.fit(X, y)
    atoms = copper(learning)
    atoms.set_cell(atoms.cell.array * 0.9, scale_atoms=True)
    guard = Guard(atoms, max_grade=3.0, action="relabel", path=path, calculator=EMT())
    for seed in range(5):
        atoms.rattle(0.05, seed=seed)
        guard()
    assert guard.n_recorded == 5
    new, labels = skpot.read(path)
    assert labels.has_forces.all() and labels.has_stress.all()
    new[0].calc = EMT()
    np.testing.assert_allclose(labels.forces[0], new[0].get_forces(), atol=1e-6)
    before = skpot.metrics.forces_rmse(labels, learning.predict(new))
    learning[-1].partial_fit(learning[:-1].transform(new), labels)
    assert skpot.metrics.forces_rmse(labels, learning.predict(new)) < 0.5 * before


def test_stopping_can_record_the_last_frame(model, tmp_path):
    atoms = copper(model)
    with pytest.raises(LimitPassed):
        Guard(atoms, min_distance=3.0, path=tmp_path / "last.xyz")()
    last = ase.io.read(tmp_path / "last.xyz")
    np.testing.assert_allclose(last.positions, atoms.positions, atol=1e-7)


def test_what_is_not_finite_stops_whatever_the_action(model, tmp_path):
    atoms = copper(model)
    guard = Guard(atoms, min_distance=1.0, action="record", path=tmp_path / "x.xyz")
    atoms.positions[0] = np.nan
    with pytest.raises(LimitPassed, match="min_distance 1 is passed: nan"):
        guard()
    assert not (tmp_path / "x.xyz").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no limit is given"),
        ({"max_grade": 1.0, "action": "halt"}, "action must be one of"),
        ({"max_grade": 1.0, "action": "record"}, "needs a path"),
        ({"max_grade": 1.0, "action": "relabel", "path": "x"}, "goes with a calculator"),
        ({"max_grade": 1.0, "calculator": EMT()}, "goes with a calculator"),
        ({"max_grade": 1.0, "action": "record", "path": "far.traj"}, "as another format"),
        ({"atoms": [bulk("Cu")], "max_grade": 1.0}, "must be ase.Atoms"),
        ({"max_grade": 1.0, "path": 3}, "name of a file"),
        ({"max_grade": 10**400}, "max_grade must be finite"),
        (
            {"max_grade": 1.0, "action": "relabel", "path": "x.xyz", "calculator": "emt"},
            "calculator must be one of ASE",
        ),
    ],
)
def test_wrong_settings_are_refused(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Guard(**{"atoms": bulk("Cu")} | options)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0, "1", True])
@pytest.mark.parametrize(
    "name", ["max_energy_std", "max_forces_std", "max_grade", "max_temperature", "min_distance"]
)
def test_limits_must_be_positive_numbers(name, value):
    with pytest.raises(SkpotError, match=name):
        Guard(bulk("Cu"), **{name: value})


def test_atoms_without_a_calculator_have_nothing_to_limit():
    with pytest.raises(ValueError, match="no calculator"):
        Guard(bulk("Cu"), max_grade=1.0)()


def test_recording_reads_only_what_is_new(model, tmp_path, monkeypatch):
    read = []
    whole = FrameFile._whole

    def counting(self, begin):
        read.append(os.path.getsize(self.path) - begin)
        return whole(self, begin)

    monkeypatch.setattr(FrameFile, "_whole", counting)
    path = tmp_path / "far.xyz"
    guard = Guard(copper(model), min_distance=3.0, action="record", path=path)
    for _ in range(4):
        guard()
    assert read == [0, 0, 0, 0] and len(ase.io.read(path, ":")) == 4
    path.unlink()  # as if a user had moved the file
    guard()
    assert len(ase.io.read(path, ":")) == 1


def test_a_model_without_uncertainty_has_no_grade():
    X = crystals(n=5, rattle=0.05)
    y = labels_of_emt(X)
    soap = skpot.SOAP(cutoff=4.0, n_max=3, l_max=2)
    model = make_pipeline(soap, SummedFeatures()).fit(X, y)
    with pytest.raises(ValueError, match="gives no extrapolation_grade, which max_grade limits"):
        Guard(copper(model), max_grade=1.0)()
