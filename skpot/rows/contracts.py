"""What training rows are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from skpot.data import AtomicFeatures
    from skpot.typing import FloatArray

__all__ = ["TrainingColumns"]


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
