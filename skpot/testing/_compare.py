"""Comparisons that say what differs, where and by how much; ways to run code serially."""

from __future__ import annotations

import contextlib
import copy
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from skpot.typing import Atoms, IntArray, Structures

EXACT = 1e-10  # for what should agree up to the order of summation
GEOMETRIC = 1e-8  # for equivalent geometries, whose coordinates differ by rounding


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

    Element-wise relative errors mean nothing for components that vanish by symmetry.
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
    """Prefix assertion errors, and turn other exceptions into them, with the property's name."""
    place = name if structure is None else f"{name}, structure {structure}"
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"[{place}] {error}") from None
    except Exception as error:
        raise AssertionError(f"[{place}] raised {type(error).__name__}: {error}") from error


def serially(function: Callable[..., Any]) -> Any:
    """Call in a thread of its own, where skpot's kernels run on one thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def uncached(estimator: BaseEstimator) -> BaseEstimator:
    """Return a copy that computes every descriptor anew."""
    estimator = copy.deepcopy(estimator)
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "cache"]
    return estimator.set_params(**dict.fromkeys(names, False))


def frozen(structures: Structures) -> list[Atoms]:
    """Return copies whose arrays cannot be written to."""
    copies = [atoms.copy() for atoms in structures]
    for atoms in copies:
        for array in (*atoms.arrays.values(), atoms.cell.array, atoms.pbc):
            array.flags.writeable = False
    return copies


def shuffled(n: int, rng: np.random.Generator) -> IntArray:
    """Return a random order of some of n items, at least two where there are two."""
    return rng.permutation(n)[: max(2, n - 1)]
