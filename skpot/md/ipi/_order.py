"""Whether i-PI has its atoms in the order of the template; it sends positions without elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from ...data import as_batch, cell_volumes
from ...data.elements import SYMBOLS
from ...exceptions import InputError

if TYPE_CHECKING:
    from skpot.typing import Atoms, FloatArray

_SAME = 0.2  # Å within which an atom is where one of the template is
_RADIUS = 2.5  # Å within which closest distances are compared; farther atoms need no bond
_SHARE = 0.7  # of the closest distance in the template; hot crystals keep about 0.8 of it
_ADVICE = "name the file that i-PI starts from, or sort one of the two"


def refuse_another_order(template: Atoms, frame: Atoms) -> None:
    """Refuse positions that fit the elements of the template in another order only.

    Parameters
    ----------
    template : ase.Atoms
        The structure that says which element each atom is.
    frame : ase.Atoms
        The first positions of i-PI, with the elements of the template.

    Raises
    ------
    InputError
        If all atoms are where the template has atoms, but of other elements; or if atoms of two
        elements are much closer to each other than anywhere in the template.
    """
    if len(np.unique(template.numbers)) == 1:
        return
    places, distances = _places(template, frame)
    if (distances < _SAME).all():
        wrong = np.flatnonzero(template.numbers[places] != template.numbers)
        if len(wrong):
            i = int(wrong[0])
            raise InputError(
                f"i-PI has its atoms in another order than the template: its atom {i} is where "
                f"the template has atom {places[i]}, {template.symbols[places[i]]}, but atom {i} "
                f"of the template is {template.symbols[i]}; {_ADVICE}."
            )
        return
    known, found = _closest(template), _closest(frame)
    if (found < _SHARE * known).any():
        a, b = np.unravel_index(int(np.argmin(found / known)), known.shape)
        elements = np.unique(template.numbers)
        raise InputError(
            f"i-PI seems to have its atoms in another order than the template: "
            f"{SYMBOLS[elements[a]]} and {SYMBOLS[elements[b]]} are {found[a, b]:.2f} Å apart, "
            f"but in the template not closer than {known[a, b]:.2f} Å; {_ADVICE}. If the order is "
            "right, give a template that is closer to what i-PI has."
        )


def _places(template: Atoms, frame: Atoms) -> tuple[np.ndarray, FloatArray]:
    """Return the atom of the template that is closest to each of the frame, and the distances."""
    if template.pbc.all() and np.isfinite(cell_volumes([template.cell.array])).all():
        here, there = (atoms.get_scaled_positions() % 1.0 for atoms in (frame, template))
        # Rounding may give 1 itself, which is the same as 0.
        tree = cKDTree(np.where(there < 1.0, there, 0.0), boxsize=1.0)
        places = tree.query(here)[1]
        moved = here - there[places]
        moved = (moved - np.round(moved)) @ template.cell.array
        return places, np.linalg.norm(moved, axis=1)
    distances, places = cKDTree(template.positions).query(frame.positions)
    return places, distances


def _closest(atoms: Atoms) -> FloatArray:
    """Return how close (Å) atoms of each element come to those of each other one.

    It is what a tenth of the atoms goes below, since single pairs may come very close in hot
    matter, and `_RADIUS` if that is less.
    """
    elements, kind = np.unique(atoms.numbers, return_inverse=True)
    pairs = as_batch([atoms], search_follows=True).search(_RADIUS)[0]
    center = np.repeat(np.arange(len(atoms)), np.diff(pairs.start))
    nearest = np.full((len(atoms), len(elements)), _RADIUS)
    lengths = np.linalg.norm(pairs.vector, axis=1)
    np.minimum.at(nearest, (center, kind[pairs.neighbor]), lengths)
    own = [nearest[kind == k] for k in range(len(elements))]
    return np.array([np.quantile(rows, 0.1, axis=0, method="lower") for rows in own])
