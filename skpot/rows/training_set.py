"""What a model learns from, as one object: structures, labels with their noise, what is fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data import LABEL_KINDS
from ..data.order import canonical_order
from .noise import labeled_atoms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import NDArray

    from skpot.data import AtomicFeatures, Targets
    from skpot.typing import FloatArray, IntArray


class StructureLabels(NamedTuple):
    """What the labels of each structure amount to; all of shape (n_structures,)."""

    n_forces: np.ndarray  # atoms with a force
    absolute: np.ndarray  # sum over these of their mean absolute component, eV/Å
    squares: np.ndarray  # sum over these of their mean squared component
    n_told: np.ndarray  # labels with a finite noise
    log_noise: np.ndarray  # sum of the logarithms of that noise


@dataclass(frozen=True)
class TrainingSet:
    """Structures with all of their labels, as every function of a fit takes them.

    Parameters
    ----------
    features : AtomicFeatures
        The structures.
    labels : Targets
        Their labels less the baseline, with the noise of every label; see `with_noise`.
    residual : ndarray of shape (n_structures,)
        Energies less those of the free atoms (eV); not read where there is no energy.
    members : ndarray of int of shape (n_structures,)
        The indices by which the user knows the structures, for messages.
    """

    features: AtomicFeatures
    labels: Targets
    residual: FloatArray
    members: IntArray

    def __len__(self):
        return len(self.features)

    def take(self, some: IntArray) -> TrainingSet:
        """Return the training set of some structures, given by index."""
        return TrainingSet(
            self.features[some], self.labels[some], self.residual[some], self.members[some]
        )

    def in_parts(self) -> Iterator[tuple[IntArray, TrainingSet]]:
        """Yield structures and their training sets: all at once, as they are in memory."""
        yield np.arange(len(self)), self

    def part(self, some: IntArray) -> TrainingSet:
        """Return the training set of some structures, which may be many."""
        return self.take(some)

    def order(self) -> IntArray:
        """Return the indices of the structures in an order that depends on their content alone."""
        return canonical_order(self.features.info.keys, self.labels)

    def in_order(self) -> TrainingSet:
        """Return the same in that order."""
        order = self.order()
        return self if (np.diff(order) == 1).all() else self.take(order)

    def with_features(self, features: AtomicFeatures) -> TrainingSet:
        """Return the same with another form of the same features."""
        return replace(self, features=features)

    def with_noise_scaled(self, factors: dict[str, float]) -> TrainingSet:
        """Return the same with the noise of each kind of label times a factor, by default one."""
        factors = dict.fromkeys(LABEL_KINDS, 1.0) | factors
        labels = self.labels.copy()
        labels.sigma_energy = factors["energy"] * labels.sigma_energy
        labels.sigma_forces_flat = factors["forces"] * labels.sigma_forces_flat
        labels.sigma_stress = factors["stress"] * labels.sigma_stress
        return replace(self, labels=labels)

    def with_noise_below(self, limit: float) -> TrainingSet:
        """Return the same with a limit to the noise, so that labels without weight have rows."""
        labels = self.labels.copy()
        labels.sigma_energy, labels.sigma_forces_flat, labels.sigma_stress = (
            np.minimum(sigma, limit)
            for sigma in (labels.sigma_energy, labels.sigma_forces_flat, labels.sigma_stress)
        )
        return replace(self, labels=labels)

    @property
    def has_derivatives(self) -> bool:
        """Whether there are labels besides energies."""
        return bool(self.labels.has_forces.any() or self.labels.has_stress.any())

    def labeled_atoms(self) -> tuple[IntArray, IntArray]:
        """Return which atoms have force labels, and which rows of `forces_flat` these are."""
        return labeled_atoms(self.labels, self.features.n_atoms)

    def per_structure(self) -> StructureLabels:
        """Return what the labels of each structure amount to."""
        labels, n = self.labels, len(self)
        atoms, rows = self.labeled_atoms()
        owner = np.repeat(np.arange(n), self.features.n_atoms)[atoms]
        known = labels.forces_flat[rows]
        absolute = np.bincount(owner, np.mean(np.abs(known), axis=1), minlength=n)
        squares = np.bincount(owner, np.mean(known**2, axis=1), minlength=n)
        sigma, of_labels = self.noise(), self.of_structures(np.arange(n))
        told = np.isfinite(sigma)
        of_labels = of_labels[told]
        log_noise = np.bincount(of_labels, np.log(sigma[told]), minlength=n)
        n_told = np.bincount(of_labels, minlength=n)
        return StructureLabels(
            np.bincount(owner, minlength=n), absolute, squares, n_told, log_noise
        )

    def count_labels(self) -> dict[str, int]:
        """Return the number of labels of each kind that has any; a force counts three times."""
        labels = self.labels
        forces = self.per_structure().n_forces.sum()
        counts = labels.has_energy.sum(), 3 * forces, 6 * labels.has_stress.sum()
        return {kind: int(n) for kind, n in zip(LABEL_KINDS, counts, strict=True) if n}

    def by_label(
        self, of_energies: NDArray[Any], of_forces: NDArray[Any], of_stress: NDArray[Any]
    ) -> NDArray[Any]:
        """Return one number for each label: energies, then forces, then stress.

        Parameters
        ----------
        of_energies, of_stress : ndarray of shape (n_structures,)
            The numbers of energies and of stress, those of structures without such a label unused.
        of_forces : ndarray of shape (n_labeled_atoms,)
            The numbers of forces, in the order of `labeled_atoms`.
        """
        return np.concatenate(
            [
                of_energies[self.labels.has_energy],
                np.repeat(of_forces, 3),
                np.repeat(of_stress[self.labels.has_stress], 6),
            ]
        )

    def noise(self) -> FloatArray:
        """Return the standard deviations of all labels: energies, forces, stress."""
        labels, (_, rows) = self.labels, self.labeled_atoms()
        energy = labels.sigma_energy * np.sqrt(self.features.n_atoms)
        return self.by_label(energy, labels.sigma_forces_flat[rows], labels.sigma_stress)

    def of_structures(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the value (n_structures,) of each label's structure, in the order of `noise`."""
        atoms, _ = self.labeled_atoms()
        return self.by_label(values, np.repeat(values, self.features.n_atoms)[atoms], values)
