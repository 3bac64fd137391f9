"""The one form that all fitted kernel models have."""

from typing import NamedTuple

import numpy as np


class Expansion(NamedTuple):
    r"""Energies of environments as a sum over references.

    .. math:: \epsilon(x) = \sum_m (\alpha_m + v_m \cdot \partial_{q_m}) k(x, q_m)

    where the sum goes over the references of the species of the centre.
    """

    kernel: object  # k, with its blocks found
    features: np.ndarray  # (n_references, n_features) q
    species: np.ndarray  # (n_references,) atomic numbers
    alpha: np.ndarray  # (n_references,) eV
    vectors: np.ndarray | None  # (n_references, n_features) v, of models that have any

    def take(self, some):
        """Return the expansion in some of the references, given by index."""
        parts = (None if part is None else part[some] for part in self[1:])
        return Expansion(self.kernel, *parts)
