"""The one form that all fitted kernel models have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from skpot.kernels.contracts import Covariance
    from skpot.typing import IntArray


class Expansion(NamedTuple):
    r"""Energies of environments as a sum over references.

    .. math:: \epsilon(x) = \sum_m (\alpha_m + v_m \cdot \partial_{q_m}) k(x, q_m)

    where the sum goes over the references of the species of the center.
    """

    kernel: Covariance  # k, with its blocks found
    features: np.ndarray  # (n_references, n_features) q
    species: np.ndarray  # (n_references,) atomic numbers
    alpha: np.ndarray  # (n_references,) eV
    vectors: np.ndarray | None  # (n_references, n_features) v, of models that have any

    def take(self, some: IntArray) -> Expansion:
        """Return the expansion in some of the references, given by index."""
        parts: Any = (None if part is None else part[some] for part in self[1:])
        return Expansion(self.kernel, *parts)
