"""What a query is asked: which structures have labels, and which ones may be chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data import AtomicFeatures, Targets, taken_of
from ..exceptions import InputError, InputTypeError

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import IntArray


def labeled_of(X: Any, y: Any) -> tuple[IntArray, Targets | None]:
    """Return which structures of X have labels, and these labels."""
    if y is None or not len(X):
        return np.zeros(0, dtype=np.int64), None
    if not isinstance(y, Targets):
        values = np.asarray(y, dtype=float)
        y = Targets([None if np.isnan(v) else v for v in values] if values.ndim == 1 else values)
    if len(y) != len(X):
        raise InputError(f"X has {len(X)} structures but y has labels of {len(y)}.")
    labeled = np.flatnonzero(y.has_energy | y.has_forces | y.has_stress)
    return labeled, y[labeled]


def candidates_of(X: Any, labeled: IntArray, candidates: Any) -> tuple[Any, IntArray]:
    """Return the candidates, and what their indices mean to the user."""
    if candidates is None:
        place = np.setdiff1d(np.arange(len(X)), labeled)
        asked = taken_of(X, place)
    elif isinstance(candidates, list | tuple) and not len(candidates):
        raise InputError("there are no candidates: the list is empty.")
    elif isinstance(candidates, AtomicFeatures) or _are_structures(candidates):
        asked, place = candidates, np.arange(len(candidates))
    else:
        place = np.asarray(candidates)
        if place.ndim != 1 or place.dtype.kind not in "iu":
            raise InputTypeError(
                "candidates must be structures, AtomicFeatures, or indices of X, got "
                f"{type(candidates).__name__}."
            )
        wrong = place[(place < 0) | (place >= len(X))]
        if len(wrong):
            raise InputError(f"candidates has the index {wrong[0]} but X has {len(X)} structures.")
        asked = taken_of(X, place)
    if not len(asked):
        raise InputError("there are no candidates: every structure of X is labeled already.")
    return asked, place


def _are_structures(candidates):
    first = next(iter(candidates), None) if hasattr(candidates, "__iter__") else None
    return hasattr(first, "get_positions")


def joined(old: Any, new: Any) -> Any:
    """Return structures, or features, one after the other."""
    if isinstance(new, AtomicFeatures) and len(old):
        return np.concatenate([old, new])
    return [*old, *new] if len(old) else new
