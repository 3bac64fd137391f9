"""Partial Cholesky factors of matrices whose columns are made on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import lapack, solve_triangular

from ._triangular import refuse_not_finite

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.typing import FloatArray, IntArray

_BLOCKS = 10  # in which columns are drawn; more of them choose better and pass over data more often


def pivoted_columns(
    diagonal: FloatArray,
    columns_of: Callable[..., Any],
    n: int,
    rng: np.random.Generator,
    *,
    floor: float = 0.0,
    worth: Callable[..., Any] | None = None,
) -> tuple[FloatArray, IntArray]:
    r"""Return columns F with :math:`F F^T \approx A` for a positive semi-definite matrix A.

    Pivots are drawn in blocks, with probabilities in proportion to what is left of the diagonal,
    :math:`d_i = A_{ii} - \sum_k F_{ik}^2`, so that every part of A that is large has its columns.
    Those whose rest is below `floor` once the others of the block are taken off are dropped, and
    the factor ends with the block after which the mean rest is below.

    Parameters
    ----------
    diagonal : ndarray of shape (N,)
        Diagonal of A.
    columns_of : callable
        ``columns_of(pivots)`` returns the columns of A at ascending indices, shape (N, n_pivots).
    n : int
        Most columns.
    rng : numpy.random.Generator
        Draws the pivots.
    floor : float, default=0.0
        Rest of the diagonal that is not worth a column.
    worth : callable, optional
        ``worth(before, after, size)`` says whether to go on, given the mean rest before and after a
        block and how many columns the next one would have.

    Returns
    -------
    columns : ndarray of shape (N, m)
        The matrix F, with m at most n.
    pivots : ndarray of int of shape (m,)
        Rows of A that F makes exact, in the order of the columns.

    References
    ----------
    Y. Chen, E. N. Epperly, J. A. Tropp, R. J. Webber, Commun. Pure Appl. Math. 78, 995 (2025);
    of blocks without near copies, Y. Dong, C. Chen, P.-G. Martinsson, K. Pearce, arXiv:2309.16002.

    Examples
    --------
    >>> import numpy as np
    >>> from skpot.solvers import pivoted_columns
    >>> A = np.diag([4.0, 1.0, 0.0])
    >>> rng = np.random.default_rng(0)
    >>> columns, pivots = pivoted_columns(np.diag(A), lambda some: A[:, some], 3, rng)
    >>> bool(np.allclose(columns @ columns.T, A)), sorted(pivots.tolist())
    (True, [0, 1])
    """
    rest = np.array(diagonal, dtype=float)
    refuse_not_finite(rest, "the variance of the labels")
    rounding = np.finfo(float).eps * len(rest) * rest.max(initial=0.0)
    least = max(float(floor), rounding)
    n = min(int(n), len(rest))
    columns, pivots, m = np.zeros((len(rest), n)), [np.empty(0, dtype=np.int64)], 0
    step = max(1, -(-n // _BLOCKS))
    while m < n:
        rest[rest < rounding] = 0.0
        alive = int(np.count_nonzero(rest))
        if not alive or (m and rest.mean() < least):
            break
        size = min(step, n - m, alive)
        drawn = np.sort(rng.choice(len(rest), size, replace=False, p=rest / rest.sum()))
        block = columns_of(drawn) - columns[:, :m] @ columns[drawn, :m].T
        factor, order, rank, _ = lapack.dpstrf(block[drawn], tol=least, lower=1)
        order = order[:rank] - 1
        rest[np.setdiff1d(drawn, drawn[order])] = 0.0  # nothing is left of them
        if rank:
            factor = factor[:rank, :rank]
            new = solve_triangular(factor, block[:, order].T, lower=True, check_finite=False).T
            columns[:, m : m + rank] = new
            pivots.append(drawn[order])
            before = rest.mean()
            rest -= np.minimum(rest, np.sum(new**2, axis=1))
            rest[drawn[order]] = 0.0
            m += rank
            if worth and not worth(before, rest.mean(), min(step, n - m)):
                break
    return columns[:, :m], np.concatenate(pivots)
