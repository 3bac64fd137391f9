"""What this room takes from ASE beside readers of single frames: labels, files, plain arrays."""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import os
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._paths import file_name
from ..exceptions import InputError, LabelError, LabelWarning, SkpotError, warn_once
from ._extxyz import parse_header, refuse_gaps, tell_of_nameless
from ._structure_info import cell_volumes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from skpot.typing import (
        AseCalculator,
        Atoms,
        BoolArray,
        FloatArray,
        IntArray,
        PathLike,
        Structures,
    )

NOTHING = {}
_INDEX = re.compile(r"-?\d+|(-?\d*)(:-?\d*){1,2}")  # of frames: 0, ::2, -10:
# Calculators that their own packages have, by the name of their program.
_PACKAGED = {
    "dftd4": ("dftd4.ase", "DFTD4"),
    "tblite": ("tblite.ase", "TBLite"),
    "xtb": ("xtb.ase.calculator", "XTB"),
}
# The units that ASE assumes in formats that do not state any.
_ASSUMED = {
    "runnerdata": "Hartree and Bohr",
    "lammps-dump-text": "eV and Å (LAMMPS's metal)",
    "lammps-dump-binary": "eV and Å (LAMMPS's metal)",
}


def read_frames(path: PathLike, index: int | str | slice = ":") -> list[Atoms]:
    """Read structures from one file in any format ASE knows.

    Parameters
    ----------
    path : str or Path
        The file; frames may be chosen in its name, as in "data.db@0:500:5".
    index : int, str or slice, default=":"
        Which frames, as in `ase.io.read`, unless the name says it.

    Returns
    -------
    frames : list[Atoms]
        At least one; their calculators hold the labels.
    """
    path, index = named_frames(path, index)
    chosen = "" if index in (":", None) else f" (index {index!r})"
    frames = []
    try:
        for atoms in _frames(path, index):
            frames.append(atoms)
    except Exception as error:  # readers of some formats raise errors of their own
        if isinstance(error, OSError) and error.filename:
            raise
        where = f", frame {len(frames)}" if frames else ""
        raise InputError(f"{path}{where} cannot be read{chosen}: {_reason(error)}") from error
    if not frames:
        raise InputError(f"{path} has no structures there{chosen}")
    return frames


def named_frames(path: PathLike, index: Any = ":") -> tuple[str, Any]:
    """Return the file and the frames that a name such as "data.db@0:500:5" stands for.

    Parameters
    ----------
    path : str or Path
        The name. If there is a file of this name, it is that file.
    index : int, str or slice, default=":"
        The frames if the name does not say which.

    Returns
    -------
    file : str
    index : int, str or slice
    """
    name = file_name(path)
    file, at, frames = name.rpartition("@")
    if not at or os.path.exists(name):
        return name, index
    if os.path.exists(file) or _INDEX.fullmatch(frames):
        return file, frames
    return name, index


def _reason(error):
    """Return the message of an error; some of ASE have nothing but the suffix of the file."""
    from ase.io.formats import UnknownFileTypeError

    if isinstance(error, UnknownFileTypeError):
        return f"it is in none of the formats that ASE knows ({error})"
    return str(error) if isinstance(error, SkpotError) else f"{type(error).__name__}: {error}"


def _frames(path, index):
    """Yield structures one by one, so that it is known which of them cannot be read."""
    from ase.io.formats import filetype, iread

    kind = filetype(path)
    if kind in ("db", "json"):
        return _rows(path, index)
    if kind in _ASSUMED:
        warn_once(
            f"units of {path}",
            f"{path}: files of this kind ({kind}) do not say their units, which are assumed to be "
            f"{_ASSUMED[kind]}. If they are others, convert what was read.",
            LabelWarning,
        )
    source, options = path, {"do_not_split_by_at_sign": True}
    if kind == "extxyz":
        source = _checked_extxyz(path, index)
        options |= {"format": kind, "properties_parser": parse_header}
    frames = iread(source, index=index, **options)
    return map(_without_energy, frames) if kind.startswith("lammps-dump") else frames


def _checked_extxyz(path, index):
    """Return what to read frames from, once it is known that none would be left out."""
    from ase.io.formats import get_compression, open_with_compression, string2index

    tell_of_nameless(path)
    index = string2index(index) if isinstance(index, str) else index
    # Of a long file the first frame is often all that is wanted.
    last = index if isinstance(index, int) and index >= 0 else math.inf
    if not get_compression(path)[1]:
        with open(path, "rb") as file:
            refuse_gaps(file, last)
        return path
    # The reader of ASE jumps back and forth, which costs a decompression each time.
    with open_with_compression(path) as file:
        text = io.StringIO(file.read())
    refuse_gaps(text, last)
    text.seek(0)
    return text


def _without_energy(atoms):
    """Remove the energy of zero that ASE's readers of LAMMPS dumps add."""
    stored_results(atoms).pop("energy", None)
    return atoms


