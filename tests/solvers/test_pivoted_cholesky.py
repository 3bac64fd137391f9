"""Partial factors against the matrices they stand for."""

import numpy as np
import pytest

from skpot.solvers import LowRankInverse, conjugate_gradients, pivoted_columns


@pytest.fixture
def matrix():
    """A covariance of 120 rows whose eigenvalues fall from 1e6 to 1e-6."""
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(120, 120)))[0]
    return (q * np.geomspace(1e6, 1e-6, 120)) @ q.T


def drawn(matrix, n, seed=0, **options):
    rng = np.random.default_rng(seed)
    return pivoted_columns(np.diag(matrix), lambda some: matrix[:, some], n, rng, **options)


def test_pivots_are_exact_and_no_diagonal_is_exceeded(matrix):
    columns, pivots = drawn(matrix, 40)
    assert columns.shape == (120, 40) and len(set(pivots.tolist())) == 40
    product = columns @ columns.T
    np.testing.assert_allclose(product[pivots], matrix[pivots], atol=1e-6 * matrix.max())
    assert (np.diag(product) <= np.diag(matrix) * (1 + 1e-9)).all()
    # The Schur complement of a positive matrix is positive.
    assert np.linalg.eigvalsh(matrix - product).min() > -1e-6


def test_the_rest_is_near_the_best_of_its_rank(matrix):
    best = np.cumsum(np.linalg.eigvalsh(matrix))[-41]
    rests = []
    for seed in range(10):
        columns, _ = drawn(matrix, 40, seed)
        rests.append(np.trace(matrix) - np.sum(columns**2))
    assert best < np.mean(rests) < 30 * best


def test_ends_when_nothing_is_left():
    rng = np.random.default_rng(1)
    thin = rng.normal(size=(60, 7))
    columns, pivots = drawn(thin @ thin.T, 50)
    assert columns.shape[1] == len(pivots) == 7
    np.testing.assert_allclose(columns @ columns.T, thin @ thin.T, atol=1e-9)
    none, _ = drawn(np.zeros((4, 4)), 3)
    assert none.shape == (4, 0)


def test_copies_of_a_pivot_are_not_drawn_again():
    column = np.ones((30, 1))
    columns, pivots = drawn(column @ column.T, 30)
    assert columns.shape == (30, 1) and len(pivots) == 1


def test_a_floor_saves_columns(matrix):
    columns, _ = drawn(matrix, 120, floor=1.0)
    assert columns.shape[1] < 120
    assert (np.diag(matrix) - np.sum(columns**2, axis=1)).mean() < 1.0


def test_preconditions(matrix):
    system, b = matrix + np.eye(120), np.random.default_rng(2).normal(size=120)

    def iterations(columns):
        return conjugate_gradients(
            lambda x: system @ x, b, LowRankInverse(columns), tol=1e-6, max_iter=999
        ).n_iter

    few, more = (iterations(drawn(matrix, n)[0]) for n in (10, 50))
    assert more < few / 2


def test_ends_when_another_block_is_not_worth_it(matrix):
    seen = []

    def worth(pivots, remaining, before, after, size, held):
        seen.append((before.copy(), after.copy(), size, held))
        np.testing.assert_allclose(np.diag(remaining[pivots]), before[pivots], rtol=1e-6)
        return len(seen) < 3

    columns, _ = drawn(matrix, 50, worth=worth)
    assert columns.shape[1] == 15
    assert [sizes for _, _, *sizes in seen] == [[5, 5], [5, 10], [5, 15]]
    np.testing.assert_allclose(seen[0][0], np.diag(matrix))
    np.testing.assert_allclose(seen[0][1], seen[1][0])
    left = np.diag(matrix) - np.sum(columns**2, axis=1)
    np.testing.assert_allclose(seen[2][1], left, atol=1e-6 * left.max())
