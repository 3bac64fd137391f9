"""Standard deviations of energies, forces and stress against dense algebra; the grade."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

import skpot
from skpot import GPR, SOAP, SparseGPR
from skpot.kernels import RBF, DotProduct
from skpot.processes import variance as deviations
from skpot.processes.domain import domain_edge
from tests import samples
from tests.naive import kernel as naive
from tests.naive.exact import ExactGP
from tests.naive.variance import exact_variance, projected_variance

SMALL = dict(cutoff=3.0, n_max=2, l_max=2, sigma=0.4)
NOISE = dict(sigma_energy=0.02, sigma_forces=0.1, sigma_stress=0.01)
E0 = {"Si": -2.5, "O": -2.0}
SOME = {"energy": [1], "forces": [2]}  # labels that are missing


@pytest.fixture(scope="module")
def silicon():
    return samples.silicon(SOAP(cutoff=4.0, n_max=4, l_max=3))


def compare(model, X, variance):
    """Compare all deviations of a pipeline with `variance(structure, name)`."""
    features = model[0].transform(X)
    _, std = model.predict(X, return_std="all")
    atoms = np.split(model[1].energies_std(features), features.offsets[1:-1])
    tolerance = dict(rtol=1e-3, atol=1e-6)
    for i, structure in enumerate(X):
        s = naive.unlabeled(structure)
        np.testing.assert_allclose(std.energy[i] ** 2, variance(s, "energy"), **tolerance)
        np.testing.assert_allclose(atoms[i][1] ** 2, variance(s, ("atom", 1)), **tolerance)
        for name in [(0, 1), (len(structure) - 1, 2)]:
            np.testing.assert_allclose(std.forces[i][name] ** 2, variance(s, name), **tolerance)
        assert std.has_stress[i] == (np.linalg.det(structure.cell) != 0)
        for v in (0, 4) if std.has_stress[i] else ():
            np.testing.assert_allclose(std.stress[i, v] ** 2, variance(s, v), rtol=1e-3, atol=1e-9)


KERNELS = [(RBF(0.6, 2.0), naive.gaussian(0.6, 2.0)), (DotProduct(3), naive.dot_product(3))]


@pytest.mark.parametrize("kernel, plain", KERNELS, ids=["RBF", "DotProduct"])
def test_sparse_equals_dense_algebra(kernel, plain):
    X, y = samples.labeled(["Si", "O"], stress="volume", missing=SOME)
    X, y = X[:4], y[:4]
    gpr = SparseGPR(kernel, n_sparse=6, e0=E0, jitter=1e-12, **NOISE)
    model = make_pipeline(SOAP(**SMALL), gpr).fit(X, y)
    references = list(zip(gpr.reference_features_, gpr.reference_species_, strict=True))
    e0 = {14: -2.5, 8: -2.0}
    oracle = naive.SparseGP(samples.features_of(model[0]), plain, references, e0, **NOISE).fit(
        naive.labeled_structures(X, y)
    )
    compare(model, X[:3], lambda s, name: projected_variance(oracle, s, name))


@pytest.mark.parametrize("kernel, plain", KERNELS, ids=["RBF", "DotProduct"])
def test_exact_equals_dense_algebra(kernel, plain):
    X, y = samples.labeled(["Si", "O"], stress="volume", missing=SOME)
    X, y = X[:3], y[:3]
    model = make_pipeline(SOAP(**SMALL), GPR(kernel, e0=E0, **NOISE)).fit(X, y)
    e0 = {14: -2.5, 8: -2.0}
    oracle = ExactGP(samples.features_of(model[0]), plain, e0, **NOISE).fit(
        naive.labeled_structures(X, y)
    )

    compare(model, X, lambda s, name: exact_variance(oracle, s, name))


@pytest.mark.parametrize("kernel", [RBF(0.5), DotProduct(2)], ids=str)
def test_sparse_equals_exact_where_every_environment_is_a_reference(silicon, kernel):
    features, y, test, _ = silicon
    energies = np.asarray(y)
    sparse = SparseGPR(kernel, n_sparse=10_000, sigma_energy=0.01, jitter=1e-14)
    sparse.fit(features[:4], energies[:4])
    exact = GPR(kernel, sigma_energy=0.01).fit(features[:4], energies[:4])
    mine, other = sparse.predict_std(test), exact.predict_std(test)
    tolerance = dict(rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(mine.energy, other.energy, **tolerance)
    np.testing.assert_allclose(mine.forces_flat, other.forces_flat, **tolerance)
    np.testing.assert_allclose(mine.stress, other.stress, **tolerance)
    np.testing.assert_allclose(sparse.energies_std(test), exact.energies_std(test), **tolerance)


@pytest.mark.parametrize("solver", ["sparse", "cholesky", "cg"])
def test_parts_and_order_change_nothing(silicon, solver, monkeypatch):
    features, y, test, _ = silicon
    options = {} if solver == "sparse" else {"solver": solver, "n_precondition": 30}
    model = (SparseGPR if solver == "sparse" else GPR)(RBF(0.5), **options).fit(features, y)
    whole, atoms = model.predict_std(test), model.energies_std(test)
    monkeypatch.setattr(deviations, "_BYTES", 1e5)  # two or three environments
    monkeypatch.setattr(deviations, "_TOGETHER", 3)
    parts, reversed_ = model.predict_std(test), model.predict_std(test[::-1])[::-1]
    for other in (parts, reversed_):
        np.testing.assert_allclose(other.energy, whole.energy, rtol=1e-7)
        np.testing.assert_allclose(other.forces_flat, whole.forces_flat, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(other.stress, whole.stress, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(model.energies_std(test), atoms, rtol=1e-7)


def test_predict_gives_all_or_energies(silicon):
    features, y, test, _ = silicon
    model = SparseGPR(n_sparse=20).fit(features, y)
    energies, everything = (model.predict(test, return_std=flag)[1] for flag in (True, "all"))
    assert type(energies) is np.ndarray
    np.testing.assert_array_equal(everything.energy, energies)
    assert everything.forces[0].shape == (8, 3) and everything.stress.shape == (len(test), 6)
    plain = model.fit(features, np.asarray(y)).predict(test, return_std="all")[1]
    assert type(plain) is np.ndarray
    with pytest.raises(ValueError, match="True, False or \"all\", got 'some'"):
        model.predict(test, return_std="some")


def test_rows_of_whole_molecules():
    X, y, _, _ = skpot.datasets.load_ethanol(return_X_y=True)
    X, y = X[-6:], y[-6:]
    for regressor in (SparseGPR(RBF(1.0)), GPR(RBF(1.0))):
        model = make_pipeline(skpot.InverseDistances(), regressor).fit(X[:5], y[:5])
        _, std = model.predict(X[5:], return_std="all")
        (forces,) = std.forces
        assert forces.shape == (9, 3) and (forces > 0).all() and std.stress is None
        features = model[:-1].transform(X)
        grade = model[-1].extrapolation_grade(features)
        assert grade.shape == (6,)
        assert 0.0 < grade[:5].max() <= 1.0 + 1e-6


@pytest.mark.parametrize("solver", ["sparse", "cholesky", "cg"])
def test_the_grade_is_one_at_the_edge_of_the_training_set(silicon, solver):
    features, y, test, _ = silicon
    options = {} if solver == "sparse" else {"solver": solver, "n_precondition": 30}
    model = SparseGPR(n_sparse=30) if solver == "sparse" else GPR(RBF(0.5), **options)
    model.fit(features, y)
    assert 0.0 < model.extrapolation_grade(features).max() <= 1.0 + 1e-9
    # The grade is the ratio of deviations, here one of each structure's worst atom.
    ratio = np.sqrt(model.domain_.environments(test)) / model.largest_training_std_[14]
    np.testing.assert_allclose(model.extrapolation_grade(test), ratio, rtol=1e-9)


@pytest.mark.parametrize("exact", [False, True])
def test_training_environments_count_as_labeled(silicon, exact):
    features, y, test, _ = silicon
    model = GPR(RBF(0.5)) if exact else SparseGPR(RBF(0.5), n_sparse=30)
    model.fit(features, y)
    references, x = model.domain_.references, features.values
    kernel, q = references.kernel, references.values
    covariance = kernel(q, q)
    covariance[np.diag_indices_from(covariance)] += 1e-10 * np.mean(np.diag(covariance))
    rows, known = kernel(test.values, q), kernel(x, q)

    def projected(a, b):
        return a @ np.linalg.solve(covariance, b.T)

    across = projected(rows, known)
    labeled = projected(known, known) + 0.001**2 * np.eye(len(x))
    explained = np.sum(across * np.linalg.solve(labeled, across.T).T, axis=1)
    expected = kernel.diag(test.values) - explained
    np.testing.assert_allclose(model.domain_.environments(test), expected, rtol=1e-4)
    # A third of the environments at most are references of an exact model.
    assert not exact or len(q) <= len(x) / 3


def test_more_structures_widen_the_domain(silicon):
    features, y, _, _ = silicon
    part = SparseGPR(n_sparse=30).fit(features[:3], y[:3])
    before = part.extrapolation_grade(features[3:]) * part.largest_training_std_[14]
    part.partial_fit(features[3:], y[3:])
    after = part.extrapolation_grade(features[3:]) * part.largest_training_std_[14]
    assert (after <= before * (1.0 + 1e-9)).all() and after.mean() < before.mean()


def test_what_is_unlike_all_data_is_graded_above_one():
    X, y, _, _ = skpot.datasets.load_silicon(return_X_y=True)
    model = make_pipeline(SOAP(cutoff=4.0, n_max=4, l_max=3), SparseGPR(n_sparse=100))
    bulk = [i for i, atoms in enumerate(X) if len(atoms) > 1][:30]
    model.fit([X[i] for i in bulk], y[bulk])
    strange = X[bulk[0]].copy()
    strange.positions[0] += [1.0, 0.5, 0.8]
    grade = model[-1].extrapolation_grade(model[0].transform([strange]))
    assert grade.max() > 2.0
    with pytest.raises(ValueError, match="species Ge"):
        features = model[0].transform([strange])
        features.species[:] = 32
        model[-1].extrapolation_grade(features)


def test_few_labels_are_graded_by_some_of_the_environments(silicon):
    features, y, _, _ = silicon
    model = SparseGPR(n_sparse=20).fit(features, y)
    found = [
        domain_edge(model.domain_, features, 1e-10, limit)[14]
        for limit in (len(features.values), 30, 1)
    ]
    # The one frame of a lone atom, the strangest of all, is among few of them.
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)
    assert 0.0 < found[2]
