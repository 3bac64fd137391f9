"""Structures as flat arrays."""

import numpy as np
import vesin

from ..core.pairs import Pairs, closest_squared
from ._checks import MIN_DISTANCE, check_and_extract, check_pair_distances
from ._graph import NeighborGraph, rows_of


class StructureBatch:
    """Positions, species and cells of many structures, atom after atom.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3)
        In Å.
    numbers : ndarray of shape (n_atoms,)
        Atomic numbers.
    cells : ndarray of shape (n_structures, 3, 3)
        Cell vectors as rows, in Å.
    pbc : ndarray of shape (n_structures, 3)
        Which cell vectors are periodic.
    offsets : ndarray of shape (n_structures + 1,)
        First atom of each structure.
    """

    def __init__(self, positions, numbers, cells, pbc, offsets):
        self.positions = positions
        self.numbers = numbers
        self.cells = cells
        self.pbc = pbc
        self.offsets = offsets

    def __len__(self):
        return len(self.offsets) - 1

    def take(self, structures):
        """Return the batch of some structures."""
        rows, offsets = rows_of(structures, self.offsets)
        return StructureBatch(
            self.positions[rows],
            self.numbers[rows],
            self.cells[structures],
            self.pbc[structures],
            offsets,
        )

    def volumes(self):
        """Return the volumes in Å^3; NaN where a direction is not periodic."""
        volume = np.abs(np.linalg.det(self.cells))
        return np.where(self.pbc.all(axis=1), volume, np.nan)

    def neighbors(self, cutoff):
        """Return the `NeighborGraph` of all pairs closer than `cutoff` (Å), images included.

        Raises
        ------
        ValueError
            If two atoms are closer than 0.1 Å.
        """
        graphs = []
        for s in range(len(self)):
            rows = slice(self.offsets[s], self.offsets[s + 1])
            graphs.append(self._one(self.positions[rows], self.cells[s], self.pbc[s], cutoff))
        graph = NeighborGraph.concatenate(graphs)
        self.refuse_coincident(graph)
        return graph

    @staticmethod
    def _one(positions, cell, pbc, cutoff):
        search = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=1)
        first, second, vector = search.compute(
            points=positions, box=cell, periodic=[bool(p) for p in pbc], quantities="ijD"
        )
        n = len(positions)
        start = np.searchsorted(first, np.arange(n + 1)).astype(np.int64)
        pairs = Pairs(start, second.astype(np.int64), np.ascontiguousarray(vector, dtype=float))
        return NeighborGraph(pairs, np.array([0, n]))

    def refuse_coincident(self, graph):
        """Raise `ValueError` if two atoms of a graph are closer than 0.1 Å."""
        pairs = graph.pairs
        if closest_squared(pairs.vector) < MIN_DISTANCE**2:
            distances = np.linalg.norm(pairs.vector, axis=1)
            check_pair_distances(distances, pairs.start, pairs.neighbor, self.offsets)


def as_batch(X):
    """Check structures and convert them; a `StructureBatch` passes through.

    Parameters
    ----------
    X : sequence of ase.Atoms, or StructureBatch
        The structures.

    Raises
    ------
    TypeError, ValueError
        See `check_structures`.
    """
    if isinstance(X, StructureBatch):
        return X
    return StructureBatch(*check_and_extract(X)[1])
