"""Neighbor lists that stay valid while atoms and cell move a little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.images import complete_cell
from ..core.pairs import Pairs, filter_pairs
from ..data import NeighborGraph, StructureBatch
from ..exceptions import StructureError

if TYPE_CHECKING:
    from skpot.typing import FloatArray


class SkinnedStructure(StructureBatch):
    """One structure whose neighbor search is repeated only when it is necessary.

    All pairs up to cutoff + skin are found once; they are the candidates. Let A be the homogeneous
    deformation from the cell at that time to the present cell, and u the displacements of atoms
    relative to this deformation. A pair that was farther apart than cutoff + skin is still farther
    apart than the cutoff as long as

        (cutoff + skin) s_min(A) - 2 max|u| >= cutoff

    where s_min is the smallest singular value. Otherwise the search is repeated.

    Parameters
    ----------
    batch : StructureBatch
        A single structure.
    skin : float
        In Å; 0 searches at every step.

    Attributes
    ----------
    n_searches : int
        Number of searches so far, including those of the structures that it was moved from.
    """

    def __init__(self, batch: StructureBatch, skin: float) -> None:
        super().__init__(batch.positions, batch.numbers, batch.cells, batch.pbc, batch.offsets)
        self.skin = skin
        self._lists = _Lists()
        self._volumes: FloatArray | None = None

    def volumes(self) -> FloatArray:
        """Return the volume in Å³, shape (1,); NaN without a stress, see `cell_volumes`."""
        if self._volumes is None:
            self._volumes = super().volumes()
        return self._volumes

    @property
    def n_searches(self) -> int:
        return self._lists.n_searches

    def moved(self, positions: FloatArray, cell: FloatArray, skin: float) -> SkinnedStructure:
        """Return the structure with other positions and cell, which shares the lists of this one.

        Parameters
        ----------
        positions : ndarray of shape (n_atoms, 3)
            In Å; copied.
        cell : ndarray of shape (3, 3)
            Cell vectors as rows, in Å; copied.
        skin : float
            In Å; with another skin than before, the lists are not shared.
        """
        if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
            raise StructureError("positions or cell are not finite.")
        same = np.array_equal(cell, self.cells[0])
        cells = self.cells if same else np.array(cell)[None]
        batch = StructureBatch(np.array(positions), self.numbers, cells, self.pbc, self.offsets)
        other = SkinnedStructure(batch, skin)
        other._of_numbers = self._of_numbers
        other._volumes = self._volumes if same else None
        if skin == self.skin:
            other._lists = self._lists
        return other

    def neighbors(self, cutoff: float) -> NeighborGraph:
        """Return the `NeighborGraph` of all pairs closer than `cutoff` (Å)."""
        entry = self._lists.get(cutoff)
        if entry is None or not self._valid(entry, cutoff):
            entry = self._lists[cutoff] = self._search(cutoff)
        candidates, shift, _, _ = entry
        start = np.empty(len(candidates.start), dtype=np.int64)
        neighbor = np.empty(len(candidates.neighbor), dtype=np.int64)
        vector = np.empty((len(neighbor) + 1, 3))
        n = filter_pairs(
            self.positions, self.cells[0], cutoff, candidates, shift, start, neighbor, vector
        )
        graph = NeighborGraph(Pairs(start, neighbor[:n], vector[:n]), self.offsets)
        self.refuse_coincident(graph)
        return graph

    def _search(self, cutoff):
        self._lists.n_searches += 1
        candidates, shift = self.search(cutoff + self.skin, with_shifts=True)
        return candidates, shift, self.positions, self.cells[0]

    def _valid(self, entry, cutoff):
        _, _, positions, cell = entry
        smallest = 1.0
        if not np.array_equal(cell, self.cells[0]):
            pbc = self.pbc[0]
            deformation = np.linalg.solve(_completed(cell, pbc), _completed(self.cells[0], pbc))
            positions = positions @ deformation
            smallest = np.linalg.svd(deformation, compute_uv=False)[-1]
        moved = self.positions - positions
        largest = np.sqrt(np.max(np.einsum("ij,ij->i", moved, moved)))
        return (cutoff + self.skin) * smallest - 2.0 * largest >= cutoff


class _Lists(dict):
    """Candidates by cutoff, with the positions and the cell in which they were found."""

    n_searches = 0


def _completed(cell, pbc):
    """Return the cell with unit normals in place of vectors that are not periodic."""
    basis = np.empty((3, 3))
    complete_cell(cell, pbc, basis)
    return basis
