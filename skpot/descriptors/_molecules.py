"""What descriptors of whole molecules share: the transformer and the leaf of its derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._base import ContainerOutput, NamedFeatures, VersionedEstimator
from .._sklearn import _fit_context
from ..core import inverse_distances as kernels
from ..core import run_blocks
from ..data import (
    AtomicFeatures,
    JacobianBlock,
    as_batch,
    join_offsets,
    push_by_jacobian,
    rows_of,
    summarize,
)
from ..data.origin import Origin, content_digest
from ..exceptions import StructureError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

    from skpot.data import StructureBatch
    from skpot.typing import FloatArray, IntArray, Structures


@dataclass(eq=False)
class PairTermDerivatives:
    """Leaf of the derivative chain of terms q_i q_j / r_ij, one row for each structure.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3)
        In Å.
    offsets : ndarray of shape (n_structures + 1,)
        First atom of each structure.
    charges : ndarray of shape (n_atoms,)
        Their q.
    column : ndarray of int of shape (n_largest, n_largest)
        Where the term of two atoms stands.
    n_features : int
        Number of columns.
    """

    positions: FloatArray
    offsets: IntArray
    charges: FloatArray
    column: IntArray
    n_features: int

    def _arrays(self):
        return self.positions, self.offsets, self.charges, self.column

    def _run(self, kernel, n, *args):
        run_blocks(kernel, n, *args, smallest=50)

    def fill(self, values: FloatArray) -> None:
        """Write the terms to their columns of `values` (n_structures, n_features)."""
        self._run(kernels.values, len(values), *self._arrays(), values)

    def pull_back(self, g: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return forces and virials from g = dE/d(features)."""
        forces = np.zeros_like(self.positions)
        virials = np.zeros((len(self.offsets) - 1, 6))
        args = *self._arrays(), np.ascontiguousarray(g), forces, virials
        self._run(kernels.pull_back, len(g), *args)
        return forces, virials

    def push_forward(self, displacements: FloatArray, strains: FloatArray) -> FloatArray:
        """Return the change of the features along one motion, the adjoint of `pull_back`."""
        structure = np.arange(len(self.offsets) - 1)
        return push_by_jacobian(self, structure, self.n_features, displacements, strains)

    def jacobian(self, centers: IntArray) -> JacobianBlock:
        """Return the dense `JacobianBlock` of some structures."""
        atom, start = rows_of(centers, self.offsets)
        values = np.zeros((len(atom), 3, self.n_features))
        strain = np.zeros((len(centers), 6, self.n_features))
        args = centers, *self._arrays(), start, values, strain
        self._run(kernels.jacobian, len(centers), *args)
        return JacobianBlock(start, atom, values, strain)

    def take(self, structures: IntArray) -> PairTermDerivatives:
        """Return the leaf of some structures."""
        rows, offsets = rows_of(structures, self.offsets)
        return PairTermDerivatives(
            self.positions[rows], offsets, self.charges[rows], self.column, self.n_features
        )

    @staticmethod
    def concatenate(chains: Sequence[Any]) -> PairTermDerivatives:
        """Return the leaf of several batches."""
        shifts = np.cumsum([0, *(chain.offsets[-1] for chain in chains)])
        return PairTermDerivatives(
            np.concatenate([chain.positions for chain in chains]),
            join_offsets([chain.offsets for chain in chains], shifts),
            np.concatenate([chain.charges for chain in chains]),
            chains[0].column,
            chains[0].n_features,
        )

    def neighborhood_sizes(self) -> IntArray:
        """Return the number of atoms of each structure: all of them move its features."""
        return np.diff(self.offsets)


class MoleculeDescriptor(ContainerOutput, NamedFeatures, VersionedEstimator, BaseEstimator):
    """Transformer to one row for each molecule, in open boundaries.

    A subclass defines what stands below this docstring.
    """

    def _learn(self, batch):
        """Set `n_features_out_` and what else `_problem` and `_compute` need.

        Return a tuple of all that determines the features.
        """
        raise NotImplementedError

    def _problem(self, numbers):
        """Return why a molecule of these atoms does not fit in, or None."""
        raise NotImplementedError

    def _compute(self, batch):
        """Return values (n_structures, n_features_out_) and derivative chain."""
        raise NotImplementedError

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Structures, y: Any = None) -> Self:
        """Note what the molecules have in common.

        Parameters
        ----------
        X, y
            As in `SOAP.fit`; structures are molecules.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            If structures are periodic, or cannot be compared with each other; see the class.
        """
        batch = as_batch(X)
        content = self._learn(batch)
        self._check(batch)
        # No atom of a molecule is without neighbors, so that no row is zero.
        self.origin_ = content_digest(type(self).__name__, *content), False
        return self

    def transform(self, X: Structures | StructureBatch) -> AtomicFeatures:
        """Compute the descriptor of every molecule.

        Parameters
        ----------
        X : list[Atoms], or StructureBatch
            Molecules.

        Returns
        -------
        features : AtomicFeatures
            One row for each molecule, with analytic derivatives.

        Raises
        ------
        ValueError
            If a structure is periodic, or none that the fitted descriptor knows; see the class.
        """
        check_is_fitted(self, "n_features_out_")
        batch = as_batch(X)
        self._check(batch)
        values, chain = self._compute(batch)
        return AtomicFeatures.of_structures(
            values, batch.offsets, batch.numbers, chain, batch.info(), origin=Origin(*self.origin_)
        )

    def _check(self, batch):
        """Refuse what the descriptor is not defined for, all of it in one message."""
        problems = {}
        for s in range(len(batch)):
            numbers = batch.numbers[batch.offsets[s] : batch.offsets[s + 1]]
            if batch.pbc[s].any():
                problems[s] = (
                    f"pbc={batch.pbc[s].tolist()}, but {type(self).__name__} is for molecules in "
                    "open boundaries (atoms.pbc = False)"
                )
            elif problem := self._problem(numbers):
                problems[s] = problem
        if problems:
            raise StructureError(summarize(problems, len(batch)))
