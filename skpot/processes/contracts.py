"""What estimators ask of the energies that a fit found, and of what it knows of their errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from skpot.data import AtomicFeatures
    from skpot.typing import FloatArray

__all__ = ["FittedForm", "PosteriorProcess"]


@runtime_checkable
class FittedForm(Protocol):
    """Energies of environments as a fit found them, without those of free atoms; immutable.

    Prediction, decomposition, compilation and export all start from it. `Expansion` is the form of
    kernel models, `LinearForms` that of linear ones.
    """

    def expand(
        self, features: AtomicFeatures, slopes: bool = True
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return energies of environments and, with `slopes`, their derivatives by the features."""
        ...

    def terms(self) -> dict[str, Any]:
        """Return the forms that add up to this one, by name; itself if there is only one."""
        ...


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
