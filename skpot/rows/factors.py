"""Triangular factors of the kinds of labels, and how much of a fit each kind determines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import lapack, solve_triangular

from ..data import LABEL_KINDS
from ..progress import tell
from ..solvers import TriangularFactor

if TYPE_CHECKING:
    from skpot.typing import FloatArray


def empty_factor(m: int) -> TriangularFactor:
    """Return a factor without rows for m coefficients."""
    return TriangularFactor(np.zeros((m, m)))


class FitFactor:
    """The factor of a fit; rows of less frequent kinds of labels have factors of their own too.

    Parameters
    ----------
    factor : TriangularFactor
        Begins with the prior, or where an earlier fit has ended.
    main : str or None
        The kind of label whose rows go into it at once; None to keep all apart until the end.
    """

    def __init__(self, factor: TriangularFactor, main: str | None) -> None:
        self.factor = factor
        self.main = main
        self._few = {}  # rows as they come, as long as they are fewer than columns
        self._many = {}  # then their factors

    def fold(self, kind: str, rows: FloatArray) -> None:
        """Fold in rows of one kind; see `TriangularFactor.fold`."""
        if kind == self.main:
            self.factor.fold(rows)
        elif kind in self._many:
            self._many[kind].fold(rows)
        else:
            few = self._few.setdefault(kind, [])
            few.append(rows)
            if sum(map(len, few)) > rows.shape[1]:
                self._many[kind] = empty_factor(rows.shape[1] - 1)
                self._many[kind].fold(np.concatenate(self._few.pop(kind)))

    def merge(self, kind: str, trapezoid: FloatArray) -> None:
        """Fold in the trapezoid of rows of one kind."""
        if kind == self.main:
            self.factor.merge(trapezoid)
        else:
            self.fold(kind, trapezoid)

    def trapezoids(self) -> dict[str, FloatArray]:
        """Return those of the kinds kept apart."""
        few = {kind: np.linalg.qr(np.concatenate(r), mode="r") for kind, r in self._few.items()}
        return few | {kind: factor.trapezoid for kind, factor in self._many.items()}

    def close(
        self, before: dict[str, FloatArray], apart: dict[str, FloatArray] | None = None
    ) -> dict[str, FloatArray]:
        """Fold in the kinds kept apart; return their trapezoids with those from before.

        `apart` has the trapezoids to use in place of `trapezoids()`.
        """
        kept = dict(before)
        for kind, trapezoid in (self.trapezoids() if apart is None else apart).items():
            self.factor.merge(trapezoid)
            if kind in before:
                factor = empty_factor(trapezoid.shape[1] - 1)
                factor.merge(before[kind])
                factor.merge(trapezoid)
                trapezoid = factor.trapezoid
            kept[kind] = trapezoid
        return kept


def determined(
    posterior: FloatArray, apart: dict[str, FloatArray], main: str, prior: float = 1.0
) -> dict[str, float]:
    r"""Return how many coefficients each kind of label determines.

    With rows :math:`A_t` of label kind t, divided by their noise, and a multiple of the unit
    matrix as prior, :math:`R^T R = \alpha + \sum_t A_t^T A_t`. The trace of the hat matrix,
    restricted to a kind, is

    .. math:: \gamma_t = \mathrm{tr}\, A_t (R^T R)^{-1} A_t^T = |R_t R^{-1}|^2,
              \qquad \sum_t \gamma_t = m - \alpha |R^{-1}|^2

    where :math:`R_t` is the factor of :math:`A_t`: the number of well-determined parameters of
    D. J. C. MacKay, Neural Comput. 4, 415 (1992), divided among the labels.

    Parameters
    ----------
    posterior : ndarray of shape (m, m)
        The upper triangle R.
    apart : dict of str to ndarray of shape (k, m + 1)
        Trapezoids of all kinds but one.
    main : str
        That one.
    prior : float, default=1.0
        The multiple.

    Returns
    -------
    dict of str to float
        By kind, in the order energy, forces, stress.
    """
    m = len(posterior)
    gamma = {
        kind: _squared(solve_triangular(posterior, rows[:, :m].T, trans="T"))
        for kind, rows in apart.items()
    }
    inverse, _ = lapack.dtrtri(posterior)
    total = m - prior * _squared(np.triu(inverse))
    gamma[main] = max(0.0, total - sum(gamma.values()))
    return {kind: gamma[kind] for kind in LABEL_KINDS if kind in gamma}


def shares(gamma: dict[str, float], verbose: int = 0) -> dict[str, float]:
    """Return each kind's part of all coefficients that are determined, and tell it."""
    total = sum(gamma.values())
    parts = {kind: value / total if total else 0.0 for kind, value in gamma.items()}
    text = ", ".join(f"{kind} {part:.1%}" for kind, part in parts.items())
    tell(f"labels determine {total:.1f} coefficients: {text}", verbose)
    return parts


def _squared(matrix):
    return float(np.sum(matrix**2))
