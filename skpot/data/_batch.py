"""Structures as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..core.images import survey
from ..core.neighbors import search
from ..core.pairs import closest_by_size
from ..exceptions import StructureError
from ._checks import (
    CROWDED,
    MIN_DISTANCE,
    Given,
    check_and_extract,
    check_pair_distances,
    radii_of,
    summarize,
    too_many_images,
    warn_of_crowded,
)
from ._graph import NeighborGraph, rows_of
from ._structure_info import StructureInfo, cell_volumes, structure_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from skpot.core.pairs import Pairs
    from skpot.typing import FloatArray, IntArray, Structures, UInt64Array


@dataclass(eq=False, repr=False)
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
    given : Given, optional
        If the structures are a part of those that a user has passed: their indices there, for
        messages.
    """

    positions: FloatArray
    numbers: IntArray
    cells: FloatArray
    pbc: Any
    offsets: IntArray
    given: Given | None = None
    # Numbers and radii of the last search, kept for the next time step.
    _of_numbers: Any = field(default=None, init=False)

    def __len__(self):
        return len(self.offsets) - 1

    def take(self, structures: Any) -> StructureBatch:
        """Return the batch of some structures."""
        rows, offsets = rows_of(structures, self.offsets)
        given = Given(np.arange(len(self)), len(self)) if self.given is None else self.given
        return StructureBatch(
            self.positions[rows],
            self.numbers[rows],
            self.cells[structures],
            self.pbc[structures],
            offsets,
            given._replace(index=given.index[structures]),
        )

    def in_blocks(self, n_atoms: int = 20_000) -> Iterator[StructureBatch]:
        """Yield the structures in order, in batches of about `n_atoms`, to limit memory."""
        block = np.cumsum(np.diff(self.offsets)) // n_atoms
        for structures in np.split(np.arange(len(self)), np.flatnonzero(np.diff(block)) + 1):
            yield self.take(structures)

    def volumes(self) -> FloatArray:
        """Return the volumes in Å³; NaN for structures that have no stress, see `cell_volumes`."""
        return cell_volumes(self.cells)

    def info(self) -> StructureInfo:
        """Return the `StructureInfo` of the structures."""
        return StructureInfo(self.volumes(), self.pbc.all(axis=1), self.keys())

    def keys(self) -> UInt64Array:
        """Return 64 bits that identify each structure as it was given, (n_structures,)."""
        return structure_keys(self.positions, self.numbers, self.cells, self.pbc, self.offsets)

    def neighbors(self, cutoff: float) -> NeighborGraph:
        """Return the `NeighborGraph` of all pairs closer than `cutoff` (Å), images included.

        Raises
        ------
        ValueError
            If two atoms are closer than 0.32 Å, positions are not finite, a cell is so flat that
            its images cannot be counted, or the cutoff is not positive.
        """
        graph = NeighborGraph(self.search(cutoff)[0], self.offsets)
        self.refuse_coincident(graph)
        return graph

    def search(self, cutoff: float, with_shifts: bool = False) -> tuple[Pairs, IntArray | None]:
        """Return the `Pairs` closer than `cutoff` (Å), and their lattice shifts or None.

        Parameters
        ----------
        cutoff : float
            In Å.
        with_shifts : bool
            Whether to return shifts, an array of int32 of shape (n_pairs, 3), in cell vectors.
        """
        if not cutoff > 0.0:
            raise StructureError(f"cutoff is {cutoff}, but must be a positive distance in Å.")
        plan = survey(self.positions, self.cells, self.pbc, self.offsets, cutoff)
        problems = dict(too_many_images(plan, cutoff))
        if problems:
            raise StructureError(summarize(problems, len(self), self.given))
        return search(plan, cutoff, with_shifts)

    def refuse_coincident(self, graph: NeighborGraph) -> None:
        """Raise `StructureError` if two atoms are closer than 0.32 Å, and warn of close ones.

        The limits are those of `check_structures`.
        """
        pairs = graph.pairs
        closest, relative = closest_by_size(pairs, self._radii())
        if closest < MIN_DISTANCE**2:
            distances = np.linalg.norm(pairs.vector, axis=1)
            check_pair_distances(distances, pairs.start, pairs.neighbor, self.offsets, self.given)
        if relative < CROWDED**2:
            warn_of_crowded(pairs, self.numbers, self.offsets, self.given)

    def _radii(self):
        if self._of_numbers is None or self._of_numbers[0] is not self.numbers:
            self._of_numbers = self.numbers, radii_of(self.numbers)
        return self._of_numbers[1]


class SharedBatch(StructureBatch):
    """Structures for several descriptors, which share the keys and the longest neighbor search.

    Its arrays must not be changed.

    Parameters
    ----------
    batch : StructureBatch
        The structures.
    """

    def __init__(self, batch: StructureBatch) -> None:
        geometry = batch.positions, batch.numbers, batch.cells, batch.pbc, batch.offsets
        super().__init__(*geometry, batch.given)
        self._info: StructureInfo | None = None
        self._longest = 0.0, None  # cutoff and graph

    def info(self) -> StructureInfo:
        """Return the `StructureInfo` of the structures."""
        if self._info is None:
            self._info = super().info()
        return self._info

    def neighbors(self, cutoff: float) -> NeighborGraph:
        """Return the `NeighborGraph` within `cutoff` (Å), part of a longer one if there is one.

        Raises
        ------
        ValueError
            As in `StructureBatch.neighbors`.
        """
        longest, graph = self._longest
        if graph is not None and 0.0 < cutoff < longest:
            return graph.within(cutoff)
        if graph is None or cutoff != longest:
            graph = super().neighbors(cutoff)
            self._longest = cutoff, graph
        return graph


def as_batch(X: Structures | StructureBatch, search_follows: bool = False) -> StructureBatch:
    """Check structures and convert them; a `StructureBatch` passes through.

    Parameters
    ----------
    X : list[Atoms] or StructureBatch
        The structures.
    search_follows : bool, default=False
        Whether `StructureBatch.neighbors` is called next. It refuses atoms that coincide, which are
        then not looked for here.

    Raises
    ------
    TypeError, ValueError
        See `check_structures`.
    """
    if isinstance(X, StructureBatch):
        return X
    if hasattr(X, "surveying"):  # `Frames`, which has checked them
        return X.batch()
    return StructureBatch(*check_and_extract(X, search_follows)[1])
