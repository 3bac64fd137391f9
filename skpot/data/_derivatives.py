"""How features depend on positions: a chain of maps, evaluated backwards or forwards.

A chain starts with a leaf that a descriptor provides and has one link for each map that is applied
to the rows. What every link offers is written in `skpot.data.contracts.DerivativeChain`.
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

BLOCK_BYTES = 16e6  # most for a dense Jacobian before a map, which may be far wider than after it


class _RowwiseMap:
    """What maps of single rows share.

    A subclass defines `_width()`, the number of columns before the map; `_transposed(g)`, which
    returns g times the map; `_applied(rows)`, which returns the map times rows; and
    `_map(block, centers)`, which applies the map to a `JacobianBlock` of some environments.
    """

    def __init__(self, parent: DerivativeChain) -> None:
        self.parent = parent

    def _width(self):
        raise NotImplementedError

    def _transposed(self, g):
        raise NotImplementedError

    def _applied(self, rows):
        raise NotImplementedError

    def _map(self, block, centers):
        raise NotImplementedError

    def pull_back(self, g: FloatArray) -> tuple[Any, Any]:
        """See `DerivativeChain`."""
        return self.parent.pull_back(self._transposed(g))

    def push_forward(self, displacements: FloatArray, strains: FloatArray) -> FloatArray:
        """See `DerivativeChain`."""
        return self._applied(self.parent.push_forward(displacements, strains))

    def jacobian(self, centers: IntArray) -> JacobianBlock:
        """See `DerivativeChain`."""
        return _in_blocks(self.parent, centers, self._width(), self._map)

    def neighborhood_sizes(self) -> IntArray:
        """See `DerivativeChain`."""
        return self.parent.neighborhood_sizes()


class _ColumnMap(_RowwiseMap):
    """What linear maps share that are the same for all rows.

    `settings` are the arguments after `parent`. A subclass has `n_features_in`; its `_transposed`
    and `_applied` act on the last axis.
    """

    n_features_in: int

    def __init__(self, parent: DerivativeChain, *settings: Any) -> None:
        super().__init__(parent)
        self.settings = settings

    def _width(self):
        return self.n_features_in

    def _map(self, block, centers):
        return block._replace(
            values=self._applied(block.values), strain=self._applied(block.strain)
        )

    def take(self, structures: IntArray) -> Self:
        """See `DerivativeChain`."""
        return type(self)(self.parent.take(structures), *self.settings)

    @classmethod
    def concatenate(cls, chains: Sequence[Any]) -> Self:
        """See `DerivativeChain`."""
        return cls(_joined_parents(chains), *chains[0].settings)


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


class SpeciesMap(_RowwiseMap):
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
        super().__init__(parent)
        self.kinds = kinds
        self.matrices = matrices
        self.offsets = offsets

    @staticmethod
    def apply(rows: FloatArray, kinds: IntArray, matrices: FloatArray) -> FloatArray:
        """Return each row, or stack of rows, times its matrix."""
        out = np.empty((*rows.shape[:-1], matrices.shape[2]))
        for kind, matrix in enumerate(matrices):
            mine = np.flatnonzero(kinds == kind)
            # During a fit all rows are of one species, and copies would take a notable time.
            own = rows if len(mine) == len(rows) else rows[mine]
            # Stacks of rows as one matrix: NumPy would multiply them one by one.
            product = (own.reshape(-1, rows.shape[-1]) @ matrix).reshape(len(mine), *out.shape[1:])
            if own is rows:
                return product
            out[mine] = product
        return out

    def jacobian(self, centers: IntArray) -> JacobianBlock:
        """See `DerivativeChain`."""
        projected = getattr(self.parent, "projected_jacobian", None)
        if projected is not None:  # of a leaf that need not make its own rows for it
            found = projected(centers, self.kinds[centers], self.matrices)
            if found is not None:
                return found
        return super().jacobian(centers)

    def _width(self):
        return self.matrices.shape[1]

    def _transposed(self, g):
        return self.apply(g, self.kinds, self.matrices.swapaxes(1, 2))

    def _applied(self, rows):
        return self.apply(rows, self.kinds, self.matrices)

    def _map(self, block, centers):
        kinds = self.kinds[centers]
        repeated = np.repeat(kinds, np.diff(block.start))
        return block._replace(
            values=self.apply(block.values, repeated, self.matrices),
            strain=self.apply(block.strain, kinds, self.matrices),
        )

    def take(self, structures: IntArray) -> SpeciesMap:
        """See `DerivativeChain`."""
        index, offsets = rows_of(structures, self.offsets)
        return SpeciesMap(self.parent.take(structures), self.kinds[index], self.matrices, offsets)

    @staticmethod
    def concatenate(chains: Sequence[Any]) -> SpeciesMap:
        """See `DerivativeChain`."""
        kinds = np.concatenate([chain.kinds for chain in chains])
        return SpeciesMap(
            _joined_parents(chains), kinds, chains[0].matrices, _joined_offsets(chains)
        )


class RowMap(_RowwiseMap):
    """A nonlinear map of each row, given by products with its Jacobian.

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
        super().__init__(parent)
        self.rows = rows
        self.offsets = offsets
        self.jacobian_of = jacobian_of

    def _width(self):
        return self.rows.shape[1]

    def _transposed(self, g):
        return self.jacobian_of.vjp(self.rows, g)

    def _applied(self, rows):
        return self.jacobian_of.jvp(self.rows, rows[:, None])[:, 0]

    def _map(self, block, centers):
        rows = self.rows[centers]
        repeated = np.repeat(rows, np.diff(block.start), axis=0)
        return block._replace(
            values=self.jacobian_of.jvp(repeated, block.values),
            strain=self.jacobian_of.jvp(rows, block.strain),
        )

    def take(self, structures: IntArray) -> RowMap:
        """See `DerivativeChain`."""
        index, offsets = rows_of(structures, self.offsets)
        return RowMap(self.parent.take(structures), self.rows[index], offsets, self.jacobian_of)

    @staticmethod
    def concatenate(chains: Sequence[Any]) -> RowMap:
        """See `DerivativeChain`."""
        rows = np.concatenate([chain.rows for chain in chains])
        return RowMap(_joined_parents(chains), rows, _joined_offsets(chains), chains[0].jacobian_of)


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
        """See `DerivativeChain`."""
        columns = zip(self.parts, self.edges[:-1], self.edges[1:], strict=True)
        results = [part.pull_back(np.ascontiguousarray(g[:, lo:hi])) for part, lo, hi in columns]
        return sum(r[0] for r in results), sum(r[1] for r in results)

    def push_forward(self, displacements: FloatArray, strains: FloatArray) -> FloatArray:
        """See `DerivativeChain`."""
        return np.hstack([part.push_forward(displacements, strains) for part in self.parts])

    def jacobian(self, centers: IntArray) -> JacobianBlock:
        """See `DerivativeChain`."""
        blocks = [part.jacobian(centers) for part in self.parts]
        # The parts may have different cutoffs: take the union of all pairs (center, atom).
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
        """See `DerivativeChain`."""
        return Concatenated([part.take(structures) for part in self.parts], self.edges)

    @staticmethod
    def concatenate(chains: Sequence[Any]) -> Concatenated:
        """See `DerivativeChain`."""
        columns = zip(*(chain.parts for chain in chains), strict=True)
        return Concatenated([type(c[0]).concatenate(list(c)) for c in columns], chains[0].edges)

    def neighborhood_sizes(self) -> IntArray:
        """See `DerivativeChain`."""
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
        """See `DerivativeChain`."""
        return self.parent.pull_back(
            np.repeat(g * self._weights()[:, None], np.diff(self.offsets), axis=0)
        )

    def push_forward(self, displacements: FloatArray, strains: FloatArray) -> FloatArray:
        """See `DerivativeChain`."""
        change = self.parent.push_forward(displacements, strains)
        return np.add.reduceat(change, self.offsets[:-1]) * self._weights()[:, None]

    def jacobian(self, centers: IntArray) -> JacobianBlock:
        """See `DerivativeChain`."""
        atom, start = rows_of(centers, self.offsets)
        values = np.zeros((len(atom), 3, self.n_features))
        strain = np.zeros((len(centers), 6, self.n_features))
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
        """See `DerivativeChain`."""
        _, offsets = rows_of(structures, self.offsets)
        return Pooled(self.parent.take(structures), offsets, self.mean, self.n_features)

    @staticmethod
    def concatenate(chains: Sequence[Any]) -> Pooled:
        """See `DerivativeChain`."""
        mean, n_features = chains[0].mean, chains[0].n_features
        return Pooled(_joined_parents(chains), _joined_offsets(chains), mean, n_features)

    def neighborhood_sizes(self) -> IntArray:
        """Return the number of atoms of each structure, or of neighbors of one if that is more."""
        largest = np.maximum.reduceat(self.parent.neighborhood_sizes(), self.offsets[:-1])
        return np.maximum(np.diff(self.offsets), largest)


def _joined_parents(chains):
    """Return the chain of the parents of several chains, one after the other."""
    parents = [chain.parent for chain in chains]
    return type(parents[0]).concatenate(parents)


def _joined_offsets(chains):
    """Return the offsets of several chains as those of one."""
    shifts = np.cumsum([0, *(chain.offsets[-1] for chain in chains)])
    return join_offsets([chain.offsets for chain in chains], shifts)


def _in_blocks(parent, centers, n_features, apply):
    """Return `apply(block, centers)` of the Jacobian of a chain, of a few centers at a time.

    The Jacobian before a map may be much wider than after it, so it is never held as a whole.
    """
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
    """Yield ranges of entries whose sizes add up to at most `limit`, or of single entries."""
    begin, total = 0, 0.0
    for k, size in enumerate(sizes):
        if k > begin and total + size > limit:
            yield begin, k
            begin, total = k, 0.0
        total += size
    if begin < len(sizes):
        yield begin, len(sizes)
