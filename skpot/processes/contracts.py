"""What estimators ask of the posterior that their standard deviations come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from skpot.data import AtomicFeatures
    from skpot.typing import FloatArray

__all__ = ["PosteriorProcess"]


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
