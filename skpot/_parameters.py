"""Checks of single parameters, with the same message for the same mistake everywhere."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

from .exceptions import InputTypeError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


def number(
    name: str,
    value: Any,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    unit: str = "",
) -> float:
    """Return a finite number as a float; refuse others.

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : object
        The value that was passed.
    low, high : float, optional
        Smallest and largest value allowed.
    above : float, optional
        The number must be larger.
    unit : str
        Unit, for the message.
    """
    if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        raise InputTypeError(f"{name} must be a number, got {value!r} ({type(value).__name__}).")
    try:
        sound = math.isfinite(value)
    except OverflowError:  # an integer of some hundred digits
        sound = False
    sound &= low is None or value >= low
    sound &= above is None or value > above
    sound &= high is None or value <= high
    if not sound:
        bounds = [
            f"{text} {bound:g}"
            for text, bound in (("at least", low), ("above", above), ("at most", high))
            if bound is not None
        ]
        wanted = " and ".join(["finite", *bounds]) + (f" ({unit})" if unit else "")
        raise ParameterError(f"{name} must be {wanted}, got {value!r}.")
    return float(value)


def whole(name: str, value: Any, low: int | None = None, high: int | None = None) -> int:
    """Return an integer as an int; refuse others. See `number`."""
    if not isinstance(value, Integral) or isinstance(value, bool | np.bool_):
        raise InputTypeError(
            f"{name} must be a whole number, got {value!r} ({type(value).__name__})."
        )
    number(name, value, low=low, high=high)
    return int(value)


def flag(name: str, value: Any) -> bool:
    """Return True or False; refuse others, such as the text "no", which counts as true."""
    if not isinstance(value, bool | np.bool_):
        raise InputTypeError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def choice(name: str, value: Any, known: Iterable[str]) -> str:
    """Return a name that is among the known ones; refuse others."""
    if not isinstance(value, str) or value not in known:
        raise ParameterError(f"{name} must be one of {tuple(known)}, got {value!r}.")
    return value
