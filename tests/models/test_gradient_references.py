"""References with derivatives of their kernels, against dense algebra and the exact process."""

import pickle

import numpy as np
import pytest
from ase import Atoms
from sklearn.pipeline import make_pipeline

from skpot import GPR, SOAP, AtomicFeatures, SparseGPR, Targets, dump, load
from skpot.exceptions import NumericalWarning
from skpot.kernels import RBF, DotProduct, Matern
from skpot.processes.gradient_references import GradientReferences, leading_directions
from skpot.rows.contracts import GradientRows
from skpot.testing import check_potential
from tests import samples
from tests.naive.kernel import (
    SparseGP,
    along,
    compare_with_oracle,
    dot_product,
    gaussian,
    labeled_structures,
    of_points,
)
from tests.samples import labeled

SMALL = dict(cutoff=3.0, n_max=3, l_max=2, sigma=0.4)
NOISE = dict(sigma_energy=0.05, sigma_forces=0.2, sigma_stress=0.01)

# Kernel and what it is as a function of two vectors, of twelve features or more.
KERNELS = [
    pytest.param(DotProduct(zeta=3), dot_product(3), id="dot"),
    pytest.param(RBF(0.6), gaussian(0.6), id="gauss"),
    pytest.param(
        RBF(0.6).on((0, 12)) * (RBF(0.9) + DotProduct(2)),
        lambda x, q: gaussian(0.6)(x[:12], q[:12]) * (gaussian(0.9)(x, q) + dot_product(2)(x, q)),
        id="tree",
    ),
]


@pytest.fixture(scope="module")
def features():
    return SOAP(**SMALL).fit_transform(labeled(["Si", "O"], 2)[0])


@pytest.mark.parametrize("kernel, function", KERNELS)
def test_equals_dense_normal_equations(kernel, function):
    X, y = labeled(["Si", "O"])
    e0 = {"Si": -2.5, "O": -2.0}
    model = make_pipeline(
        SOAP(**SMALL), SparseGPR(kernel, 4, n_directions=2, e0=e0, jitter=1e-13, **NOISE)
    ).fit(X, y)
    soap, gpr = model
    features = samples.features_of(soap)

    q, species = gpr.reference_features_, gpr.reference_species_
    owners = np.repeat(np.arange(len(q)), gpr.direction_counts_)
    references = list(zip(q, species, strict=True))
    for m, t in zip(owners, gpr.reference_directions_, strict=True):
        references.append((along(q[m], t), species[m]))
    assert len(references) > 8
    oracle = SparseGP(features, of_points(function), references, gpr.e0_, **NOISE).fit(
        labeled_structures(X, y)
    )
    compare_with_oracle(model, X, oracle, 1e-5, variance_atol=1e-5)


def test_all_environments_and_directions_are_the_exact_process():
    rng = np.random.default_rng(0)
    X = [Atoms("OH2", rng.normal([[0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]], 0.1)) for _ in "1234"]
    y = Targets(rng.normal(size=4), [rng.normal(size=(3, 3)) for _ in X])
    options = dict(sigma_energy=0.1, sigma_forces=0.3, e0={"H": 0.0, "O": 0.0})
    soap = SOAP(**SMALL)
    exact = make_pipeline(soap, GPR(RBF(0.7), **options)).fit(X, y)
    sparse = make_pipeline(
        soap, SparseGPR(RBF(0.7), selection=range(12), n_directions=9, jitter=1e-13, **options)
    ).fit(X, y)
    moved = [Atoms("H2O", atoms.positions + rng.normal(0, 0.1, (3, 3))) for atoms in X]
    for structures in (X, moved):
        (a, a_std), (b, b_std) = (m.predict(structures, return_std=True) for m in (exact, sparse))
        np.testing.assert_allclose(b.energy, a.energy, atol=1e-6)
        np.testing.assert_allclose(b.forces_flat, a.forces_flat, atol=1e-5)
        np.testing.assert_allclose(b_std, a_std, atol=1e-4)


def test_keeps_the_promises_of_a_potential():
    X, y = labeled(["Si", "O"])
    model = make_pipeline(SOAP(**SMALL), SparseGPR(RBF(0.6), 6, n_directions=3)).fit(X, y)
    check_potential(model, X)


