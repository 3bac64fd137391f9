"""Bounds of parameters: beyond them lie typing errors, other units than Å, or too many features."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

from .._sklearn import Interval
from ..data.elements import atomic_number
from ..exceptions import ParameterError

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import IntArray, Species

LENGTH = [Interval(Real, 0, 100, closed="right")]  # Å
LENGTH_OR_ZERO = [Interval(Real, 0, 100, closed="both")]  # Å
COMMON = {  # parameters of all descriptors of neighborhoods
    "species": ["array-like", None],
    "cache": ["boolean"],
}
_MOST_FEATURES = 10**7  # 80 MB for each atom


def count(lowest: float, highest: float) -> list[Interval]:
    """Return the constraint of a number of things."""
    return [Interval(Integral, lowest, highest, closed="both")]


def between(lowest: float, highest: float) -> list[Interval]:
    """Return the constraint of a number within bounds, these included."""
    return [Interval(Real, lowest, highest, closed="both")]


def refuse_width(n_features: int, because: str) -> None:
    """Raise `ParameterError` if there are more columns than memory holds for many atoms."""
    if n_features > _MOST_FEATURES:
        raise ParameterError(
            f"{because} make {n_features:.2g} features of each atom; at most {_MOST_FEATURES:.0g} "
            "are allowed. Lower one of these numbers."
        )


def named_species(species: Species) -> IntArray:
    """Return ascending atomic numbers of species given by symbol or number."""
    if isinstance(species, str | dict) or np.ndim(species) != 1 or not len(species):
        raise ParameterError(
            f"species={species!r} must be a list of chemical symbols or atomic numbers, such as "
            '["H", "O"], and not empty.'
        )
    return np.unique([atomic_number(s) for s in species])


def number_for(name: str, key: Any, value: Any, lowest: float, highest: float) -> float:
    """Return a value of a dictionary as a float; refuse what is no number within bounds."""
    plain = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not plain or not lowest <= value <= highest:
        raise ParameterError(
            f"{name} has {value!r} for {key!r}: it must be a number from {lowest:g} to {highest:g}."
        )
    return float(value)
