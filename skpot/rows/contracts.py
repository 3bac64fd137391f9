"""What training rows are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from skpot.data import AtomicFeatures
    from skpot.typing import FloatArray

__all__ = ["GradientRows", "TrainingColumns"]


class GradientRows(NamedTuple):
    """Rows of forces and of strains, to which the derivatives of columns are added."""

    forces: FloatArray  # (3 n_atoms, n_columns) -dE/dr: row 3 i + axis belongs to atom i
    strain: FloatArray  # (6 n_structures, n_columns) dE/d(strain): row 6 s + v to structure s

    @classmethod
    def zeros(cls, features: AtomicFeatures, n_columns: int) -> GradientRows:
        """Return rows of the labels of all atoms and structures that are zero."""
        sizes = 3 * len(features.numbers), 6 * len(features)
        return cls(*(np.zeros((size, n_columns)) for size in sizes))

    def first(self, n_columns: int) -> GradientRows:
        """Return the first columns, as views."""
        return GradientRows(self.forces[:, :n_columns], self.strain[:, :n_columns])


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
        self, features: AtomicFeatures, out: GradientRows, n_bytes: float, map_tiles: Any = map
    ) -> None:
        """Add the columns of forces and of strains to rows; a block of Jacobians at a time."""
        ...

    def whiten(self, rows: FloatArray, factor: Any) -> None:
        """Replace rows by those in coefficients whose prior is the unit matrix."""
        ...
