r"""When a run asks for a label: deviations of forces, corrected by the errors seen so far.

With the deviations :math:`s_i` of the forces on atoms, u is the error that is expected of the worst
one,

.. math:: u = f\, \max_i |s_i|, \qquad
    \ln f = \frac{3 \ln 2 + \sum_{k=1}^{n} \ln (e_k / s_k)}{3 + n}, \quad f \ge 1

where :math:`e_k` is the largest error of a force in each of the last n <= 10 structures that were
labeled, and :math:`s_k` the largest deviation that was predicted for it: a mean of logarithms with
a factor of two as the prior, worth three labels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_PRIOR, _WEIGHT = 2.0, 3.0  # factor before any error is known, and how many labels it is worth
_LAST = 10  # labels that count
_RATIOS = (1e-2, 1e2)  # beyond which an error says nothing of the next
_NOTHING = 1e-6  # eV/Å


class Rule(NamedTuple):
    """Limits of the expected error u, in eV/Å."""

    tol: float  # what is tolerated
    ceiling: float  # above it, structures are not physical and are not labeled

    def verdict(self, expected: float) -> str:
        """Return "trusted", "collect", "label" or "beyond"."""
        if expected <= self.tol:
            return "trusted"
        if expected <= 2.0 * self.tol:
            return "collect"
        return "label" if expected <= self.ceiling else "beyond"  # NaN is beyond


def factor(ratios: Sequence[float]) -> float:
    """Return f from errors over deviations, the last one last."""
    last = list(ratios)[-_LAST:]
    logarithm = _WEIGHT * math.log(_PRIOR) + sum(map(math.log, last))
    return max(1.0, math.exp(logarithm / (_WEIGHT + len(last))))


def ratio(error: float, deviation: float) -> float:
    """Return an error over its deviation, within bounds."""
    low, high = _RATIOS
    return min(high, max(low, max(error, _NOTHING) / max(deviation, _NOTHING)))
