"""A small kernel model of some of the structures, with the rows of all their labels at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from ..compose import make_potential
from ..data import Targets
from ..data.order import content_keys, environment_keys, keyed_uniform
from ..descriptors import ZBL
from ..kernels import RBF
from ..processes.references import References
from ..progress import followed
from ..rows.blocks import training_rows
from ..rows.training_set import TrainingSet
from ..selection import select_references
from ._likelihood import learn

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FloatArray, IntArray, Structures

_FRAMES, _ATOMS = 200, 4000  # the largest numbers that are looked at
_REFERENCES = 250
_BATCH = 50  # structures that are predicted at a time
_LOOKED_AT = 40  # structures whose deviations are found because their labels are far off
_JITTER = 1e-8
_JACOBIAN_BYTES = 16e6


class HeldOut(NamedTuple):
    """Predictions of labels by a model that has not learned from them."""

    labels: Targets
    energy_std: np.ndarray  # (n,) eV
    forces_std: np.ndarray  # (n,) eV/Å, root mean square over a structure

    def with_others(self, others: HeldOut) -> HeldOut:
        """Return the predictions of these structures and of others, in this order."""
        labels: Any = np.concatenate([self.labels, others.labels])
        return HeldOut(
            labels,
            np.concatenate([self.energy_std, others.energy_std]),
            np.concatenate([self.forces_std, others.forces_std]),
        )


class Probe:
    """Some structures, with their labels and the rows of these in the coefficients of one model.

    Labels are less the screened repulsion of nuclei, which no model has to learn then.

    Parameters
    ----------
    X : list[Atoms]
        All structures.
    y : Targets
        Their labels.
    candidates : ndarray of int
        The structures to choose from.
    seed : int
        Of the choice.
    first : ndarray of int
        Candidates to take whatever the seed.

    Attributes
    ----------
    frames : ndarray of int of shape (n,)
        The structures chosen, ascending.
    owner : ndarray of int of shape (n_atoms,)
        Which of these each atom belongs to.
    counts : ndarray of shape (n, n_species)
        Atoms of each species.
    energy_rows, force_rows, stress_rows : ndarray
        Of shape (n, m), (3 n_atoms, m) and (6 n, m), the last NaN without volume.
    """

    def __init__(
        self, X: Structures, y: Targets, candidates: IntArray, seed: int, first: IntArray
    ) -> None:
        self.frames = _draw(X, candidates, seed, first)
        self.structures = [X[i] for i in self.frames]
        self.n_atoms = np.array([len(atoms) for atoms in self.structures])
        self.owner = np.repeat(np.arange(len(self.frames)), self.n_atoms)
        self.numbers = np.concatenate([atoms.numbers for atoms in self.structures])
        self._species = species = np.unique(self.numbers)
        union = make_potential("fast", species=species.tolist())[0]
        self._projected = dict(union.transformer_list)["soap"]
        features = self._projected.fit_transform(self.structures)
        self.volumes = features.volumes
        self.counts = self._count(features)
        self._references, self._factor = _references_of(features)
        self.energy_rows, self.force_rows, self.stress_rows = self._rows(features)
        self._zbl = ZBL(species=species.tolist(), cache=False).fit(self.structures)
        self._repulsion = self._repulsion_of(self.structures)
        self.labels = y[self.frames]
        self.folds = np.argsort(np.argsort(keyed_uniform(features.info.keys, seed + 1))) % 4

    @property
    def repulsion(self) -> tuple[FloatArray, FloatArray]:
        """The part of energies (n,) and forces (n_atoms, 3) that no model has to learn."""
        of_frames = np.bincount(self.owner, self._repulsion[0], len(self.frames)).astype(float)
        return of_frames, self._repulsion[1]

    @property
    def energy(self) -> FloatArray:
        """Energies less the repulsion (n,), NaN where missing."""
        return self.labels.energy - self.repulsion[0]

    @property
    def forces(self) -> FloatArray:
        """Forces less the repulsion (n_atoms, 3), NaN where missing."""
        known = np.repeat(self.labels.has_forces, self.n_atoms)
        forces = np.full((len(self.owner), 3), np.nan)
        forces[known] = self.labels.forces_flat
        return forces - self._repulsion[1]

    @property
    def stress(self) -> FloatArray:
        """Stress (n, 6) less that of the repulsion, NaN where missing."""
        stress = self.labels.stress
        if stress is None:
            return np.full((len(self.frames), 6), np.nan)
        return stress + self._repulsion[2] / self.volumes[:, None]

    def rows_of_forces(self, known: Any) -> FloatArray:
        """Return the rows of forces of some atoms (bool)."""
        return self.force_rows[np.repeat(known, 3)]

    def held_out(self, forces: FloatArray) -> FloatArray:
        """Return forces (n_atoms, 3) predicted by what the forces of other structures tell."""
        known = np.isfinite(forces).all(axis=1)
        predicted = np.full(forces.shape, np.nan)
        fold = self.folds[self.owner]
        for k in np.unique(self.folds):
            train, test = known & (fold != k), fold == k
            if train.any() and test.any():
                mean = learn(self.rows_of_forces(train), forces[train].ravel()).mean
                predicted[test] = (self.rows_of_forces(test) @ mean).reshape(-1, 3)
        return predicted

    def held_out_labels(self, energy: FloatArray, forces: FloatArray) -> HeldOut:
        """Return energies and forces predicted by what labels of other structures tell.

        Energies and forces are less the repulsion, with which predictions are returned.
        """
        n = len(self.frames)
        of_energy, of_forces = np.full(n, np.nan), np.full(forces.shape, np.nan)
        energy_std, forces_std = np.full(n, np.inf), np.full(n, np.inf)
        fold = self.folds[self.owner]
        for k in np.unique(self.folds):
            inside, test = self.folds == k, fold == k
            learned = self.learned(
                np.where(inside, np.nan, energy), np.where(test[:, None], np.nan, forces)
            )
            (mean, _, _), e0, told = learned
            rows = self.energy_rows[inside], self.rows_of_forces(test), self.counts[inside]
            of_forces[test] = (rows[1] @ mean).reshape(-1, 3)
            own, forces_std[inside] = self._deviations(*rows, learned)
            if told.any():
                energy_std[inside] = own
                of_energy[inside] = rows[0] @ mean + rows[2] @ e0
        of_repulsion, repulsive = self.repulsion
        split = np.split(of_forces + repulsive, np.cumsum(self.n_atoms)[:-1])
        labels = Targets(
            or_none(of_energy + of_repulsion),
            [f if np.isfinite(f).all() else None for f in split],
        )
        return HeldOut(labels, energy_std, forces_std)

    def told(self, X: Structures, y: Targets, energy: FloatArray, forces: FloatArray) -> HeldOut:
        """Return what the labels of these structures tell of others.

        Parameters
        ----------
        X : list[Atoms]
            Other structures.
        y : Targets
            Their labels: deviations are found for those that are furthest from predictions, and
            are infinite for the others.
        energy, forces : ndarray of shape (n,) and (n_atoms, 3)
            Labels of the structures here, less the repulsion.
        """
        learned = self.learned(energy, forces)
        begins = range(0, len(X), _BATCH)
        parts = [
            self.predicted(X[begin : begin + _BATCH], learned)
            for begin in followed(begins, len(begins), "compare labels", "block")
        ]
        energies = np.concatenate([part[0] for part in parts])
        predicted = Targets(or_none(energies), [f for part in parts for f in part[1]])
        energy_std, forces_std = np.full(len(X), np.inf), np.full(len(X), np.inf)
        odd = _furthest(X, y, predicted)
        for begin in range(0, len(odd), _BATCH):
            some = odd[begin : begin + _BATCH]
            energy_std[some], forces_std[some] = self._deviations_of([X[i] for i in some], learned)
        return HeldOut(predicted, energy_std, forces_std)

    def learned(self, energy: FloatArray, forces: FloatArray) -> tuple[Any, ...]:
        """Return what all labels tell of the coefficients, and the energies of free atoms."""
        known, told = np.isfinite(forces).all(axis=1), np.isfinite(energy)
        rows, values = self.rows_of_forces(known), forces[known].ravel()
        if not told.any():
            return learn(rows, values), np.full(len(self._species), np.nan), told
        more, more_values = self.energies_to_learn(energy, told)
        posterior = learn(np.concatenate([rows, more]), np.concatenate([values, more_values]))
        left = energy[told] - self.energy_rows[told] @ posterior.mean
        e0 = np.linalg.lstsq(self.counts[told].astype(float), left, rcond=None)[0]
        return posterior, e0, told

    def predicted(
        self, X: Structures, learned: tuple[Any, ...]
    ) -> tuple[FloatArray, list[FloatArray]]:
        """Return energies (n,) and forces of structures, by what `learned` returned."""
        (mean, _, _), e0, _ = learned
        features = self._projected.transform(X)
        alpha = solve_triangular(self._factor, mean, lower=True, trans="T")
        of_atoms, slopes = self._references.expansion(alpha).expand(features)
        forces, _ = features.pull_back(slopes)
        of_repulsion, repulsive, _ = self._repulsion_of(X)
        owner = np.repeat(np.arange(len(X)), features.n_atoms)
        energies = np.bincount(owner, of_atoms + of_repulsion, len(X)) + self._count(features) @ e0
        return energies, np.split(forces + repulsive, features.atom_offsets[1:-1])

    def _deviations_of(self, X, learned):
        """Return deviations of energies (n,) and root mean square ones of forces (n,)."""
        features = self._projected.transform(X)
        energy_rows, force_rows, _ = self._rows(features)
        return self._deviations(energy_rows, force_rows, self._count(features), learned)

    def _deviations(self, energy_rows, force_rows, counts, learned):
        """Return the same, given the rows and the atoms of each species (n, n_species)."""
        (_, root, noise), _, told = learned
        n_atoms = counts.sum(axis=1)
        owner = np.repeat(np.arange(len(counts)), n_atoms)
        squares = np.sum((force_rows @ root) ** 2, axis=1).reshape(-1, 3).mean(axis=1)
        squares = np.bincount(owner, squares, len(counts)) / n_atoms
        energy_rows = self._without_zero(energy_rows, counts, told)
        of_energy = np.sum((energy_rows @ root) ** 2, axis=1) + noise**2 * n_atoms
        return np.sqrt(of_energy), np.sqrt(squares + noise**2)

    def _without_zero(self, rows, counts, told):
        """Return rows of energies less what the zero of energies of each species takes up."""
        if not told.any():
            return rows
        mean = np.linalg.lstsq(self.counts[told].astype(float), self.energy_rows[told], rcond=None)
        return rows - counts @ mean[0]

    def _count(self, features):
        """Return the atoms of each species, (n, n_species)."""
        owner = np.repeat(np.arange(len(features)), features.n_atoms)
        of_species = (owner[features.numbers == z] for z in self._species)
        return np.stack([np.bincount(own, minlength=len(features)) for own in of_species], axis=1)

    def _rows(self, features):
        """Return the rows of energies, forces and stress in coefficients of unit prior."""
        found = {}
        for kind, rows in training_rows(
            self._references, _without_labels(features), _JACOBIAN_BYTES, map
        ):
            self._references.whiten(rows, self._factor)
            found[kind] = rows[:, : len(self._references)]
        return tuple(found[kind] for kind in ("energy", "forces", "stress"))

    def _repulsion_of(self, X):
        """Return energies of atoms, forces and virials of the screened repulsion of nuclei."""
        features = self._zbl.transform(X)
        return features.values.sum(axis=1), *features.pull_back(np.ones(features.values.shape))

    def energies_to_learn(
        self, energy: FloatArray, told: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return rows and values of energies per root of atoms, free of what composition tells."""
        scale = 1.0 / np.sqrt(self.n_atoms[told])
        basis, singular, _ = np.linalg.svd(self.counts[told] * scale[:, None], full_matrices=False)
        basis = basis[:, singular > 1e-9 * singular[:1].max(initial=1.0)]
        rows, values = self.energy_rows[told] * scale[:, None], energy[told] * scale
        return rows - basis @ (basis.T @ rows), values - basis @ (basis.T @ values)


