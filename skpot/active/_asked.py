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
    if y is None:
        return np.zeros(0, dtype=np.int64), None
    if not isinstance(y, Targets):
        try:
            values = np.asarray(y, dtype=float)
        except (TypeError, ValueError) as error:
            raise InputTypeError(
                f"y must be Targets, or an array of energies (eV), got {type(y).__name__}: {error}"
            ) from error
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
        place = _indices(candidates)
        wrong = place[(place < 0) | (place >= len(X))]
        if len(wrong):
            raise InputError(f"candidates has the index {wrong[0]} but X has {len(X)} structures.")
        asked = taken_of(X, place)
    if not len(asked):
        raise InputError("there are no candidates: every structure of X is labeled already.")
    return asked, place


def _are_structures(candidates):
    is_list = hasattr(candidates, "__iter__") and not hasattr(candidates, "__next__")
    return is_list and hasattr(next(iter(candidates), None), "get_positions")


def _indices(candidates):
    """Return candidates that are indices as an array."""
    name = type(candidates).__name__
    told = f"got {name}"
    try:
        found = np.asarray(candidates)
    except ValueError:  # of rows of different lengths
        found = np.empty(1, dtype=object)
    if hasattr(candidates, "__next__"):
        told = f"got a {name}, which can be gone through only once: pass list(candidates)"
    elif hasattr(candidates, "get_positions"):
        told = f"got a single structure ({candidates.symbols}): put it in a list"
    elif isinstance(candidates, str):
        told = f"got the text {candidates!r}: read structures with skpot.read(path) first"
    elif found.dtype.kind == "b":
        told = f"got a mask of {found.size} booleans: pass np.flatnonzero(mask)"
    elif found.ndim == 1 and found.dtype.kind in "iu":
        return found
    elif found.dtype.kind in "iufc":
        told = f"got numbers of shape {found.shape} and type {found.dtype.name}"
    raise InputTypeError(f"candidates must be structures, AtomicFeatures, or indices of X, {told}.")


def joined(old: Any, new: Any) -> Any:
    """Return structures, or features, one after the other."""
    if isinstance(new, AtomicFeatures) and len(old):
        return np.concatenate([old, new])
    return [*old, *new] if len(old) else new