def test_directions_are_leading_singular_vectors(features):
    chosen = np.array([5, 0, 9])
    directions, counts = leading_directions(features, chosen, RBF(0.5), 3)
    ends = np.cumsum(counts)
    for m, end, n in zip(chosen, ends, counts, strict=True):
        rows = features.jacobian([m]).values.reshape(-1, features.shape[1])
        _, sizes, right = np.linalg.svd(rows, full_matrices=False)
        assert n == min(3, np.sum(sizes > 1e-5 * sizes[0]))
        mine = directions[end - n : end] * 2.0  # of unit length as 1 / length_scale is 2
        np.testing.assert_allclose(mine.T @ mine, right[:n].T @ right[:n], atol=1e-6)


def test_environments_that_nothing_moves_have_no_directions():
    X = [Atoms("Si"), Atoms("Si2", [[0, 0, 0], [0, 0, 2.2]])]
    features = SOAP(**SMALL).fit_transform(X)
    directions, counts = leading_directions(features, np.array([0, 1]), DotProduct(2), 4)
    assert list(counts) == [0, 1] and directions.shape == (1, features.shape[1])


def test_tiles_give_the_covariance_of_the_whole(features):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 13, 60)
    values = rng.normal(size=(60, 5))
    references = GradientReferences(
        values, np.repeat([1, 8], 30), RBF(2.0), rng.normal(size=(counts.sum(), 5)), counts
    )
    assert len(references._tiles(slice(0, 30))) > 1
    total = 0
    for (z, columns), (place, matrix) in zip(
        references.columns.items(), references.covariance(), strict=True
    ):
        np.testing.assert_allclose(matrix, references._between(columns, columns), atol=1e-12)
        assert np.linalg.eigvalsh(matrix).min() > -1e-10
        assert place == references.coefficients[z]
        total += len(matrix)
    assert total == len(references) == 60 + counts.sum()


def test_training_rows_differentiate_with_theta(features):
    """The functions dk/dtheta take the place of the kernel in sums, rows and covariances."""
    kernel = RBF(0.7) * DotProduct(2, variance=0.8, variance_bounds="fixed") + Matern(1.3)
    chosen = np.argsort(features.species, kind="stable")[::9]
    directions, counts = leading_directions(features, chosen, kernel, 2)

    def rows(function):
        references = GradientReferences(
            features.values[chosen], features.species[chosen], function, directions, counts
        )
        n = len(references)
        sums, derived = np.zeros((len(features), n)), GradientRows.zeros(features, n)
        references.sums(features, sums)
        references.gradient_rows(features, derived, 1e6)
        parts = [sums, *derived, *(block for _, block in references.covariance())]
        return np.concatenate([np.pad(p, ((0, 0), (0, n - p.shape[1]))) for p in parts])

    theta, step = kernel.theta, 1e-5
    for function, direction in zip(kernel.theta_gradient(), np.eye(len(theta)), strict=True):
        up, down = (rows(kernel.clone_with_theta(theta + h * direction)) for h in (step, -step))
        np.testing.assert_allclose(rows(function), (up - down) / (2 * step), atol=1e-6)


def test_blocks_of_any_size_give_the_same_model(features):
    y = labeled(["Si", "O"], 2)[1]
    model = SparseGPR(RBF(0.6), 8, n_directions=3)
    free = model.fit(features, y).predict(features)
    tight = model.set_params(max_memory=6e5).fit(features, y).predict(features)
    np.testing.assert_allclose(tight.forces_flat, free.forces_flat, atol=1e-9)


def test_files_keep_it(features, tmp_path):
    y = labeled(["Si", "O"], 2)[1]
    model = SparseGPR(RBF(0.6), 6, n_directions=2).fit(features, y)
    dump(model, tmp_path / "model.skops")
    for again in (load(tmp_path / "model.skops"), pickle.loads(pickle.dumps(model))):
        for mine, other in zip(
            again.predict(features, return_std=True),
            model.predict(features, return_std=True),
            strict=True,
        ):
            np.testing.assert_array_equal(np.asarray(mine), np.asarray(other))


def test_dependent_functions_are_reported_with_their_rank(features):
    y = labeled(["Si", "O"], 2)[1]
    with pytest.warns(NumericalWarning, match="functions of the references have numerical rank 63"):
        SparseGPR(DotProduct(zeta=1), 1000, n_directions=9, jitter=1e-17).fit(features, y)


def test_rows_without_derivatives_have_no_directions():
    rows = AtomicFeatures(np.eye(3), np.arange(4), np.ones(3, dtype=int))
    with pytest.raises(ValueError, match="carry no derivatives"):
        SparseGPR(n_directions=2).fit(rows, np.ones(3))
