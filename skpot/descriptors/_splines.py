"""What the descriptors made of B-splines share: knots, and penalties on second differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from ..exceptions import ParameterError

if TYPE_CHECKING:
    from typing import Any

    from scipy.sparse import csr_array

    from skpot.typing import IntArray

ABSENT, OPEN = -2, -1  # in place of a column: there is none; its coefficient is zero

_CLOSEST = 1e-3  # Å, of knots: splines between closer ones are steps


def knot_spacing(hypers: dict[str, Any]) -> float:
    """Return the distance of the knots in Å; refuse a range that is empty."""
    cutoff, r_min, n_splines = (hypers[name] for name in ("cutoff", "r_min", "n_splines"))
    if r_min >= cutoff:
        raise ParameterError(
            f"r_min={r_min} Å is not below cutoff={cutoff} Å; "
            "choose it near the shortest distance between atoms."
        )
    spacing = (float(cutoff) - float(r_min)) / int(n_splines)
    if spacing < _CLOSEST:
        raise ParameterError(
            f"n_splines={n_splines} between r_min={r_min} Å and cutoff={cutoff} Å put knots "
            f"{spacing:.2g} Å apart; they must be {_CLOSEST} Å apart at least."
        )
    return spacing


def second_differences(columns: IntArray, axis: int) -> IntArray:
    """Return the triples of columns, shape (n_differences, 3), that follow each other on an axis.

    `columns` is an array of the column of each coefficient, `ABSENT` or `OPEN`.
    """
    length = columns.shape[axis]
    shifted = [np.take(columns, range(k, length - 2 + k), axis).ravel() for k in range(3)]
    triples = np.stack(shifted, axis=1)
    return triples[(triples != ABSENT).all(axis=1) & (triples >= 0).any(axis=1)]


def difference_penalty(groups: list[IntArray], n_features: int) -> csr_array:
    """Return D' D of the second differences of coefficients, as a CSR array."""
    triples = np.concatenate(groups)
    weights = np.tile([1.0, -2.0, 1.0], (len(triples), 1))
    rows = np.repeat(np.arange(len(triples)), 3).reshape(-1, 3)
    held = triples >= 0
    difference = sp.csr_array(
        (weights[held], (rows[held], triples[held])), shape=(len(triples), n_features)
    )
    return sp.csr_array(difference.T @ difference)
