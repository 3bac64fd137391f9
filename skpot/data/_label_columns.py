"""The choice of one column of a file for each kind of label, or an error that says what to do."""

from __future__ import annotations

import functools
import shlex
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..exceptions import LabelError
from ._ase import label_sources
from ._label_blocks import number, real_array
from ._label_names import label_kind
from ._label_report import LabelUse, ranges

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.typing import Structures

_OPTIONS = {
    "energy": "energy_key",
    "free energy": "energy_key",
    "forces": "forces_key",
    "stress": "stress_key",
    "virial": "virial_key",
}
# Numbers in files are rounded. Values that differ by less than this, relative and absolute, are the
# same label.
_SAME = {"energy": (1e-8, 1e-5), "forces": (1e-4, 1e-4), "stress": (1e-3, 1e-6)}
_SAME["free energy"] = _SAME["energy"]
_SAME["virial"] = (1e-3, 1e-4)


class Column(NamedTuple):
    """The values that frames have under one name."""

    kind: str
    role: str
    name: str
    standard: bool  # whether ASE reads it as a result of a calculator
    values: dict  # by frame
    parts: tuple = ()  # columns of single files, if it is made of such

    def listed(self, n: int) -> list[Any]:
        """Return the values of all n frames, None where one is missing."""
        return [self.values.get(i) for i in range(n)]

    def use(self, note: str, looked_for: bool = False) -> LabelUse:
        """Return the entry of the report."""
        kind = {"free energy": "energy", "virial": "stress"}.get(self.kind, self.kind)
        return LabelUse(kind, self.name, tuple(self.values), note, looked_for)


def label_columns(frames: Structures) -> list[Column]:
    """Return all columns whose names look like labels and whose values have a fitting shape."""
    columns = {}
    known = functools.lru_cache(maxsize=None)(label_kind)
    for i, atoms in enumerate(frames):
        for source, names in label_sources(atoms).items():
            for name, value in names.items():
                kind, role = known(str(name))
                if kind is not None and value is not None:
                    key = str(name), source == "results", source == "arrays"
                    if key not in columns:
                        columns[key] = Column(kind, role, key[0], key[1], {})
                    columns[key].values.setdefault(i, value)
    found = []
    for (_, standard, by_atom), column in columns.items():
        if by_atom and "energy" in column.kind:
            column = column._replace(role="of atoms")
        if standard or column.role == "of atoms" or _could_be(column, frames):
            found.append(column)
        elif column.role == "label":
            found.append(column._replace(role="misfit"))
    return found


def _could_be(column, frames):
    """Whether any value has the shape of such a label; bad energies are refused later."""
    return any(_fits(column, value, len(frames[i])) for i, value in column.values.items())


def _fits(column, value, n_atoms):
    if "energy" in column.kind:
        return column.role == "label" or _is_number(value)
    shape = np.shape(value)
    if column.role == "component":
        return shape == ((n_atoms,) if column.kind == "forces" else ())
    return shape == (n_atoms, 3) if column.kind == "forces" else np.prod(shape) in (6, 9)


def _is_number(value):
    try:
        return number(value) is not None
    except LabelError:
        return False


def choose(columns: list[Column], alternative: Column | None = None) -> Column | None:
    """Return the column that has the labels of a kind, or None if there is none.

    Parameters
    ----------
    columns : list of Column
        Columns of one kind.
    alternative : Column, default=None
        Another column, whose values the others may have instead of those of the chosen one.

    Raises
    ------
    LabelError
        If two columns differ, or no column has the labels of all frames.
    """
    if not columns:
        return None
    columns = sorted(columns, key=lambda c: (not c.standard, c.name))
    covered = set().union(*(column.values for column in columns))
    whole = [column for column in columns if len(column.values) == len(covered)]
    if not whole:
        raise LabelError(_mixed(columns))
    chosen = whole[0]
    for other in columns:
        for i in () if other is chosen else other.values:
            if not (_agree(chosen, other, i) or (alternative and _agree(alternative, other, i))):
                raise LabelError(_differ(chosen, other, i))
    return chosen


