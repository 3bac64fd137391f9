"""Potentials on features of whole molecules, from fit to dynamics."""

import warnings

import numpy as np
import pytest
from ase import units
from ase.build import molecule
from ase.md.verlet import VelocityVerlet
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skpot
from skpot.kernels import RBF
from skpot.metrics import forces_rmse
from skpot.testing import check_potential
from tests import samples

ENERGY = {"H": -13.0, "C": -1030.0, "O": -2040.0}


@pytest.fixture(scope="module")
def ethanol():
    return samples.ethanol(test_step=5)


def potential(descriptor, **options):
    options = dict(sigma_energy=1e-3, selection="fps") | options
    return make_pipeline(
        descriptor, skpot.PerStructure(StandardScaler()), skpot.SparseGPR(RBF(10), **options)
    )


DESCRIPTORS = [skpot.InverseDistances(), skpot.CoulombMatrix("none"), skpot.CoulombMatrix()]


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=str)
def test_a_potential(ethanol, descriptor):
    X, y, _, _ = ethanol
    model = potential(descriptor).fit(X[::5], y[::5])
    order = ("permutation",) if descriptor.get_params().get("permutation", "none") == "none" else ()
    check_potential(model, X[:2], skip=order)


def test_forces_of_molecules_that_were_not_fitted(ethanol):
    X, y, X_test, y_test = ethanol
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one composition is all there can be
        model = potential(skpot.InverseDistances())
        model.set_params(sparsegpr__kernel=RBF(30, 1e4)).fit(X, y)
    y_pred, std = model.predict(X_test, return_std=True)
    assert forces_rmse(y_test, y_pred) < 0.35 * np.std(y_test.forces_flat)
    assert forces_rmse(y, model.predict(X)) < forces_rmse(y_test, y_pred)
    assert (std > 0).all()
    assert model[-1].n_rows_ == len(X) * (1 + 27)


def test_rows_are_learned_as_those_of_a_table(ethanol):
    # Energies alone, each weighted as nine atoms: the same as an ordinary table of features.
    X, y, X_test, _ = ethanol
    X, y = X[::5], y[::5]
    features = skpot.InverseDistances().fit(X).transform(X)
    energies = np.asarray(y)
    molecules = skpot.SparseGPR(RBF(0.5), sigma_energy=0.01).fit(features, energies)
    table = skpot.SparseGPR(RBF(0.5), sigma_energy=0.03).fit(features.values, energies)
    test = skpot.InverseDistances().fit_transform(X_test)
    np.testing.assert_allclose(molecules.predict(test), table.predict(test.values), rtol=1e-9)
    with pytest.raises(ValueError, match="do not tell what made them"):
        molecules.predict(test.values)


def test_reference_energies_follow_the_composition():
    X, y, _, _ = skpot.datasets.load_ethanol(return_X_y=True)
    X, y = X[:20], y[:20]  # isolated atoms come first
    model = make_pipeline(skpot.CoulombMatrix(), skpot.SparseGPR(RBF(10.0))).fit(X, y)
    assert model[-1].e0_source_ == "isolated"
    given = model.set_params(sparsegpr__e0=ENERGY).fit(X, y)[-1]
    assert given.e0_ == {1: -13.0, 6: -1030.0, 8: -2040.0}
    far = X[-1].copy()
    far.positions *= 0.36  # no reference is near: what remains is the free atoms
    expected = 6 * ENERGY["H"] + 2 * ENERGY["C"] + ENERGY["O"]
    assert np.asarray(model.predict([far])) == pytest.approx([expected], abs=1e-6)


def test_forces_alone_leave_the_energy_scale_open(ethanol):
    X, y, _, _ = ethanol
    forces = skpot.Targets([None] * 20, y.forces[:20])
    with pytest.warns(UserWarning, match="zero of the energy is arbitrary"):
        model = potential(skpot.InverseDistances()).fit(X[:20], forces)
    assert set(model[-1].e0_.values()) == {0.0}
    y_pred = model.predict(X[:20])
    assert np.isfinite(y_pred.energy).all()
    check_potential(model, X[:1], skip=("permutation",))


def test_unknown_species_are_named(ethanol):
    X, y, _, _ = ethanol
    model = make_pipeline(skpot.CoulombMatrix(), skpot.SparseGPR(RBF(10.0))).fit(X[:5], y[:5])
    with pytest.raises(ValueError, match="species S did not occur in fit.*H, C, O"):
        model.predict([molecule("CH3SH")])


def test_cross_validation_keeps_forces(ethanol):
    X, y, _, _ = ethanol
    y_pred = cross_val_predict(potential(skpot.InverseDistances()), X[:12], y[:12], cv=3)
    assert [f.shape for f in y_pred.forces] == [(9, 3)] * 12


def test_dynamics_conserve_energy(ethanol):
    X, y, _, _ = ethanol
    model = potential(skpot.InverseDistances()).fit(X[::5], y[::5])
    atoms = X[0].copy()
    atoms.calc = skpot.Calculator(model, uncertainty=True)
    rng = np.random.default_rng(0)
    atoms.set_momenta(rng.normal(size=(9, 3)) * np.sqrt(atoms.get_masses() * 0.01)[:, None])
    start = atoms.get_total_energy()
    VelocityVerlet(atoms, 0.25 * units.fs).run(100)
    assert abs(atoms.get_total_energy() - start) < 2e-3
    predicted = model.predict([atoms])
    np.testing.assert_allclose(atoms.get_forces(), predicted.forces[0], atol=1e-10)
    assert atoms.calc.results["energy_std"] > 0
    assert "energies" not in atoms.calc.results


def test_features_computed_once(ethanol):
    X, y, _, _ = ethanol
    model = potential(skpot.CoulombMatrix(), targets=("energy", "forces")).fit(X[:20], y[:20])
    parts = [model[:-1].transform(X[:1]), model[:-1].transform(X[1:3])]
    y_pred = model[-1].predict(np.concatenate(parts))
    np.testing.assert_allclose(y_pred.forces_flat, model.predict(X[:3]).forces_flat, atol=1e-9)
