"""Linear and quadratic potentials against loops, dense algebra and finite differences."""

import numpy as np
import pytest
from ase import Atoms
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline, make_union

from skpot import SOAP, ZBL, LinearRidge, PairBasis, PerAtom, TripletBasis
from skpot.datasets import load_silicon
from skpot.metrics import energy_rmse, forces_rmse, stress_rmse
from skpot.testing import check_potential
from tests import samples
from tests.naive import linear as naive
from tests.naive.kernel import Structure
from tests.samples import labeled

pytestmark = pytest.mark.filterwarnings("ignore:.*occur twice")

NOISE = dict(sigma_energy=0.05, sigma_forces=0.2, sigma_stress=0.01)


def small_union():
    return make_union(PairBasis(3.5, 5, r_min=1.0), TripletBasis(3.0, 4, r_min=1.0))


def dense(model, X, y, degree, kinds=(8, 14)):
    """Return rows and labels divided by nothing, noise, and features for all coefficients."""
    descriptor = model[0]
    features = samples.features_of(descriptor)

    structures = [
        Structure(a.numbers, a.positions, a.cell.array, a.pbc, y.energy[i] + 2.5 * len(a),
                  y.forces[i], y.stress[i])
        for i, a in enumerate(X)
    ]  # fmt: skip
    a = np.concatenate([naive.rows(features, s, kinds, degree) for s in structures])
    values, noise = zip(*(naive.labels(s, **NOISE) for s in structures), strict=True)
    return a, np.concatenate(values), np.concatenate(noise)


@pytest.mark.parametrize("degree", [1, 2])
def test_equals_dense_normal_equations(degree):
    X, y = labeled(["Si", "O"], 2, per_atom=-2.5)
    e0 = {"Si": -2.5, "O": -2.5}
    descriptor = SOAP(cutoff=3.0, n_max=2, l_max=1, sigma=0.5, species=["O", "Si"])
    steps = [] if degree == 1 else [PerAtom(PCA(4))]
    ridge = LinearRidge(0.3, degree=degree, e0=e0, **NOISE)
    model = make_pipeline(descriptor, *steps, ridge).fit(X, y)
    a, values, noise = dense([model[:-1]], X, y, degree)
    scaled = a / noise[:, None]
    normal = scaled.T @ scaled + 0.3 * np.eye(a.shape[1])
    w = np.linalg.solve(normal, scaled.T @ (values / noise))
    predicted, std = model.predict(X, return_std="all")
    free = np.array([-2.5 * len(atoms) for atoms in X])
    first = np.cumsum([0, *(1 + 3 * len(s) + 6 * s.pbc.all() for s in X)])[:-1]
    np.testing.assert_allclose(predicted.energy, (a @ w)[first] + free, rtol=1e-6)
    deviation = np.sqrt(np.einsum("ij,ji->i", a, np.linalg.solve(normal, a.T)))
    np.testing.assert_allclose(std.energy, deviation[first], rtol=1e-5)
    for s, k in enumerate(first):
        own = deviation[k + 1 : k + 1 + 3 * len(X[s])].reshape(-1, 3)
        np.testing.assert_allclose(std.forces[s], own, rtol=1e-4, atol=1e-7)
        forces = (a @ w)[k + 1 : k + 1 + 3 * len(X[s])].reshape(-1, 3)
        np.testing.assert_allclose(predicted.forces[s], forces, atol=2e-6)
        if y.has_stress[s]:
            stress = (a @ w)[k + 1 + 3 * len(X[s]) :][:6]
            np.testing.assert_allclose(predicted.stress[s], stress, atol=1e-6)
            own = deviation[k + 1 + 3 * len(X[s]) :][:6]
            np.testing.assert_allclose(std.stress[s], own, rtol=1e-4, atol=1e-9)
    grade = model[-1].extrapolation_grade(model[:-1].transform(X))
    assert grade.max() == pytest.approx(1.0)
    assert model[-1].energies_std(model[:-1].transform(X[:1])).shape == (len(X[0]),)