def joined(columns: list[Column], sizes: list[int]) -> list[Column]:
    """Return one column in place of several if each file has its labels under one name.

    Parameters
    ----------
    columns : list of Column
        Columns of one kind.
    sizes : list of int
        How many frames each file has.
    """
    bounds = np.cumsum([0, *sizes])
    values, names = {}, set()
    for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
        here = [
            {i: value for i, value in column.values.items() if begin <= i < end}
            for column in columns
        ]
        some = [k for k, inside in enumerate(here) if inside]
        if len(some) > 1:
            return columns
        for k in some:
            values |= here[k]
            names.add(k)
    used = [columns[k] for k in sorted(names)]
    if len(used) < 2:
        return columns
    name = " and ".join(column.name for column in used)
    return [Column(columns[0].kind, "label", name, used[0].standard, values, tuple(used))]


def _agree(one, other, i):
    if i not in one.values:
        return False
    try:
        a, b = (_flat(column.values[i]) for column in (one, other))
    except LabelError:  # not numbers, which is refused when labels are converted
        return one is other
    relative, absolute = _SAME[one.kind]
    return a.shape == b.shape and np.allclose(
        a, b, rtol=0.0, atol=absolute + relative * np.abs(a).max(initial=0.0), equal_nan=True
    )


def _flat(value):
    """Return a label as one row; nine numbers of a stress become six."""
    array = real_array(value).ravel()
    return array[[0, 4, 8, 5, 2, 1]] if array.size == 9 else array


def choose_stress(
    stress: Column | None, virial: Column | None, as_stress: Callable[..., Any]
) -> Column | None:
    """Return the column of stress or virials that covers the frames of both, or None without any.

    `as_stress(column, frame)` returns the stress (6,) of an entry, or None.
    """
    if stress is None or virial is None:
        return stress or virial
    if stress.values.keys() >= virial.values.keys():
        chosen = stress
    elif virial.values.keys() >= stress.values.keys():
        chosen = virial
    else:
        raise LabelError(_mixed([stress, virial]))
    relative, absolute = _SAME["stress"]
    for i in stress.values.keys() & virial.values.keys():
        a, b = as_stress(stress, i), as_stress(virial, i)
        if a is None or b is None:
            continue
        if np.abs(a - b).max() > absolute + relative * np.abs(a).max():
            raise LabelError(
                _differ(stress, virial, i)
                + " Computed from the virial and the volume, the stress is "
                + f"{b} eV/Å³."
            )
    return chosen


def options(columns: list[Column]) -> str:
    """Return what to type to use one of the columns, in Python and in the shell."""
    keys = list(dict.fromkeys((_OPTIONS[c.kind], c.name) for c in columns))
    python = " or ".join(f'{option}="{name}"' for option, name in keys)
    shell = " or ".join(f"--{o.replace('_', '-')} {shlex.quote(name)}" for o, name in keys)
    return f"{python} (in the shell: {shell})"


def _named(column):
    return f"{column.name!r} (frames {ranges(sorted(column.values))})"


def _mixed(columns):
    kind = columns[0].kind
    return (
        f"some frames have {kind} under one name and some under another: "
        + " and ".join(map(_named, columns))
        + f". Name the one to use: {options(columns)}. To use both, read the frames in "
        "two parts and join their targets with np.concatenate."
    )


def _differ(chosen, other, i):
    a, b = (np.array2string(np.asarray(c.values[i]), threshold=12) for c in (chosen, other))
    name = hint = ""
    if chosen.name == other.name:
        name, hint = " in the calculator and in info or arrays", " (that in info or arrays)"
    return (
        f"{_named(chosen)} and {_named(other)} both look like {chosen.kind}{name}, but differ, "
        f"first in frame {i}: {a} and {b}. Name the one to use: {options([chosen, other])}{hint}."
    )
