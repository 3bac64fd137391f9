"""Volumes, periodicity and keys of structures, and the rule that says which have a stress."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from skpot.typing import BoolArray, FloatArray, IntArray, UInt64Array

# Cell vectors whose unit vectors span less than this volume count as linearly dependent.
_FLAT = 1e-6
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # the increment of splitmix64


class StructureAtoms(NamedTuple):
    """The atoms of structures whose feature rows do not belong to atoms of known species."""

    offsets: np.ndarray  # (n_structures + 1,) first atom of each structure
    numbers: np.ndarray  # (n_atoms,) atomic numbers
    rows_are_atoms: bool = False  # whether rows belong to atoms or to whole structures


class StructureInfo(NamedTuple):
    """What models need to know of structures besides their features, one entry for each.

    `volumes` is the only place that says where a stress exists: see `cell_volumes`. `keys` are made
    of the structures as they were passed, so that choices by keys depend neither on the order of
    structures nor on rounding errors of features.
    """

    volumes: np.ndarray  # (n_structures,) in Å³; NaN where there is no stress
    bulk: np.ndarray  # (n_structures,) of bool: periodic in three directions
    keys: np.ndarray  # (n_structures,) of uint64

    def take(self, structures: IntArray) -> StructureInfo:
        """Return the entries of some structures."""
        return StructureInfo(*(block[structures] for block in self))

    @staticmethod
    def concatenate(parts: Sequence[StructureInfo]) -> StructureInfo:
        """Return the entries of several parts, one after the other."""
        return StructureInfo(*map(np.concatenate, zip(*parts, strict=True)))

    @staticmethod
    def of_rows(values: FloatArray, offsets: IntArray) -> StructureInfo:
        """Return the entries of structures of which only feature rows are known."""
        n = len(offsets) - 1
        rows = np.ascontiguousarray(values) + 0.0  # -0.0 and 0.0 get the same bits
        keys = [digest(rows[a:b]) for a, b in zip(offsets[:-1], offsets[1:], strict=True)]
        return StructureInfo(
            np.full(n, np.nan), np.zeros(n, dtype=bool), np.array(keys, dtype=np.uint64)
        )


def cell_volumes(cells: ArrayLike) -> FloatArray:
    """Return the volumes of cells, NaN for structures that have no stress.

    Stress is the derivative of the energy by strain over the volume. It exists wherever the three
    cell vectors are independent, whatever the periodic directions: a slab in a cell with vacuum
    has a stress, as in ASE's calculators.

    Parameters
    ----------
    cells : array-like of shape (n_structures, 3, 3)
        Cell vectors in rows (Å).

    Returns
    -------
    ndarray of shape (n_structures,)
        In Å³; NaN where a vector is zero or the three are linearly dependent.

    Examples
    --------
    >>> cell_volumes([[[2, 0, 0], [0, 2, 0], [0, 0, 2]], [[2, 0, 0], [0, 2, 0], [0, 0, 0]]])
    array([ 8., nan])
    """
    cells = np.asarray(cells, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # `check_structures` refuses these cells
        volumes = np.abs(np.linalg.det(cells))
        lengths = np.sqrt((cells**2).sum(axis=2)).prod(axis=1)
    return np.where(volumes > _FLAT * lengths, volumes, np.nan)


def structure_keys(
    positions: FloatArray, numbers: IntArray, cells: FloatArray, pbc: BoolArray, offsets: IntArray
) -> UInt64Array:
    """Return 64 bits that identify each structure as it was given, the same on every machine.

    Parameters
    ----------
    positions, numbers, cells, pbc, offsets : ndarray
        As in `StructureBatch`.

    Returns
    -------
    ndarray of uint64 of shape (n_structures,)
        They depend on the order of atoms, but not on other structures.
    """
    n = len(cells)
    of_atoms = np.column_stack([numbers.astype(np.uint64), _bits(positions)])
    of_cells = np.column_stack([_bits(cells.reshape(n, 9)), pbc.astype(np.uint64)])
    place = np.arange(len(positions)) - np.repeat(offsets[:-1], np.diff(offsets))
    atoms = scrambled(of_atoms + scrambled(4 * place[:, None] + np.arange(4))).sum(axis=1)
    total = scrambled(of_cells + scrambled(np.arange(12) - 12)).sum(axis=1)
    return scrambled(total + np.add.reduceat(atoms, offsets[:-1]))


def _bits(numbers):
    """Return the bits of floats as integers; -0.0 and 0.0 have the same."""
    return (np.asarray(numbers, dtype=np.float64) + 0.0).view(np.uint64)


def scrambled(words: NDArray[Any]) -> UInt64Array:
    """Return 64-bit words each of whose bits depends on all bits of the given word.

    This is a step of the generator splitmix64 (G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014).
    """
    words = words.astype(np.uint64) + GOLDEN
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def digest(*arrays: Any) -> int:
    """Return 64 bits that identify the numbers in arrays, the same on every machine."""
    state = hashlib.blake2b(digest_size=8)
    for array in arrays:
        if not (sys.byteorder == "little" and array.dtype.isnative):
            array = array.astype(array.dtype.newbyteorder("<"))
        state.update(np.ascontiguousarray(array).data)
    return int.from_bytes(state.digest(), "little")
