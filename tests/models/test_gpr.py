"""The exact process against dense algebra, the sparse one and finite differences."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

import skpot
from skpot import GPR, SOAP, PrincipalComponents, SparseGPR
from skpot.exceptions import NumericalWarning
from skpot.kernels import RBF, DotProduct
from skpot.solvers import DivergenceError
from skpot.testing import check_potential
from tests import samples
from tests.naive.exact import ExactGP
from tests.naive.kernel import dot_product, gaussian, labeled_structures

SMALL = dict(cutoff=3.0, n_max=2, l_max=2, sigma=0.4)
NOISE = dict(sigma_energy=0.02, sigma_forces=0.1, sigma_stress=0.01)
SOME = {"energy": [1], "forces": [2]}  # labels that are missing


@pytest.fixture(scope="module")
def silicon():
    return samples.silicon(SOAP(cutoff=4.0, n_max=4, l_max=3))


@pytest.mark.parametrize(
    "kernel, naive",
    [
        (RBF(0.6, 2.0), gaussian(0.6, 2.0)),
        (DotProduct(3), dot_product(3)),
        (
            RBF(0.6).on((0, 9)) * DotProduct(1) + DotProduct(2),
            lambda x, q: gaussian(0.6)(x[:9], q[:9]) * (x @ q) + (x @ q) ** 2,
        ),
    ],
    ids=["RBF", "DotProduct", "tree"],
)
def test_equals_dense_algebra(kernel, naive):
    X, y = samples.labeled(["Si", "O"], missing=SOME)
    X, y = X[:3], y[:3]
    model = make_pipeline(SOAP(**SMALL), GPR(kernel, e0={"Si": -2.5, "O": -2.0}, **NOISE))
    model.fit(X, y)
    features = samples.features_of(model[0])
    structures = labeled_structures(X, y)
    e0 = {14: -2.5, 8: -2.0}
    oracle = ExactGP(features, naive, e0, **NOISE).fit(structures)
    assert model[1].n_rows_ == len(oracle.alpha)
    predicted, std = model.predict(X, return_std=True)
    for i, atoms in enumerate(X):
        energy, variance = oracle.predict(structures[i], "energy")
        free = sum(e0[z] for z in atoms.numbers)
        np.testing.assert_allclose(predicted.energy[i], energy + free, atol=1e-5)
        np.testing.assert_allclose(std[i] ** 2, variance, rtol=1e-3, atol=1e-6)
        force, _ = oracle.predict(structures[i], (0, 1))
        np.testing.assert_allclose(predicted.forces[i][0, 1], force, atol=1e-5)
        if atoms.pbc.all():
            stress, _ = oracle.predict(structures[i], 4)
            np.testing.assert_allclose(predicted.stress[i, 4], stress, atol=1e-6)


@pytest.mark.parametrize("kernel", [RBF(0.3), DotProduct(4)], ids=str)
@pytest.mark.parametrize("max_memory", [None, 8e6])
def test_conjugate_gradients_equal_the_dense_factor(silicon, kernel, max_memory):
    features, y, test, _ = silicon
    dense = GPR(kernel, solver="cholesky").fit(features, y)
    options = dict(solver="cg", n_precondition=40, max_memory=max_memory)
    iterative = GPR(kernel, tol=1e-6, **options).fit(features, y)
    assert iterative.converged_ and iterative.residual_ <= 1e-6
    assert dense.residual_ < 1e-6 and dense.n_iter_ == 1
    a, b = dense.predict(test), iterative.predict(test)
    np.testing.assert_allclose(a.energy, b.energy, atol=1e-5)
    np.testing.assert_allclose(a.forces_flat, b.forces_flat, atol=1e-5)
    np.testing.assert_allclose(a.stress, b.stress, atol=1e-6)
    # The default tolerance is far below the errors of the model.
    rough = GPR(kernel, **options).fit(features, y).predict(test)
    assert np.abs(rough.forces_flat - a.forces_flat).max() < 0.02


def test_shares_after_few_columns_are_near_those_of_the_dense_factor():
    X, y = skpot.datasets.load_ethanol(return_X_y=True)[:2]
    steps = make_pipeline(SOAP(cutoff=4.0, n_max=4, l_max=3), PrincipalComponents(60))
    features, noise = steps.fit_transform(X[:30]), dict(sigma_energy=0.001, sigma_forces=0.05)
    dense = GPR(solver="cholesky", **noise).fit(features, y[:30]).label_shares_
    with pytest.warns(NumericalWarning):  # which shares do not wait for
        few = GPR(solver="cg", n_precondition=150, max_iter=1, **noise).fit(features, y[:30])
    assert few.label_shares_ == pytest.approx(dense, abs=0.1)


def test_energies_alone_equal_the_sparse_process_on_every_environment(silicon):
    features, y, test, _ = silicon
    energies = np.asarray(y)
    sparse = SparseGPR(RBF(0.5), n_sparse=10_000, sigma_energy=0.01, jitter=1e-14)
    sparse.fit(features, energies)
    for solver in ("cholesky", "cg"):
        exact = GPR(RBF(0.5), sigma_energy=0.01, solver=solver, tol=1e-10)
        exact.fit(features, energies)
        assert exact.dual_vectors_ is None
        np.testing.assert_allclose(exact.predict(test), sparse.predict(test), atol=1e-5)
        np.testing.assert_allclose(
            exact.energy_std(test), sparse.energy_std(test), rtol=1e-3, atol=1e-4
        )


def test_more_is_learned_than_by_sparse_models(silicon):
    from skpot.metrics import forces_rmse

    features, y, test, y_test = silicon
    exact = GPR(DotProduct(4)).fit(features, y).predict(test)
    sparse = SparseGPR(DotProduct(4), n_sparse=40).fit(features, y).predict(test)
    assert forces_rmse(y_test, exact) < forces_rmse(y_test, sparse)


@pytest.mark.parametrize("estimator", [GPR(RBF(0.5), **NOISE), GPR(**NOISE)], ids=str)
@pytest.mark.parametrize("solver", ["cholesky", "cg"])
def test_keeps_the_promises_of_a_potential(estimator, solver):
    X, y = samples.labeled(n=2, missing=SOME)
    model = make_pipeline(SOAP(**SMALL), estimator.set_params(solver=solver)).fit(X, y)
    check_potential(model, X[:4])


def test_molecules_through_principal_components():
    X, y, _, _ = skpot.datasets.load_ethanol(return_X_y=True)
    X, y = X[:8], y[:8]
    soap = SOAP(cutoff=3.0, n_max=3, l_max=2, sigma=0.3, normalize=False)
    model = make_pipeline(soap, PrincipalComponents(20), GPR(sigma_forces=0.02)).fit(X, y)
    others = ("rotation", "translation", "permutation", "cell", "inputs", "threads", "copies")
    check_potential(model, X[-2:], skip=others)
    residual = model.predict(X).forces_flat - y.forces_flat
    assert np.sqrt(np.mean(residual**2)) < 0.1  # few directions


def test_rows_of_whole_molecules():
    X, y, _, _ = skpot.datasets.load_ethanol(return_X_y=True)
    X, y = X[-8:], y[-8:]
    for solver in ("cholesky", "cg"):
        gpr = GPR(RBF(1.0), solver=solver, tol=1e-6)
        model = make_pipeline(skpot.InverseDistances(), gpr).fit(X, y)
        check_potential(model, X[:1], skip=("permutation", "threads", "copies", "inputs"))


def test_variance_vanishes_on_the_data_and_grows_off_it(silicon):
    features, y, test, _ = silicon
    for solver in ("cholesky", "cg"):
        gpr = GPR(RBF(0.3), solver=solver).fit(features, y)
        near, far = gpr.energy_std(features), gpr.energy_std(test)
        assert near.mean() < far.mean()
    exact = GPR(RBF(0.3), solver="cholesky").fit(features, y).energy_std(test)
    assert (exact < gpr.energy_std(test) + 1e-6).all()  # that of a subset of the references


def test_sample_weight_acts_as_repetition(silicon):
    features, y, test, _ = silicon
    weight = np.ones(len(y))
    weight[0], weight[1] = 3.0, 0.0
    rows = [0, 0, 0, *range(2, len(y))]
    options = dict(e0={"Si": -5.0}, targets="auto")
    weighted = GPR(**options).fit(features, y, sample_weight=weight)
    with pytest.warns(UserWarning, match="occur twice"):
        repeated = GPR(**options).fit(features[rows], y[rows])
    np.testing.assert_allclose(
        weighted.predict(test).forces_flat, repeated.predict(test).forces_flat, atol=1e-7
    )


def test_too_few_iterations_are_reported(silicon):
    features, y, _, _ = silicon
    gpr = GPR(RBF(0.3), solver="cg", max_iter=1, n_precondition=5, tol=1e-8)
    with pytest.warns(NumericalWarning, match="max_iter=1 iterations the residual"):
        gpr.fit(features, y)
    assert not gpr.converged_ and gpr.n_iter_ == 1 and gpr.residual_ > 1e-8


@pytest.mark.filterwarnings("ignore:1 atoms have forces:skpot.exceptions.LabelWarning")
def test_a_wrong_label_does_not_end_a_fit_early(silicon):
    """A fit may end at a part of the errors of structures left out, but of usual ones."""
    _, _, features, y = silicon
    forces = [np.array(some) for some in y.forces]
    forces[0][0] += 1e4

    def look_at(training):
        largest = np.argmax([np.abs(f).max() for f in training.labels.forces])
        return np.union1d(np.arange(0, len(training), 2), largest)

    gpr = GPR(RBF(0.6), solver="cg", n_precondition=20, sigma_energy=0.02, sigma_forces=0.01)
    gpr._learn(features, skpot.Targets(y.energy, forces), None, look_at)
    assert gpr.converged_ and gpr.residual_ < 10.0  # over the noise; errors are 50 as a rule


def test_rounding_within_structures_spoils_no_preconditioner(silicon):
    features, y, features_test, _ = silicon
    noise = dict(sigma_energy=0.002, sigma_forces=0.1)
    iterated, exact = (
        GPR(RBF(0.6), solver=solver, n_precondition=100, tol=1e-4, **noise).fit(features, y)
        for solver in ("cg", "cholesky")
    )
    one, other = iterated.predict(features_test), exact.predict(features_test)
    np.testing.assert_allclose(one.energy, other.energy, rtol=1e-5)
    np.testing.assert_allclose(one.forces_flat, other.forces_flat, atol=1e-3)


def test_divergence_is_explained(silicon):
    features, y, _, _ = silicon
    tiny = dict(sigma_energy=1e-13, sigma_forces=1e-13, sigma_stress=1e-13)
    for how in [{"solver": "cg", "n_precondition": 5}, {"solver": "cholesky"}]:
        for look_at in (None, lambda training: np.arange(3)):
            with pytest.raises(DivergenceError, match="Use a larger sigma_energy"):
                GPR(RBF(3.0), **how, **tiny)._learn(features, y, None, look_at)
    by_group = tiny | {"sigma_energy": {"default": 1e-13}}
    with pytest.raises(DivergenceError, match="now {'default': 1e-13} eV per atom"):
        GPR(RBF(3.0), solver="cholesky", **by_group).fit(features, y)


def test_memory_is_planned(silicon):
    features, y, _, _ = silicon
    with pytest.raises(ValueError, match='Use solver="cg"'):
        GPR(solver="cholesky", max_memory=1e6).fit(features, y)
    with pytest.raises(ValueError, match="max_memory allows"):
        GPR(solver="cg", max_memory=1e4).fit(features, y)


def test_a_calculator(silicon):
    X, y, X_test, _ = skpot.datasets.load_silicon(return_X_y=True)
    model = make_pipeline(SOAP(n_max=3, l_max=2), GPR()).fit(X[:4], y[:4])
    atoms = X_test[0].copy()
    atoms.calc = skpot.Calculator(model, uncertainty=True)
    np.testing.assert_allclose(atoms.get_forces(), model.predict([atoms]).forces[0], atol=1e-9)
    assert "energy_std" in atoms.calc.results


def test_the_same_bits_again(silicon):
    features, y, test, _ = silicon
    first, second = (
        GPR(RBF(0.3), solver="cg", n_precondition=20).fit(features, y) for _ in range(2)
    )
    assert np.array_equal(first.dual_vectors_, second.dual_vectors_)
