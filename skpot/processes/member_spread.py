"""What networks that started at random do not agree on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..exceptions import InputError

if TYPE_CHECKING:
    from skpot.data import AtomicFeatures
    from skpot.processes.networks import Networks
    from skpot.typing import FloatArray


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
        """Return the variances of forces (n_atoms, 3) and of virials (n_structures, 6)."""
        forces, virials = [], []
        for m in self._members():
            _, g = self.networks.expand_member(m, features)
            own = features.pull_back(g)
            forces.append(own[0])
            virials.append(own[1])
        return _variance(forces), _variance(virials)

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
