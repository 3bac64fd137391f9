"""Marginal likelihood: against dense densities and finite differences, and what it chooses."""

import numpy as np
import pytest
from ase import Atoms
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skpot import GPR, SOAP, PrincipalComponents, SparseGPR, Targets, metrics
from skpot.datasets import load_silicon
from skpot.exceptions import NumericalWarning
from skpot.kernels import RBF, DotProduct, Matern
from skpot.processes.likelihood_labels import draw_structures
from skpot.processes.likelihoods import dense_likelihoods, sparse_likelihoods
from skpot.rows import memory
from skpot.solvers import maximize_likelihood
from skpot.testing import sample_structures
from tests.naive.evidence import exact_evidence, sparse_evidence
from tests.naive.exact import ExactGP
from tests.naive.kernel import SparseGP, gaussian, labeled_structures

SMALL = dict(cutoff=3.0, n_max=3, l_max=2, sigma=0.4)
NOISE = dict(sigma_energy=0.05, sigma_forces=0.2, sigma_stress=0.01)
EVIDENCE = dict(optimizer="fmin_l_bfgs_b")
FIXED = dict(length_scale_bounds="fixed", variance_bounds="fixed")


def labeled():
    """Return few structures with random labels: they need not be physical to test the algebra."""
    rng = np.random.default_rng(0)
    bulk, _, cluster, _ = sample_structures(["Si", "O"], random_state=0)
    energy = -2.5 * np.array([len(bulk), 3]) + rng.normal(size=2)
    forces = [None, rng.normal(size=(3, 3))]
    return [bulk, cluster[:3]], Targets(energy, forces, [rng.normal(size=6) * 1e-2, None])


@pytest.fixture(scope="module")
def silicon():
    """Features and labels of bundled data, and of test data."""
    X, y, X_test, y_test = load_silicon(return_X_y=True)
    kinds = [atoms.info["config_type"] for atoms in X]
    some = np.flatnonzero(~np.isin(kinds, ["eos", "isolated_atom"]))[:72:3]
    steps = make_pipeline(SOAP(n_max=4, l_max=3, normalize=False), PrincipalComponents(20))
    features = steps.fit_transform([X[i] for i in some])
    return features, y[some], steps.transform(X_test), y_test


def oracle(process, X, y, scale):
    """Fit a dense process at the noise in use."""
    sigmas = {name: sigma * scale[name.removeprefix("sigma_")] for name, sigma in NOISE.items()}
    return process(**sigmas).fit(labeled_structures(X, y))


def test_is_the_density_of_the_labels():
    X, y = labeled()
    soap, e0 = SOAP(**SMALL), {"Si": -2.5, "O": -2.5}
    features = soap.fit_transform(X)
    by_number = {int(z): -2.5 for z in np.unique(features.species)}

    def rows(numbers, positions, cell, pbc):
        return soap.transform([Atoms(numbers, positions, cell=cell, pbc=pbc)]).values

    kernel, options = RBF(0.5, 2.0, **FIXED), dict(e0=e0, **NOISE, **EVIDENCE)
    gpr = SparseGPR(kernel, n_sparse=6, jitter=1e-12, **options).fit(features, y)
    references = list(zip(gpr.reference_features_, gpr.reference_species_, strict=True))
    dense = oracle(
        lambda **sigmas: SparseGP(rows, gaussian(0.5, 2.0), references, by_number, **sigmas),
        X, y, gpr.noise_scale_,
    )  # fmt: skip
    assert gpr.log_marginal_likelihood_ == pytest.approx(sparse_evidence(dense), abs=1e-4)
    gpr = GPR(kernel, **options).fit(features, y)
    dense = oracle(
        lambda **sigmas: ExactGP(rows, gaussian(0.5, 2.0), by_number, **sigmas),
        X, y, gpr.noise_scale_,
    )  # fmt: skip
    assert gpr.log_marginal_likelihood_ == pytest.approx(exact_evidence(dense), abs=1e-4)


KERNELS = {
    "gauss": RBF(0.7),
    "matern": Matern(0.9, 2.5, 0.5),
    "power": DotProduct(2, 0.3),
    "blocks": RBF(0.6).on((0, 10)) + 0.3 * Matern(0.8).on((10, 20)),
    "product": RBF(0.9) * DotProduct(1) + 0.1 * DotProduct(3),
    "lengths": RBF(np.linspace(0.5, 1.5, 5), block=(0, 5)),
}


