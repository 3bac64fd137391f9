"""Covariances within structures against the whole matrix, and what they save."""

import numpy as np
import pytest

from skpot import SOAP
from skpot.kernels import RBF
from skpot.processes import structure_blocks
from skpot.processes.structure_blocks import StructureBlocks
from skpot.solvers import LowRankInverse, conjugate_gradients, pivoted_columns
from tests.models.test_gpr import SMALL, SOME
from tests.models.test_label_columns import prepared, whole
from tests.samples import labeled

KERNEL = RBF(0.5)


@pytest.fixture(scope="module")
def mixed():
    X, y = labeled(["Si", "O"], missing=SOME)
    training = prepared(SOAP(**SMALL).fit_transform(X), y, {"Si": 0.0, "O": 0.0})
    owner = training.of_structures(np.arange(len(training)))
    return training, owner, whole(KERNEL, training)[1]


@pytest.fixture
def alone(monkeypatch):
    """One block for each structure, however small."""
    monkeypatch.setattr(structure_blocks, "BLOCK_TOGETHER", 1)


def test_blocks_and_diagonal_of_the_covariance(mixed, alone):
    training, owner, matrix = mixed
    blocks, exact = StructureBlocks(KERNEL, training), 1e-6 * matrix.max()
    np.testing.assert_allclose(blocks.variances, np.diag(matrix), atol=exact)
    assert [rows.tolist() for rows in blocks.rows] == [
        np.flatnonzero(owner == s).tolist() for s in np.unique(owner)
    ]
    rng = np.random.default_rng(0)
    columns, _ = pivoted_columns(np.diag(matrix), lambda some: matrix[:, some], 3, rng)
    found = list(blocks.remainders(columns))
    assert len(found) == len(blocks.rows)
    for rows, block in found:
        expected = matrix[np.ix_(rows, rows)] - columns[rows] @ columns[rows].T
        np.testing.assert_allclose(block, expected + np.eye(len(rows)), atol=exact)


def test_small_structures_share_blocks_but_not_with_those_that_are_left_out(mixed):
    training, owner, _ = mixed
    left = np.array([1, len(training) - 1])
    (most, some) = StructureBlocks(KERNEL, training, left).rows
    np.testing.assert_array_equal(some, np.flatnonzero(np.isin(owner, left)))
    np.testing.assert_array_equal(most, np.flatnonzero(~np.isin(owner, left)))


def test_large_structures_have_no_blocks(mixed, alone, monkeypatch):
    training, owner, matrix = mixed
    counts = np.bincount(owner)
    monkeypatch.setattr(structure_blocks, "BLOCK_LIMIT", int(np.sort(counts)[-2]))
    blocks = StructureBlocks(KERNEL, training)
    assert sum(map(len, blocks.rows)) == len(owner) - counts.max() > 0
    np.testing.assert_allclose(blocks.variances, np.diag(matrix), atol=1e-6 * matrix.max())


def test_rounding_takes_no_noise_from_blocks():
    rng = np.random.default_rng(0)
    sound = rng.normal(size=(5, 2))
    sound = np.eye(5) + sound @ sound.T
    assert structure_blocks._with_all_noise(sound) is sound
    spoiled = sound - 1.3 * np.outer(*2 * [np.linalg.eigh(sound)[1][:, 0]])
    mended = structure_blocks._with_all_noise(spoiled)
    np.testing.assert_allclose(mended, sound, atol=1e-12)


def test_what_blocks_have_in_common_is_estimated_without_bias(mixed, alone):
    training, owner, matrix = mixed
    blocks, remainder = StructureBlocks(KERNEL, training), np.diag(matrix)
    drawn = np.flatnonzero(remainder)  # never labels that vary no more
    found = [blocks.in_common(j[None], matrix[:, j[None]], remainder) for j in drawn]
    spread = remainder + 1.0
    apart = owner[:, None] != owner
    expected = np.sum((matrix * apart) ** 2 / spread / spread[:, None]) / len(matrix)
    assert np.average(found, weights=remainder[drawn]) == pytest.approx(expected, rel=1e-5)


def test_blocks_save_iterations(mixed, alone):
    training, _, matrix = mixed
    matrix = 1e3 * matrix  # so small a noise that each label tells something of its own
    rng, b = np.random.default_rng(0), np.random.default_rng(1).normal(size=len(matrix))
    columns, _ = pivoted_columns(np.diag(matrix), lambda some: matrix[:, some], 10, rng)
    blocks = StructureBlocks(KERNEL, training).rows
    rest = matrix + np.eye(len(matrix)) - columns @ columns.T
    parts = [(rows, rest[np.ix_(rows, rows)]) for rows in blocks]

    def product(z):
        return matrix @ z + z

    def iterations(precondition):
        return conjugate_gradients(product, b, precondition, tol=1e-3, max_iter=999).n_iter

    plain, by_structure = LowRankInverse(columns.copy()), LowRankInverse(columns.copy(), parts)
    assert iterations(by_structure) < 0.7 * iterations(plain)


def test_energies_alone_have_no_blocks(mixed):
    training, _, _ = mixed
    some = training.take(np.flatnonzero(training.labels.has_energy))
    energies = prepared(some.features, some.labels.energy, {"Si": 0.0, "O": 0.0})
    blocks, matrix = StructureBlocks(KERNEL, energies), whole(KERNEL, energies)[1]
    assert blocks.rows == [] and list(blocks.remainders(np.zeros((len(matrix), 1)))) == []
    np.testing.assert_allclose(blocks.variances, np.diag(matrix), rtol=1e-10)