def _rows(path, index):
    """Yield the structures of a database with their key-value pairs and data, which ASE drops."""
    from ase.db import connect
    from ase.io.formats import string2index

    with contextlib.suppress(ValueError):  # not an index: a query of the database
        index = string2index(index) if isinstance(index, str) else index
    with connect(path, serial=True) as database:
        rows = list(database.select(index if isinstance(index, str) else None))
    if not isinstance(index, str):
        rows = rows[index] if isinstance(index, slice) else [rows[index]]
    yield from map(_of_row, rows)


def _of_row(row):
    atoms = row.toatoms()
    atoms.info = dict(row.key_value_pairs) | ({"data": row.data} if row.data else {})
    return atoms


def database_ids(path: str) -> list[int]:
    """Return the numbers under which a database of ASE has its structures."""
    from ase.db import connect

    with connect(path, serial=True) as database:
        return [row.id for row in database.select(include_data=False)]


def read_rows(path: str, ids: list[int]) -> Iterator[Atoms]:
    """Yield the structures that a database of ASE has under some numbers."""
    from ase.db import connect

    with connect(path, serial=True) as database:
        for one in ids:
            yield _of_row(database.get(id=one))


def stored_results(atoms: Atoms) -> dict[str, Any]:
    """Return the results that a file has put into the calculator of a structure.

    Parameters
    ----------
    atoms : Atoms
        A structure as read.

    Returns
    -------
    results : dict
        Keys are ASE's names of properties; forces are not projected on constraints.
    """
    return getattr(atoms.calc, "results", None) or NOTHING


def label_sources(atoms: Atoms) -> dict[str, dict[str, Any]]:
    """Return the dictionaries of a structure that may hold labels, by what each is."""
    nested = {name: atoms.info.get(name) for name in ("key_value_pairs", "data")}  # of databases
    found = {"info": atoms.info, "arrays": atoms.arrays, "results": stored_results(atoms)}
    return found | {name: value for name, value in nested.items() if isinstance(value, dict)}


def lookup(atoms: Atoms, key: str) -> Any:
    """Return the value that a file has under a key.

    Parameters
    ----------
    atoms : Atoms
        A structure as read.
    key : str
        It is looked for in `atoms.info`, `atoms.arrays`, the results of the calculator, and the
        key-value pairs and data of databases.

    Returns
    -------
    value : object
        None if there is no such key.
    """
    for source in label_sources(atoms).values():
        if key in source:
            return source[key]
    return None


class CalculatorLabels(NamedTuple):
    """The labels that the calculator of a structure has; each is None if it has no such label."""

    energy: float | None  # eV
    free_energy: float | None  # eV; forces are the derivative of this energy
    forces: np.ndarray | None  # (n_atoms, 3), eV/Å, not projected on constraints
    stress: np.ndarray | None  # (6,), eV/Å³

    def consistent(self) -> tuple[Any, Any, Any]:
        """Return the energy whose derivative the forces are, the forces, and the stress."""
        free = self.forces is not None and self.free_energy is not None
        return self.free_energy if free else self.energy, self.forces, self.stress


def calculator_labels(atoms: Atoms) -> CalculatorLabels:
    """Ask the calculator of a structure for its labels.

    Parameters
    ----------
    atoms : Atoms
        A structure with a calculator.

    Returns
    -------
    labels : CalculatorLabels
        A calculator is asked for stress only where one exists, see `cell_volumes`. Results that are
        stored with the structure are returned as they are.

    Raises
    ------
    LabelError
        If the structure has changed since results were stored. Moving atoms by lattice vectors, or
        all atoms together, changes no label.
    """
    from ase.calculators.calculator import PropertyNotImplementedError
    from ase.calculators.singlepoint import SinglePointCalculator

    if atoms.calc is None:
        return CalculatorLabels(None, None, None, None)
    if isinstance(atoms.calc, SinglePointCalculator):
        _refuse_stale(atoms)
        return CalculatorLabels(*map(atoms.calc.results.get, CalculatorLabels._fields))

    def ask(name):
        try:
            return atoms.calc.get_property(name, atoms)
        except PropertyNotImplementedError:
            return None

    forces = ask("forces")
    free = ask("free_energy") if forces is not None else None
    has_stress = np.isfinite(cell_volumes([atoms.cell.array])[0])
    return CalculatorLabels(ask("energy"), free, forces, ask("stress") if has_stress else None)


def _refuse_stale(atoms):
    """Raise `LabelError` if a structure has changed since its results were stored."""
    changes = set(atoms.calc.check_state(atoms))
    if changes == {"positions"} and _same_but_for_lattice(atoms, atoms.calc.atoms):
        return
    if changes:
        raise LabelError(
            f"has changed ({', '.join(sorted(changes))}) since the results of its calculator were "
            "stored, so they are not its labels: compute them again, or remove the calculator "
            "(atoms.calc = None)"
        )


