"""The symmetric process: its group, and predictions that the group does not change."""

import itertools

import numpy as np
import pytest
from ase.build import molecule
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skpot
from skpot import GPR, InverseDistances, SymmetricGPR, Targets
from skpot.kernels import RBF, Matern, Symmetrized
from skpot.metrics import forces_rmse
from skpot.processes.permutations import find_permutations, generated_group, to_matrices
from skpot.testing import check_potential
from tests import samples
from tests.samples import displaced


@pytest.fixture(scope="module")
def ethanol():
    return samples.ethanol(test_step=3)


def turned(X, y, order):
    """Return structures with exchanged atoms and their labels."""
    energy = y.energy if y.has_energy.all() else [None] * len(y)
    return [atoms[order] for atoms in X], Targets(energy, [f[order] for f in y.forces])


def group_of(X, seed=0):
    rows = InverseDistances().fit_transform(X).values
    numbers = X[0].numbers
    return find_permutations(to_matrices(rows, len(numbers)), numbers, np.random.default_rng(seed))


@pytest.mark.parametrize(
    "name, size", [("H2O", 2), ("NH3", 6), ("CH4", 24), ("HCN", 1), ("HCOOH", 1), ("C2H6", 12)]
)
def test_groups_of_molecules(name, size):
    X = displaced(40 * [molecule(name)], 0.05)
    group = group_of(X)
    assert len(group) == size
    np.testing.assert_array_equal(group[0], np.arange(len(X[0])))
    assert (X[0].numbers[group] == X[0].numbers).all()
    known = {tuple(p) for p in group.tolist()}
    assert {tuple(p[i] for i in q) for p in known for q in known} == known


def test_the_group_is_that_of_the_molecule_however_its_atoms_are_numbered(ethanol):
    X = ethanol[0][::4]
    group = group_of(X)
    assert len(group) == 6
    assert {tuple(p[:4]) for p in group.tolist()} == {(0, 1, 2, 3)}  # C C O and H of OH
    order = np.random.default_rng(0).permutation(9)
    other = group_of([atoms[order] for atoms in X])
    back = np.argsort(order)
    conjugate = {tuple(back[p[order]].tolist()) for p in group}
    assert {tuple(p) for p in other.tolist()} == conjugate
    assert np.array_equal(group_of(ethanol[0], seed=1), group)


def test_generators_that_make_too_large_a_group_are_left_out():
    swap, shift, cycle = [1, 0, *range(2, 9)], [*range(1, 9), 0], [0, 1, 3, 2, *range(4, 9)]
    assert len(generated_group([swap, cycle], 9)) == 4
    assert len(generated_group([swap, shift, cycle], 9)) == 4  # with the shift it is 9!
    assert len(generated_group([], 9)) == 1


@pytest.mark.parametrize("solver", ["cholesky", "cg"])
@pytest.mark.parametrize("labels", ["energies and forces", "forces", "energies"])
def test_equals_a_plain_process_that_is_told_every_exchange(ethanol, solver, labels):
    X, y, X_test, _ = ethanol
    X, y = X[:6], y[:6]
    if labels == "forces":
        y = Targets([None] * 6, y.forces)
    options = dict(
        e0={"H": -13.6, "C": -1030.0, "O": -2041.0}, sigma_energy=1e-3, sigma_forces=0.05
    )
    kernel, group = Matern(3.0, 2.5, 50.0), group_of(ethanol[0][::4])
    every = [turned(X, y, order) for order in group]
    all_X = list(itertools.chain.from_iterable(each for each, _ in every))
    all_y = np.concatenate([each for _, each in every])
    if labels == "energies":
        y, all_y = np.asarray(y), np.asarray(all_y)
    descriptor = InverseDistances().fit(X)
    plain = GPR(kernel, solver="cholesky", **options)
    # Each copy of a label tells as much as a share of it.
    plain.fit(descriptor.transform(all_X), all_y, np.full(len(all_X), 1 / len(group)))
    model = SymmetricGPR(kernel, permutations=group, solver=solver, tol=1e-6, **options)
    model.fit(descriptor.transform(X), y)
    np.testing.assert_array_equal(model.permutations_, group)
    assert len(model.dual_coef_) == 6
    test = descriptor.transform(X_test[:5])
    mine, expected = model.predict(test), plain.predict(test)
    np.testing.assert_allclose(np.asarray(mine), np.asarray(expected), atol=1e-6)
    if labels != "energies":
        np.testing.assert_allclose(mine.forces_flat, expected.forces_flat, atol=1e-6)


# Few labels that are far from each other converge slowly.
SOLVERS = [SymmetricGPR(solver="cholesky"), SymmetricGPR(solver="cg", sigma_forces=0.1)]