def _furthest(X, y, predicted):
    """Return the structures whose labels are furthest from predictions, by energy and forces."""
    n_atoms = np.array([len(atoms) for atoms in X])
    of_energy = np.abs(y.energy - predicted.energy) / n_atoms
    pairs = list(zip(y.forces or [None] * len(X), predicted.forces, strict=True))
    largest = np.array([0.0 if f is None else np.nanmax(np.abs(f - p)) for f, p in pairs])
    sizes = np.array([0.1 + float(np.sqrt(np.mean(p**2))) for _, p in pairs])
    furthest = [
        np.argsort(-np.nan_to_num(errors), kind="stable")[:_LOOKED_AT]
        for errors in (of_energy, largest, largest / sizes)
    ]
    return np.unique(np.concatenate(furthest))


def or_none(values: FloatArray) -> list[float | None]:
    """Return numbers, with None in place of what is not finite."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _draw(X, candidates, seed, first):
    """Return structures by content and seed, all species among them, as many as are looked at."""
    keys = content_keys([X[i] for i in candidates])
    order = candidates[np.argsort(keyed_uniform(keys, seed), kind="stable")]
    first, seen = list(first), set()
    for i in order:
        if not set(X[i].numbers.tolist()) <= seen:
            seen |= set(X[i].numbers.tolist())
            first.append(i)
    order = np.array([*first, *(i for i in order if i not in set(first))], dtype=int)
    total = np.cumsum([len(X[i]) for i in order])
    n = min(_FRAMES, max(int(np.searchsorted(total, _ATOMS, side="right")), len(first), 8))
    return np.sort(order[:n])


def _references_of(features):
    """Return references for the coefficients, and the factor of their covariance."""
    chosen = select_references(
        features.values, features.species, _REFERENCES, "cur", np.random.default_rng(0),
        environment_keys(features), np.zeros(len(features.values), dtype=int),
    )  # fmt: skip
    kernel = RBF().bind(features.blocks, features.shape[1])
    references = References(features.values[chosen].astype(float), features.species[chosen], kernel)
    return references, references.cholesky(_JITTER)[0]


def _without_labels(features):
    """Return a training set of labels that are all zero, whose rows are divided by nothing."""
    n, n_atoms = len(features), features.n_atoms
    labels = Targets(np.zeros(n), [np.zeros((k, 3)) for k in n_atoms], np.zeros((n, 6)))
    labels.sigma_energy = 1.0 / np.sqrt(n_atoms)
    labels.sigma_forces_flat = np.ones(n_atoms.sum())
    labels.sigma_stress = np.ones(n)
    return TrainingSet(features, labels, np.zeros(n), np.arange(n))
