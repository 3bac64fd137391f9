"""What estimators ask of the posterior they predict deviations with, and of training columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from skpot.data import AtomicFeatures
    from skpot.typing import FloatArray

__all__ = ["PosteriorProcess", "TrainingColumns"]


@runtime_checkable
class PosteriorProcess(Protocol):
    """What is known of energies after a fit: their variances, in units of eV and Å."""

    def energies(self, features: AtomicFeatures) -> FloatArray:
        """Return the variance of total energies, shape (n_structures,)."""
        ...

    def environments(self, features: AtomicFeatures) -> FloatArray:
        """Return the variance of each environment's energy, shape (n_environments,)."""
        ...

    def derivatives(self, features: AtomicFeatures) -> tuple[FloatArray, FloatArray]:
        """Return the variances of forces (n_atoms, 3) and of virials (n_structures, 6)."""
        ...


@runtime_checkable
class TrainingColumns(Protocol):
    """What energies are linear in: kernels with references, or functions of the features.

    Training rows are made of these; `len` is the number of columns.
    """

    def __len__(self) -> int:
        """Return the number of columns."""
        ...

    def sums(self, features: AtomicFeatures, out: FloatArray) -> None:
        """Add the columns of energies to `out` (n_structures, n_columns)."""
        ...

    def gradient_rows(
        self,
        features: AtomicFeatures,
        forces: FloatArray,
        strain: FloatArray,
        jacobian_bytes: float,
        map_tiles: Callable[..., Any] = map,
    ) -> None:
        """Add the columns of forces (3 n_atoms) and of -dE/d(strain) (6 n_structures) to rows."""
        ...

    def whiten(self, rows: FloatArray, factor: Any) -> None:
        """Replace rows by those in coefficients whose prior is the unit matrix."""
        ...
