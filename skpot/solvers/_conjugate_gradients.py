"""Conjugate gradients for matrices of which only products with vectors are known."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from ..exceptions import NumericalError, NumericalWarning
from ._triangular import jittered_cholesky, refuse_not_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from skpot.typing import FloatArray, IntArray

_REPLACE = 25  # iterations after which the residual is computed anew, without rounding errors
_RISE = 1e-3  # relative rise of the quadratic form beyond which rounding has spoiled it
_GROWTH = 1e3  # factor over the smallest residual from which no iteration ever recovered
_DROP = 0.1  # of the residual, after which errors of rough products are taken out of it
_ROUNDED = 1.1  # of the residual over the updated one, where rounding makes itself felt
_APART = 2.0  # of the residual over the updated one, beyond which directions are of no more use


class Solution(NamedTuple):
    """The result of the iteration."""

    x: np.ndarray
    residual: float  # |b - A x| / |b|, computed from x; or what `size` says
    n_iter: int
    converged: bool
    remainder: np.ndarray  # b - A x


class DivergenceError(NumericalError):
    """Rounding has made the matrix not positive definite; the message says how it was noticed."""


def gram_factor(gram: FloatArray) -> FloatArray:
    """Return the upper triangle R with R^T R = gram, which rounding may have made indefinite."""
    with warnings.catch_warnings():
        # Jitter only makes a slightly worse preconditioner, which is no reason for a warning.
        warnings.simplefilter("ignore", NumericalWarning)
        return jittered_cholesky(gram, 1e-16)[0].T


class LowRankInverse:
    r"""Inverse of :math:`B + \Phi \Phi^T` with a matrix B of blocks, by the Woodbury identity.

    With the factors :math:`B = L L^T` and :math:`W = L^{-1} \Phi` it is

    .. math:: (B + \Phi \Phi^T)^{-1} = L^{-T} [1 - W (1 + W^T W)^{-1} W^T] L^{-1}

    Parameters
    ----------
    columns : ndarray of shape (n, m)
        The matrix :math:`\Phi`, with m < n. The inverse takes its memory over.
    blocks : iterable of (ndarray of int, ndarray), default=()
        Rows, and the block of B that belongs to them; no row is in two of them. Of other rows B is
        the unit matrix.

    Attributes
    ----------
    columns : ndarray of shape (n, m)
        The matrix W.
    factor : ndarray of shape (m, m)
        Upper triangle R with :math:`R^T R = 1 + W^T W`.
    """

    def __init__(
        self, columns: FloatArray, blocks: Iterable[tuple[IntArray, FloatArray]] = ()
    ) -> None:
        self.columns = columns
        self._roots = []  # rows and the inverse of L, for each block
        for rows, block in blocks:
            root = solve_triangular(gram_factor(block), np.eye(len(rows)), trans="T")
            self._roots.append((rows, root))
            columns[rows] = root @ columns[rows]
        gram = columns.T @ columns
        gram[np.diag_indices_from(gram)] += 1.0
        self.factor = gram_factor(gram)

    @contextmanager
    def without(self, rows: IntArray) -> Iterator[None]:
        """Be the inverse of the same matrix where some rows are those of the unit matrix.

        They are whole blocks and rows that are in none.
        """
        whole = self.factor, self._roots, self.columns[rows]
        self.factor = gram_factor(self.factor.T @ self.factor - whole[2].T @ whole[2])
        self._roots = [root for root in self._roots if not np.isin(root[0][0], rows)]
        self.columns[rows] = 0.0
        try:
            yield
        finally:
            self.factor, self._roots, self.columns[rows] = whole

    def leverages(self, limit: int = 4096) -> FloatArray:
        """Return the diagonal of 1 minus the inverse, shape (n,), computed block by block."""
        single = np.ones(len(self.columns), dtype=bool)
        for rows, _ in self._roots:
            single[rows] = False
        single, out = np.flatnonzero(single), np.empty(len(self.columns))
        for part in (single[b : b + limit] for b in range(0, len(single), limit)):
            out[part] = np.sum(self._whitened(self.columns[part]) ** 2, axis=0)
        for rows, root in self._roots:
            explained = self._whitened(root.T @ self.columns[rows])
            out[rows] = 1.0 - np.sum(root**2, axis=0) + np.sum(explained**2, axis=0)
        return out

    def _whitened(self, rows):
        return solve_triangular(self.factor, rows.T, trans="T", check_finite=False)

    def __call__(self, x):
        """Return the inverse times x (n,)."""
        x = np.array(x, dtype=float)
        for rows, root in self._roots:
            x[rows] = root @ x[rows]
        x -= self.columns @ cho_solve((self.factor, False), self.columns.T @ x)
        for rows, root in self._roots:
            x[rows] = root.T @ x[rows]
        return x


def conjugate_gradients(
    product: Callable[..., Any],
    b: FloatArray,
    precondition: Callable[..., Any],
    *,
    tol: float,
    max_iter: int,
    rough: Callable[..., Any] | None = None,
    size: Callable[..., float] | None = None,
    report: Callable[..., Any] | None = None,
) -> Solution:
    r"""Solve A x = b for a symmetric matrix :math:`A \succeq 1`.

    The first step is along the solution of the preconditioner. Every few iterations and at the end
    the residual is computed from x, because the one that is updated in each step accumulates
    rounding errors. With rough products this is done each time it has become ten times smaller, so
    that their errors stay far below what is left; where the computed residual is far larger than
    the updated one, the iteration begins anew at x.

    Parameters
    ----------
    product : callable
        Returns A x.
    b : ndarray of shape (n,)
        Right-hand side.
    precondition : callable
        Returns approximately A^-1 x; symmetric and positive definite.
    tol : float
        End when :math:`|b - A x| \le` tol :math:`|b|`, or `size` says so.
    max_iter : int
        Most iterations.
    rough : callable, optional
        Returns nearly A x at less cost, such as in single precision, for directions. Where it is
        too rough, `product` takes its place.
    size : callable, optional
        Returns a number that is at most `tol` where a remainder b - A x is small enough; by default
        its norm over that of b.
    report : callable, optional
        Called with the iteration and its relative residual.

    Returns
    -------
    Solution
        With `converged` False if `max_iter` was reached first.

    Raises
    ------
    DivergenceError
        If values are not finite, if A is not positive along a direction, if the residual grows a
        thousandfold, or if the quadratic form rises, which it never does in exact arithmetic.

    References
    ----------
    M. R. Hestenes, E. Stiefel, J. Res. Natl. Bur. Stand. 49, 409 (1952); for refinement, N. J.
    Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed. (SIAM, 2002), chapter 12.

    Examples
    --------
    >>> import numpy as np
    >>> from skpot.solvers import conjugate_gradients
    >>> A = np.array([[2.0, 0.5], [0.5, 3.0]])
    >>> b = np.array([1.0, 2.0])
    >>> s = conjugate_gradients(lambda x: A @ x, b, lambda x: x / 2, tol=1e-12, max_iter=10)
    >>> s.converged, bool(np.allclose(A @ s.x, b))
    (True, True)
    """
    refuse_not_finite(b, "the right-hand side")
    size = size or partial(_over, np.linalg.norm(b))
    # Where little is left from the start on, one step is still far better than none.
    if not np.any(b) or size(b) == 0.0:
        return Solution(np.zeros_like(b), 0.0, 0, True, b)
    settings = precondition, tol, max_iter, size, report
    if rough is not None:
        try:
            return _iterate(product, rough, b, *settings)
        except DivergenceError:
            pass  # of the rough products, perhaps
    return _iterate(product, product, b, *settings)


def _iterate(product, rough, b, precondition, tol, max_iter, size, report):
    """Return the solution; see `conjugate_gradients`."""
    # Start from zeros, so that the first step scales the solution of the preconditioner. Where it
    # misses a large part of A, that solution is far worse than zeros.
    x, r = np.zeros_like(b), b
    p = precondition(r)
    best = last = size(r)
    lowest, stuck = 0.0, 0  # checks in a row where rounding kept the residual from being halved
    for n_iter in range(1, max_iter + 1):
        ap = rough(p)
        curvature, squared = p @ ap, p @ p
        # A - 1 is a covariance, so the curvature is at least 1 but for rounding.
        if not curvature > 0.5 * squared:
            raise DivergenceError(
                f"in iteration {n_iter} the matrix had the value {curvature / squared:.1e} along a "
                "unit vector, but should be at least 1"
            )
        # Both factors are what they are for any remainder, also one that was computed anew.
        step = (p @ r) / curvature
        x = x + step * p
        r = r - step * ap
        relative, anew = size(r), False
        done = relative <= tol or n_iter == max_iter
        worn = rough is not product and relative <= _DROP * last
        if done or worn or n_iter % _REPLACE == 0:
            r, updated = b - product(x), relative
            relative = size(r)
            lowest = _lowered(lowest, -0.5 * (x @ (b + r)), n_iter, relative)
            anew = relative > max(tol, _APART * updated)
            wrong = relative > _ROUNDED * updated  # else it is slow, and not for want of digits
            stuck = stuck + 1 if wrong and relative > max(tol, last / _APART) else 0
            if rough is not product and (stuck > 1 or (stuck and anew)):
                rough, anew = product, True  # rounding alone keeps it from growing smaller
            last = relative
        best = min(best, relative)
        if not relative <= _GROWTH * best:
            raise DivergenceError(
                f"in iteration {n_iter} the relative residual was {relative:.1e} after {best:.1e}"
            )
        if report:
            report(n_iter, relative)
        if relative <= tol or n_iter == max_iter:
            break
        z = precondition(r)
        p = z if anew else z - (z @ ap / curvature) * p
    return Solution(x, float(relative), n_iter, bool(relative <= tol), r)


def _over(norm, r):
    return np.linalg.norm(r) / norm


def _lowered(lowest, form, n_iter, relative):
    """Return the smaller one of values of the quadratic form x A x / 2 - b x, which is minimized.

    Raises
    ------
    DivergenceError
        If the later one, `form`, is larger by more than rounding explains.
    """
    if not form <= lowest + _RISE * abs(lowest):
        raise DivergenceError(
            f"in iteration {n_iter} the quadratic form to be minimized was {form:.6e} "
            f"but {lowest:.6e} before; the relative residual is {relative:.1e}"
        )
    return min(form, lowest)
