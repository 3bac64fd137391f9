"""Streamed QR against dense least squares."""

import numpy as np
import pytest

from skpot.exceptions import NumericalWarning
from skpot.solvers import TriangularFactor, jittered_cholesky


@pytest.mark.parametrize("n, sizes", [(1, [3]), (6, [1, 2, 40, 7]), (90, [200, 3])])
def test_solution_and_residual_equal_dense_least_squares(n, sizes):
    rng = np.random.default_rng(0)
    prior = np.triu(rng.normal(size=(n, n))) + 3 * np.eye(n)
    blocks = [rng.normal(size=(size, n + 1)) for size in sizes]
    factor = TriangularFactor(prior)
    for block in blocks:
        factor.fold(block.copy())
    rows = np.concatenate([np.column_stack([prior, np.zeros(n)]), *blocks])
    solution, residual, *_ = np.linalg.lstsq(rows[:, :n], rows[:, n], rcond=None)
    np.testing.assert_allclose(factor.solve(), solution, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(factor.residual, residual[0], rtol=1e-9)
    np.testing.assert_allclose(
        factor.matrix.T @ factor.matrix, rows[:, :n].T @ rows[:, :n], rtol=1e-9, atol=1e-9
    )
    assert factor.n_rows == sum(sizes)


def test_one_block_equals_many():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(50, 9))
    whole, parts = TriangularFactor(np.eye(8)), TriangularFactor(np.eye(8))
    whole.fold(rows.copy())
    for begin in range(0, 50, 7):
        parts.fold(rows[begin : begin + 7].copy())
    np.testing.assert_allclose(parts.solve(), whole.solve(), rtol=1e-10)


@pytest.mark.parametrize("sizes", [(3, 50), (40, 2), (1, 1)])
def test_factors_merge(sizes):
    rng = np.random.default_rng(2)
    parts = [rng.normal(size=(size, 9)) for size in sizes]
    whole = TriangularFactor(np.eye(8))
    merged = TriangularFactor(np.eye(8))
    for rows in parts:
        whole.fold(rows.copy())
        part = TriangularFactor(np.zeros((8, 8)))
        part.fold(rows.copy())
        trapezoid = part.trapezoid
        assert trapezoid.shape == (min(len(rows), 9), 9)
        np.testing.assert_allclose(trapezoid.T @ trapezoid, rows.T @ rows, atol=1e-12)
        merged.merge(trapezoid)
    np.testing.assert_allclose(merged.solve(), whole.solve(), rtol=1e-10)
    np.testing.assert_allclose(merged.residual, whole.residual, rtol=1e-10)
    continued = TriangularFactor(merged.matrix, merged.target)
    more = rng.normal(size=(5, 9))
    continued.fold(more.copy())
    whole.fold(more)
    np.testing.assert_allclose(continued.solve(), whole.solve(), rtol=1e-10)


def test_equal_rows_with_other_targets_keep_them():
    rows = np.zeros((3, 9))
    rows[:, :2] = [1.0, 2.0]
    rows[:, 8] = [1.0, 2.0, 4.0]
    factor = TriangularFactor(np.zeros((8, 8)))
    factor.fold(rows.copy())
    trapezoid = factor.trapezoid
    assert len(trapezoid) == 2
    np.testing.assert_allclose(trapezoid.T @ trapezoid, rows.T @ rows, atol=1e-12)
    merged = TriangularFactor(np.eye(8))
    merged.merge(trapezoid)
    whole = TriangularFactor(np.eye(8))
    whole.fold(rows)
    np.testing.assert_allclose(merged.solve(), whole.solve(), atol=1e-12)


def test_an_empty_block_changes_nothing():
    factor = TriangularFactor(np.eye(3))
    factor.fold(np.empty((0, 4)))
    assert np.array_equal(factor.matrix, np.eye(3)) and factor.n_rows == 0


def test_cholesky_of_a_good_matrix_keeps_the_jitter_asked_for():
    matrix = np.array([[2.0, 0.5], [0.5, 1.0]])
    factor, jitter = jittered_cholesky(matrix)
    assert jitter == 1e-10
    np.testing.assert_allclose(factor @ factor.T, matrix, rtol=1e-8)


def test_jitter_escalates_with_a_warning_that_states_the_rank():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 4))
    matrix = rows @ rows.T
    matrix -= 1e-8 * np.eye(30) * np.mean(np.diag(matrix))  # rounding, exaggerated
    with pytest.warns(NumericalWarning, match="numerical rank 4"):
        _, jitter = jittered_cholesky(matrix)
    assert jitter > 1e-10


def test_what_is_no_covariance_is_refused():
    with pytest.raises(ValueError, match="not positive definite"):
        jittered_cholesky(np.diag([1.0, -1.0]))
