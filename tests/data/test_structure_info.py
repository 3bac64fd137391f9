"""Volumes, periodicity and keys of structures."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from skpot.data import as_batch, cell_volumes


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 1, 0), (1, 0, 0), (0, 0, 0)])
def test_a_stress_exists_where_three_vectors_are_independent(pbc):
    slab = fcc111("Cu", (1, 1, 2), vacuum=5.0)
    slab.pbc = pbc
    assert cell_volumes([slab.cell.array]) == pytest.approx([slab.get_volume()])
    slab.cell[2] = 0.0
    assert np.isnan(cell_volumes([slab.cell.array])).all()
    slab.cell[2] = slab.cell[0] + 2 * slab.cell[1]
    assert np.isnan(cell_volumes([slab.cell.array])).all()


def test_volumes_do_not_depend_on_the_unit_of_length():
    cell = np.array([[3.0, 0.1, 0.0], [0.0, 2.0, 0.3], [0.2, 0.0, 5.0]])
    small, large = cell_volumes([1e-3 * cell, 1e3 * cell])
    assert large / small == pytest.approx(1e18)


def keys(*structures):
    return as_batch(list(structures)).info().keys.tolist()


def test_keys_are_of_the_structure_as_given():
    silicon = bulk("Si")
    (key,) = keys(silicon)
    moved, other, open_, stretched = (silicon.copy() for _ in range(4))
    moved.positions[0, 0] += 1e-12
    other.numbers[1] = 6
    open_.pbc = False
    stretched.cell[2, 2] += 1e-12
    assert len({key, *keys(moved, other, open_, stretched)}) == 5
    assert keys(molecule("H2O"), silicon.copy(), molecule("CO"))[1] == key
    silicon.positions[silicon.positions == 0] = -0.0
    assert keys(silicon) == [key]


def test_keys_are_the_same_on_every_machine():
    # Computed once: another value would mean other references than those of a published model.
    assert keys(Atoms("Cu", [[0.5, 0, 0]], cell=[2, 2, 2], pbc=True)) == [5486588055731018330]
