"""Conjugate gradients on matrices that are known."""

import numpy as np
import pytest

from skpot.solvers import DivergenceError, LowRankInverse, conjugate_gradients


@pytest.fixture
def system():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(80, 30)) * 10.0 ** np.linspace(2, -3, 30)
    return columns, np.eye(80) + columns @ columns.T, rng.normal(size=80)


def identity(x):
    return x


def test_low_rank_inverse(system):
    columns, matrix, b = system
    inverse = LowRankInverse(columns)
    np.testing.assert_allclose(matrix @ inverse(b), b, atol=1e-8)
    gram = np.eye(30) + columns.T @ columns
    np.testing.assert_allclose(inverse.factor.T @ inverse.factor, gram, rtol=1e-9, atol=1e-9)


@pytest.fixture
def blocked():
    """Columns, blocks of rows that are not in order, and the matrix that both stand for."""
    rng = np.random.default_rng(1)
    columns, matrix, blocks = rng.normal(size=(30, 8)), np.eye(30), []
    for rows in (np.array([3, 7, 25]), np.arange(10, 22), np.array([0])):
        root = rng.normal(size=(len(rows), len(rows)))
        matrix[np.ix_(rows, rows)] += 100.0 * root @ root.T
        blocks.append((rows, matrix[np.ix_(rows, rows)]))
    return columns, blocks, matrix + columns @ columns.T


def test_low_rank_inverse_with_blocks(blocked):
    columns, blocks, matrix = blocked
    inverse = LowRankInverse(columns.copy(), iter(blocks))
    b = np.arange(30.0)
    np.testing.assert_allclose(matrix @ inverse(b), b, atol=1e-10)
    np.testing.assert_array_equal(b, np.arange(30.0))
    expected = 1.0 - np.diag(np.linalg.inv(matrix))
    np.testing.assert_allclose(inverse.leverages(limit=4), expected, atol=1e-10)


def test_inverse_without_some_rows(blocked):
    columns, blocks, matrix = blocked
    rows = np.array([2, 3, 7, 25])
    matrix[rows], matrix[:, rows] = 0.0, 0.0
    matrix[rows, rows] = 1.0
    inverse, b = LowRankInverse(columns, blocks), np.arange(30.0)
    whole = inverse(b)
    with inverse.without(rows):
        np.testing.assert_allclose(matrix @ inverse(b), b, atol=1e-10)
    np.testing.assert_array_equal(inverse(b), whole)


def test_solution_and_stated_residual(system):
    _, matrix, b = system
    s = conjugate_gradients(lambda x: matrix @ x, b, identity, tol=1e-10, max_iter=500)
    assert s.converged
    residual = np.linalg.norm(b - matrix @ s.x) / np.linalg.norm(b)
    assert s.residual == pytest.approx(residual, rel=1e-6, abs=1e-15) and residual <= 1e-10


def test_a_preconditioner_saves_iterations(system):
    columns, matrix, b = system

    def solve(precondition):
        return conjugate_gradients(lambda x: matrix @ x, b, precondition, tol=1e-8, max_iter=999)

    exact, some, none = (
        solve(p) for p in (LowRankInverse(columns), LowRankInverse(columns[:, :10]), identity)
    )
    assert exact.n_iter == 1 < some.n_iter < none.n_iter


def test_the_end_of_patience_is_no_convergence(system):
    _, matrix, b = system
    seen = []
    s = conjugate_gradients(
        lambda x: matrix @ x, b, lambda x: x / 1e4, tol=1e-10, max_iter=3,
        report=lambda *args: seen.append(args),
    )  # fmt: skip
    assert not s.converged and s.n_iter == 3 and s.residual > 1e-10
    assert [n for n, _ in seen] == [1, 2, 3]


def test_zeros_need_no_iteration():
    s = conjugate_gradients(lambda x: x, np.zeros(3), identity, tol=1e-3, max_iter=3)
    assert s.converged and not s.x.any()


def test_a_tolerance_that_is_met_from_the_start_takes_one_step(system):
    columns, matrix, b = system
    s = conjugate_gradients(lambda x: matrix @ x, b, LowRankInverse(columns), tol=2.0, max_iter=9)
    assert s.converged and s.n_iter == 1 and s.residual < 1e-3
    none = conjugate_gradients(
        lambda x: matrix @ x, b, identity, tol=1e-9, max_iter=9, size=lambda r: 0.0
    )
    assert none.converged and not none.x.any() and np.array_equal(none.remainder, b)


@pytest.mark.parametrize("factor", [-1.0, np.nan, 0.0], ids=["indefinite", "nan", "singular"])
def test_divergence_is_an_error(factor):
    b = np.arange(1.0, 5.0)
    with pytest.raises(DivergenceError, match="in iteration 1"):
        conjugate_gradients(lambda x: factor * x, b, identity, tol=1e-3, max_iter=30)


@pytest.mark.parametrize(
    ("error", "most"), [(1e-6, 6), (0.05, 20), (30.0, 200)], ids=["good", "bad", "useless"]
)
def test_rough_products_change_no_solution(system, error, most):
    columns, matrix, b = system
    wrong = np.random.default_rng(2).normal(size=matrix.shape) * error / np.sqrt(len(matrix))
    calls, inverse = [], LowRankInverse(columns[:, :20])

    def product(x):
        calls.append(0)
        return matrix @ x

    def solve(**more):
        return conjugate_gradients(product, b, inverse, tol=1e-9, max_iter=200, **more)

    exact = solve()
    calls.clear()
    found = solve(rough=lambda x: (matrix + wrong + wrong.T) @ x)
    assert found.converged and len(calls) <= most
    np.testing.assert_allclose(found.x, exact.x, atol=1e-7 * np.abs(exact.x).max())
    np.testing.assert_allclose(found.remainder, b - matrix @ found.x, atol=1e-12)


def test_divergence_of_rough_products_is_none(system):
    _, matrix, b = system
    s = conjugate_gradients(
        lambda x: matrix @ x, b, identity, tol=1e-8, max_iter=999, rough=lambda x: -x
    )
    assert s.converged and np.linalg.norm(b - matrix @ s.x) <= 1e-8 * np.linalg.norm(b)


def test_the_end_may_depend_on_the_remainder(system):
    """Errors of rows that are left out, as an exact model asks for them."""
    columns, matrix, b = system
    own, keep = np.arange(0, 80, 4), np.ones(80)
    keep[own] = 0.0
    rest = np.flatnonzero(keep)
    inverse = LowRankInverse(columns)

    def size(r):
        return np.linalg.norm(r[rest]) / np.linalg.norm(r[own])

    with inverse.without(own):
        s = conjugate_gradients(
            lambda x: matrix @ x, b, lambda r: inverse(keep * r), tol=1e-6, max_iter=99, size=size
        )
    expected = b[own] - matrix[np.ix_(own, rest)] @ np.linalg.solve(
        matrix[np.ix_(rest, rest)], b[rest]
    )
    assert s.converged and s.residual <= 1e-6 and not s.x[own].any()
    np.testing.assert_allclose(s.remainder[own], expected, rtol=1e-3, atol=1e-4)
