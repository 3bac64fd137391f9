"""Derivative chains whose Jacobian is held as numbers, and forward derivatives by a Jacobian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core import run_blocks
from ..core.contraction import contract_backward, contract_forward
from ._derivatives import BLOCK_BYTES, block_ranges
from ._graph import join_offsets, rows_of
from .contracts import JacobianBlock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from skpot.typing import FloatArray, IntArray


class StoredJacobian:
    """Leaf of a chain whose derivatives are held as numbers, which is fast but takes memory.

    Parameters
    ----------
    block : JacobianBlock
        The derivatives of all environments, in their order.
    offsets : ndarray of shape (n_structures + 1,)
        First environment of each structure.
    atom_offsets : ndarray of shape (n_structures + 1,)
        First atom of each structure.
    """

    def __init__(self, block: JacobianBlock, offsets: IntArray, atom_offsets: IntArray) -> None:
        self.block = block
        self.offsets = offsets
        self.atom_offsets = atom_offsets

    def _run(self, kernel, *args):
        n = len(self.offsets) - 1
        run_blocks(kernel, n, self.offsets, *self.block, *args, smallest=4)

    def pull_back(self, g: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `DerivativeChain`."""
        forces = np.zeros((self.atom_offsets[-1], 3))
        virials = np.zeros((len(self.offsets) - 1, 6))
        self._run(contract_backward, np.ascontiguousarray(g), forces, virials)
        return forces, virials

    def push_forward(self, displacements: FloatArray, strains: FloatArray) -> FloatArray:
        """See `DerivativeChain`."""
        out = np.empty((self.offsets[-1], self.block.values.shape[2]))
        self._run(contract_forward, displacements, strains, out)
        return out

    def jacobian(self, centers: IntArray) -> JacobianBlock:
        """See `DerivativeChain`; consecutive environments share the memory of the block."""
        if len(centers) and (np.diff(centers) == 1).all():
            own = self.block.start[centers[0] : centers[-1] + 2]
            rows = slice(own[0], own[-1])
            some = slice(centers[0], centers[-1] + 1)
            parts = self.block.atom[rows], self.block.values[rows], self.block.strain[some]
            return JacobianBlock(own - own[0], *parts)
        rows, start = rows_of(centers, self.block.start)
        parts = self.block.atom[rows], self.block.values[rows], self.block.strain[centers]
        return JacobianBlock(start, *parts)

    def take(self, structures: IntArray) -> StoredJacobian:
        """See `DerivativeChain`."""
        environments, offsets = rows_of(structures, self.offsets)
        _, atom_offsets = rows_of(structures, self.atom_offsets)
        block = self.jacobian(environments)
        shift = np.repeat(atom_offsets[:-1] - self.atom_offsets[structures], np.diff(offsets))
        atom = block.atom + np.repeat(shift, np.diff(block.start))
        return StoredJacobian(block._replace(atom=atom), offsets, atom_offsets)

    @staticmethod
    def concatenate(chains: Sequence[Any]) -> StoredJacobian:
        """See `DerivativeChain`."""
        atoms = np.cumsum([0, *(chain.atom_offsets[-1] for chain in chains)])
        rows = np.cumsum([0, *(len(chain.block.atom) for chain in chains)])
        environments = np.cumsum([0, *(chain.offsets[-1] for chain in chains)])
        block = JacobianBlock(
            join_offsets([chain.block.start for chain in chains], rows),
            np.concatenate([c.block.atom + a for c, a in zip(chains, atoms[:-1], strict=True)]),
            np.concatenate([chain.block.values for chain in chains]),
            np.concatenate([chain.block.strain for chain in chains]),
        )
        return StoredJacobian(
            block,
            join_offsets([chain.offsets for chain in chains], environments),
            join_offsets([chain.atom_offsets for chain in chains], atoms),
        )

    def neighborhood_sizes(self) -> IntArray:
        """See `DerivativeChain`."""
        return np.diff(self.block.start)


def push_by_jacobian(
    chain: Any,
    structure: NDArray[Any],
    n_features: int,
    displacements: FloatArray,
    strains: FloatArray,
) -> FloatArray:
    """Return the change of features along a motion, for a leaf that only has a Jacobian.

    The Jacobian is made block by block. `structure` (n_environments,) is the structure of each
    environment.
    """
    out = np.empty((len(structure), n_features))
    sizes = chain.neighborhood_sizes() * 24.0 * n_features
    for lo, hi in block_ranges(sizes, BLOCK_BYTES):
        block = chain.jacobian(np.arange(lo, hi))
        change = np.einsum("eap,ea->ep", block.values, displacements[block.atom])
        # `reduceat` needs one row for each environment at least: that of its center.
        out[lo:hi] = np.add.reduceat(change, block.start[:-1])
        out[lo:hi] += np.einsum("cvp,cv->cp", block.strain, strains[structure[lo:hi]])
    return out