def _same_but_for_lattice(atoms, other):
    """Whether atoms differ by one common shift and by lattice vectors only."""
    moves = atoms.positions - other.positions
    moves = moves - moves[0]
    cell, pbc = atoms.cell.complete().array, atoms.pbc
    shifts = np.round(moves @ np.linalg.pinv(cell)) * pbc
    return np.abs(moves - shifts @ cell).max() < 1e-8


def labels_by(
    calculator: AseCalculator, structures: Structures
) -> list[tuple[float | None, FloatArray | None, FloatArray | None]]:
    """Ask one calculator for the labels of structures, whose own calculators stay untouched.

    Parameters
    ----------
    calculator : ase.calculators.calculator.Calculator
        Asked for one structure after the other.
    structures : list[Atoms]
        Structures.

    Returns
    -------
    labels : list of (float or None, ndarray or None, ndarray or None)
        Energy, forces and stress of each structure. Of two energies, the one whose derivative the
        forces are is taken. Errors of the calculator get a note that names the structure.
    """
    labels = []
    for i, atoms in enumerate(structures):
        atoms = atoms.copy()
        atoms.calc = calculator
        if hasattr(calculator, "reset"):  # else results depend on earlier structures, by rounding
            calculator.reset()
        try:
            labels.append(calculator_labels(atoms).consistent())
        except Exception as error:
            error.add_note(f"raised by {type(calculator).__name__} for structure {i}")
            raise
    return labels


def with_stored_results(atoms: Atoms, results: dict[str, Any]) -> Atoms:
    """Return a copy of a structure that has results, as if a file with them had been read.

    Parameters
    ----------
    atoms : Atoms
        The structure.
    results : dict
        Keys are ASE's names of properties; without any, the copy has no calculator.

    Returns
    -------
    labeled : Atoms
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    labeled = atoms.copy()
    labeled.calc = SinglePointCalculator(labeled, **results) if results else None
    return labeled


def named_calculator(name: str, **options: Any) -> AseCalculator:
    """Return a new calculator, by default with its default settings, by the name it has in ASE.

    Parameters
    ----------
    name : str
        A name in `ase.calculators.calculator.names`, such as "emt", or "tblite", "dftd4", "xtb" of
        the packages that have calculators of ASE.
    **options : object
        Parameters of the calculator.

    Returns
    -------
    calculator : ase.calculators.calculator.Calculator

    Raises
    ------
    InputError
        If there is no such calculator, or its package is not installed.
    """
    from ase.calculators.calculator import get_calculator_class, names

    if name not in names and name not in _PACKAGED:
        raise InputError(
            f"{name!r} is no calculator that can be named; there are "
            f"{', '.join(sorted({*names, *_PACKAGED}))}."
        )
    try:
        if name in _PACKAGED:
            module, kind = _PACKAGED[name]
            return getattr(importlib.import_module(module), kind)(**options)
        return get_calculator_class(name)(**options)
    except ImportError as error:
        raise InputError(f"the calculator {name!r} cannot be used: {error}.") from error


def without_calculator(atoms: Atoms) -> Atoms:
    """Remove the calculator, and with it the labels, from a structure.

    Parameters
    ----------
    atoms : Atoms
        A structure as read; changed in place.

    Returns
    -------
    atoms : Atoms
        The same object.
    """
    atoms.calc = None
    return atoms


def extract_arrays(
    structures: Structures,
) -> tuple[FloatArray, IntArray, FloatArray, BoolArray, IntArray]:
    """Return the geometry of structures as flat arrays.

    Works on anything with `positions`, `numbers`, `cell` and `pbc`; ASE itself is not imported.

    Parameters
    ----------
    structures : list[Atoms]
        Structures.

    Returns
    -------
    positions : ndarray of shape (n_atoms_total, 3)
        In Å.
    numbers : ndarray of int64 of shape (n_atoms_total,)
        Atomic numbers.
    cells : ndarray of shape (n_structures, 3, 3)
        Cell vectors in rows (Å).
    pbc : ndarray of bool of shape (n_structures, 3)
        Periodic directions.
    offsets : ndarray of int64 of shape (n_structures + 1,)
        Structure i owns atoms `offsets[i]:offsets[i + 1]`.
    """
    n = len(structures)
    cells = np.zeros((n, 3, 3))
    pbc = np.zeros((n, 3), dtype=bool)
    offsets = np.zeros(n + 1, dtype=np.int64)
    positions, numbers = [np.empty((0, 3))], [np.empty(0, dtype=np.int64)]
    for i, atoms in enumerate(structures):
        positions.append(atoms.positions)
        numbers.append(atoms.numbers)
        cells[i] = atoms.cell
        pbc[i] = atoms.pbc
        offsets[i + 1] = offsets[i] + len(atoms.numbers)
    return (
        np.concatenate(positions, dtype=np.float64),
        np.concatenate(numbers, dtype=np.int64),
        cells,
        pbc,
        offsets,
    )
