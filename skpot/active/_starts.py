"""Structures to learn from before a run begins."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ..data import Targets
from ..data.elements import SYMBOLS
from ..exceptions import InputError, InputTypeError
from ..md.dynamics import closest_distance

if TYPE_CHECKING:
    from skpot.typing import Atoms, Structures

_RATTLE = 0.012, 0.047  # of the closest distance, of the first and the last copy
_NO_DISTANCE = 2.5  # Å, for structures of one atom
_MANY = 12  # atoms of a species, whose forces are so many that three structures will do
_STRAIN = 0.02  # of each component, for periodic structures


def start_structures(starts: Structures, n: int | None, seed: int) -> list[tuple[int, Atoms]]:
    """Return structures to label before a run: those that it starts from, and changed copies.

    Parameters
    ----------
    starts : list[Atoms]
        What the run starts from.
    n : int or None
        How many of each that differs from those before it: the structure itself, and copies whose
        atoms are displaced at random, by 1 to 5 % of the closest distance (0.03 to 0.12 Å in
        copper); of structures that are periodic in three directions the cells are strained by 2 %
        as well. None stands for three, or four if it has fewer than twelve atoms of a species.
    seed : int
        Seed of the displacements.

    Returns
    -------
    list of (int, Atoms)
        From which start each is made, and the structure.
    """
    rng = np.random.default_rng(seed)
    found = []
    for which, start in enumerate(starts):
        if any(_are_equal(start, earlier) for earlier in starts[:which]):
            continue  # a replica, of which the labels would be the same
        closest = min(closest_distance(start), _NO_DISTANCE)
        many = min(Counter(start.numbers.tolist()).values()) >= _MANY
        few = (3 if many else 4) if n is None else n
        for k, size in enumerate([0.0, *np.linspace(*_RATTLE, max(few - 1, 1))][:few]):
            atoms = start.copy()
            if k and atoms.pbc.all():
                strain = rng.uniform(-_STRAIN, _STRAIN, (3, 3))
                deform = np.eye(3) + 0.5 * (strain + strain.T)
                atoms.set_cell(atoms.cell.array @ deform, scale_atoms=True)
            atoms.positions += size * closest * rng.normal(size=atoms.positions.shape)
            found.append((which, atoms))
    return found


def check_first_labels(X: Structures | None, y: Targets | None) -> None:
    """Refuse labels to begin with that are none, and noise, which frames of files do not keep."""
    if (X is None) != (y is None):
        raise InputError("X and y, labeled structures to begin with, go together.")
    if y is None:
        return
    if not isinstance(y, Targets):
        raise InputTypeError(f"y must be Targets, got {type(y).__name__}.")
    own = ("groups", "sigma_energy", "sigma_forces_flat", "sigma_stress")
    given = [name.removesuffix("_flat") for name in own if getattr(y, name) is not None]
    if given:
        raise InputError(
            f"labels to begin with have {', '.join(given)} of their own, which a run would lose. "
            "Give the noise to the model, and Targets(y.energy, y.forces, y.stress) to the run."
        )


def require_species(starts: Structures, X: Structures) -> None:
    """Refuse structures to start from of species that the labeled ones do not have."""
    labeled = {int(z) for atoms in X for z in atoms.numbers}
    for k, start in enumerate(starts):
        lacking = sorted({int(z) for z in start.numbers} - labeled)
        if lacking:
            raise InputError(
                f"structure {k} has {', '.join(SYMBOLS[z] for z in lacking)}, which is in none of "
                "the labeled structures to begin with. Add some with it, or begin without any."
            )


def _are_equal(one, other):
    return np.array_equal(one.numbers, other.numbers) and all(
        np.array_equal(a, b)
        for a, b in ((one.positions, other.positions), (one.cell.array, other.cell.array))
    )
