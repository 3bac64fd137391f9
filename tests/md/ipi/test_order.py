"""Positions of another order of elements than that of the template are refused."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from skpot.exceptions import InputError
from skpot.md.ipi._order import refuse_another_order


def water(n=3):
    """Return molecules of water in a periodic cell, molecule after molecule."""
    box = Atoms(cell=n * np.array([3.1, 0, 0]) + [[0, 0, 0], [0, 6, 0], [0, 0, 6]], pbc=True)
    for k in range(n):
        one = molecule("H2O")
        one.rotate(50 * k, "x")
        one.translate([3.1 * k, 1.0, 1.0])
        box += one
    return box


def alloy():
    atoms = bulk("Cu", cubic=True) * 2
    atoms.symbols[::3] = "Au"
    return atoms


STRUCTURES = {
    "water": water,
    "ethanol": lambda: molecule("CH3CH2OH"),
    "oxide": lambda: bulk("MgO", "rocksalt", a=4.21, cubic=True) * 2,
    "alloy": alloy,
}


def sent(template, atoms):
    """Return what i-PI would send: positions and cell, with the elements of the template."""
    frame = template.copy()
    frame.positions, frame.cell = atoms.positions, atoms.cell
    return frame


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_start_itself_in_another_order(name):
    template = STRUCTURES[name]()
    refuse_another_order(template, template)
    other = template[np.argsort(template.numbers, kind="stable")]
    if (other.numbers == template.numbers).all():
        other = other[::-1]
    with pytest.raises(InputError, match=r"its atom \d+ is where the template has atom \d+, "):
        refuse_another_order(template, sent(template, other))


@pytest.mark.parametrize("name", ["water", "ethanol"])
def test_later_frames_of_molecules_in_another_order(name):
    template = STRUCTURES[name]()
    later = template[np.argsort(template.numbers, kind="stable")]
    later.rattle(0.08, seed=1)
    later.translate([0.7, 0.2, 0.1])
    with pytest.raises(InputError, match=r"seems to have .* Å apart, but in the template not clos"):
        refuse_another_order(template, sent(template, later))


@pytest.mark.parametrize("name", STRUCTURES)
def test_later_frames_in_the_same_order(name):
    template = STRUCTURES[name]()
    for seed in range(5):
        later = template.copy()
        later.rattle(0.1, seed=seed)
        later.translate([0.7, -5.0, 0.1])
        later.set_cell(0.98 * later.cell.array, scale_atoms=True)
        refuse_another_order(template, later)
        later.wrap()
        refuse_another_order(template, later)


def test_like_atoms_may_change_places():
    template = water()
    places = np.arange(len(template))
    places[[1, 5]] = places[[5, 1]]  # hydrogen
    refuse_another_order(template, sent(template, template[places]))
    copper = bulk("Cu", cubic=True)
    refuse_another_order(copper, sent(copper, copper[::-1]))
