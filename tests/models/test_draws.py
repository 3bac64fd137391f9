"""Draws of the posterior against plain loops, and their spread against the variance itself."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline, make_union

import skpot
from skpot.exceptions import NotCompilableError
from skpot.kernels import RBF, DotProduct, Matern, Symmetrized, prior_waves
from skpot.models import posterior_draws
from tests.naive import draws as naive
from tests.samples import labeled

NOISE = {"sigma_energy": 0.05, "sigma_forces": 0.2}


def soap():
    return skpot.SOAP(cutoff=3.0, n_max=2, l_max=2)


def sparse(kernel, **options):
    return skpot.SparseGPR(kernel, n_sparse=12, selection="random", **NOISE, **options)


MODELS = {
    "power": sparse(DotProduct(3)),
    "gauss": sparse(RBF(0.7)),
    "sum": sparse(RBF(0.7, 0.5) + Matern(1.0, 2.5, 0.5)),
    "directions": sparse(RBF(0.7), n_directions=3),
    "exact": skpot.GPR(RBF(0.7), **NOISE),
    "iterated": skpot.GPR(RBF(0.7), solver="cg", **NOISE),
}


@pytest.fixture(scope="module", params=MODELS)
def fitted(request):
    X, y = labeled(("Si", "O"), 4, lone_atom=False)
    model = make_pipeline(soap(), MODELS[request.param])
    return model.fit(X, y), X


@pytest.mark.parametrize(
    "kernel",
    [
        DotProduct(1, 2.0), DotProduct(3), DotProduct(2, 0.5) ** 2, RBF(0.8, 1.5), Matern(1.2),
        RBF([0.5, 1.0, 2.0, 0.7]), RBF(1.5) ** 2,
        RBF(1.0, block=(0, 2)) * Matern(2.0, block=(2, 4)), DotProduct(2) + Matern(0.9, 3.5),
    ],
    ids=str,
)  # fmt: skip
def test_waves_have_the_covariance_of_their_kernel(kernel):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 4))
    x /= np.linalg.norm(x, axis=1)[:, None]
    total = np.zeros((5, 5))
    for waves in prior_waves(kernel.bind({}, 4), 4, 200_000, np.random.default_rng(1)):
        f = waves.values(x).reshape(5, -1, waves.together)
        f = np.sum(f * waves.amplitudes.reshape(-1, waves.together), axis=2)
        total += f @ f.T
    np.testing.assert_allclose(total, kernel.bind({}, 4)(x, x), atol=0.08 * total.max())


def test_a_kernel_without_waves_says_so():
    kernel = Symmetrized(RBF(), [[1, 0]]).bind({}, 2)
    with pytest.raises(NotCompilableError, match="no functions can be drawn"):
        prior_waves(kernel, 2, 3, np.random.default_rng(0))


def test_draws_are_those_of_plain_loops(fitted):
    model, X = fitted
    features = model[-1].learned_features(model[:-1].transform(X[:1]))
    draws = posterior_draws(model[-1].posterior_, [8, 14], 2)
    energies, gradients = draws.expand(features)
    size, steep = np.abs(energies).max(), np.abs(gradients).max()
    for i, (x, z) in enumerate(zip(features.values[:3], features.species[:3], strict=True)):
        for k in range(2):
            expected = naive.energy(draws, k, x, int(z))
            rounding = 1e-6 if draws.forms[0].vectors is not None else 1e-8
            assert energies[k, i] == pytest.approx(expected, abs=rounding * max(size, 1.0))
            slopes = naive.gradient(draws, k, x, int(z))
            np.testing.assert_allclose(gradients[k, i], slopes, atol=1e-4 * max(steep, 1.0))


def test_many_draws_spread_as_the_variance_says(fitted):
    model, X = fitted
    regressor, features = model[-1], model[:-1].transform(X)
    known = regressor.learned_features(features)
    draws = posterior_draws(regressor.posterior_, [8, 14], 300)
    energies, gradients = draws.expand(known)
    forces = np.array([known.pull_back(g)[0] for g in gradients])
    std, expected = np.sqrt(np.mean(forces**2, axis=0)), regressor.predict_std(features)
    ratio = std / expected.forces_flat
    # Powers of few random dot products scatter more than waves, which are bounded.
    power = isinstance(regressor.kernel_, DotProduct)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.3 if power else 0.1)
    assert (0.3 if power else 0.6) < ratio.min() < ratio.max() < (2.5 if power else 1.6)
    totals = np.add.reduceat(energies, known.offsets[:-1], axis=1)
    ratio = np.sqrt(np.mean(totals**2, axis=0)) / expected.energy
    assert np.all((0.5 < ratio) & (ratio < 2.0))


def test_linear_models_have_draws_too():
    X, y = labeled(("Si",), 5, lone_atom=False)
    basis = make_union(skpot.PairBasis(3.0, n_splines=6), skpot.TripletBasis(2.8, n_splines=4))
    model = make_pipeline(basis, skpot.LinearRidge(1e-3)).fit(X, y)
    features = model[:-1].transform(X)
    draws = posterior_draws(model[-1].posterior_, [14], 300)
    gradients = draws.expand(features)[1]
    std = np.sqrt(np.mean([features.pull_back(g)[0] ** 2 for g in gradients], axis=0))
    ratio = std / model[-1].predict_std(features).forces_flat
    assert np.median(ratio) == pytest.approx(1.0, abs=0.1)


def test_draws_are_always_the_same(fitted):
    posterior = fitted[0][-1].posterior_
    one, other = (posterior_draws(posterior, [8, 14], 2) for _ in range(2))
    np.testing.assert_array_equal(one.forms[1].alpha, other.forms[1].alpha)


def test_what_is_no_process_has_none():
    with pytest.raises(NotCompilableError, match="deviations of object"):
        posterior_draws(object(), [14], 2)
