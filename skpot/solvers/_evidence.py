"""Strength of a ridge penalty by maximum marginal likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import svd
from scipy.optimize import minimize_scalar

from ._triangular import refuse_not_finite

if TYPE_CHECKING:
    from skpot.typing import FloatArray

_GRID = 200  # strengths to try before the best is refined, since there may be several maxima


class Evidence(NamedTuple):
    """The strength of a penalty, and the noise and likelihood that go with it."""

    alpha: float
    noise_scale: float  # factor by which all noise levels are multiplied
    log_likelihood: float  # of the rows, without the constant from their noise levels


def maximize_evidence(trapezoid: FloatArray, n_rows: float) -> Evidence:
    r"""Return the strength of a ridge penalty that makes the data most likely.

    For rows :math:`y = A x + \epsilon` with noise :math:`\tau^2` and coefficients of prior variance
    :math:`\tau^2 / \alpha`, and the singular value decomposition :math:`A = U S V^T`,

    .. math::

        \log p(y) = -\tfrac12 \Big[ \sum_i \log(1 + s_i^2/\alpha) + n \log 2\pi\tau^2
            + Q(\alpha) / \tau^2 \Big], \qquad
        Q(\alpha) = |y|^2 - |U^T y|^2 + \sum_i \frac{\alpha\,(U^T y)_i^2}{\alpha + s_i^2}

    which is largest for :math:`\tau^2 = Q/n`. This leaves a function of :math:`\alpha` alone. The
    triangular factor is decomposed instead of A, with the same result.

    Parameters
    ----------
    trapezoid : ndarray of shape (k, m + 1)
        See `TriangularFactor.trapezoid`.
    n_rows : float
        Number of rows n, or the sum of their weights if rows were scaled to count several times.

    Returns
    -------
    Evidence

    References
    ----------
    D. J. C. MacKay, Neural Comput. 4, 415 (1992).

    Examples
    --------
    >>> import numpy as np
    >>> from skpot.solvers import TriangularFactor, maximize_evidence
    >>> rng = np.random.default_rng(0)
    >>> A = rng.normal(size=(4000, 50))
    >>> y = A @ rng.normal(scale=0.5, size=50) + rng.normal(scale=2.0, size=4000)
    >>> factor = TriangularFactor(np.zeros((50, 50)))
    >>> factor.fold(np.column_stack([A, y]))
    >>> found = maximize_evidence(factor.trapezoid, 4000)
    >>> bool(abs(found.noise_scale - 2.0) < 0.1), bool(abs(found.alpha - 16.0) < 5.0)
    (True, True)
    """
    refuse_not_finite(trapezoid, "the least-squares system")
    rows, target = trapezoid[:, :-1], trapezoid[:, -1]
    left, singular, _ = svd(rows, full_matrices=False)
    along = (left.T @ target) ** 2
    squared = singular**2
    rest = max(0.0, float(target @ target - along.sum()))
    tiny = np.finfo(float).tiny

    def spread(log_alpha):
        alpha = np.exp(log_alpha)
        return rest + np.sum(along * (alpha / (alpha + squared)))

    def cost(log_alpha):
        determinant = np.sum(np.log1p(squared * np.exp(-log_alpha)))
        return 0.5 * (determinant + n_rows * np.log(max(spread(log_alpha), tiny) / n_rows))

    top = np.log(max(squared.max(initial=0.0), tiny))
    grid = np.linspace(top - 36.0, top + 12.0, _GRID)
    best = grid[np.argmin([cost(g) for g in grid])]
    step = grid[1] - grid[0]
    found = minimize_scalar(cost, bounds=(best - step, best + step), method="bounded").x
    found = min((found, best), key=cost)
    scale = np.sqrt(max(spread(found), tiny) / n_rows)
    likelihood = -cost(found) - 0.5 * n_rows * (1.0 + np.log(2.0 * np.pi))
    return Evidence(float(np.exp(found)), float(scale), float(likelihood))
