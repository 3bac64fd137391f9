"""How features depend on positions: a chain of maps, evaluated backwards or forwards.

A chain starts with a leaf that a descriptor provides (its geometry and its kernels) and goes on
with one node for each map applied to the rows. Every link offers

``pull_back(g)``
    reverse mode: forces and virials from dE/d(features);
``push_forward(displacements, strains)``
    forward mode: change of all features along one motion, the adjoint of `pull_back`;
``jacobian(centers)``
    forward mode along all motions: a dense `JacobianBlock` of a few environments;
``take(structures)``, ``concatenate(chains)``
    the chain of a selection, or of several batches;
``neighborhood_sizes()``
    how many neighbors each environment has, images counted apart, and itself.

Links are plain picklable objects that hold arrays, never closures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._graph import join_offsets, rows_of
from .contracts import JacobianBlock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Self

    from numpy.typing import NDArray

    from skpot.data.contracts import DerivativeChain, RowJacobian
    from skpot.typing import FloatArray, IntArray

BLOCK_BYTES = 16e6  # dense Jacobian before a map, which may be far wider than after it


class _ColumnMap:
    """What linear maps of each row share; the same map for all rows.

    A subclass has `n_features_in` and defines `_transposed(g)` and `_applied(rows)`, on the last
    axis.
    """

    def __init__(self, parent: DerivativeChain, *settings: Any) -> None:
        self.parent = parent
        self.settings = settings

    def pull_back(self, g: FloatArray) -> tuple[Any, Any]:
        """See the module."""
        return self.parent.pull_back(self._transposed(g))

    def push_forward(self, displacements: FloatArray, strains: FloatArray) -> FloatArray:
        """See the module."""
        return self._applied(self.parent.push_forward(displacements, strains))

    def jacobian(self, centers: IntArray) -> JacobianBlock:
        """See the module."""
        return _in_blocks(self.parent, centers, self.n_features_in, self._map)

    def _map(self, block, part):
        return block._replace(
            values=self._applied(block.values), strain=self._applied(block.strain)
        )

    def take(self, structures: IntArray) -> Self:
        """See the module."""
        return type(self)(self.parent.take(structures), *self.settings)

    @classmethod
    def concatenate(cls, chains: Sequence[Any]) -> Self:
        """See the module."""
        parents = [chain.parent for chain in chains]
        return cls(type(parents[0]).concatenate(parents), *chains[0].settings)

    def neighborhood_sizes(self) -> IntArray:
        """See the module."""
        return self.parent.neighborhood_sizes()


class LinearMap(_ColumnMap):
    """Rows times a matrix (the linear part of PCA, projections ...).

    Parameters
    ----------
    parent : derivative chain
        Chain of the rows before the map.
    matrix : ndarray of shape (n_features_in, n_features_out)
        The linear part.
    """

    def __init__(self, parent: DerivativeChain, matrix: FloatArray) -> None:
        super().__init__(parent, matrix)
        self.matrix = matrix
        self.n_features_in = len(matrix)

    def _transposed(self, g):
        return g @ self.matrix.T

    def _applied(self, rows):
        # Stacks of rows as one matrix: NumPy would multiply them one by one.
        product = rows.reshape(-1, rows.shape[-1]) @ self.matrix
        return product.reshape(*rows.shape[:-1], -1)


class ScaleColumns(_ColumnMap):
    """Each column times a factor (the linear part of scalers).

    Parameters
    ----------
    parent : derivative chain
        Chain of the rows before the map.
    factors : ndarray of shape (n_features,)
        One for each column.
    """

    def __init__(self, parent: DerivativeChain, factors: FloatArray) -> None:
        super().__init__(parent, factors)
        self.factors = factors
        self.n_features_in = len(factors)

    def _transposed(self, g):
        return g * self.factors

    def _applied(self, rows):
        return rows * self.factors


class SelectColumns(_ColumnMap):
    """Some of the columns.

    Parameters
    ----------
    parent : derivative chain
        Chain of the rows before the selection.
    columns : ndarray of int of shape (n_features_out,)
        Which ones.
    n_features_in : int
        How many there were.
    """

    def __init__(self, parent: DerivativeChain, columns: IntArray, n_features_in: int) -> None:
        super().__init__(parent, columns, n_features_in)
        self.columns = columns
        self.n_features_in = n_features_in

    def _transposed(self, g):
        out = np.zeros((len(g), self.n_features_in))
        out[:, self.columns] = g
        return out

    def _applied(self, rows):
        return rows[..., self.columns]


class PadColumns(_ColumnMap):
    """Further columns that do not depend on positions, after the others.

    Parameters
    ----------
    parent : derivative chain
        Chain of the rows without them.
    n_features_in : int
        How many columns these have.
    n_more : int
        How many follow.
    """

    def __init__(self, parent: DerivativeChain, n_features_in: int, n_more: int) -> None:
        super().__init__(parent, n_features_in, n_more)
        self.n_features_in = n_features_in
        self.n_more = n_more

    def _transposed(self, g):
        return np.ascontiguousarray(g[:, : self.n_features_in])

    def _applied(self, rows):
        return np.concatenate([rows, np.zeros((*rows.shape[:-1], self.n_more))], axis=-1)


class SpeciesMap:
    """Rows times a matrix that depends on the species of the center.

    Parameters
    ----------
    parent : derivative chain
        Chain of the rows before the map.
    kinds : ndarray of int of shape (n_environments,)
        Which matrix belongs to each row.
    matrices : ndarray of shape (n_kinds, n_features_in, n_features_out)
        The linear maps.
    offsets : ndarray of shape (n_structures + 1,)
        First row of each structure.
    """

    def __init__(
        self, parent: DerivativeChain, kinds: IntArray, matrices: FloatArray, offsets: IntArray
    ) -> None:
        self.parent = parent
        self.kinds = kinds
        self.matrices = matrices
        self.offsets = offsets

    @staticmethod
    def apply(rows: FloatArray, kinds: IntArray, matrices: FloatArray) -> FloatArray:
        """Return each row, or stack of rows, times its matrix."""
        out = np.empty((*rows.shape[:-1], matrices.shape[2]))
        for kind, matrix in enumerate(matrices):
            mine = np.flatnonzero(kinds == kind)
            # Rows of a fit are of one species, and no small part of its time goes into copies.
            own = rows if len(mine) == len(rows) else rows[mine]
            # Stacks of rows as one matrix: NumPy would multiply them one by one.
            product = (own.reshape(-1, rows.shape[-1]) @ matrix).reshape(len(mine), *out.shape[1:])
            if own is rows:
                return product
            out[mine] = product
        return out

    def pull_back(self, g: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See the module."""
        return self.parent.pull_back(self.apply(g, self.kinds, self.matrices.swapaxes(1, 2)))

    def push_forward(self, displacements: FloatArray, strains: FloatArray) -> FloatArray:
        """See the module."""
        change = self.parent.push_forward(displacements, strains)
        return self.apply(change, self.kinds, self.matrices)

    def jacobian(self, centers: IntArray) -> JacobianBlock:
        """See the module."""
        return _in_blocks(self.parent, centers, self.matrices.shape[1], self._map)

    def _map(self, block, part):
        kinds = self.kinds[part]
        repeated = np.repeat(kinds, np.diff(block.start))
        return block._replace(
            values=self.apply(block.values, repeated, self.matrices),
            strain=self.apply(block.strain, kinds, self.matrices),
        )

    def take(self, structures: IntArray) -> SpeciesMap:
        """See the module."""
        index, offsets = rows_of(structures, self.offsets)
        return SpeciesMap(self.parent.take(structures), self.kinds[index], self.matrices, offsets)

    @staticmethod
    def concatenate(chains: Sequence[Any]) -> SpeciesMap:
        """See the module."""
        parents = [chain.parent for chain in chains]
        shifts = np.cumsum([0, *(len(chain.kinds) for chain in chains)])
        return SpeciesMap(
            type(parents[0]).concatenate(parents),
            np.concatenate([chain.kinds for chain in chains]),
            chains[0].matrices,
            join_offsets([chain.offsets for chain in chains], shifts),
        )

    def neighborhood_sizes(self) -> IntArray:
        """See the module."""
        return self.parent.neighborhood_sizes()