def test_evidence_is_the_largest_density_of_the_labels():
    X, y = labeled(["Si", "O"], 2, per_atom=-2.5)
    e0 = {"Si": -2.5, "O": -2.5}
    descriptor = SOAP(cutoff=3.0, n_max=2, l_max=1, sigma=0.5, species=["O", "Si"])
    model = make_pipeline(descriptor, LinearRidge(e0=e0, **NOISE)).fit(X, y)
    a, values, noise = dense([model[0]], X, y, 1)
    ridge = model[-1]

    def density(alpha, scale):
        return naive.log_likelihood(a, values, noise, np.eye(a.shape[1]), alpha, scale)

    best = density(ridge.alpha_, ridge.noise_scale_)
    assert ridge.log_marginal_likelihood_ == pytest.approx(best, rel=1e-6)
    for factor in (0.9, 1.1):
        assert density(factor * ridge.alpha_, ridge.noise_scale_) < best
        assert density(ridge.alpha_, factor * ridge.noise_scale_) < best
    fixed = clone(model).set_params(linearridge__alpha=ridge.alpha_).fit(X, y)
    np.testing.assert_allclose(fixed[-1].coef_, ridge.coef_, rtol=1e-10)


def test_roughness_comes_with_the_features():
    X, y = labeled(per_atom=-2.5)
    union = small_union()
    smooth = make_pipeline(union, LinearRidge(2.0, e0={"Si": -2.5}, **NOISE)).fit(X, y)
    features = union.transform(X)
    pair, triplet = (step.smoothness_penalty(to_cutoff=True).toarray() for _, step in
                     union.transformer_list)  # fmt: skip
    n = len(pair)
    penalty = 1e-3 * np.eye(features.shape[1])
    penalty[:n, :n] += pair
    penalty[n:, n:] += triplet
    a, values, noise = dense([union], X, y, 1, kinds=(14,))
    scaled = a / noise[:, None]
    held = smooth[-1].coef_columns_[14]
    w = np.linalg.solve(scaled.T @ scaled + 2.0 * penalty, scaled.T @ (values / noise))
    assert len(held) > n
    np.testing.assert_allclose(smooth[-1].coef_, w[held], atol=1e-5 * np.abs(w).max())
    left_out = np.setdiff1d(np.arange(len(w)), held)
    np.testing.assert_allclose(w[left_out], 0.0, atol=1e-10)
    by_block = {"pair_basis": 2.0, "triplet_basis": 2.0}
    same = make_pipeline(small_union(), LinearRidge(by_block, e0={"Si": -2.5}, **NOISE))
    np.testing.assert_allclose(same.fit(X, y)[-1].coef_, smooth[-1].coef_, rtol=1e-7, atol=1e-9)
    plain = clone(smooth).set_params(linearridge__penalty="ridge").fit(X, y)
    assert np.abs(plain.predict(X).energy - smooth.predict(X).energy).max() > 1e-3


def test_penalties_follow_selection_and_batches():
    X, _ = labeled(per_atom=-2.5)
    union = small_union().fit(X)
    features = union.transform(X)
    assert set(features.penalties) == {"pair_basis", "triplet_basis"}
    again = type(features).vstack([features[:2], features[2:]])
    assert again.penalties.keys() == features[[1]].penalties.keys() == features.penalties.keys()
    columns = np.arange(features.shape[1])[features.blocks["triplet_basis"]]
    only = features.select(columns)
    assert only.blocks == {"triplet_basis": slice(0, len(columns))}
    assert set(only.penalties) == {"triplet_basis"}
    assert features.select(columns[::-1]).penalties == {}
    with_baseline = make_pipeline(make_union(ZBL(outer=2.0), PairBasis(3.5, 5)), LinearRidge(
        1.0, baseline="zbl"))  # fmt: skip
    factors = with_baseline.fit(*labeled(n=2, per_atom=-2.5))[-1].penalty_factors_
    assert factors[14] is not None


