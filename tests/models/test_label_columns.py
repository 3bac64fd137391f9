"""Columns of the labels' covariance against the whole matrix, which has an oracle of its own."""

import numpy as np
import pytest

import skpot
from skpot import GPR, SOAP
from skpot.kernels import RBF, DotProduct, Symmetrized
from skpot.processes.functionals import (
    Functionals,
    covariance,
    label_batches,
    label_covariance,
)
from skpot.processes.label_columns import label_columns, label_variances
from skpot.processes.nystrom import column_price
from skpot.processes.structure_blocks import precision
from tests.models.test_gpr import SMALL, SOME
from tests.samples import labeled

KERNELS = [
    RBF(0.7),
    DotProduct(3),
    RBF(0.6).on((0, 9)) * DotProduct(1) + DotProduct(2),
]


def whole(kernel, training):
    functionals = Functionals(training)
    return functionals, covariance(kernel, functionals, training.features)


def prepared(features, y, e0):
    return GPR(e0=e0, sigma_energy=0.5, sigma_forces=0.3, sigma_stress=0.1)._prepare(
        features, y, None
    )


@pytest.fixture(scope="module")
def mixed():
    X, y = labeled(["Si", "O"], missing=SOME)
    return prepared(SOAP(**SMALL).fit_transform(X), y, {"Si": 0.0, "O": 0.0})


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_columns_and_diagonal_of_the_covariance(mixed, kernel):
    functionals, matrix = whole(kernel, mixed)
    assert min(part.stop - part.start for part in functionals.parts) > 0
    chosen = np.sort(np.random.default_rng(0).choice(len(matrix), 20, replace=False))
    columns = label_columns(kernel, functionals, mixed.features, chosen)
    np.testing.assert_allclose(columns, matrix[:, chosen], atol=1e-10 * matrix.max())
    variances = label_variances(kernel, functionals, mixed.features)
    np.testing.assert_allclose(variances, np.diag(matrix), atol=1e-10 * matrix.max())


def test_environments_of_labels_may_be_in_any_order(mixed):
    functionals = whole(KERNELS[2], mixed)[0]
    left, right = list(label_batches(functionals, mixed.features, row_limit=9))[:2]
    expected = label_covariance(KERNELS[2], left, right)
    order = np.random.default_rng(0).permutation(len(right[1]))
    index, x, species, scalars, vectors = right
    assert len(set(species)) == 2 and (np.diff(species) >= 0).all()
    mixed_up = index, x[order], species[order], scalars[:, order], vectors[:, order]
    assert (np.diff(mixed_up[2]) < 0).any()
    found = label_covariance(KERNELS[2], left, mixed_up)
    np.testing.assert_allclose(found, expected, atol=1e-12 * np.abs(expected).max())


def test_parts_do_not_matter(mixed, monkeypatch):
    functionals, matrix = whole(KERNELS[0], mixed)
    module = "skpot.processes.label_columns"
    monkeypatch.setattr(f"{module}._ROWS", 3)
    monkeypatch.setattr(f"{module}._BYTES", 1e4)
    chosen = np.arange(0, len(matrix), 2)
    columns = label_columns(KERNELS[0], functionals, mixed.features, chosen)
    np.testing.assert_allclose(columns, matrix[:, chosen], atol=1e-10 * matrix.max())


def test_single_precision_leaves_energies_alone(mixed):
    functionals, matrix = whole(KERNELS[0], mixed)
    chosen = np.arange(0, len(matrix), 2)
    columns = label_columns(KERNELS[0], functionals, mixed.features, chosen, np.float32)
    n = functionals.parts[0].stop
    double = chosen < n
    exact = 1e-10 * matrix.max()
    np.testing.assert_allclose(columns[:, double], matrix[:, chosen[double]], atol=exact)
    np.testing.assert_allclose(columns[:n], matrix[:n, chosen], atol=exact)
    error = np.abs(columns - matrix[:, chosen]).max() / matrix[n:, n:].max()
    assert 1e-9 < error < 1e-5


def test_noise_decides_on_theprecision(mixed):
    functionals, matrix = whole(KERNELS[0], mixed)
    n, variances = functionals.parts[0].stop, np.diag(matrix).copy()
    largest = 4.0 / (2.0**-24 * np.sqrt(len(variances)))  # of a label besides energies
    variances *= 0.9 * largest / variances[n:].max()
    variances[:n] = 1e12
    assert precision(variances, functionals) is np.float32
    variances[-1] = 1.1 * largest
    assert precision(variances, functionals) is np.float64


def test_a_column_costs_what_it_takes():
    X, _, _, _ = skpot.datasets.load_silicon(return_X_y=True)
    features = SOAP(**SMALL).fit_transform(X[:4])
    n = float(len(features.values))
    sizes = np.minimum(features.neighborhood_sizes(), np.repeat(features.n_atoms, features.n_atoms))
    near, p = sizes.mean(), features.shape[1]
    price = column_price(features, 500, 1.0)
    assert price.column == pytest.approx(3 * p * near * 2 * n)
    assert price.iteration == pytest.approx(3 * p * (0.5 * n**2 + 2 * 6.6 * near * n))
    # Double precision, and all products with the columns that there are, the mean one half way.
    made = 1.9 * price.column + 2 * 500 * 40
    iteration = price.iteration + 2 * 4.4 * 500 * 30
    assert price.of_columns(20, 30, np.float64) == pytest.approx(20 * made / iteration)
    assert price.of_columns(20, 30, np.float32) < price.of_columns(20, 30, np.float64)
    two = column_price(features, 500, 2.0)
    assert two.of_columns(20, 30, np.float64) == pytest.approx(10 * made / iteration)


def test_energies_alone(mixed):
    some = mixed.take(np.flatnonzero(mixed.labels.has_energy))
    training = prepared(some.features, some.labels.energy, {"Si": 0.0, "O": 0.0})
    functionals, matrix = whole(KERNELS[0], training)
    columns = label_columns(KERNELS[0], functionals, training.features, np.array([0, 2]))
    np.testing.assert_allclose(columns, matrix[:, [0, 2]], atol=1e-10 * matrix.max())


def test_whole_molecules_and_exchanges_of_atoms():
    X, y, _, _ = skpot.datasets.load_ethanol(return_X_y=True)
    training = prepared(skpot.InverseDistances().fit_transform(X[-3:]), y[-3:], None)
    orders = np.array([np.arange(36), np.arange(36)[::-1]])
    kernel = Symmetrized(RBF(0.4), orders)
    functionals, matrix = whole(kernel, training)
    chosen = np.arange(1, len(matrix), 5)
    columns = label_columns(kernel, functionals, training.features, chosen)
    np.testing.assert_allclose(columns, matrix[:, chosen], atol=1e-10 * matrix.max())