class RowMap:
    """A nonlinear map of each row, known by its Jacobian products.

    Parameters
    ----------
    parent : derivative chain
        Chain of the rows before the map.
    rows : ndarray of shape (n_environments, n_features_in)
        The rows before the map.
    offsets : ndarray of shape (n_structures + 1,)
        First row of each structure.
    jacobian_of : object
        `vjp(rows, g)` returns g times the Jacobian of each row; `jvp(rows, v)` the Jacobian times
        v (n_rows, k, n_features_in). Registered through `skpot.compose.register_jacobian`.
    """

    def __init__(
        self, parent: DerivativeChain, rows: FloatArray, offsets: IntArray, jacobian_of: RowJacobian
    ) -> None:
        self.parent = parent
        self.rows = rows
        self.offsets = offsets
        self.jacobian_of = jacobian_of

    def pull_back(self, g: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See the module."""
        return self.parent.pull_back(self.jacobian_of.vjp(self.rows, g))

    def push_forward(self, displacements: FloatArray, strains: FloatArray) -> FloatArray:
        """See the module."""
        change = self.parent.push_forward(displacements, strains)
        return self.jacobian_of.jvp(self.rows, change[:, None])[:, 0]

    def jacobian(self, centers: IntArray) -> JacobianBlock:
        """See the module."""
        return _in_blocks(self.parent, centers, self.rows.shape[1], self._map)

    def _map(self, block, part):
        rows = self.rows[part]
        repeated = np.repeat(rows, np.diff(block.start), axis=0)
        return block._replace(
            values=self.jacobian_of.jvp(repeated, block.values),
            strain=self.jacobian_of.jvp(rows, block.strain),
        )

    def take(self, structures: IntArray) -> RowMap:
        """See the module."""
        index, offsets = rows_of(structures, self.offsets)
        return RowMap(self.parent.take(structures), self.rows[index], offsets, self.jacobian_of)

    @staticmethod
    def concatenate(chains: Sequence[Any]) -> RowMap:
        """See the module."""
        parents = [chain.parent for chain in chains]
        shifts = np.cumsum([0, *(len(chain.rows) for chain in chains)])
        return RowMap(
            type(parents[0]).concatenate(parents),
            np.concatenate([chain.rows for chain in chains]),
            join_offsets([chain.offsets for chain in chains], shifts),
            chains[0].jacobian_of,
        )

    def neighborhood_sizes(self) -> IntArray:
        """See the module."""
        return self.parent.neighborhood_sizes()


class Concatenated:
    """Columns of several chains side by side.

    Parameters
    ----------
    parts : list of derivative chains
        One for each group of columns.
    edges : ndarray of shape (n_parts + 1,)
        First column of each group.
    """

    def __init__(self, parts: list[DerivativeChain], edges: FloatArray) -> None:
        self.parts = parts
        self.edges = edges

    def pull_back(self, g: FloatArray) -> tuple[Any, Any]:
        """See the module."""
        columns = zip(self.parts, self.edges[:-1], self.edges[1:], strict=True)
        results = [part.pull_back(np.ascontiguousarray(g[:, lo:hi])) for part, lo, hi in columns]
        return sum(r[0] for r in results), sum(r[1] for r in results)

    def push_forward(self, displacements: FloatArray, strains: FloatArray) -> FloatArray:
        """See the module."""
        return np.hstack([part.push_forward(displacements, strains) for part in self.parts])

    def jacobian(self, centers: IntArray) -> JacobianBlock:
        """See the module."""
        blocks = [part.jacobian(centers) for part in self.parts]
        # The parts may have different cutoffs: the rows are the union of (center, atom).
        rows = [np.repeat(np.arange(len(centers)), np.diff(b.start)) for b in blocks]
        n_atoms = 1 + max((int(b.atom.max()) for b in blocks if len(b.atom)), default=0)
        keys = [row * n_atoms + b.atom for row, b in zip(rows, blocks, strict=True)]
        union = np.unique(np.concatenate(keys))
        values = np.zeros((len(union), 3, self.edges[-1]))
        for key, block, lo, hi in zip(keys, blocks, self.edges[:-1], self.edges[1:], strict=True):
            values[np.searchsorted(union, key), :, lo:hi] = block.values
        start = np.searchsorted(union, np.arange(len(centers) + 1) * n_atoms)
        strain = np.concatenate([b.strain for b in blocks], axis=2)
        return JacobianBlock(start.astype(np.int64), union % n_atoms, values, strain)

    def take(self, structures: IntArray) -> Concatenated:
        """See the module."""
        return Concatenated([part.take(structures) for part in self.parts], self.edges)

    @staticmethod
    def concatenate(chains: Sequence[Any]) -> Concatenated:
        """See the module."""
        columns = zip(*(chain.parts for chain in chains), strict=True)
        return Concatenated([type(c[0]).concatenate(list(c)) for c in columns], chains[0].edges)

    def neighborhood_sizes(self) -> IntArray:
        """See the module."""
        return np.max([part.neighborhood_sizes() for part in self.parts], axis=0)


class Pooled:
    """Rows of each structure's environments added up to one row.

    Parameters
    ----------
    parent : derivative chain
        Chain of the environments, one for each atom.
    offsets : ndarray of shape (n_structures + 1,)
        First environment of each structure.
    mean : bool
        Divide by the number of environments.
    n_features : int
        Number of columns.
    """

    def __init__(
        self, parent: DerivativeChain, offsets: IntArray, mean: bool, n_features: int
    ) -> None:
        self.parent = parent
        self.offsets = offsets
        self.mean = mean
        self.n_features = n_features

    def _weights(self):
        counts = np.diff(self.offsets)
        return 1.0 / counts if self.mean else np.ones(len(counts))

    def pull_back(self, g: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See the module."""
        return self.parent.pull_back(
            np.repeat(g * self._weights()[:, None], np.diff(self.offsets), axis=0)
        )

    def push_forward(self, displacements: FloatArray, strains: FloatArray) -> FloatArray:
        """See the module."""
        change = self.parent.push_forward(displacements, strains)
        return np.add.reduceat(change, self.offsets[:-1]) * self._weights()[:, None]

    def jacobian(self, centers: IntArray) -> JacobianBlock:
        """See the module."""
        atom, start = rows_of(centers, self.offsets)
        values = np.zeros((len(atom), 3, self.n_features))
        strain = np.zeros((len(centers), 6, self.n_features))
        # Where each atom's row begins; a structure asked for is written to its own rows.
        owner = np.repeat(np.arange(len(centers)), np.diff(start))
        sizes = self.parent.neighborhood_sizes()[atom]
        for lo, hi in block_ranges(sizes * 24.0 * self.n_features, BLOCK_BYTES):
            block = self.parent.jacobian(atom[lo:hi])
            for k, s in enumerate(owner[lo:hi]):
                entries = slice(block.start[k], block.start[k + 1])
                # The atoms that move one environment are distinct.
                rows = block.atom[entries] + (start[s] - self.offsets[centers[s]])
                values[rows] += block.values[entries]
                strain[s] += block.strain[k]
        weights = self._weights()[centers]
        values *= weights[owner, None, None]
        strain *= weights[:, None, None]
        return JacobianBlock(start, atom, values, strain)

    def take(self, structures: IntArray) -> Pooled:
        """See the module."""
        _, offsets = rows_of(structures, self.offsets)
        return Pooled(self.parent.take(structures), offsets, self.mean, self.n_features)

    @staticmethod
    def concatenate(chains: Sequence[Any]) -> Pooled:
        """See the module."""
        parents = [chain.parent for chain in chains]
        shifts = np.cumsum([0, *(chain.offsets[-1] for chain in chains)])
        return Pooled(
            type(parents[0]).concatenate(parents),
            join_offsets([chain.offsets for chain in chains], shifts),
            chains[0].mean,
            chains[0].n_features,
        )

    def neighborhood_sizes(self) -> IntArray:
        """Return how many atoms a structure has, or how many neighbors one atom has if more."""
        largest = np.maximum.reduceat(self.parent.neighborhood_sizes(), self.offsets[:-1])
        return np.maximum(np.diff(self.offsets), largest)


def _in_blocks(parent, centers, n_features, apply):
    """Return `apply(block, part)` of a chain's Jacobian; no wide block is held as a whole."""
    centers = np.asarray(centers)
    sizes = parent.neighborhood_sizes()[centers] * 24.0 * n_features
    parts = [centers[lo:hi] for lo, hi in block_ranges(sizes, BLOCK_BYTES)]
    if len(parts) < 2:
        return apply(parent.jacobian(centers), centers)
    blocks = [apply(parent.jacobian(part), part) for part in parts]
    shifts = np.cumsum([0, *(len(block.atom) for block in blocks)])
    start = join_offsets([block.start for block in blocks], shifts)
    return JacobianBlock(start, *map(np.concatenate, list(zip(*blocks, strict=True))[1:]))


def block_ranges(sizes: NDArray[Any], limit: float) -> Iterator[tuple[int, int]]:
    """Yield ranges whose sizes add up to at most `limit`, or single entries."""
    begin, total = 0, 0.0
    for k, size in enumerate(sizes):
        if k > begin and total + size > limit:
            yield begin, k
            begin, total = k, 0.0
        total += size
    if begin < len(sizes):
        yield begin, len(sizes)