def central(function, x, direction, step=1e-3):
    """Derivative of a function along a direction, of fourth order."""
    weights = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    return sum(w * function(x + k * step * direction) for k, w in weights.items()) / step


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("model", ["sparse", "directions", "exact"])
def test_gradient(kernel, model, silicon):
    features, y = silicon[0][:4], silicon[1][:4]
    n_directions = 2 if model == "directions" else 0
    gpr = SparseGPR(kernel, n_sparse=6, n_directions=n_directions, selection="fps", jitter=1e-8)
    gpr.fit(features, y)
    training = gpr._prepare(features, y, np.linspace(0.5, 1.5, 4))
    if model == "exact":
        likelihood_of = dense_likelihoods(training, None)
    else:
        likelihood_of = sparse_likelihoods(gpr.posterior_.references, training, None, gpr.jitter)
    theta, log_noise = gpr.kernel_.theta, np.array([1.5, -0.4, 0.5])
    likelihood = likelihood_of(gpr.kernel_)

    def value(theta):
        return likelihood_of(gpr.kernel_.clone_with_theta(theta)).of_noise(log_noise)[0]

    expected = [central(value, theta, d) for d in np.eye(len(theta))]
    np.testing.assert_allclose(
        likelihood.of_theta(log_noise), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max()
    )
    expected = [central(lambda t: likelihood.of_noise(t)[0], log_noise, d) for d in np.eye(3)]
    np.testing.assert_allclose(likelihood.of_noise(log_noise)[1], expected, rtol=1e-6)


@pytest.mark.parametrize("model", [SparseGPR(n_sparse=60), GPR()], ids=["sparse", "exact"])
def test_finds_the_noise_of_labels(model, silicon):
    features, y, _, _ = silicon
    kernel = RBF(1.0, 1.0, length_scale_bounds="fixed")
    truth = SparseGPR(kernel, n_sparse=60).fit(features, y).predict(features)
    rng = np.random.default_rng(0)
    energy = truth.energy + 0.02 * np.sqrt(features.n_atoms) * rng.normal(size=len(y))
    forces = [f + 0.3 * rng.normal(size=f.shape) for f in truth.forces]
    model = clone(model).set_params(kernel=kernel, subsample=700, **EVIDENCE)
    model.fit(features, Targets(energy, forces))
    scale = model.noise_scale_
    # Two standard deviations of such estimates.
    assert scale["forces"] * model.sigma_forces == pytest.approx(0.3, rel=0.08)
    assert scale["energy"] * model.sigma_energy == pytest.approx(0.02, rel=0.4)


@pytest.mark.parametrize("model", [SparseGPR(n_sparse=80), GPR()], ids=["sparse", "exact"])
def test_recovers_from_a_bad_start(model, silicon):
    features, y, others, truth = silicon
    kernel = RBF(3.0)  # the best is near 0.3 for the exact model, near 0.5 for the sparse one
    bad = clone(model).set_params(kernel=kernel).fit(features, y)
    model = clone(model).set_params(subsample=500, **EVIDENCE)
    good = clone(model).set_params(kernel=kernel).fit(features, y)
    errors = [metrics.forces_rmse(truth, m.predict(others)) for m in (bad, good)]
    assert errors[1] < 0.6 * errors[0]
    again = clone(model).set_params(kernel=RBF(0.2)).fit(features, y)
    np.testing.assert_allclose(again.kernel_.theta, good.kernel_.theta, atol=0.05)
    assert again.log_marginal_likelihood_ == pytest.approx(good.log_marginal_likelihood_, abs=0.1)
    assert repr(kernel) == repr(RBF(3.0))


def test_does_not_depend_on_blocks(silicon, monkeypatch):
    features, y, others, _ = silicon
    model = SparseGPR(RBF(0.5), n_sparse=30, subsample=300, **EVIDENCE)
    whole = clone(model).fit(features, y)
    monkeypatch.setattr(memory, "_BLOCK_BYTES", 1.0)
    monkeypatch.setattr(memory, "_JACOBIAN_BYTES", 1.0)
    parts = clone(model).fit(features, y)
    np.testing.assert_allclose(parts.kernel_.theta, whole.kernel_.theta, atol=1e-6)
    np.testing.assert_allclose(
        parts.predict(others).energy, whole.predict(others).energy, rtol=1e-7
    )


def test_is_the_model_of_what_was_chosen(silicon):
    features, y, others, _ = silicon
    first, rest = slice(0, 16), slice(16, None)
    model = SparseGPR(RBF(0.5), n_sparse=30, n_directions=1, subsample=300, **EVIDENCE)
    model.fit(features[first], y[first])
    sigmas = {f"sigma_{k}": getattr(model, f"sigma_{k}") * s for k, s in model.noise_scale_.items()}
    plain = SparseGPR(model.kernel_, n_sparse=30, n_directions=1, **sigmas)
    plain.fit(features[first], y[first])
    assert plain.noise_scale_ == dict.fromkeys(["energy", "forces", "stress"], 1.0)
    assert plain.log_marginal_likelihood_ is None

    def alike():
        a, b = (m.predict(others, return_std=True) for m in (model, plain))
        np.testing.assert_allclose(a[0].energy, b[0].energy, rtol=1e-8)
        np.testing.assert_allclose(a[1], b[1], rtol=1e-6)
        assert model.label_shares_ == pytest.approx(plain.label_shares_, rel=1e-6, abs=1e-9)

    alike()
    a, b = (m.leave_one_out(features[first], y[first]) for m in (model, plain))
    # Errors of the fit are solved for with 1 - A (R^T R)^-1 A^T of each structure. The factor R
    # is known to the rounding of a sum over all labels, R^-T A^T to the condition of R times
    # that, and the largest leverage among these structures, 0.9996, leaves 1 / 2300 of it.
    n_labels = 16 + y[first].forces_flat.size + 6 * 16
    rounding = n_labels * np.finfo(float).eps * np.linalg.cond(model.posterior_factor_)
    np.testing.assert_allclose(a.forces_flat, b.forces_flat, atol=2300 * rounding)
    for m in (model, plain):
        m.partial_fit(features[rest], y[rest])
    alike()


