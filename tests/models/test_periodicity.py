"""Stress of slabs, wires and clusters among bulk: one rule for every regressor."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, molecule
from ase.calculators.emt import EMT
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import skpot
from skpot.exceptions import LabelError, LabelWarning, SkpotWarning
from tests import registry
from tests.test_contract import ids

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
REGRESSORS = registry.REGRESSORS | registry.STRUCTURE_REGRESSORS


def deformed(atoms, rng):
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3))), True)
    atoms.rattle(0.08, rng=rng)
    return atoms


@pytest.fixture(scope="module")
def crystals():
    rng = np.random.default_rng(0)
    return [deformed(bulk("Cu", cubic=True), rng) for _ in range(8)]


@pytest.fixture(scope="module")
def slabs():
    """Periodic in two directions, then in one, with vacuum in the cell."""
    rng = np.random.default_rng(1)
    frames = [deformed(fcc100("Cu", (1, 1, 4), vacuum=4.0), rng) for _ in range(8)]
    for k, atoms in enumerate(frames):
        atoms.pbc = (True, k < 6, False)
    return frames


@pytest.fixture(scope="module")
def cluster():
    return Atoms("Cu3", [[0, 0, 0], [2.4, 0, 0], [0, 2.4, 0]])


def labeled(frames, stress=()):
    """Return labels of EMT; `stress` replaces that of the last frames."""
    copies = [atoms.copy() for atoms in frames]
    for atoms in copies:
        atoms.calc = EMT()
    volumes = [atoms.cell.rank == 3 for atoms in copies]
    own = [a.get_stress() if known else None for a, known in zip(copies, volumes, strict=True)]
    return skpot.Targets(
        [atoms.get_potential_energy() for atoms in copies],
        [atoms.get_forces() for atoms in copies],
        own[: len(own) - len(stress)] + list(stress),
    )


def model_of(regressor):
    """Return a small pipeline, or what learns from structures itself."""
    model = clone(regressor)
    # Jitter bounds coefficients, which are what differences of energies are rounded by.
    options = {"n_sparse": 30, "subsample": 1000, "jitter": 1e-7}
    for name in model.get_params():
        if (option := name.split("__")[-1]) in options:
            model.set_params(**{name: options[option]})
    if hasattr(model, "calculator"):
        return model
    return make_pipeline(skpot.SOAP(cutoff=4.0, n_max=3, l_max=2), model)


def fit(model, frames, y):
    """Return the fitted model, with warnings other than of skpot's as errors, and skpot's."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", SkpotWarning)
        model.fit(frames, y)
    return model, caught


def numerical_stress(model, atoms, h=3e-4):
    """Return the derivative of the predicted energy by strain over the volume, to h^4."""
    strained = []
    for i, j in VOIGT:
        for step in (-2, -1, 1, 2):
            strain = np.eye(3)
            strain[i, j] += 0.5 * step * h
            strain[j, i] += 0.5 * step * h
            copy = atoms.copy()
            copy.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            strained.append(copy)
    energies = model.predict(strained).energy.reshape(6, 4)
    return energies @ [1.0, -8.0, 8.0, -1.0] / (12.0 * h) / atoms.get_volume()


@pytest.mark.parametrize("regressor", ids(REGRESSORS))
def test_stress_of_slabs_and_clusters_among_bulk(regressor, crystals, slabs, cluster):
    model = model_of(regressor)
    frames = crystals[:4] + slabs[3:7] + [cluster]
    with pytest.raises(LabelError, match="structure 8: stress is"):
        fit(clone(model), frames, labeled(frames, [np.full(6, 1e-3)]))
    plain, _ = fit(clone(model), frames, labeled(frames, [None]))
    zeros, caught = fit(clone(model), frames, labeled(frames, [np.zeros(6)]))
    texts = [str(w.message) for w in caught if issubclass(w.category, LabelWarning)]
    assert sum("no stress" in text for text in texts) == 1
    y, expected = zeros.predict(frames), plain.predict(frames)
    np.testing.assert_array_equal(y.stress, expected.stress)
    np.testing.assert_array_equal(np.isfinite(y.stress).all(axis=1), [True] * 8 + [False])
    for k in (0, 4, 7):  # bulk, slab, wire
        numerical = numerical_stress(zeros, frames[k])
        np.testing.assert_allclose(y.stress[k], numerical, atol=1e-6 * np.abs(numerical).max())


@pytest.mark.parametrize("regressor", ids(REGRESSORS))
def test_slabs_leave_the_stress_of_bulk_as_good_as_it_was(regressor, crystals, slabs):
    rng = np.random.default_rng(2)
    test = [deformed(bulk("Cu", cubic=True), rng) for _ in range(6)]
    model, truth = model_of(regressor), labeled(test)
    error = {}
    for name, frames in {"bulk": crystals, "both": crystals + slabs}.items():
        predicted = fit(clone(model), frames, labeled(frames))[0].predict(test)
        error[name] = np.sqrt(np.mean((predicted.stress - truth.stress) ** 2))
    assert error["both"] < max(1.5 * error["bulk"], 0.1 * np.abs(truth.stress).max())


def test_stress_of_molecules_in_a_cell():
    rng = np.random.default_rng(3)
    frames = [molecule("CH3OH", vacuum=4.0) for _ in range(12)]
    for atoms in frames:
        atoms.rattle(0.05, rng=rng)
    y = labeled(frames)
    for frames_, labels in ((frames, y), (frames, skpot.Targets(y.energy, y.forces))):
        model = make_pipeline(skpot.InverseDistances(), skpot.SymmetricGPR())
        predicted = fit(model, frames_, labels)[0].predict(frames)
        numerical = numerical_stress(model, frames[0])
        scale = np.abs(numerical).max()
        np.testing.assert_allclose(predicted.stress[0], numerical, atol=1e-6 * scale)
