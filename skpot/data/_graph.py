"""Neighbor pairs of a batch of structures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.pairs import Pairs, take_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from skpot.typing import IntArray


class NeighborGraph:
    """Pairs within a cutoff, of many structures at once.

    Parameters
    ----------
    pairs : core.pairs.Pairs
        Compressed rows over all atoms; neighbors are atom indices of the batch.
    offsets : ndarray of shape (n_structures + 1,)
        First atom of each structure.
    """

    def __init__(self, pairs: Pairs, offsets: IntArray) -> None:
        self.pairs = pairs
        self.offsets = offsets

    def __len__(self):
        return len(self.offsets) - 1

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all structures."""
        return int(self.offsets[-1])

    def atom_structure(self) -> IntArray:
        """Return the structure index of each atom."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def take(self, structures: IntArray) -> NeighborGraph:
        """Return the graph of some structures, in the order given."""
        atoms, offsets = rows_of(structures, self.offsets)
        counts = np.diff(self.pairs.start)[atoms]
        start = np.concatenate([[0], np.cumsum(counts)])
        shift = np.repeat(offsets[:-1] - self.offsets[structures], np.diff(offsets))
        neighbor = np.empty(start[-1], dtype=np.int64)
        vector = np.empty((start[-1], 3))
        take_pairs(self.pairs, atoms, start, shift, neighbor, vector)
        return NeighborGraph(Pairs(start, neighbor, vector), offsets)

    def within(self, cutoff: float) -> NeighborGraph:
        """Return the pairs within a shorter cutoff (Å)."""
        pairs = self.pairs
        near = np.einsum("ij,ij->i", pairs.vector, pairs.vector) < cutoff**2
        start = np.concatenate([[0], np.cumsum(near)])[pairs.start]
        return NeighborGraph(Pairs(start, pairs.neighbor[near], pairs.vector[near]), self.offsets)

    @classmethod
    def concatenate(cls, graphs: Sequence[NeighborGraph]) -> Self:
        """Return one graph of the structures of several."""
        atoms = np.cumsum([0, *(g.n_atoms for g in graphs)])
        pairs = np.cumsum([0, *(len(g.pairs.neighbor) for g in graphs)])
        return cls(
            Pairs(
                join_offsets([g.pairs.start for g in graphs], pairs),
                np.concatenate(
                    [g.pairs.neighbor + a for g, a in zip(graphs, atoms[:-1], strict=True)]
                ),
                np.concatenate([g.pairs.vector for g in graphs]),
            ),
            join_offsets([g.offsets for g in graphs], atoms),
        )


def rows_of(structures: IntArray, offsets: IntArray) -> tuple[IntArray, IntArray]:
    """Return the atom indices of some structures and the offsets of the selection."""
    structures = np.asarray(structures, dtype=np.int64)
    counts = np.diff(offsets)[structures]
    new = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    atoms = np.arange(new[-1]) + np.repeat(offsets[structures] - new[:-1], counts)
    return atoms, new


def join_offsets(parts: Sequence[IntArray], shifts: Sequence[int] | IntArray) -> IntArray:
    """Join offsets that each start at 0; `shifts` has the first entry of each and the end."""
    ends = [part[1:] + shift for part, shift in zip(parts, shifts[:-1], strict=True)]
    return np.concatenate([np.zeros(1, dtype=np.int64), *ends])
