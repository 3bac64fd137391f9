"""What networks that started at random do not agree on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data import LABEL_KINDS, Targets
from ..exceptions import InputError
from ..metrics import errors_and_deviations
from ..rows.blocks import as_targets

if TYPE_CHECKING:
    from typing import Any

    from skpot.data import AtomicFeatures
    from skpot.processes.networks import Networks
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray


class MemberSpread(NamedTuple):
    """Variance of what the members of an ensemble of networks say, around their mean."""

    networks: Networks

    def energies(self, features: AtomicFeatures) -> FloatArray:
        """Return the variance of total energies, shape (n_structures,)."""
        return _variance(
            np.add.reduceat(own, features.offsets[:-1]) for own in self._energies(features)
        )

    def environments(self, features: AtomicFeatures) -> FloatArray:
        """Return the variance of each environment's energy, shape (n_environments,)."""
        return _variance(self._energies(features))

    def derivatives(self, features: AtomicFeatures) -> tuple[FloatArray, FloatArray]:
        """Return the variances of forces (n_atoms, 3) and of virials (n_structures, 6).

        The components of a force have one variance, their mean: it does not depend on the axes,
        and is less random than that of a few members along each.
        """
        forces, virials = [], []
        for m in self._members():
            _, g = self.networks.expand_member(m, features)
            own = features.pull_back(g)
            forces.append(own[0])
            virials.append(own[1])
        mean = _variance(forces).mean(axis=1, keepdims=True)
        return np.repeat(mean, 3, axis=1), _variance(virials)

    def _energies(self, features):
        return [self.networks.expand_member(m, features, False)[0] for m in self._members()]

    def _members(self):
        n = self.networks.n_members
        if n < 2:
            raise InputError(
                "one network alone knows no standard deviations; use AtomicMLP(n_members=4)."
            )
        return range(n)


def _variance(values):
    return np.var(np.array(list(values)), axis=0, ddof=1)


def errors_of_members(
    networks: Networks, training: TrainingSet
) -> dict[str, tuple[FloatArray, FloatArray, IntArray]]:
    """Return errors of the mean of networks on structures, and the spread of the networks.

    Returns
    -------
    dict of str to tuple
        By kind of label: errors, deviations, and atomic numbers of the atoms that forces act on.
    """
    found = [_errors_of(networks, part) for _, part in training.in_parts()]
    kinds = (kind for kind in LABEL_KINDS if any(kind in part for part in found))
    joined = {
        kind: tuple(map(np.concatenate, zip(*(p[kind] for p in found if kind in p), strict=True)))
        for kind in kinds
    }
    return {kind: (e, s, z) for kind, (e, s, z) in joined.items() if (s > 0.0).any()}


def _errors_of(networks, training):
    features, process = training.features, MemberSpread(networks)
    atoms, g = networks.expand(features, training.has_derivatives)
    energy = np.add.reduceat(atoms, features.offsets[:-1])
    std = np.sqrt(process.energies(features))
    predicted, deviations = Targets(energy), Targets(std)
    if g is not None:
        predicted = as_targets(energy, features, *features.pull_back(g))
        forces, virials = process.derivatives(features)
        deviations = as_targets(std, features, np.sqrt(forces), -np.sqrt(virials))
    labels = training.labels.copy()
    labels.energy = np.where(labels.has_energy, training.residual, labels.energy)
    out: dict[str, Any] = {}
    for kind in LABEL_KINDS:
        error, spread = errors_and_deviations(labels, predicted, deviations, kind)
        if len(error):
            numbers = np.zeros(len(error), dtype=np.int64)
            if kind == "forces":
                numbers = np.repeat(features.numbers[training.labeled_atoms()[0]], 3)
            out[kind] = error, spread, numbers
    return out
