"""What users give as labels, groups and noise of structures, as arrays."""

import numpy as np

from ..exceptions import LabelError

# Voigt order of ASE: xx yy zz yz xz xy
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def segments(forces, n):
    """Return forces (n_labelled_atoms, 3) and offsets (n + 1,)."""
    if forces is None:
        return np.empty((0, 3)), np.zeros(n + 1, dtype=np.int64)
    if len(forces) != n:
        raise LabelError(
            f"got {n} energies but {len(forces)} arrays of forces; "
            "give one per structure, None where there is none"
        )
    parts, counts = [], np.zeros(n, dtype=np.int64)
    problems = []
    for i, entry in enumerate(forces):
        if entry is None:
            continue
        array = np.asarray(entry, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != 3 or not len(array):
            problems.append(f"structure {i}: {array.shape}")
            continue
        parts.append(array)
        counts[i] = len(array)
    if problems:
        raise LabelError(
            "forces of one structure must have shape (n_atoms, 3), or be None if missing; got "
            + "; ".join(problems[:10])
            + (f"; and {len(problems) - 10} more" if len(problems) > 10 else "")
        )
    flat = np.concatenate(parts) if parts else np.empty((0, 3))
    return flat, np.concatenate([[0], np.cumsum(counts)])


def stresses(stress, n):
    """Return stress (n, 6) or None, and which rows are there (n,)."""
    has = np.zeros(n, dtype=bool)
    if stress is None:
        return None, has
    if len(stress) != n:
        raise LabelError(
            f"got {n} energies but {len(stress)} stresses; "
            "give one per structure, None where there is none"
        )
    rows = np.full((n, 6), np.nan)
    for i, entry in enumerate(stress):
        if entry is None:
            continue
        array = np.asarray(entry, dtype=np.float64)
        if array.shape == (3, 3):
            array = _voigt(array, i)
        if array.shape != (6,):
            raise LabelError(f"structure {i}: stress has shape {array.shape}, not (6,) or (3, 3)")
        rows[i] = array
        has[i] = not np.isnan(array).all()
    return (rows if has.any() else None), has


def names(groups, n):
    """Return names (n,), empty where there is none; None if there are none at all."""
    if groups is None:
        return None
    _same_number(groups, n, "groups")
    return np.array(["" if name is None else str(name) for name in groups], dtype=np.str_)


def sigmas(sigma, n, name):
    """Return noise levels (n,), NaN where there is none; None if there are none at all."""
    if sigma is None:
        return None
    _same_number(sigma, n, name)
    array = np.array([np.nan if value is None else value for value in sigma], dtype=np.float64)
    bad = np.flatnonzero(array <= 0)
    if len(bad):
        raise LabelError(f"{name} must be positive, got {array[bad[0]]} for structure {bad[0]}")
    return array


def force_sigmas(sigma, offsets):
    """Return noise levels of all atoms with forces, NaN where there is none."""
    if sigma is None:
        return None
    _same_number(sigma, len(offsets) - 1, "sigma_forces")
    flat = np.full(offsets[-1], np.nan)
    for i, entry in enumerate(sigma):
        count = offsets[i + 1] - offsets[i]
        if entry is None or not count:
            continue
        array = np.asarray(entry, dtype=np.float64)
        if array.shape not in ((), (count,)):
            raise LabelError(
                f"structure {i}: sigma_forces has shape {array.shape}; give a number, or one for "
                f"each of its {count} atoms"
            )
        if (array <= 0).any():
            raise LabelError(f"structure {i}: sigma_forces must be positive, got {array.min()}")
        flat[offsets[i] : offsets[i + 1]] = array
    return flat


def _same_number(values, n, name):
    if len(values) != n:
        raise LabelError(f"got {n} energies but {len(values)} {name}; give one per structure")


def _voigt(matrix, i):
    """Return the six components of a symmetric matrix; codes print it with some noise."""
    asymmetry = np.abs(matrix - matrix.T).max()
    if asymmetry > 1e-3 + 0.01 * np.abs(matrix).max():
        raise LabelError(f"structure {i}: the stress matrix is not symmetric:\n{matrix}")
    return np.array([0.5 * (matrix[a, b] + matrix[b, a]) for a, b in _VOIGT])
