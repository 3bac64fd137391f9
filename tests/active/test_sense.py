"""Whether the labels of a run make sense."""

import warnings

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from skpot.active import OnTheFly
from skpot.active._sense import stiffness_ratio
from skpot.checks import expected_stiffness
from skpot.exceptions import SkpotWarning


def copper():
    return bulk("Cu", cubic=True).repeat((2, 1, 1))


def in_kcal(atoms):
    atoms.calc = EMT()
    return 23.06 * atoms.get_potential_energy(), 23.06 * atoms.get_forces()


def test_labels_that_are_far_too_stiff_are_told(tmp_path):
    """Energies and forces that are both in kcal/mol belong to each other."""
    with pytest.warns(SkpotWarning, match="times as stiffly as by bonds.*kcal/mol"):
        OnTheFly(in_kcal, 0.1, tmp_path / "kcal").run(copper(), 10, max_calls=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SkpotWarning)
        OnTheFly(EMT(), 0.1, tmp_path / "eV").run(copper(), 10, max_calls=4)
    still = copper()
    still.calc = EMT()
    argon = bulk("Ar", cubic=True)
    argon.calc = SinglePointCalculator(argon, energy=0.0, forces=np.zeros((4, 3)))
    assert stiffness_ratio([still]) is None and stiffness_ratio([argon] * 2) is None
    moved = [still.copy() for _ in range(4)]
    for k, atoms in enumerate(moved):
        atoms.rattle(0.02, seed=k)
        atoms.calc = EMT()
    # The trace of the force constants over those of Badger's rule, by displacements of each atom.
    whole = stiffness_of_each(still).mean() / expected_stiffness([still])[0].mean()
    assert stiffness_ratio([still, *moved]) == pytest.approx(whole, rel=0.3)


def stiffness_of_each(atoms, step=0.01):
    """Return a third of the trace of each atom's force constants, eV/Å²."""
    found = np.zeros(len(atoms))
    for i in range(len(atoms)):
        for axis in range(3):
            for sign in (-1.0, 1.0):
                moved = atoms.copy()
                moved.positions[i, axis] += sign * step
                moved.calc = EMT()
                found[i] -= sign * moved.get_forces()[i, axis] / (6.0 * step)
    return found
