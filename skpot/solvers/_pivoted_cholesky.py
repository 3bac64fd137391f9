"""Partial Cholesky factors of matrices whose columns are computed when they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import lapack, solve_triangular

from ._triangular import refuse_not_finite

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.typing import FloatArray, IntArray

_N_BLOCKS = 10  # columns are drawn in so many blocks; more choose better but take more passes


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
    Pivots whose remainder is below `floor` once the others of their block are subtracted are
    dropped. The factor ends with the block after which the mean remainder is below `floor`.

    Parameters
    ----------
    diagonal : ndarray of shape (N,)
        Diagonal of A.
    columns_of : callable
        ``columns_of(pivots)`` returns the columns of A at ascending indices, shape (N, n_pivots).
    n : int
        Largest number of columns.
    rng : numpy.random.Generator
        Draws the pivots.
    floor : float, default=0.0
        A pivot with a smaller remainder of the diagonal gets no column.
    worth : callable, optional
        ``worth(pivots, remaining, before, after, size, held)`` returns whether to go on, given the
        pivots that were drawn for a block, their columns (N, n_pivots) less what the blocks before
        explain of them, the remainder of the diagonal before and after the block, the number of
        columns of the next one, and of those that there are.

    Returns
    -------
    columns : ndarray of shape (N, m)
        The matrix F, with m at most n.
    pivots : ndarray of int of shape (m,)
        Rows of A that F makes exact, in the order of the columns.

    References
    ----------
    Y. Chen, E. N. Epperly, J. A. Tropp, R. J. Webber, Commun. Pure Appl. Math. 78, 995 (2025);
    for blocks without near copies, Y. Dong, C. Chen, P.-G. Martinsson, K. Pearce, arXiv:2309.16002.

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
    remainder = np.array(diagonal, dtype=float)
    refuse_not_finite(remainder, "the variance of the labels")
    rounding = np.finfo(float).eps * len(remainder) * remainder.max(initial=0.0)
    least = max(float(floor), rounding)
    n = min(int(n), len(remainder))
    columns, pivots, m = np.zeros((len(remainder), n)), [np.empty(0, dtype=np.int64)], 0
    step = max(1, -(-n // _N_BLOCKS))
    while m < n:
        remainder[remainder < rounding] = 0.0
        alive = int(np.count_nonzero(remainder))
        if not alive or (m and remainder.mean() < least):
            break
        size = min(step, n - m, alive)
        drawn = np.sort(
            rng.choice(len(remainder), size, replace=False, p=remainder / remainder.sum())
        )
        block = columns_of(drawn) - columns[:, :m] @ columns[drawn, :m].T
        factor, order, rank, _ = lapack.dpstrf(block[drawn], tol=least, lower=1)
        order = order[:rank] - 1
        before = remainder.copy()
        remainder[np.setdiff1d(drawn, drawn[order])] = 0.0  # the others of the block explain these
        if rank:
            factor = factor[:rank, :rank]
            new = solve_triangular(factor, block[:, order].T, lower=True, check_finite=False).T
            columns[:, m : m + rank] = new
            pivots.append(drawn[order])
            remainder -= np.minimum(remainder, np.sum(new**2, axis=1))
            remainder[drawn[order]] = 0.0
            m += rank
            size = min(step, n - m)
            if worth and not worth(drawn, block, before, remainder, size, m):
                break
    return columns[:, :m], np.concatenate(pivots)
