"""Committees: draws of the posterior that share one fit."""

import numpy as np
import pytest
from scipy.linalg import solve_triangular
from sklearn.pipeline import make_pipeline

import skpot
from skpot import Committee, SparseGPR, Targets
from skpot.compose import _committee
from skpot.kernels import RBF
from tests import samples


@pytest.fixture(scope="module")
def silicon():
    return samples.silicon(skpot.SOAP(cutoff=4.0, n_max=4, l_max=3), n_test=4)


@pytest.mark.parametrize("kernel", [None, RBF(0.5)], ids=str)
def test_members_spread_as_the_posterior_of_the_coefficients(silicon, kernel):
    features, y, test, _ = silicon
    committee = Committee(SparseGPR(kernel, n_sparse=20), 3000).fit(features, y)
    gpr = committee.estimator_
    rows = np.zeros((len(test), 20))
    gpr.posterior_.references.sums(test, rows)
    whitened = solve_triangular(gpr.covariance_factor_, rows.T, lower=True)
    expected = np.linalg.norm(solve_triangular(gpr.posterior_factor_, whitened, trans="T"), axis=0)
    std = committee.energy_std(test)
    np.testing.assert_allclose(std, expected, rtol=5.0 / np.sqrt(2 * 3000))
    assert (expected <= gpr.energy_std(test) + 1e-12).all()


def test_perturbed_fits_have_the_same_distribution(silicon):
    """Compare with fits to perturbed labels and towards draws of the prior, one by one."""
    features, y, test, _ = silicon
    noise, rng, n = 0.3, np.random.default_rng(0), 150
    options = dict(n_sparse=10, sigma_energy=noise, e0={"Si": -4.0})
    energies = np.asarray(y)
    base = SparseGPR(**options).fit(features, energies)
    rows = np.zeros((len(features), 10))
    base.posterior_.references.sums(features, rows)
    draws = []
    for _ in range(n):
        prior = solve_triangular(
            base.covariance_factor_, rng.normal(size=10), lower=True, trans="T"
        )
        label_noise = noise * np.sqrt(features.n_atoms) * rng.normal(size=len(energies))
        fitted = SparseGPR(**options).fit(features, energies + label_noise - rows @ prior)
        draws.append(fitted.dual_coef_ + prior)
    found = np.zeros((len(test), 10))
    base.posterior_.references.sums(test, found)
    spread = np.std(found @ np.array(draws).T, axis=1)
    committee = Committee(SparseGPR(**options), 3000).fit(features, energies)
    np.testing.assert_allclose(committee.energy_std(test), spread, rtol=5.0 / np.sqrt(2 * n))


def test_members_are_potentials_whose_spread_is_the_deviation(silicon):
    features, y, test, _ = silicon
    committee = Committee(SparseGPR(RBF(0.5), n_sparse=30), 4).fit(features, y)
    base, std = committee.predict(test, return_std="all")
    members = committee.predict_members(test)
    assert len(members) == 4 and isinstance(members[0], Targets)
    np.testing.assert_array_equal(base.energy, committee.estimator_.predict(test).energy)
    for name in ("energy", "forces_flat", "stress"):
        change = np.array([getattr(m, name) - getattr(base, name) for m in members])
        np.testing.assert_allclose(
            getattr(std, name), np.sqrt(np.mean(change**2, axis=0)), rtol=1e-6, atol=1e-12
        )
    np.testing.assert_array_equal(committee.predict(test, return_std=True)[1], std.energy)
    # A member is the estimator with other coefficients.
    gpr = committee.estimator_
    gpr.dual_coef_ = gpr.dual_coef_ + committee.deviations_[:, 2]
    own = gpr.predict(test)
    np.testing.assert_allclose(own.energy, members[2].energy, rtol=1e-10)
    np.testing.assert_allclose(own.forces_flat, members[2].forces_flat, atol=1e-9)
    np.testing.assert_allclose(own.stress, members[2].stress, atol=1e-11)


def test_members_of_references_with_derivatives(silicon):
    features, y, test, _ = silicon
    gpr = SparseGPR(RBF(0.5), n_sparse=20, n_directions=2)
    committee = Committee(gpr, 3).fit(features, y)
    assert len(committee.deviations_) > 40
    members = committee.predict_members(test)
    gpr, own = committee.estimator_, committee.estimator_.posterior_.references
    scalars, vectors = own.fold(committee.deviations_[:, 1])
    gpr.dual_coef_, gpr.dual_vectors_ = gpr.dual_coef_ + scalars, gpr.dual_vectors_ + vectors
    alone = gpr.predict(test)
    np.testing.assert_allclose(alone.energy, members[1].energy, rtol=1e-8)
    np.testing.assert_allclose(alone.forces_flat, members[1].forces_flat, atol=1e-7)
    energy_std = np.std([m.energy for m in members], axis=0)
    assert (energy_std > 0).all()


def test_blocks_change_nothing(silicon, monkeypatch):
    features, y, test, _ = silicon
    committee = Committee(SparseGPR(n_sparse=20), 5).fit(features, y)
    whole = committee.predict_std(test)
    monkeypatch.setattr(_committee, "_BYTES", 1e4)
    parts = committee.predict_std(test)
    np.testing.assert_allclose(parts.forces_flat, whole.forces_flat, rtol=1e-10)
    np.testing.assert_allclose(parts.energy, whole.energy, rtol=1e-10)


def test_energies_alone_and_seeds(silicon):
    features, y, test, _ = silicon
    first, second, third = (
        Committee(SparseGPR(n_sparse=20), 3, random_state=seed).fit(features, np.asarray(y))
        for seed in (1, 1, 2)
    )
    assert first.predict_members(test).shape == (3, len(test))
    np.testing.assert_array_equal(first.deviations_, second.deviations_)
    assert not np.array_equal(first.deviations_, third.deviations_)
    with pytest.raises(ValueError, match="estimator"):
        Committee(skpot.GPR()).fit(features, y)


def test_in_a_calculator(silicon):
    X, y, X_test, _ = skpot.datasets.load_silicon(return_X_y=True)
    committee = Committee(SparseGPR(n_sparse=30), 4)
    model = make_pipeline(skpot.SOAP(n_max=3, l_max=2), committee).fit(X[:10], y[:10])
    atoms = X_test[0].copy()
    atoms.calc = skpot.Calculator(model)
    predicted, std = model.predict([atoms], return_std="all")
    np.testing.assert_allclose(atoms.get_forces(), predicted.forces[0], atol=1e-9)
    forces_std = atoms.calc.get_property("forces_std", atoms)
    np.testing.assert_allclose(forces_std, std.forces[0], rtol=1e-6)
    assert atoms.calc.get_property("extrapolation_grade", atoms).shape == (len(atoms),)