@pytest.mark.parametrize("estimator", SOLVERS, ids=str)
def test_predictions_follow_exchanges(ethanol, estimator):
    X, y, X_test, _ = ethanol
    model = make_pipeline(InverseDistances(), estimator).fit(X[:30], y[:30])
    y_pred, std = model.predict(X_test[:4], return_std=True)
    assert (std > 0).all()
    for order in model[-1].permutations_:
        other, other_std = model.predict([a[order] for a in X_test[:4]], return_std=True)
        np.testing.assert_allclose(other.energy, y_pred.energy, atol=1e-8)
        np.testing.assert_allclose(other_std, std, rtol=1e-5)
        for mine, f in zip(other.forces, y_pred.forces, strict=True):
            np.testing.assert_allclose(mine, f[order], atol=1e-7)
    unknown = [1, 0, *range(2, 9)]
    away = model.predict([a[unknown] for a in X_test[:4]]).energy
    assert np.abs(away - y_pred.energy).min() > 0.01


@pytest.mark.parametrize("estimator", SOLVERS, ids=str)
def test_keeps_the_promises_of_a_potential(ethanol, estimator):
    X, y, X_test, _ = ethanol
    model = make_pipeline(InverseDistances(), estimator).fit(X[:12], y[:12])
    check_potential(model, X_test[:2], skip=("permutation",))


def test_symmetry_is_worth_many_labels(ethanol):
    X, y, X_test, y_test = ethanol
    X, y = X[:40], y[:40]
    symmetric = make_pipeline(InverseDistances(), SymmetricGPR()).fit(X, y)
    assert len(symmetric[-1].permutations_) == 6
    plain = make_pipeline(InverseDistances(), SymmetricGPR(permutations=[range(9)])).fit(X, y)
    assert len(plain[-1].permutations_) == 1
    ours, theirs = (forces_rmse(y_test, m.predict(X_test)) for m in (symmetric, plain))
    assert ours < 0.6 * theirs


def test_references_of_sparse_models_may_be_symmetric(ethanol):
    X, y, X_test, _ = ethanol
    features = InverseDistances().fit(X).transform(X[:8])
    exact = SymmetricGPR(Matern(3.0, variance=100.0)).fit(features, y[:8])
    sparse = skpot.SparseGPR(
        exact.kernel_, selection=range(8), n_directions=21, jitter=1e-12,
        sigma_energy=exact.sigma_energy, sigma_forces=exact.sigma_forces,
    ).fit(features, y[:8])  # fmt: skip
    test = InverseDistances().fit(X).transform(X_test[:4])
    mine, theirs = sparse.predict(test), exact.predict(test)
    # All 21 internal directions of every geometry: the spaces of functions are the same.
    np.testing.assert_allclose(mine.forces_flat, theirs.forces_flat, atol=2e-3)
    assert exact.decompose(test)["kernel"] == pytest.approx(
        exact.evaluate(test)[0] - exact.decompose(test)["free_atoms"]
    )
    assert isinstance(exact.kernel_, Symmetrized)


def test_what_is_refused(ethanol):
    X, y, _, _ = ethanol
    X, y = X[:6], y[:6]
    features = InverseDistances().fit_transform(X)
    for step in (skpot.PerStructure(StandardScaler()), None):
        made = (
            step.fit_transform(features) if step else skpot.CoulombMatrix("none").fit_transform(X)
        )
        with pytest.raises(ValueError, match="as they are"):
            SymmetricGPR().fit(made, y)
    with pytest.raises(TypeError, match="skpot.InverseDistances.., skpot.SymmetricGPR"):
        SymmetricGPR().fit(features.values, y.energy)
    with pytest.raises(TypeError, match="skpot.InverseDistances.., skpot.SymmetricGPR"):
        SymmetricGPR().fit(X, y)
    for wrong, message in (
        ([[0, 1]], "each of the 9 atoms"),
        ([[1] * 9], "each of the 9 atoms"),
        ([[0, 2, 1, *range(3, 9)]], r"permutations\[0\] exchanges atoms of different species"),
    ):
        with pytest.raises(ValueError, match=message):
            SymmetricGPR(permutations=wrong).fit(features, y)
    with pytest.raises(ValueError, match="one length for all is safe"):
        SymmetricGPR(RBF(np.linspace(1, 2, 36))).fit(features, y)
    with pytest.raises(ValueError, match="'permutations'"):
        SymmetricGPR(permutations="none").fit(features, y)
    with pytest.raises(ValueError, match="every column exactly once"):
        Symmetrized(RBF(), [[0, 0]])._validate_params()
