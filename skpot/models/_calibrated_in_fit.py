"""Potentials whose fit calibrates their standard deviations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..metrics import calibrated_deviations
from ._potential import Potential

if TYPE_CHECKING:
    from skpot.data import AtomicFeatures, Targets
    from skpot.typing import FloatArray


class CalibratedInFit(Potential):
    """Regressor that adjusts deviations by factors which its fit has found.

    The `fit` of a subclass sets `calibration_` and `species_factors_`; see `coverage_factors`.
    """

    if TYPE_CHECKING:
        calibration_: dict[str, FloatArray]
        species_factors_: dict[int, float]

    def energy_std(self, features: AtomicFeatures) -> FloatArray:
        """Return the calibrated deviation of total energies, shape (n_structures,), in eV."""
        std = super().energy_std(features)  # predict_std calls this, too
        return calibrated_deviations(std, self.calibration_, self.species_factors_)

    def energies_std(self, features: AtomicFeatures) -> FloatArray:
        """Return the deviations of environments' energies (n_environments,), in eV.

        There are no labels of them. They have the factor of total energies, without the noise.
        """
        known = self.calibration_.get("energy", self.calibration_.get("forces", np.ones(2)))
        return known[0] * super().energies_std(features)

    def predict_std(self, features: AtomicFeatures) -> Targets:
        """Return the calibrated deviations of energies, forces and stress; see `SparseGPR`."""
        numbers = np.split(features.numbers, features.atom_offsets[1:-1])
        std = super().predict_std(features)
        others = {kind: known for kind, known in self.calibration_.items() if kind != "energy"}
        return calibrated_deviations(std, others, self.species_factors_, numbers)
