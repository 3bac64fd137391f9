"""How features depend on positions: a chain of maps, evaluated backwards or forwards.

A chain starts with a leaf that a descriptor provides (its geometry and its kernels) and goes on
with one node for each map applied to the rows. Every link offers

``pull_back(g)``
    reverse mode: forces and virials from dE/d(features);
``jacobian(centres)``
    forward mode: a dense `JacobianBlock` of a few environments;
``take(structures)``, ``concatenate(chains)``
    the chain of a selection, or of several batches;
``neighborhood_sizes()``
    how many neighbours each environment has, images counted apart, and itself.

Links are plain picklable objects that hold arrays, never closures.
"""

from typing import NamedTuple

import numpy as np

from ._graph import join_offsets, rows_of


class JacobianBlock(NamedTuple):
    """Dense derivatives of some environments' features.

    Rows `start[k]:start[k + 1]` belong to the k-th environment asked for; each row is an atom that
    moves it, itself included, periodic images merged.
    """

    start: np.ndarray  # (n_centres + 1,)
    atom: np.ndarray  # (n_rows,) environment index of the moving atom
    values: np.ndarray  # (n_rows, 3, n_features) d(features)/dr, 1/Å
    strain: np.ndarray  # (n_centres, 6, n_features) d(features)/d(strain), Voigt


class LinearMap:
    """Rows times a matrix (the linear part of scaling, PCA, selection ...).

    Parameters
    ----------
    parent : derivative chain
        Chain of the rows before the map.
    matrix : ndarray of shape (n_features_in, n_features_out)
        The linear part.
    """

    def __init__(self, parent, matrix):
        self.parent = parent
        self.matrix = matrix

    def pull_back(self, g):
        """See the module."""
        return self.parent.pull_back(g @ self.matrix.T)

    def jacobian(self, centres):
        """See the module."""
        block = self.parent.jacobian(centres)
        return block._replace(values=block.values @ self.matrix, strain=block.strain @ self.matrix)

    def take(self, structures):
        """See the module."""
        return LinearMap(self.parent.take(structures), self.matrix)

    @staticmethod
    def concatenate(chains):
        """See the module."""
        parents = [chain.parent for chain in chains]
        return LinearMap(type(parents[0]).concatenate(parents), chains[0].matrix)

    def neighborhood_sizes(self):
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

    def __init__(self, parent, rows, offsets, jacobian_of):
        self.parent = parent
        self.rows = rows
        self.offsets = offsets
        self.jacobian_of = jacobian_of

    def pull_back(self, g):
        """See the module."""
        return self.parent.pull_back(self.jacobian_of.vjp(self.rows, g))

    def jacobian(self, centres):
        """See the module."""
        block = self.parent.jacobian(centres)
        rows = self.rows[centres]
        repeated = np.repeat(rows, np.diff(block.start), axis=0)
        return block._replace(
            values=self.jacobian_of.jvp(repeated, block.values),
            strain=self.jacobian_of.jvp(rows, block.strain),
        )

    def take(self, structures):
        """See the module."""
        index, offsets = rows_of(structures, self.offsets)
        return RowMap(self.parent.take(structures), self.rows[index], offsets, self.jacobian_of)

    @staticmethod
    def concatenate(chains):
        """See the module."""
        parents = [chain.parent for chain in chains]
        shifts = np.cumsum([0, *(len(chain.rows) for chain in chains)])
        return RowMap(
            type(parents[0]).concatenate(parents),
            np.concatenate([chain.rows for chain in chains]),
            join_offsets([chain.offsets for chain in chains], shifts),
            chains[0].jacobian_of,
        )

    def neighborhood_sizes(self):
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

    def __init__(self, parts, edges):
        self.parts = parts
        self.edges = edges

    def pull_back(self, g):
        """See the module."""
        columns = zip(self.parts, self.edges[:-1], self.edges[1:], strict=True)
        results = [part.pull_back(np.ascontiguousarray(g[:, lo:hi])) for part, lo, hi in columns]
        return sum(r[0] for r in results), sum(r[1] for r in results)

    def jacobian(self, centres):
        """See the module."""
        blocks = [part.jacobian(centres) for part in self.parts]
        # The parts may have different cutoffs: the rows are the union of (centre, atom).
        rows = [np.repeat(np.arange(len(centres)), np.diff(b.start)) for b in blocks]
        n_atoms = 1 + max((int(b.atom.max()) for b in blocks if len(b.atom)), default=0)
        keys = [row * n_atoms + b.atom for row, b in zip(rows, blocks, strict=True)]
        union = np.unique(np.concatenate(keys))
        values = np.zeros((len(union), 3, self.edges[-1]))
        for key, block, lo, hi in zip(keys, blocks, self.edges[:-1], self.edges[1:], strict=True):
            values[np.searchsorted(union, key), :, lo:hi] = block.values
        start = np.searchsorted(union, np.arange(len(centres) + 1) * n_atoms)
        strain = np.concatenate([b.strain for b in blocks], axis=2)
        return JacobianBlock(start.astype(np.int64), union % n_atoms, values, strain)

    def take(self, structures):
        """See the module."""
        return Concatenated([part.take(structures) for part in self.parts], self.edges)

    @staticmethod
    def concatenate(chains):
        """See the module."""
        columns = zip(*(chain.parts for chain in chains), strict=True)
        return Concatenated([type(c[0]).concatenate(list(c)) for c in columns], chains[0].edges)

    def neighborhood_sizes(self):
        """See the module."""
        return np.max([part.neighborhood_sizes() for part in self.parts], axis=0)