@pytest.mark.parametrize("model", [SparseGPR(n_sparse=30), GPR()], ids=["sparse", "exact"])
def test_labels_without_weight_do_not_count(model, silicon):
    features, y, others, _ = silicon
    model = clone(model).set_params(kernel=RBF(0.7), e0={"Si": -4.0}, subsample=10**6, **EVIDENCE)
    if isinstance(model, SparseGPR):
        model.set_params(selection=np.arange(20))
    few = clone(model).fit(features[:6], y[:6])
    weight = np.ones(9)
    weight[6:] = 0.0
    all_of_them = clone(model).fit(features[:9], y[:9], sample_weight=weight)
    np.testing.assert_allclose(all_of_them.kernel_.theta, few.kernel_.theta, atol=1e-5)
    assert all_of_them.noise_scale_ == pytest.approx(few.noise_scale_, rel=1e-4)
    assert all_of_them.log_marginal_likelihood_ == pytest.approx(few.log_marginal_likelihood_)


def test_structures_are_drawn_until_there_are_enough_labels(silicon):
    features, y, _, _ = silicon
    training = GPR()._prepare(features, y, None)
    labels = training.labels
    n = 3 * features.n_atoms + labels.has_energy + 6 * labels.has_stress
    some = draw_structures(training, 500, 0)
    assert len(np.unique(some)) == len(some) and 400 < n[some].sum() <= 500
    assert len(draw_structures(training, 1, 0)) == 1
    assert not np.array_equal(some, draw_structures(training, 500, 1))
    assert sorted(draw_structures(training, 10**6, 0)) == list(range(len(y)))


def test_an_unfinished_search_warns(silicon, monkeypatch):
    features, y, _, _ = silicon
    monkeypatch.setattr(
        "skpot.processes.evidence.maximize_likelihood",
        lambda *args: maximize_likelihood(*args, max_evaluations=1),
    )
    model = SparseGPR(RBF(0.1), n_sparse=10, subsample=100, **EVIDENCE)
    with pytest.warns(NumericalWarning, match="after .* evaluations it still grew") as record:
        model.fit(features, y)
    assert [w.filename for w in record if w.category is NumericalWarning] == [__file__]


def test_labels_that_symmetry_fixes_say_nothing_of_noise(silicon):
    features, y, _, _ = silicon
    model = GPR(RBF(0.5), e0={"Si": -4.0}, subsample=10**6, **EVIDENCE)
    plain = clone(model).fit(features[:4], y[:4])
    zero = Targets([None], [np.zeros((8, 3))])  # as of a perfect crystal
    crystal = np.concatenate([y[:4], zero])
    assert np.isnan(crystal.energy[4])
    more = clone(model).fit(features[[0, 1, 2, 3, 4]], crystal)
    assert more.noise_scale_ == pytest.approx(plain.noise_scale_, rel=1e-4)
    sparse = SparseGPR(RBF(0.5), n_sparse=5, e0={"Si": -4.0}, **EVIDENCE)
    for model in (clone(plain), sparse):
        with pytest.warns(UserWarning, match="all labels that it looked at are zero") as record:
            model.fit(features[:1], zero)
        assert record[0].filename == __file__
        assert model.noise_scale_ == {"forces": 1.0} and repr(model.kernel_) == repr(RBF(0.5))


class Parabola:
    """Likelihood of one hyperparameter and one noise; beyond theta = 2 it cannot be computed."""

    counts = {"forces": 50}

    def __init__(self, theta):
        self.theta = theta[0]

    def of_noise(self, log_noise):
        if self.theta > 2.0:
            raise np.linalg.LinAlgError
        value = -200.0 * (self.theta - 1.8) ** 2 - 50.0 * (log_noise[0] - self.theta) ** 2
        return value, -100.0 * (log_noise - self.theta)

    def of_theta(self, log_noise):
        return np.array([400.0 * (1.8 - self.theta) + 100.0 * (log_noise[0] - self.theta)])


def test_a_search_goes_round_what_cannot_be_computed():
    bounds = np.array([[-5.0, 5.0]])
    found = maximize_likelihood(Parabola, np.array([-3.0]), bounds, 1)
    assert found.converged and found.theta[0] == pytest.approx(1.8, abs=0.02)
    # The prior of the noise pulls it towards one.
    assert 1.7 < found.log_noise[0] < found.theta[0]
    with pytest.raises(ValueError, match="Begin with larger noise levels"):
        maximize_likelihood(Parabola, np.array([3.0]), bounds, 1)
