"""How large labels are, and which structures are extreme."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..solvers import refuse_not_finite

if TYPE_CHECKING:
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray

_EXTREME = 4.0  # severity of a structure beyond which its labels lose weight
_ORDINARY = 0.9  # structures below this quantile keep their full weight
_LEAST = 1e-6  # smaller labels say nothing of how severe a structure is
_TINY = np.finfo(float).tiny
_LEAST_NOISE = 1e-3  # eV/Å; forces of electronic structure programs are no more precise
STRESS_NOISE = 0.1  # noise of stress over that of forces, 1/Å²


class LabelSizes(NamedTuple):
    """How large labels are."""

    level: float  # mean absolute force component, or energy per atom if there are no forces
    has_forces: bool
    severity: np.ndarray  # (n_structures,)

    def noise(self, share: float) -> float:
        """Return the noise of forces that is a share of their level, at least 1 meV/Å."""
        return max(share * self.level, _LEAST_NOISE)

    def lightened(self, weight: FloatArray) -> FloatArray:
        """Return weights of structures, less those of extreme ones."""
        out = weight / np.maximum(1.0, self.severity / _EXTREME) ** 2
        refuse_not_finite(out, "the weight that labels give structures")
        return out


def label_sizes(training: TrainingSet, weight: FloatArray) -> LabelSizes:
    """Return how large the labels of structures with weights are, baseline taken off."""
    features, labels = training.features, training.labels
    n = features.n_atoms
    # Structures without a label of a kind say nothing of what is usual for it.
    known_energy = np.where(labels.has_energy, weight, 0.0)
    per_atom = np.where(labels.has_energy, training.residual / n, 0.0)
    energy = np.where(labels.has_energy, per_atom - _quantile(per_atom, 0.5, known_energy), 0.0)
    forces, virial = np.zeros(len(n)), np.zeros(len(n))
    level = _mean(np.abs(energy), known_energy)
    labeled, stressed = labels.has_forces, labels.has_stress
    if labeled.any():
        told = training.per_structure()
        forces[labeled] = np.sqrt(told.squares[labeled] / told.n_forces[labeled])
        # Sums without rounding errors do not depend on the order.
        level = fsum(weight * told.absolute) / max(fsum(weight * told.n_forces), _TINY)
    if stressed.any():
        size = np.sqrt(np.mean(labels.stress[stressed] ** 2, axis=1))
        virial[stressed] = size * features.volumes[stressed] / n[stressed]
    severity = np.zeros(len(n))
    for part, known in (
        (forces, np.where(labeled, weight, 0.0)),
        (np.maximum(energy, 0.0), known_energy),
        (virial, np.where(stressed, weight, 0.0)),
    ):
        ordinary = _quantile(part, _ORDINARY, known)
        if ordinary > _LEAST:
            severity = np.maximum(severity, part / ordinary)
    return LabelSizes(float(level), bool(labeled.any()), severity)


def _mean(values, weight):
    return fsum(weight * values) / max(fsum(weight), _TINY)


def _quantile(values, q, weight):
    """Return the value that the share q of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weight[order])
    return values[order[np.searchsorted(total, q * total[-1])]]
