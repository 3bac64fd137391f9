"""The contract of derivative chains, and the types of features and labels that regressors take.

A chain starts with a leaf that a descriptor provides (its geometry and its kernels) and goes on
with one link for each map applied to the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import ArrayLike

    from skpot.data._features import AtomicFeatures
    from skpot.data._targets import Targets
    from skpot.typing import FloatArray, IntArray

__all__ = [
    "DerivativeChain",
    "FeaturesLike",
    "InFiles",
    "JacobianBlock",
    "RowJacobian",
    "TargetsLike",
]

FeaturesLike: TypeAlias = "AtomicFeatures | ArrayLike"  # an array has a row for each structure
TargetsLike: TypeAlias = "Targets | ArrayLike"  # an array has energies only


@runtime_checkable
class InFiles(Protocol):
    """Structures in files, with what is computed of them, as tasks get them."""

    @property
    def seen(self) -> Sequence[Any]:
        """Arrays with an entry for each structure, of what was noted when it was computed."""
        ...

    def __len__(self) -> int: ...

    def part(self, some: IntArray) -> Self:
        """Return some of the structures."""
        ...

    def makers(self) -> tuple[Any, ...]:
        """Return what makes features and the like, which is the same for all parts."""
        ...

    def detached(self) -> Self:
        """Return the same without `makers`, which is small."""
        ...

    def attached(self, makers: tuple[Any, ...]) -> Self:
        """Return the same with `makers`."""
        ...


class JacobianBlock(NamedTuple):
    """Dense derivatives of some environments' features.

    An environment is a row of features, of one atom or of a whole structure. Rows
    `start[k]:start[k + 1]` belong to the k-th environment that was asked for. There is a row for
    each atom that it depends on, the center included; images of one atom share a row.
    """

    start: np.ndarray  # (n_centers + 1,)
    atom: np.ndarray  # (n_rows,) index of the atom, counted over all structures
    values: np.ndarray  # (n_rows, 3, n_features) d(features)/dr, 1/Å
    strain: np.ndarray  # (n_centers, 6, n_features) d(features)/d(strain), Voigt


@runtime_checkable
class DerivativeChain(Protocol):
    """How features depend on positions: a leaf of a descriptor, or a map of the rows of a chain.

    Links are picklable objects that hold arrays, never closures. A chain is that of all structures
    of a batch, in order.
    """

    def pull_back(self, g: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the forces and virials of an energy, given its derivatives along the features.

        Parameters
        ----------
        g : ndarray of shape (n_environments, n_features)
            dE/d(features).

        Returns
        -------
        forces : ndarray of shape (n_atoms, 3)
            -dE/dr in eV/Å.
        virials : ndarray of shape (n_structures, 6)
            -dE/d(strain) in eV, Voigt order.
        """
        ...

    def push_forward(self, displacements: FloatArray, strains: FloatArray) -> FloatArray:
        """Return the change of all features along one motion: minus the adjoint of `pull_back`.

        Parameters
        ----------
        displacements : ndarray of shape (n_atoms, 3)
            Displacements of the atoms, in Å.
        strains : ndarray of shape (n_structures, 6)
            Strains of the structures, Voigt order.

        Returns
        -------
        ndarray of shape (n_environments, n_features)
        """
        ...

    def jacobian(self, centers: IntArray) -> JacobianBlock:
        """Return the dense derivatives of a few environments, given by index."""
        ...

    def take(self, structures: IntArray) -> DerivativeChain:
        """Return the chain of some structures, given by index, in that order."""
        ...

    @classmethod
    def concatenate(cls, chains: Sequence[Any]) -> Self:
        """Return the chain of several batches, one after the other; all have this class."""
        ...

    def neighborhood_sizes(self) -> IntArray:
        """Return how many neighbors each environment has, each image counted, plus the center."""
        ...


@runtime_checkable
class RowJacobian(Protocol):
    """Derivative of a nonlinear map of single rows, as `skpot.compose.register_jacobian` takes."""

    def vjp(self, rows: FloatArray, g: FloatArray) -> FloatArray:
        """Return g (n, n_features_out) times the Jacobian of each row (n, n_features_in)."""
        ...

    def jvp(self, rows: FloatArray, v: FloatArray) -> FloatArray:
        """Return each row's Jacobian times several v (n, n_vectors, n_features_in)."""
        ...
