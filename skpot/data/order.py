"""An order of structures, and random numbers, that depend on the content of structures only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state

from ._ase import extract_arrays
from ._batch import StructureBatch
from ._features import AtomicFeatures
from ._frames import ATOMS_AT_A_TIME, Frames, parts_of
from ._graph import rows_of
from ._structure_info import GOLDEN, digest, scrambled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from skpot.data._targets import Targets
    from skpot.typing import FloatArray, IntArray, RandomState, UInt64Array

_ARRAYS = (
    "energy",
    "forces_flat",
    "stress",
    "sigma_energy",
    "sigma_forces_flat",
    "sigma_stress",
)


def canonical_order(keys: UInt64Array, labels: Targets | FloatArray | None = None) -> IntArray:
    """Return the order in which every fit goes through structures.

    It makes sums and choices the same, to the last bit, whatever the order of the input.

    Parameters
    ----------
    keys : ndarray of uint64 of shape (n_structures,)
        See `StructureInfo`.
    labels : Targets or ndarray of shape (n_structures,), optional
        Labels, which decide on the order of equal structures.

    Returns
    -------
    ndarray of int of shape (n_structures,)

    Examples
    --------
    >>> import numpy as np
    >>> canonical_order(np.array([7, 3, 7], dtype=np.uint64), np.array([2.0, 0.0, 1.0])).tolist()[0]
    1
    """
    order = np.argsort(keys, kind="stable")
    equal = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    if labels is None or not len(equal):
        return order
    second = np.zeros(len(keys), dtype=np.uint64)
    for s in np.unique(order[np.concatenate([equal, equal + 1])]):
        second[s] = _label_key(labels[[s]])
    return np.lexsort([second, keys])


def _label_key(label):
    blocks = [getattr(label, name, None) for name in _ARRAYS]
    known = [np.asarray(block, dtype=float) + 0.0 for block in blocks if block is not None]
    return digest(*(known or [np.asarray(label, dtype=float) + 0.0]))


def content_keys(X: Any) -> UInt64Array:
    """Return a key of 64 bits for each entry of X; see `StructureInfo`.

    X is whatever regressors accept. Only features, structures and rows of numbers have keys; the
    keys of anything else are 0, 1, 2, ...
    """
    if isinstance(X, AtomicFeatures):
        return X.info.keys
    if isinstance(X, Frames):
        return X.survey.info.keys
    if isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
        return np.array([digest(row + 0.0) for row in X], dtype=np.uint64)
    if len(X) and all(hasattr(atoms, "positions") for atoms in X):
        return StructureBatch(*extract_arrays(X)).keys()
    return np.arange(len(X), dtype=np.uint64)


def environment_keys(features: AtomicFeatures) -> UInt64Array:
    """Return a key of 64 bits for each feature row, from its structure and its index in it."""
    place = np.arange(features.offsets[-1]) - np.repeat(features.offsets[:-1], features.n_rows)
    return mixed(np.repeat(features.info.keys, features.n_rows), place)


def environment_order(features: AtomicFeatures) -> IntArray:
    """Return the feature rows in the canonical order of their structures."""
    return rows_of(canonical_order(features.info.keys), features.offsets)[0]


def environment_blocks(
    features: AtomicFeatures, limit: int = 4096, some: IntArray | None = None
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Yield feature rows in the canonical order, at most `limit` at a time, and which they are.

    Features of files are computed part by part on the way, and no block crosses the end of a part,
    nor of what would be one in files. If only those of some structures are wanted, these must be in
    the canonical order.
    """
    for members, part in features.in_parts(some):
        order = canonical_order(part.info.keys)
        for own in parts_of(order, part.n_atoms, ATOMS_AT_A_TIME):
            rows = rows_of(members[own], features.offsets)[0]
            inside = rows_of(own, part.offsets)[0]
            for begin in range(0, len(rows), limit):
                block = slice(begin, begin + limit)
                yield rows[block], part.values[inside[block]]


def species_blocks(
    features: AtomicFeatures, size: int
) -> Iterator[tuple[int, IntArray, FloatArray]]:
    """Yield feature rows of one species in the canonical order, and which they are.

    There are `size` in each block but the last of a species, in whatever parts features come: the
    last bits of a product may depend on the rows that are multiplied together.

    Yields
    ------
    z : int
        The species.
    rows : ndarray of int of shape (n,)
        Which.
    values : ndarray of shape (n, n_features)
        Their features, in double precision.
    """
    species = features.species
    waiting: dict[int, tuple[IntArray, FloatArray]] = {}
    for rows, values in environment_blocks(features, size):
        for z in np.unique(species[rows]).tolist():
            mine = species[rows] == z
            block = rows[mine], np.asarray(values[mine], dtype=float)
            if z in waiting:
                held, more = waiting.pop(z), block
                block = np.concatenate([held[0], more[0]]), np.concatenate([held[1], more[1]])
            if len(block[0]) >= size:
                yield z, block[0][:size], block[1][:size]
                block = block[0][size:], block[1][size:]
            if len(block[0]):
                waiting[z] = block
    for z, block in waiting.items():
        yield z, *block


def mixed(keys: UInt64Array, numbers: IntArray) -> UInt64Array:
    """Return keys (n,) of uint64 for pairs of a key and a number, which must not be negative."""
    numbers = np.asarray(numbers).astype(np.uint64)
    return scrambled(np.asarray(keys, dtype=np.uint64) + numbers * GOLDEN)


def keyed_uniform(keys: UInt64Array, seed: int) -> FloatArray:
    """Return a random number between 0 and 1, both excluded, for each key; `seed` changes all."""
    bits = mixed(keys, np.full(len(keys), seed)) >> np.uint64(11)
    return (bits + 0.5) * 2.0**-53


def drawn_seed(random_state: RandomState) -> int:
    """Return an integer below 2^31 drawn from an int, a RandomState or None."""
    return int(check_random_state(random_state).randint(2**31))
