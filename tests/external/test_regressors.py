"""Regressors against scikit-learn's, run here on the same rows, and against numbers of sGDML."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as others
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.pipeline import make_pipeline

import skpot
from skpot import kernels

SIGMA = 0.1
FREE = {0: 0.0}  # the energy of a free atom of the one kind that rows of an array have
PAIRS = {
    "RBF": (kernels.RBF(1.3, 0.7), 0.7 * others.RBF(1.3)),
    "Matern": (kernels.Matern(1.3, 2.5, 0.7), 0.7 * others.Matern(1.3, nu=2.5)),
    "DotProduct": (kernels.DotProduct(1, 0.7), 0.7 * others.DotProduct(0.0, "fixed")),
}


@pytest.fixture(scope="module")
def rows():
    """Training features, energies, and features of others."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 4))
    return X, np.sin(X).sum(axis=1) + SIGMA * rng.normal(size=30), rng.normal(size=(12, 4))


@pytest.mark.parametrize("name", PAIRS)
def test_gpr_is_the_process_of_scikit_learn(name, rows):
    X, y, other = rows
    ours, theirs = PAIRS[name]
    model = skpot.GPR(ours, sigma_energy=SIGMA, e0=FREE).fit(X, y)
    process = GaussianProcessRegressor(theirs, alpha=SIGMA**2, optimizer=None).fit(X, y)
    found, expected = (m.predict(other, return_std=True) for m in (model, process))
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["RBF", "Matern"])
def test_likelihood_at_its_maximum(name, rows):
    X, y, _ = rows
    model = skpot.GPR(
        PAIRS[name][0], sigma_energy=SIGMA, e0=FREE, optimizer="fmin_l_bfgs_b"
    ).fit(X, y)  # fmt: skip
    found = model.kernel_
    shape = (
        others.RBF(found.length_scale)
        if name == "RBF"
        else others.Matern(found.length_scale, nu=found.nu)
    )
    noise = (SIGMA * model.noise_scale_["energy"]) ** 2
    process = GaussianProcessRegressor(found.variance * shape, alpha=noise, optimizer=None)
    expected = process.fit(X, y).log_marginal_likelihood_value_
    assert model.log_marginal_likelihood_ == pytest.approx(expected, rel=1e-10)


def test_sparse_gpr_is_the_projected_process(rows):
    """A process on the features of the references, and what these leave of the prior."""
    X, y, other = rows
    ours, theirs = PAIRS["RBF"]
    chosen = np.arange(0, 30, 3)
    model = skpot.SparseGPR(
        ours, selection=chosen, sigma_energy=SIGMA, e0=FREE, jitter=1e-15
    ).fit(X, y)  # fmt: skip
    factor = np.linalg.cholesky(theirs(X[chosen]))

    def projected(points):
        return np.linalg.solve(factor, theirs(X[chosen], points)).T

    process = GaussianProcessRegressor(
        others.DotProduct(0.0, "fixed"), alpha=SIGMA**2, optimizer=None
    )
    mean, std = process.fit(projected(X), y).predict(projected(other), return_std=True)
    left = theirs.diag(other) - (projected(other) ** 2).sum(axis=1)
    found = model.predict(other, return_std=True)
    np.testing.assert_allclose(found[0], mean, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found[1], np.sqrt(std**2 + left), rtol=0, atol=1e-10)


@pytest.mark.parametrize("alpha", [0.03, 40.0])
def test_linear_ridge_is_ridge(alpha, rows):
    X, y, other = rows
    model = skpot.LinearRidge(alpha, sigma_energy=SIGMA, e0=FREE).fit(X, y)
    ridge = Ridge(alpha * SIGMA**2, fit_intercept=False, solver="svd").fit(X, y)
    np.testing.assert_allclose(model.coef_, ridge.coef_, rtol=1e-12)
    np.testing.assert_allclose(model.predict(other), ridge.predict(other), rtol=1e-12)


def test_evidence_is_that_of_bayesian_ridge(rows):
    X, y, other = rows
    model = skpot.LinearRidge(sigma_energy=SIGMA, e0=FREE).fit(X, y)
    flat = dict.fromkeys(["alpha_1", "alpha_2", "lambda_1", "lambda_2"], 0.0)
    ridge = BayesianRidge(max_iter=10000, tol=1e-14, fit_intercept=False, **flat).fit(X, y)
    scale = model.noise_scale_
    assert model.alpha_ / scale**2 == pytest.approx(ridge.lambda_, rel=1e-6)
    assert (SIGMA * scale) ** -2 == pytest.approx(ridge.alpha_, rel=1e-6)
    np.testing.assert_allclose(model.coef_, ridge.coef_, rtol=1e-7)


# sgdml 1.0.3, sigma 10, lambda 1e-10, trained on forces of the first 20 molecules of the bundled
# ethanol: forces (eV/Å) on the heavy atoms of its first test structure, and the exchanges it found.
OF_SGDML = [
    [-3.412973216, 3.078500028, 0.836336551],
    [-1.366616972, 4.382607576, -3.323144188],
    [0.189007914, 2.527443407, 1.371839578],
]
EXCHANGES = ["012345678", "012354687", "012354768", "012354876", "012345867", "012345786"]


def test_symmetric_gpr_is_sgdml():
    X, y, X_test, _ = skpot.datasets.load_ethanol(return_X_y=True)
    molecules = slice(3, 23)  # behind the free atoms
    variance = 1000.0
    model = make_pipeline(
        skpot.InverseDistances(),
        skpot.SymmetricGPR(
            kernels.Matern(10.0, 2.5, variance),
            sigma_forces=np.sqrt(1e-10 * variance / 6.0),  # of six exchanges
            targets=("forces",),
            solver="cholesky",
            e0=dict.fromkeys("CHO", 0.0),
        ),
    ).fit(X[molecules], y[molecules])
    found = {"".join(map(str, row)) for row in model[-1].permutations_}
    assert found == set(EXCHANGES)
    forces = model.predict(X_test[:1]).forces[0]
    np.testing.assert_allclose(forces[:3], OF_SGDML, rtol=0, atol=1e-6)
