"""Labels in files, of which forces are read when they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import LabelError, SkpotError
from ._ase import lookup
from ._frames import Frames
from ._label_names import label_kind
from ._label_report import joined_reports
from ._targets import Targets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from skpot.data._label_report import LabelReport
    from skpot.typing import FloatArray, IntArray, Structures


class LazyTargets(Targets):
    """Labels of `Frames`: energies, stress and groups are held, forces stay in the files.

    Everything that `Targets` offer is there, but forces are read anew at each access. Rows that are
    selected are `LazyTargets` as well; `loaded` returns all labels as plain `Targets`. The result
    of ``skpot.read(path, lazy=True)``.

    Parameters
    ----------
    frames : Frames
        The structures.
    known : Targets
        Their labels without forces.
    force_key : ndarray of int of shape (n_structures,)
        Which of the names has the forces of each structure, -1 where there are none.
    names : list of str
        The names under which the files hold forces.
    """

    def __init__(
        self, frames: Frames, known: Targets, force_key: IntArray, names: list[str]
    ) -> None:
        self._frames, self._force_key, self._names = frames, force_key, names
        for name in ("energy", "has_energy", "stress", "has_stress", "groups"):
            setattr(self, name, getattr(known, name))
        self.sigma_energy = self.sigma_forces_flat = self.sigma_stress = None
        counts = np.where(force_key >= 0, np.diff(frames.survey.offsets), 0)
        self.force_offsets = np.concatenate([[0], np.cumsum(counts)])

    @property
    def forces_flat(self) -> FloatArray:
        """The forces of all structures that have them, which are read from the files."""
        parts = [np.empty((0, 3))]
        parts += [forces for rows in self._frames.in_parts() for forces in self._forces(rows)]
        return np.concatenate(parts)

    def _forces(self, rows):
        """Return the forces of those of some structures that have them."""
        rows = rows[self._force_key[rows] >= 0]
        counts, found = np.diff(self.force_offsets), []
        for row, atoms in zip(rows, self._frames.read(rows) if len(rows) else [], strict=True):
            name = self._names[self._force_key[row]]
            try:
                forces = np.asarray(lookup(atoms, name), dtype=float)
            except (TypeError, ValueError) as error:
                raise LabelError(f"{self._frames.where(row)}: {name!r} are no forces") from error
            if forces.shape != (counts[row], 3):
                raise LabelError(
                    f"{self._frames.where(row)}: {name!r} has the shape {forces.shape}, but forces "
                    f"of {counts[row]} atoms have {(int(counts[row]), 3)}."
                )
            found.append(forces)
        return found

    def loaded(self) -> Targets:
        """Return all labels as `Targets`."""
        return Targets._concatenate([part for _, part in self.in_parts()])

    def in_parts(self) -> Iterator[tuple[IntArray, Targets]]:
        """Yield indices of structures and their labels in memory, a part at a time."""
        for rows in self._frames.in_parts():
            yield rows, self._loaded(rows)

    def _loaded(self, rows):
        counts = np.diff(self.force_offsets)[rows]
        part = Targets._from_arrays(
            self.energy[rows],
            self.has_energy[rows],
            np.concatenate([np.empty((0, 3)), *self._forces(rows)]),
            np.concatenate([[0], np.cumsum(counts)]),
            None if self.stress is None else self.stress[rows],
            self.has_stress[rows],
        )
        part.groups = None if self.groups is None else self.groups[rows]
        return part

    def _selected(self, rows):
        known = Targets._from_arrays(
            self.energy[rows], self.has_energy[rows], None, None,
            None if self.stress is None else self.stress[rows], self.has_stress[rows],
        )  # fmt: skip
        known.groups = None if self.groups is None else self.groups[rows]
        return LazyTargets(self._frames[rows], known, self._force_key[rows], self._names)

    def __sizeof__(self):
        arrays = self.energy, self.stress, self.force_offsets, self._force_key
        return object.__sizeof__(self) + sum(a.nbytes for a in arrays if a is not None)

    def __repr__(self):
        text = super().__repr__()
        return text.replace("Targets(", "LazyTargets(", 1)


def lazy_labels(frames: Frames, labels_of: Any) -> tuple[LazyTargets, LabelReport]:
    """Return the labels of frames, each of which is read once for it, and their report.

    Parameters
    ----------
    frames : Frames
        The structures, which are checked on the way.
    labels_of : callable
        Takes some structures as read and returns their `Targets` and `LabelReport`.
    """
    parts, keys, names, used, reports = [], [], [], {}, []
    for rows, found in frames.surveying():
        labels, report = _of_part(frames, rows, found, labels_of)
        reports.append((rows, report))
        _refuse_other_names(frames, rows, report, used)
        key = np.full(len(rows), -1, dtype=np.int16)
        for use in (use for use in report.used if use.kind == "forces"):
            if use.name not in names:
                names.append(use.name)
            key[list(use.frames)] = names.index(use.name)
        keys.append(np.where(labels.has_forces, key, -1))
        parts.append(_without_forces(labels))
    targets = LazyTargets(frames, Targets._concatenate(parts), np.concatenate(keys), names)
    return targets, joined_reports(frames.sizes, reports)


def _of_part(frames: Frames, rows: Any, found: Structures, labels_of: Any):
    try:
        return labels_of(found)
    except SkpotError as error:
        if len(found) > 1:
            for row, atoms in zip(rows, found, strict=True):
                _of_part(frames, [row], [atoms], labels_of)
            first, last = frames.where(rows[0]), frames.where(rows[-1])
            error.add_note(f"in what was read together: {first} to {last}")
            raise
        raise type(error)(f"{frames.where(rows[0])}: {error}") from error


def _refuse_other_names(
    frames: Frames, rows: IntArray, report: LabelReport, used: dict[Any, Any]
) -> None:
    """Refuse another name of a label than the same file had, and another kind of energy at all."""
    for use in report.used:
        for k in use.frames:
            row = int(rows[k])
            file = frames.where(row).partition(" of ")[2]
            must_be_same = {(use.kind, file): use.name}
            if use.kind == "energy":  # energies and free energies have different zeros
                must_be_same["energy"] = label_kind(use.name)[0]
            for key, value in must_be_same.items():
                first, name, before = used.setdefault(key, (value, use.name, row))
                if first == value:
                    continue
                option = "virial_key" if "virial" in use.note else f"{use.kind}_key"
                raise LabelError(
                    f"{frames.where(before)} has {use.kind} under the name {name!r}, and "
                    f"{frames.where(row)} under {use.name!r}. Name the one to use, as in "
                    f"{option}={name!r}."
                )


def _without_forces(labels):
    energy = np.where(labels.has_energy, labels.energy, None)
    return labels.relabeled(energy, None, labels.stress)
