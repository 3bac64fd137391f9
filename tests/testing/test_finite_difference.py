"""Finite differences against calculators with analytic derivatives."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms

from skpot.testing import (
    finite_difference_forces,
    finite_difference_stress,
    finite_difference_virial,
)


@pytest.fixture
def crystal():
    atoms = bulk("Cu", "fcc", a=3.7).repeat((2, 1, 1))
    atoms.rattle(0.1, seed=0)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.03 * np.tri(3)), scale_atoms=True)
    return atoms


def test_forces_and_stress_of_a_crystal(crystal):
    calculator = EMT()
    forces = finite_difference_forces(calculator, crystal)
    stress = finite_difference_stress(calculator, crystal)
    np.testing.assert_allclose(forces, calculator.get_forces(crystal), rtol=0, atol=1e-8)
    np.testing.assert_allclose(stress, calculator.get_stress(crystal), rtol=0, atol=1e-9)
    assert abs(stress).min() > 1e-4  # every component has been compared


def test_chosen_atoms_only(crystal):
    some = finite_difference_forces(EMT(), crystal, indices=[1])
    np.testing.assert_allclose(some, finite_difference_forces(EMT(), crystal)[[1]])


def test_virial_of_a_cluster_is_that_of_its_forces():
    atoms = Atoms("Ar3", [[0, 0, 0], [1.1, 0.2, 0], [0.3, 1.2, 0.4]])
    forces = LennardJones(rc=5.0).get_forces(atoms)
    expected = (atoms.positions.T @ forces)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    virial = finite_difference_virial(LennardJones(rc=5.0), atoms)
    np.testing.assert_allclose(virial, expected, rtol=1e-8)


def test_the_structure_and_its_constraints_are_left_alone(crystal):
    before = crystal.positions.copy(), crystal.cell.array.copy()
    free = finite_difference_forces(EMT(), crystal)
    crystal.set_constraint(FixAtoms([0]))
    np.testing.assert_allclose(finite_difference_forces(EMT(), crystal), free)
    assert np.array_equal(crystal.positions, before[0])
    assert np.array_equal(crystal.cell.array, before[1])


def test_open_structures_have_no_stress():
    with pytest.raises(ValueError, match="three independent vectors"):
        finite_difference_stress(LennardJones(), Atoms("Ar2", [[0, 0, 0], [1.1, 0, 0]]))


def test_one_energy_for_each_structure():
    with pytest.raises(ValueError, match=r"12 structures, got an array of shape \(3,\)"):
        finite_difference_forces(lambda structures: np.zeros(3), Atoms("H"))
