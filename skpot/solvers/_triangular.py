"""Least squares by a triangular factor into which blocks of rows are folded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cholesky, lapack, solve_triangular

from ..exceptions import NumericalError, NumericalWarning, warn_once

if TYPE_CHECKING:
    from skpot.typing import FloatArray

_PANEL = 64  # columns that LAPACK eliminates at a time; the fastest of 32, 64 and 128


def refuse_not_finite(array: FloatArray, what: str) -> None:
    """Raise `NumericalError` if an array holds NaN or infinity; `what` is its name there."""
    if not np.isfinite(array).all():
        raise NumericalError(
            f"{what} holds numbers that are not finite: features, labels, noise levels or "
            "parameters of the kernel are too large or too small."
        )


class TriangularFactor:
    r"""Streamed QR of a tall least-squares system.

    For rows :math:`A` and targets :math:`b` that arrive in blocks, this keeps only the triangle of
    :math:`[A\; b] = Q\,[R\; z;\ 0\; \rho]`, so that memory does not depend on the number of
    rows. The solution is :math:`R^{-1} z` and :math:`\rho^2` the residual sum of squares (the
    sequential TSQR of Demmel et al., SIAM J. Sci. Comput. 34, A206 (2012)).

    Parameters
    ----------
    prior : ndarray of shape (n, n)
        Upper triangle of the rows to begin with, such as the transposed Cholesky factor of a prior
        covariance.
    target : ndarray of shape (n + 1,), optional
        Last column to begin with, to continue another factor; zero by default.
    """

    def __init__(self, prior: FloatArray, target: FloatArray | None = None) -> None:
        n = len(prior)
        self._triangle = np.zeros((n + 1, n + 1), order="F")
        self._triangle[:n, :n] = prior
        self._triangle[:, n] = 0.0 if target is None else target
        self.n_rows = 0

    def fold(self, rows: FloatArray) -> None:
        """Fold in rows (n_rows, n + 1) with the targets in the last column; overwrites `rows`."""
        self._eliminate(np.asfortranarray(rows), 0)

    def merge(self, trapezoid: FloatArray) -> None:
        """Fold in the `trapezoid` of another factor, which costs a third of so many rows."""
        self._eliminate(np.array(trapezoid, order="F"), len(trapezoid))

    def _eliminate(self, rows, n_triangular):
        if not len(rows):
            return
        refuse_not_finite(rows, "a row of the least-squares system")
        panel = min(_PANEL, len(self._triangle))
        self._triangle, _, _, info = lapack.dtpqrt(
            n_triangular, panel, self._triangle, rows, overwrite_a=1, overwrite_b=1
        )
        if info:
            raise NumericalError(f"LAPACK's tpqrt does not accept its argument number {-info}")
        self.n_rows += len(rows)

    @property
    def matrix(self) -> FloatArray:
        """R, upper triangular, shape (n, n)."""
        return np.triu(self._triangle[:-1, :-1])

    @property
    def target(self) -> FloatArray:
        """Last column, z and rho, shape (n + 1,)."""
        return self._triangle[:, -1].copy()

    @property
    def trapezoid(self) -> FloatArray:
        """[R z; 0 rho] without rows that are zero within rounding, shape (k, n + 1).

        For any x, |trapezoid [x; -1]|^2 equals |rows [x; -1]|^2 of the rows that were folded in. As
        rows are dropped, its shape is trapezoidal instead of triangular.
        """
        triangle = np.triu(self._triangle)
        size = np.abs(triangle)
        # The error of the factorization itself, column by column.
        floor = len(size) * np.finfo(float).eps * np.linalg.norm(triangle, axis=0)
        return triangle[(size > floor).any(axis=1)]

    @property
    def residual(self) -> float:
        """Sum of squared residuals, including those of the prior rows."""
        return float(self._triangle[-1, -1] ** 2)

    def solve(self) -> FloatArray:
        """Return the least-squares solution, shape (n,)."""
        return solve_triangular(self._triangle[:-1, :-1], self._triangle[:-1, -1])


def jittered_cholesky(matrix: FloatArray, jitter: float = 1e-10) -> tuple[FloatArray, float]:
    """Return the lower Cholesky factor of a covariance and the jitter it needed.

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        Positive semi-definite up to rounding.
    jitter : float, default=1e-10
        Number to add to the diagonal, relative to its mean. It is multiplied by ten after each
        failure.

    Returns
    -------
    factor : ndarray of shape (n, n)
        Lower triangle.
    jitter : float
        The number that was added, relative to the mean of the diagonal.

    Warns
    -----
    NumericalWarning
        If more jitter was needed than asked for; the warning says the numerical rank.

    Raises
    ------
    ValueError
        If even a jitter of 1e-4 does not make the matrix positive definite.
    """
    refuse_not_finite(matrix, "the covariance of the references")
    scale = float(np.mean(np.diag(matrix))) or 1.0
    asked = jitter
    while jitter <= 1e-4:
        shifted = np.array(matrix, dtype=float, order="F")  # of which LAPACK makes no copy
        shifted[np.diag_indices(len(matrix))] += jitter * scale
        try:
            factor = cholesky(shifted, lower=True, overwrite_a=True)
        except np.linalg.LinAlgError:
            jitter *= 10.0
            continue
        if jitter > asked:
            rounding = len(matrix) * np.finfo(float).eps
            rank = int(np.sum(np.linalg.eigvalsh(matrix) > max(asked, rounding) * scale))
            warn_once(
                "jitter",
                f"the {len(matrix)} functions of the references have numerical rank {rank}; a "
                f"relative jitter of {jitter:.0e} was added. Fewer references (n_sparse, "
                "n_directions) would do as well.",
                NumericalWarning,
            )
        return factor, jitter
    raise NumericalError(
        "the kernel matrix of the references is not positive definite: the kernel is not a "
        "covariance, or its values span too many orders of magnitude."
    )


def inverse_diagonal(factor: FloatArray, step: int = 256) -> FloatArray:
    """Return the diagonal of the inverse of L L^T, computed from a few columns of L^-1 at a time.

    Parameters
    ----------
    factor : ndarray of shape (n, n)
        L, lower triangular.
    step : int, default=256
        Number of columns held at a time.

    Returns
    -------
    ndarray of shape (n,)
    """
    n = len(factor)
    diagonal = np.empty(n)
    for begin in range(0, n, step):
        end = min(n, begin + step)
        # Rows above are zero. But a part of a triangle is copied, so leave out half at least.
        top = begin if 2 * begin > n else 0
        columns = np.eye(n - top, end - begin, k=top - begin)
        inverse = solve_triangular(factor[top:, top:], columns, lower=True, check_finite=False)
        diagonal[begin:end] = np.sum(inverse**2, axis=0)
    return diagonal
