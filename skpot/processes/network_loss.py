r"""The loss of networks on energies, forces and stress, and its exact derivatives by the weights.

.. math::

    L = \tfrac12 \sum_s \frac{(E_s - E_s^*)^2}{\sigma_E^2 n_s}
      + \tfrac12 \sum \frac{(F - F^*)^2}{\sigma_F^2} + \tfrac12 \sum \frac{(T - T^*)^2}{\sigma_T^2}

Energies are sums over environments, forces and stress are linear in the slopes g of all of them.
So the derivatives by the weights are those of :math:`\sum_i a_i \epsilon_i + U_i \cdot g_i` with
:math:`a_i = \partial L / \partial E_s` and :math:`U = \partial L / \partial g`, which a
push-forward of the weighted errors of forces and stress gives (see `network_layers`). Everything is
computed in units of the size of the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.network_loss import DerivativeLabels, pull_losses
from ..data import rows_of

if TYPE_CHECKING:
    from skpot.processes.network_inputs import NetworkInputs
    from skpot.processes.network_layers import Layers
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray


class LossLabels(NamedTuple):
    """Labels over the unit of energy, with weights whose mean over structures is 1."""

    energy: np.ndarray  # (n_structures,) less free atoms
    energy_weights: np.ndarray  # (n_structures,)
    derivatives: DerivativeLabels
    unit: float  # eV
    per_label: float  # mean loss of a label over mean loss of a structure

    @classmethod
    def of(cls, training: TrainingSet, order: IntArray, unit: float) -> LossLabels:
        """Return the labels of structures in an order."""
        n, first = len(order), np.append(0, np.cumsum(training.features.n_atoms[order]))
        energy, energy_weights = np.zeros(n), np.zeros(n)
        forces, force_weights = np.zeros((first[-1], 3)), np.zeros(first[-1])
        stress, stress_weights, volumes = np.zeros((n, 6)), np.zeros(n), np.ones(n)
        place = np.empty(n, dtype=np.int64)
        place[order] = np.arange(n)
        for some, part in training.in_parts():  # forces may be in files
            labels, n_atoms = part.labels, part.features.n_atoms
            known, stressed, own = labels.has_energy, labels.has_stress, place[some]
            energy[own[known]] = part.residual[known]
            energy_weights[own[known]] = 1.0 / (labels.sigma_energy**2 * n_atoms)[known]
            atoms, rows = part.labeled_atoms()
            atoms = rows_of(own, first)[0][atoms]
            forces[atoms] = labels.forces_flat[rows]
            force_weights[atoms] = labels.sigma_forces_flat[rows] ** -2.0
            if stressed.any():
                stress[own[stressed]] = labels.stress[stressed]
                stress_weights[own[stressed]] = labels.sigma_stress[stressed] ** -2.0
                volumes[own[stressed]] = part.features.volumes[stressed]
        total = energy_weights.sum() + 3.0 * force_weights.sum() + 6.0 * stress_weights.sum()
        counted = np.count_nonzero(energy_weights) + 3 * np.count_nonzero(force_weights)
        counted += 6 * np.count_nonzero(stress_weights)
        mean = total / len(order)
        return cls(
            energy / unit,
            energy_weights / mean,
            DerivativeLabels(
                forces / unit, force_weights / mean, stress / unit, stress_weights / mean, volumes
            ),
            unit,
            float(mean * unit**2 * len(order) / max(counted, 1)),
        )


@dataclass(frozen=True)
class NetworkLoss:
    """The loss of one network for each species, on batches of structures.

    Parameters
    ----------
    layers : Layers
        The shape of the networks.
    inputs : NetworkInputs
        What they see.
    labels : LossLabels
        What they are to predict.
    n_species : int
        Number of networks.
    """

    layers: Layers
    inputs: NetworkInputs
    labels: LossLabels
    n_species: int

    @property
    def n_weights(self) -> int:
        """How many numbers all networks have."""
        return self.n_species * self.layers.n_weights

    def of(
        self, flat: FloatArray, structures: IntArray, energies: float = 1.0, slopes: bool = True
    ) -> tuple[float, FloatArray]:
        """Return the mean loss of some structures, and its derivatives by the weights.

        Parameters
        ----------
        flat : ndarray of shape (n_weights,)
            Weights, species after species, of the type of the inputs.
        structures : ndarray of int
            The structures, by their place in the inputs.
        energies : float, default=1.0
            Factor of the weights of energies.
        slopes : bool, default=True
            Whether derivatives are needed; without, they are zeros.
        """
        inputs, labels = self.inputs, self.labels
        members, first = inputs.take_rows(structures)
        x, kinds = inputs.rows[members], inputs.kinds[members]
        own = np.split(flat, self.n_species)
        values, g, passed = np.empty(len(x), x.dtype), np.empty_like(x), {}
        for k in range(self.n_species):
            mine = slice(None) if self.n_species == 1 else np.flatnonzero(kinds == k)
            values[mine], g[mine], parts = self.layers.forward(own[k], x[mine])
            passed[k] = mine, parts
        weights = energies * labels.energy_weights[structures]
        errors = np.add.reduceat(values.astype(float), first[:-1]) - labels.energy[structures]
        loss = 0.5 * float(np.sum(weights * errors**2))
        moves = np.zeros_like(x)
        if inputs.chain is not None:
            loss += self._moves(structures, first, g, moves)
        out = np.zeros(len(flat), dtype=flat.dtype)
        if slopes:
            a = np.repeat(weights * errors, np.diff(first)).astype(x.dtype)
            grown = np.split(out, self.n_species)
            for k, (mine, parts) in passed.items():
                self.layers.backward(own[k], parts, a[mine], moves[mine], grown[k])
            out /= len(structures)
        return loss / len(structures), out

    def _moves(self, structures, first, g, moves):
        """Write how the loss changes with slopes, and return the loss of forces and stress."""
        inputs, labels = self.inputs, self.labels.derivatives
        if inputs.parts is not None:
            losses = np.empty(len(structures))
            most = int(np.diff(inputs.atom_offsets)[structures].max())
            forces = np.empty((most, 3), dtype=g.dtype)
            pull_losses(structures, first, inputs.parts, labels, g, forces, losses, moves)
            inputs.release()
            return float(losses.sum())
        chain = inputs.chain.take(inputs.order[structures])
        atoms = np.concatenate([np.arange(*inputs.atom_offsets[s : s + 2]) for s in structures])
        forces, virials = chain.pull_back(g.astype(float))
        weighted = forces - labels.forces[atoms]
        loss = np.sum(labels.force_weights[atoms] * np.sum(weighted**2, axis=1))
        weighted *= labels.force_weights[atoms, None]
        volumes, weights = labels.volumes[structures, None], labels.stress_weights[structures]
        strained = -virials / volumes - labels.stress[structures]
        loss += np.sum(weights * np.sum(strained**2, axis=1))
        strained *= weights[:, None]
        moves[:] = chain.push_forward(-weighted, strained / volumes)
        return 0.5 * float(loss)
