"""Training sets in files, of which a part at a time is in memory."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data import StreamedFeatures, Targets, force_sizes, look_at_labels, rows_of
from ..data.order import canonical_order
from ..data.tasks import results_of_groups, task_groups
from ..exceptions import SkpotError, SkpotWarning
from .training_set import StructureLabels, TrainingSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from skpot.typing import FloatArray, IntArray


class StreamedSet(TrainingSet):
    """A `TrainingSet` whose features and forces are computed and read when they are needed.

    What is known of whole structures is held: energies less the baseline, stress, noise, how large
    their forces are.

    Parameters
    ----------
    parts : LabeledParts
        What `take` gets its structures from.
    features : StreamedFeatures
        The features to learn from.
    labels : Targets
        The labels without forces; `force_offsets` counts atoms with forces.
    residual : ndarray of shape (n_structures,)
        Energies less those of the free atoms (eV).
    told : StructureLabels
        What labels amount to.
    """

    def __init__(
        self,
        parts: LabeledParts,
        features: StreamedFeatures,
        labels: Targets,
        residual: FloatArray,
        told: StructureLabels,
    ) -> None:
        super().__init__(features, labels, residual, parts.members)
        vars(self).update(parts=parts, told=told, last=(None, None))  # the class is frozen

    def __getstate__(self):
        return vars(self) | {"last": (None, None)}

    def take(self, some: IntArray) -> TrainingSet:
        """Return the training set of some structures, in memory."""
        key = np.asarray(some).tobytes()
        if key != self.last[0]:
            vars(self)["last"] = key, self.parts.training(some)
        return self.last[1]

    def in_parts(self) -> Iterator[tuple[IntArray, TrainingSet]]:
        """Yield structures and their training sets, a part at a time."""
        return self.parts.in_parts()

    def part(self, some: IntArray) -> StreamedSet:
        """Return the training set of some structures, which stay in files."""
        told = StructureLabels(*(array[some] for array in self.told))
        labels = without_forces(self.labels, self.told.n_forces, some)
        return StreamedSet(
            self.parts.part(some), self.features[some], labels, self.residual[some], told
        )

    @property
    def seen(self) -> tuple:
        """What was noted of structures whose features were computed."""
        return self.parts.seen

    def makers(self) -> tuple:
        """Return what makes features and labels, which `detached` leaves out."""
        return self.parts.makers(), self.features.maker

    def detached(self) -> StreamedSet:
        """Return the same without `makers`, which is small: what a task gets of its own."""
        return self.attached(((None, None), None))

    def attached(self, makers: tuple) -> StreamedSet:
        """Return the same with other `makers`."""
        of_parts, maker = makers
        parts, features = self.parts.attached(of_parts), self.features.made_by(maker)
        return StreamedSet(parts, features, self.labels, self.residual, self.told)

    def with_noise_scaled(self, factors: dict[str, float]) -> TrainingSet:
        """Return the same with the noise of each kind of label times a factor, by default one."""
        if all(factor == 1.0 for factor in factors.values()):
            return self
        return self.take(np.arange(len(self))).with_noise_scaled(factors)

    def with_noise_below(self, limit: float) -> TrainingSet:
        """Return the same with a limit to the noise; it is in memory then."""
        return self.take(np.arange(len(self))).with_noise_below(limit)

    @property
    def has_derivatives(self) -> bool:
        """Whether there are labels besides energies."""
        return bool(self.told.n_forces.any() or self.labels.has_stress.any())

    def per_structure(self) -> StructureLabels:
        """Return what the labels of each structure amount to."""
        return self.told

    def order(self) -> IntArray:
        """Return the indices of the structures in an order that depends on their content alone."""
        labels = self.labels
        known = Targets._from_arrays(
            labels.energy, labels.has_energy, np.empty((0, 3)), np.zeros(len(self) + 1, dtype=int),
            labels.stress, labels.has_stress,
        )  # fmt: skip
        return canonical_order(self.features.info.keys, known)


class LabeledParts:
    """Features and labels in files, as an estimator reads them.

    Parameters
    ----------
    features : StreamedFeatures
        As they were passed to the estimator.
    labels : Targets
        Their labels; `LazyTargets` stay in files.
    weight : ndarray of shape (n_structures,)
        Weights of the structures.
    read : callable
        Takes features, labels and weights in memory and returns their `TrainingSet`, or features
        and labels.
    members : ndarray of int, optional
        The indices by which the user knows the structures.
    """

    def __init__(
        self,
        features: StreamedFeatures,
        labels: Targets,
        weight: FloatArray,
        read: Callable,
        members: IntArray | None = None,
    ) -> None:
        self.features, self.labels, self.weight, self.read = features, labels, weight, read
        self.members = np.arange(len(features)) if members is None else members

    def part(self, some: IntArray) -> LabeledParts:
        """Return some of the structures."""
        return LabeledParts(
            self.features[some], self.labels[some], self.weight[some], self.read, self.members[some]
        )

    def reading(self, read: Callable) -> LabeledParts:
        """Return the same, as another function reads them."""
        return LabeledParts(self.features, self.labels, self.weight, read, self.members)

    def __len__(self):
        return len(self.features)

    @property
    def seen(self) -> tuple:
        """What was noted of structures whose features were computed."""
        return self.features.seen

    def makers(self) -> tuple:
        """Return what makes features and reads labels, which `detached` leaves out."""
        return self.features.maker, self.read

    def detached(self) -> LabeledParts:
        """Return the same without `makers`, which is small: what a task gets of its own."""
        return self.attached((None, None))

    def attached(self, makers: tuple) -> LabeledParts:
        """Return the same with other `makers`."""
        maker, read = makers
        features = self.features.made_by(maker)
        return LabeledParts(features, self.labels, self.weight, read, self.members)

    def in_parts(self, some: IntArray | None = None) -> Iterator[tuple[IntArray, TrainingSet]]:
        """Yield structures and their training sets, a part at a time; all, or some of them."""
        for part, features in self.features.in_parts(some):
            yield part, self._training(part, features)

    def training(self, some: IntArray) -> TrainingSet:
        """Return the training set of some structures."""
        return self._training(some, self.features.computed(np.asarray(some)))

    def _training(self, some, features):
        labels, weight = self.labels[some].loaded(), self.weight[some]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkpotWarning)  # parts look odd where the whole does not
            try:
                found = self.read(features, labels, weight)
            except SkpotError:
                self._blame(some, features, labels, weight)
                raise
        return TrainingSet(found.features, found.labels, found.residual, self.members[some])

    def _blame(self, some, features, labels, weight):
        """Raise the error of the first structure that has one of its own, with its file."""
        for k, row in enumerate(some):
            try:
                self.read(features[[k]], labels[[k]], weight[[k]])
            except SkpotError as error:
                text = str(error).partition("structure 0: ")[2] or str(error)
                where = f"structure {self.members[row]}, {self.features.frames.where(row)}"
                raise type(error)(f"{where}: {text}") from error


def without_forces(labels: Targets, n_forces: IntArray, some: IntArray | slice) -> Targets:
    """Return some of the labels without their forces, but with the numbers of atoms with one."""
    offsets = np.concatenate([[0], np.cumsum(n_forces[some])])
    out = Targets._from_arrays(
        labels.energy[some], labels.has_energy[some], np.empty((0, 3)), offsets,
        None if labels.stress is None else labels.stress[some], labels.has_stress[some],
    )  # fmt: skip
    for name in ("groups", "sigma_energy", "sigma_stress"):
        array = getattr(labels, name)
        setattr(out, name, None if array is None else array[some])
    return out


class _Survey(NamedTuple):
    """Arrays of labels, and what they amount to, with an entry for each structure."""

    energy: np.ndarray
    has_energy: np.ndarray
    stress: np.ndarray
    has_stress: np.ndarray
    sigma_energy: np.ndarray
    sigma_stress: np.ndarray
    # Those of `StructureLabels`:
    n_forces: np.ndarray
    absolute: np.ndarray
    squares: np.ndarray
    n_told: np.ndarray
    log_noise: np.ndarray

    @classmethod
    def of(cls, n: int) -> _Survey:
        """Return what is known of n structures at first: nothing."""
        known = np.zeros((2, n), dtype=bool)
        return cls(
            np.full(n, np.nan), known[0], np.full((n, 6), np.nan), known[1], *np.zeros((7, n))
        )

    def put(self, some: IntArray, others: Iterable) -> None:
        """Fill in the entries of some structures; None stands for what there is nothing of."""
        for array, values in zip(self, others, strict=True):
            if values is not None:
                array[some] = values


def _survey(parts, some):
    """Return what the labels of a group of structures are, and the sizes of their forces."""
    found, place, sizes = _Survey.of(len(some)), np.empty(len(parts), dtype=int), [np.empty(0)]
    place[some] = np.arange(len(some))
    for members, training in parts.in_parts(some):
        labels = training.labels
        found.put(
            place[members],
            (
                labels.energy, labels.has_energy, labels.stress, labels.has_stress,
                labels.sigma_energy, labels.sigma_stress, *training.per_structure(),
            ),
        )  # fmt: skip
        if labels.has_forces.any():
            whole = force_sizes(parts.labels[members].loaded())
            sizes.append(whole[~np.isnan(whole)])
    return found, np.concatenate(sizes)


def surveyed(parts: LabeledParts) -> tuple[Targets, StructureLabels]:
    """Return the labels of all structures without forces, and what they amount to.

    All structures are read once, and computed. Labels that look odd are worth a warning.
    """
    features, n = parts.features, len(parts)
    groups = task_groups(np.argsort(features.info.keys, kind="stable"), features.n_atoms)
    found, of_groups = _Survey.of(n), []
    for some, group in zip(groups, results_of_groups(_survey, parts, groups), strict=True):
        found.put(some, group[0])
        of_groups.append(group[1])
    energy, has_energy, stress, has_stress, sigma_energy, sigma_stress, *counts = found
    told = StructureLabels(*counts)
    told = told._replace(n_forces=told.n_forces.astype(int), n_told=told.n_told.astype(int))
    labels = Targets._from_arrays(energy, has_energy, None, None, stress, has_stress)
    labels.groups = parts.labels.groups
    labels.sigma_energy, labels.sigma_stress = sigma_energy, sigma_stress
    labels = without_forces(labels, told.n_forces, slice(None))
    _look_at(parts, labels, np.concatenate(groups), of_groups)
    return labels, told


def _look_at(parts, labels, order, of_groups):
    """Warn of odd labels as they were given: those to learn from may be less a baseline.

    The sizes of forces, of structures in an order, come in groups, which are emptied.
    """
    given, features = parts.labels, parts.features
    known = Targets._from_arrays(
        np.where(labels.has_energy, given.energy, np.nan), labels.has_energy,
        labels.forces_flat, labels.force_offsets, given.stress, labels.has_stress,
    )  # fmt: skip
    sizes, counts = np.concatenate(of_groups), np.diff(labels.force_offsets)[order]
    of_groups.clear()
    sizes = sizes[rows_of(np.argsort(order), np.concatenate([[0], np.cumsum(counts)]))[0]]
    info = features.info
    look_at_labels(known, sizes, features.n_atoms, features.numbers, info, info.keys)
