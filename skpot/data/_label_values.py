"""Rules for labels from files and from calculators."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import LabelError, LabelWarning, warn_once
from ._checks import some, summarize
from ._label_blocks import number
from ._label_warnings import warn_about_empty_stress
from ._structure_info import cell_volumes

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import Structures


def one_kind_of_energy(
    energy: list[Any],
    free: list[Any],
    has_forces: bool,
    names: tuple[str, str] = ("energy", "free_energy"),
) -> list[Any]:
    """Return energies of one kind for all structures, since two kinds have different zeros.

    Parameters
    ----------
    energy, free : list of (object or None), one for each structure
        Energies, and free energies, whose derivatives forces are.
    has_forces : bool
        Whether any structure has forces.
    names : (str, str)
        Names of the two in the file or calculator.

    Returns
    -------
    values : list of (object or None)
        One of the two.
    """
    if all(e is None for e in energy):
        return free
    pairs = list(zip(energy, free, strict=True))
    free_whole = all(f is not None for e, f in pairs if e is not None)
    energy_whole = all(e is not None for e, f in pairs if f is not None)
    if free_whole and (has_forces or not energy_whole):
        return free
    if not energy_whole:
        only = [[i for i, pair in enumerate(pairs) if pair[k] is None] for k in (1, 0)]
        raise LabelError(
            f"some structures have {names[0]!r} only ({some(only[0])}) and others {names[1]!r} "
            f"only ({some(only[1])}). The two have different zeros and cannot be mixed. When "
            "reading files, name the one to use: " + _energy_options(*names)
        )
    if not free_whole and any(map(_differ, energy, free)):
        warn_once(
            "free energies of some frames",
            f"{sum(f is not None for f in free)} of {len(free)} frames have a free energy "
            f"({names[1]!r}) besides the energy. {names[0]!r} is used for all of them. When "
            "reading files, choose by " + _energy_options(*names),
            LabelWarning,
        )
    return energy


def _energy_options(*names):
    """Return what to type to use the energies under one of these names."""
    python = " or ".join(f'energy_key="{name}"' for name in names)
    shell = " or ".join(f"--energy-key {shlex.quote(name)}" for name in names)
    return f"{python} (in the shell: {shell})."


def _differ(energy, free):
    try:
        energy, free = number(energy), number(free)
    except LabelError:  # refused together with all others when they are converted
        return False
    return None not in (energy, free) and abs(energy - free) > 1e-6


def without_empty_stress(structures: Structures, stresses: list[Any]) -> list[Any]:
    """Return stresses without those of zero where no stress exists, with a warning about these.

    Parameters
    ----------
    structures : list[Atoms]
        Structures.
    stresses : list of (array-like or None)
        Stress or virial, in any unit.

    Returns
    -------
    stresses : list of (array-like or None)

    Raises
    ------
    LabelError
        If a stress is not zero where the cell has no three independent vectors.
    """
    rows = [i for i, stress in enumerate(stresses) if stress is not None]
    if not rows:
        return stresses
    volumes = cell_volumes([structures[i].cell.array for i in rows])
    absent = [i for i, volume in zip(rows, volumes, strict=True) if np.isnan(volume)]
    problems = {
        i: f"has a stress or virial, {np.ravel(stresses[i])}, but no cell with three independent "
        "vectors, so there is no stress"
        for i in absent
        if np.any(stresses[i])
    }
    if problems:
        raise LabelError(summarize(problems, len(structures)))
    if absent:
        warn_about_empty_stress(absent)
    absent = set(absent)
    return [None if i in absent else stress for i, stress in enumerate(stresses)]
