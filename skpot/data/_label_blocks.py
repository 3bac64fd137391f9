"""Labels, groups and noise of structures, from what users pass to arrays."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import LabelError
from ._checks import summarize

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from skpot.typing import BoolArray, FloatArray, IntArray

# Voigt order of ASE: xx yy zz yz xz xy
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def energies(values: Any) -> tuple[FloatArray, BoolArray]:
    """Return energies (n,), NaN where one is missing, and whether each is there (n,)."""
    plain = isinstance(values, np.ndarray) and not isinstance(values, np.ma.MaskedArray)
    if not hasattr(values, "__len__") or (isinstance(values, np.ndarray) and values.ndim != 1):
        raise LabelError(f"energy must be a sequence of numbers, got shape {np.shape(values)}")
    if plain and values.dtype.kind in "iuf":
        return values.astype(np.float64), np.ones(len(values), dtype=bool)
    numbers_ = _each(number, values, "energy")
    has = np.array([value is not None for value in numbers_], dtype=bool)
    return np.array([np.nan if v is None else v for v in numbers_], dtype=np.float64), has


def number(value: Any) -> float | None:
    """Return a real number as a float, or None for a value that means it is missing."""
    if isinstance(value, float):
        return float(value)
    if value is None or value is np.ma.masked or type(value).__name__ == "NAType":  # pandas.NA
        return None
    if isinstance(value, bool | np.bool_):
        raise LabelError(f"is {value}, not a number (ASE reads a name without a value as True)")
    if isinstance(value, str | bytes):
        raise LabelError(f"is {value!r}, not a number")
    if isinstance(value, numbers.Number):
        return _float(value)
    array = real_array(value)
    if array.size != 1:
        raise LabelError(f"has shape {array.shape}, not one number")
    return None if np.ma.is_masked(value) else float(array.reshape(()))


def _float(value):
    if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
        raise LabelError(f"is {value!r}, not a real number")
    try:
        return float(value)
    except OverflowError:
        raise LabelError("is an integer too large for a floating-point number") from None


def real_array(value: Any) -> FloatArray:
    """Return real numbers as an array of float64, NaN where they are masked or None."""
    array = np.ma.asarray(value) if isinstance(value, np.ma.MaskedArray) else _array(value)
    if array.dtype == object:
        odd = [v for v in array.ravel() if v is not None and not _is_real(v)]
        if odd:
            raise LabelError(f"has {odd[0]!r}, which is not a real number")
    elif array.dtype.kind not in "iuf":
        text = repr(value)
        raise LabelError(f"is {text if len(text) < 50 else array.dtype}, not real numbers")
    return np.ma.filled(array.astype(np.float64), np.nan)


def _array(value):
    try:
        return np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise LabelError(f"is not an array of numbers ({error})") from None


def _is_real(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _each(convert, values, name):
    """Convert the entries of all structures; one error names all that cannot be converted."""
    converted, problems = [], {}
    for i, value in enumerate(values):
        try:
            converted.append(convert(value))
        except LabelError as error:
            problems[i] = f"{name} {error}"
    if problems:
        raise LabelError(summarize(problems, len(values)))
    return converted


def segments(forces: Any, n: int) -> tuple[FloatArray, IntArray]:
    """Return forces (n_labeled_atoms, 3) and offsets (n + 1,)."""
    if forces is None:
        return np.empty((0, 3)), np.zeros(n + 1, dtype=np.int64)
    _same_number(forces, n, "arrays of forces")
    arrays = _each(_forces, forces, "forces")
    counts = np.array([0 if array is None else len(array) for array in arrays], dtype=np.int64)
    parts = [array for array in arrays if array is not None]
    flat = np.concatenate(parts) if parts else np.empty((0, 3))
    return flat, np.concatenate([[0], np.cumsum(counts)])


def _forces(entry):
    if _is_missing(entry):
        return None
    array = real_array(entry)
    if array.ndim != 2 or array.shape[1] != 3 or not len(array):
        raise LabelError(f"have shape {array.shape}, not (n_atoms, 3); None where there are none")
    return array


def _is_missing(entry):
    """Whether an array is missing, or all of its numbers are masked."""
    if isinstance(entry, np.ma.MaskedArray):
        return bool(np.ma.getmaskarray(entry).all())
    return entry is None or type(entry).__name__ == "NAType"


def stresses(stress: Any, n: int) -> tuple[Any, BoolArray]:
    """Return stress (n, 6), or None if there is none, and whether each row is there (n,)."""
    has = np.zeros(n, dtype=bool)
    if stress is None:
        return None, has
    _same_number(stress, n, "stresses")
    rows = np.full((n, 6), np.nan)
    for i, array in enumerate(_each(_stress, stress, "stress")):
        if array is not None:
            rows[i] = array
            has[i] = not np.isnan(array).all()
    return (rows if has.any() else None), has


def _stress(entry):
    if _is_missing(entry):
        return None
    array = real_array(entry)
    if array.shape == (3, 3):
        array = _voigt(array)
    if array.shape != (6,):
        raise LabelError(f"has shape {array.shape}, not (6,) or (3, 3)")
    return array


def names(groups: Any, n: int) -> NDArray[np.str_] | None:
    """Return names (n,), empty where one is missing; None if no names were given."""
    if groups is None:
        return None
    _same_number(groups, n, "groups")
    return np.array(["" if _is_no_name(name) else str(name) for name in groups], dtype=np.str_)


def _is_no_name(name):
    """Whether the name of a group is missing; tables have NaN then."""
    return name is np.ma.masked or _is_missing(name) or (isinstance(name, float) and name != name)


def sigmas(sigma: Any, n: int, name: str) -> Any:
    """Return noise levels (n,), NaN where one is missing; None if none were given."""
    if sigma is None:
        return None
    _same_number(sigma, n, name)
    values = _each(number, sigma, name)
    array = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    bad = np.flatnonzero(array <= 0)
    if len(bad):
        raise LabelError(f"{name} must be positive, got {array[bad[0]]} for structure {bad[0]}")
    return array


def force_sigmas(sigma: Any, offsets: IntArray) -> Any:
    """Return noise levels of all atoms with forces, NaN where one is missing."""
    if sigma is None:
        return None
    _same_number(sigma, len(offsets) - 1, "sigma_forces")
    flat = np.full(offsets[-1], np.nan)
    arrays = _each(lambda entry: None if _is_missing(entry) else real_array(entry), sigma, "noise")
    for i, array in enumerate(arrays):
        count = offsets[i + 1] - offsets[i]
        if array is None or not count:
            continue
        if array.shape not in ((), (count,)):
            raise LabelError(
                f"structure {i}: sigma_forces has shape {array.shape}; give one number, or one "
                f"for each of its {count} atoms"
            )
        if (array <= 0).any():
            raise LabelError(f"structure {i}: sigma_forces must be positive, got {array.min()}")
        flat[offsets[i] : offsets[i + 1]] = array
    return flat


def _same_number(values, n, name):
    hint = "give one per structure, and None where there is none"
    if (
        isinstance(values, str)
        or not hasattr(values, "__len__")
        or getattr(values, "shape", 1) == ()
    ):
        raise LabelError(f"got {n} energies but {values!r} as {name}; {hint}")
    if len(values) != n:
        raise LabelError(f"got {n} energies but {len(values)} {name}; {hint}")


def _voigt(matrix):
    """Return the six components of a matrix that is symmetric up to the rounding of programs."""
    asymmetry = np.abs(matrix - matrix.T).max()
    if asymmetry > 1e-3 + 0.01 * np.abs(matrix).max():
        raise LabelError(f"is a matrix that is not symmetric:\n{matrix}")
    return np.array([0.5 * (matrix[a, b] + matrix[b, a]) for a, b in _VOIGT])
