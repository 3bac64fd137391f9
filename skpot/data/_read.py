"""Reading structures and their labels from files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skpot.data._ase import lookup, read_frames, without_calculator
from skpot.data._checks import summarize
from skpot.data._frame_files import named_files
from skpot.data._frames import Frames
from skpot.data._label_blocks import real_array
from skpot.data._label_columns import (
    Column,
    choose,
    choose_stress,
    joined,
    label_columns,
    options,
)
from skpot.data._label_names import label_kind
from skpot.data._label_report import LabelReport, ranges
from skpot.data._label_values import one_kind_of_energy, without_empty_stress
from skpot.data._label_warnings import warn_about_fixed_atoms, warn_about_other_units
from skpot.data._lazy_targets import lazy_labels
from skpot.data._structure_info import cell_volumes
from skpot.data._targets import Targets
from skpot.exceptions import InputTypeError, LabelError, LabelWarning, StructureError, warn_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skpot.typing import PathLike, Structures

_SIX = "six numbers, read as xx yy zz yz xz xy"
# Why something that looks like a label is not used, by role (see `label_kind`).
_NOTES = {
    "other": "no name of reference labels",
    "of atoms": "of single atoms",
    "misfit": "not of the shape of such a label",
    "minus": "minus the forces",
    "component": "a single component",
    "other unit": "in another unit",
}


def read(
    path: PathLike | Sequence[PathLike],
    index: int | str | slice = ":",
    *,
    energy_key: str | None = None,
    forces_key: str | None = None,
    stress_key: str | None = None,
    virial_key: str | None = None,
    group_key: str | None = None,
    return_report: bool = False,
    lazy: bool = False,
) -> tuple[Any, ...]:
    """Read labeled structures from files of any format ASE knows.

    The labels go into the targets. The calculators, which hold them in ASE, are removed from the
    structures. What else the file says about a structure stays in its `info` and `arrays`.

    Labels are found under the names that ASE reads as results ("energy", "forces", "stress") and
    under other names that can only mean these: "force", "virial", "virials", "free_energy",
    "total_energy", each with or without REF, DFT, ref, dft and the like before or after it, in
    upper or lower case ("REF_energy", "dft_forces"). Each file may have names of its own. If two
    names in a file disagree, or some of its frames have one and some the other, a `LabelError` says
    what to type. A `LabelWarning` names what looks like
    a label but is not used, above all predictions of other models ("MACE_energy"). Energies of
    single atoms ("energies", "local_energy") are not labels.

    Parameters
    ----------
    path : str, Path or list of these
        Files, read one after the other. Names may be patterns, such as "train/*.xyz", whose files
        are sorted by name. As in ASE, they may end in "@" and frames, as in "data.db@0:500:5".
    index : int, str or slice, default=":"
        Frames of each file whose name says none, as in `ase.io.read`: 0, "-10:", "::5", ...
    energy_key, forces_key, stress_key, virial_key : str or None, default=None
        The names under which the file keeps total energies (eV), forces (eV/Å), stress (eV/Å³,
        tension positive) or virials (eV, minus stress times volume; converted to stress). They are
        needed where there is a choice. Stress and virials have nine numbers, or six in the order
        xx yy zz yz xz xy. The free energy, from which forces derive, is preferred if every frame
        that has an energy has it, too.
    group_key : str or None, default=None
        The name under which the file keeps the group of each structure, such as "config_type";
        groups become the `groups` of the targets.
    return_report : bool, default=False
        Whether to return a report of the names that were used in each frame, and of others that
        look like labels.
    lazy : bool, default=False
        Whether to leave structures and forces in the files, which must be extended XYZ,
        trajectories or databases: X is then `Frames`, y reads forces when they are needed. All
        frames are read and checked once. Names of labels are found out for some frames at a time;
        where they would change within a file, that is an error that says what to type.

    Returns
    -------
    X : list[Atoms], or Frames
        The structures.
    y : Targets
        Their labels, any of them missing where the file has none.
    report : LabelReport
        Only with `return_report`.

    Raises
    ------
    InputError
        If a file cannot be read, or has no structures at `index`.
    StructureError
        If a structure has no atoms.
    LabelError
        If it is not clear which names are the labels; if a label is not a number; if there is a
        stress or virial other than zero where the cell has no three independent vectors. Frames
        are counted over all files.

    Warns
    -----
    LabelWarning
        If something looks like a label and is not used, numbers have no name, the file says that it
        has other units, or fixed atoms, and only they, have forces of zero.

    Examples
    --------
    >>> import tempfile, pathlib, ase.build, ase.io, ase.calculators.emt
    >>> atoms = ase.build.bulk("Cu", cubic=True)
    >>> atoms.calc = ase.calculators.emt.EMT()
    >>> forces = atoms.get_forces()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "copper.extxyz")
    ...     ase.io.write(path, atoms)
    ...     X, y = read(path)
    >>> len(X), y
    (1, Targets(n_structures=1, energy=1, forces=1 (4 atoms), stress=1))
    """
    if stress_key is not None and virial_key is not None:
        raise LabelError(
            f"stress_key={stress_key!r} and virial_key={virial_key!r} are both given, but stress "
            "is read from one of them only: give one"
        )
    if not (index is None or isinstance(index, str | int | np.integer | slice)):
        raise InputTypeError(f"index must be an integer, a slice or text, got {index!r}")
    keys = {"energy": energy_key, "forces": forces_key, "stress": stress_key, "virial": virial_key}
    if lazy:
        return _read_lazily(path, index, keys, group_key, return_report)
    named = named_files(path, index)
    parts = [read_frames(name, chosen) for name, chosen in named]
    frames = [atoms for part in parts for atoms in part]
    empty = {i: "has no atoms" for i, atoms in enumerate(frames) if not len(atoms)}
    if empty:
        raise StructureError(summarize(empty, len(frames)))

    given = {kind: _named(frames, kind, key) for kind, key in keys.items() if key}
    files = [
        (name if chosen is index else f"{name}@{chosen}", len(part))
        for (name, chosen), part in zip(named, parts, strict=True)
    ]
    targets, report = _labels(frames, given, files, group_key)
    X = StructureList(map(without_calculator, frames))
    return (X, targets, report) if return_report else (X, targets)


class StructureList(list[Any]):
    """A list to which weak references can be made, by which dask sends it to each worker once."""


def _labels(frames, given, files, group_key):
    """Return the labels of frames, and the report of their names."""
    labels = _Labels(frames, label_columns(frames), given, files)
    groups = _groups(frames, group_key) if group_key else None
    targets = Targets(labels.energies(), labels.forces(), labels.stresses(), groups=groups)
    report = labels.report()
    _warn_about_unused(report)
    warn_about_other_units(frames)
    if targets.forces is not None:
        warn_about_fixed_atoms(frames, targets.forces)
    return targets, report


def _read_lazily(path, index, keys, group_key, return_report):
    frames = Frames(path, index)
    present = set()  # names that were given, as far as frames have them

    def labels_of(some):
        given = {}
        for kind, key in keys.items():
            if key and any(lookup(atoms, key) is not None for atoms in some):
                given[kind] = _named(some, kind, key)
                present.add(key)
            elif key:  # no other name may take its place
                given[kind] = Column(kind, "label", key, False, {})
        if grouped := group_key and any(lookup(atoms, group_key) is not None for atoms in some):
            present.add(group_key)
        return _labels(some, given, [("", len(some))], group_key if grouped else None)

    targets, report = lazy_labels(frames, labels_of)
    missing = {key for key in (*keys.values(), group_key) if key} - present
    if missing:
        raise LabelError(f"no frame has {', '.join(map(repr, sorted(missing)))}, which was named.")
    return (frames, targets, report) if return_report else (frames, targets)


def _groups(frames, key):
    """Return the groups of the structures."""
    values = [lookup(atoms, key) for atoms in frames]
    if all(value is None for value in values):
        names = sorted({str(name) for atoms in frames for name in atoms.info})
        raise LabelError(
            f"group_key={key!r}: no frame has it. The keys in the file are {names or 'none'}"
        )
    arrays = {
        i: f"{key!r} is an array of shape {np.shape(value)}, but a group needs a single name"
        for i, value in enumerate(values)
        if np.ndim(value)
    }
    if arrays:
        raise LabelError(summarize(arrays, len(frames)))
    return values


def _named(frames, kind, key):
    """Return the column whose name the user has given."""
    values = {
        i: value for i, atoms in enumerate(frames) if (value := lookup(atoms, key)) is not None
    }
    if not values:
        names = sorted({column.name for column in label_columns(frames)})
        raise LabelError(
            f"{kind}_key={key!r}: no frame has it. Names in the file that look like labels: "
            f"{names or 'none'}"
        )
    if {kind, label_kind(key)[0]} == {"stress", "virial"}:
        warn_once(
            f"{kind}_key={key!r}",
            f"{key!r} is read as {kind}, as {kind}_key says. If it is what its name says, type "
            f"{options([Column(label_kind(key)[0], '', key, False, {})])}.",
            LabelWarning,
        )
    return Column(kind, "label", key, False, values)


class _Labels:
    """The labels of frames: from columns that were found, or that the user has named (`given`)."""

    def __init__(
        self,
        frames: Structures,
        columns: list[Column],
        given: dict[str, Any],
        files: list[tuple[str, int]],
    ) -> None:
        self.frames = frames
        self.columns = columns
        self.given = given
        self.files = files
        self.used = []

    def _found(self, kind):
        found = [c for c in self.columns if c.kind == kind and c.role == "label"]
        return joined(found, [n for _, n in self.files])

    def _chosen(self, kind):
        return self.given.get(kind) or choose(self._found(kind))

    def _use(self, column, note=""):
        if column is None:
            return [None] * len(self.frames)
        self.used += [part.use(note) for part in column.parts or (column,)]
        return column.listed(len(self.frames))

    def energies(self) -> list[Any]:
        """Return the energies: free energies for all frames, or for none."""
        if "energy" in self.given:
            return self._use(self.given["energy"])
        free = choose(self._found("free energy"))
        energy = choose(self._found("energy"), alternative=free)
        if energy is None or free is None:
            return self._use(energy or free)
        n = len(self.frames)
        values = one_kind_of_energy(
            energy.listed(n),
            free_values := free.listed(n),
            self._chosen("forces") is not None,
            (energy.name, free.name),
        )
        return self._use(free if values is free_values else energy)

    def forces(self) -> list[Any]:
        """Return the forces."""
        return self._use(self._chosen("forces"))

    def stresses(self) -> list[Any]:
        """Return the stress, which may be computed from virials."""
        if "stress" in self.given or "virial" in self.given:
            column = self.given.get("stress") or self.given["virial"]
        else:
            stress, virial = self._chosen("stress"), self._chosen("virial")
            column = choose_stress(stress, virial, self._stress)
        if column is None:
            return self._use(None)
        six = any(np.size(value) == 6 for value in column.values.values())
        notes = ["virial over volume"] * (column.kind == "virial") + [_SIX] * (
            six and not column.standard
        )
        values = without_empty_stress(self.frames, self._use(column, "; ".join(notes)))
        if column.kind == "stress":
            return [_squared(value) for value in values]
        return [
            None if value is None else self._of_virial(i, value) for i, value in enumerate(values)
        ]

    def _of_virial(self, i, virial):
        try:
            return -_squared(real_array(virial)) / cell_volumes([self.frames[i].cell.array])[0]
        except LabelError as error:
            raise LabelError(f"structure {i}: virial {error}") from None

    def _stress(self, column, i):
        """Return the stress (6,) of an entry, or None."""
        value = column.values[i]
        if column.kind == "virial":
            value = self._of_virial(i, value)
        return Targets([None], stress=[_squared(value)]).stress[0]

    def report(self) -> LabelReport:
        """Return what was used and what was not."""
        used = {(use.name, use.frames) for use in self.used}
        kinds = {}
        for use in self.used:
            others = kinds[use.kind].frames if use.kind in kinds else ()
            kinds[use.kind] = use._replace(frames=(*others, *use.frames))
        unused = []
        for column in self.columns:
            use = column.use("")
            if (use.name, use.frames) not in used:
                unused.append(self._unused(column, kinds.get(use.kind)))
        return LabelReport(len(self.frames), self.used, unused, self.files)

    def _unused(self, column, instead):
        if column.use("").kind in {kind.replace("virial", "stress") for kind in self.given}:
            return column.use("another name was given")
        missing = set(column.values) - set(instead.frames if instead else ())
        if column.role in _NOTES:
            looked_for = column.role != "of atoms" or bool(missing)
            return column.use(_NOTES[column.role], looked_for=looked_for)
        return column.use(f"{instead.name!r} is used")


def _squared(stress):
    """Return nine numbers as a matrix and anything else as it is."""
    if stress is not None and np.size(stress) == 9:
        return np.reshape(stress, (3, 3))
    return stress


def _warn_about_unused(report):
    told = [use for use in report.unused if use.looked_for]
    if not told:
        return
    names = ", ".join(f"{u.name!r} (frames {ranges(u.frames)}: {u.note})" for u in told)
    nameable = [Column(u.kind, "", u.name, False, {}) for u in told if u.note == _NOTES["other"]]
    hint = f" If one should be, name it: {options(nameable)}." if nameable else ""
    message = f"some keys look like labels but are not used: {names}.{hint}"
    warn_once(f"unused {names}", message, LabelWarning)