@pytest.mark.parametrize(
    "steps",
    [
        [small_union(), LinearRidge(1e-3)],
        [SOAP(cutoff=3.0, n_max=2, l_max=1), PerAtom(PCA(3)), LinearRidge(degree=2)],
    ],
    ids=["splines", "quadratic"],
)
def test_keeps_the_promises_of_a_potential(steps):
    X, y = labeled(["Si", "O"], 2, per_atom=-2.5)
    check_potential(make_pipeline(*map(clone, steps)).fit(X, y), X[:4])


def test_blocks_of_any_size_give_the_same_model():
    X, y = labeled(["Si", "O"], 3, per_atom=-2.5)
    features = small_union().fit_transform(X)
    free = LinearRidge(**NOISE).fit(features, y)
    m = len(free.coef_)
    tight = LinearRidge(max_memory=8.0 * (m + 1) ** 2 * 9 + 1e6, **NOISE).fit(features, y)
    np.testing.assert_allclose(
        tight.predict(features).forces_flat, free.predict(features).forces_flat, atol=1e-9
    )
    with pytest.raises(ValueError, match="columns of the linear model, or smaller structures"):
        LinearRidge(max_memory=1e4).fit(features, y)


def test_learns_a_quadratic_energy_of_a_table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    y = 1.0 + x @ [1.0, -2.0, 0.5] + 0.7 * x[:, 0] * x[:, 2] - 0.2 * x[:, 1] ** 2
    options = dict(sigma_energy=1e-4, e0={0: 1.0})
    quadratic = LinearRidge(degree=2, **options).fit(x[:60], y[:60])
    np.testing.assert_allclose(quadratic.predict(x[60:]), y[60:], atol=1e-3)
    linear = LinearRidge(**options).fit(x[:60], y[:60])
    assert np.std(linear.predict(x[60:]) - y[60:]) > 0.1
    assert linear.log_marginal_likelihood_ < quadratic.log_marginal_likelihood_


def test_splines_describe_silicon():
    data = load_silicon()
    basis = make_union(PairBasis(6.0, r_min=1.5), TripletBasis(5.0, 8, r_min=1.5))
    model = make_pipeline(basis, LinearRidge()).fit(data.X, data.y)
    predicted, std = model.predict(data.X_test, return_std=True)
    n_atoms = np.array([len(a) for a in data.X_test])
    spread = np.std(data.y_test.forces_flat)
    assert energy_rmse(data.y_test, predicted) < 0.003
    assert forces_rmse(data.y_test, predicted) < 0.12 < 0.2 * spread
    assert stress_rmse(data.y_test, predicted) < 0.004
    rank = np.argsort(np.argsort([std / n_atoms, np.abs(predicted - data.y_test.energy) / n_atoms]))
    assert np.corrcoef(rank)[0, 1] > 0


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(alpha={"soap": 1.0}), r"alpha names the blocks \['soap'\]"),
        (dict(alpha={"pair_basis": -1.0}), r"alpha\['pair_basis'\] must be a positive number"),
        (dict(degree=3), "degree"),
        (dict(alpha="best"), "alpha"),
    ],
)
def test_bad_settings_are_refused(options, message):
    X, y = labeled(["Si", "O"], 2, per_atom=-2.5)
    with pytest.raises(ValueError, match=message):
        LinearRidge(**options).fit(small_union().fit_transform(X), y)


def test_features_that_are_all_zero_are_refused():
    dimers = [Atoms("Si2", [[0, 0, 0], [0, 0, r]]) for r in (2.0, 2.2, 2.4)]
    triplets = TripletBasis(3.0, 4).fit_transform(dimers)
    with pytest.raises(ValueError, match="all features are zero.* cutoff"):
        LinearRidge().fit(triplets, np.arange(3.0))
