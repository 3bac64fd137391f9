"""Comparisons that say what differs, where and by how much, and ways to run code for them."""

from __future__ import annotations

import contextlib
import copy
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, TypeAlias

    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    Check: TypeAlias = Callable[..., None]

EXACT = 1e-10  # tolerance for results that differ only in the order of sums
GEOMETRIC = 1e-8  # tolerance for equivalent geometries, whose coordinates differ by rounding


def compare(
    what: str,
    actual: ArrayLike,
    desired: ArrayLike,
    *,
    rtol: float,
    atol: float = 0.0,
    scale: float | None = None,
) -> None:
    """Raise unless two arrays agree within rtol of the largest desired magnitude, plus atol.

    Relative errors of single elements would be meaningless where these vanish by symmetry.
    """
    actual, desired = np.asarray(actual, float), np.asarray(desired, float)
    if actual.shape != desired.shape:
        raise AssertionError(f"{what}: shapes {actual.shape} and {desired.shape} differ")
    for name, array in (("first", actual), ("second", desired)):
        if not np.isfinite(array).all():
            raise AssertionError(f"{what}: the {name} has NaN or infinite values")
    if actual.size == 0:
        return
    error = np.abs(actual - desired)
    scale = np.abs(desired).max() if scale is None else scale
    if error.max() > rtol * scale + atol:
        place = tuple(int(k) for k in np.unravel_index(np.argmax(error), error.shape))
        raise AssertionError(
            f"{what}: {actual[place]:.10g} against {desired[place]:.10g} at index {place}; the "
            f"difference {error.max():.2e} exceeds {rtol:g} x {scale:.3g} + {atol:g}"
        )


@contextlib.contextmanager
def property_named(name: str, structure: Any = None) -> Iterator[None]:
    """Turn all exceptions into assertion errors that begin with the name of the property."""
    place = name if structure is None else f"{name}, structure {structure}"
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"[{place}] {error}") from None
    except Exception as error:
        raise AssertionError(f"[{place}] raised {type(error).__name__}: {error}") from error


def selected(properties: dict[str, Check], skip: Sequence[str]) -> dict[str, Check]:
    """Return the checks of properties without those to skip; refuse unknown names."""
    unknown = set(skip) - set(properties)
    if unknown:
        raise InputError(f"unknown properties {sorted(unknown)}; known: {sorted(properties)}")
    return {name: check for name, check in properties.items() if name not in skip}


def serially(function: Callable[..., Any]) -> Any:
    """Call the function in a new thread, in which compiled functions of skpot use one thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def uncached(estimator: BaseEstimator) -> BaseEstimator:
    """Return a copy that computes every descriptor anew."""
    estimator = copy.deepcopy(estimator)
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "cache"]
    return estimator.set_params(**dict.fromkeys(names, False))
