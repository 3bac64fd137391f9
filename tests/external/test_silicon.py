"""Properties of silicon by a preset beside those of its set's own method and of matcalc."""

import numpy as np
import pytest
from ase.build import bulk
from ase.optimize import BFGS
from ase.units import GPa
from scipy.constants import atomic_mass, e
from scipy.optimize import brentq

import skpot

STRAIN, SHIFT = 1e-3, 1e-3  # of finite differences, the latter in Å
# By matcalc 0.7.0 with ions relaxed, from the preset "default" on the same set. In the set's own
# method: 5.476 Å, 88.7 GPa.
LATTICE, BULK_MODULUS, C11, C12, C44 = 5.4755, 88.6, 153.6, 57.1, 74.2  # Å, GPa
OPTICAL = 15.11  # THz, at the zone center


@pytest.fixture(scope="module")
def crystal():
    """The two atoms of a cell at rest, with the preset that is quickest."""
    X, y, _, _ = skpot.datasets.load_silicon(return_X_y=True)
    calculator = skpot.Calculator(skpot.make_potential("fast").fit(X, y))

    def pressure(a):
        atoms = bulk("Si", a=a)
        atoms.calc = calculator
        return atoms.get_stress()[:3].sum()

    atoms = bulk("Si", a=brentq(pressure, 5.4, 5.55, xtol=1e-6))
    atoms.calc = calculator
    return atoms


def stress_of(atoms, strain, relaxed=False):
    """Return the stress in GPa under a strain."""
    strained = atoms.copy()
    strained.calc = atoms.calc
    strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    if relaxed:
        BFGS(strained, logfile=None).run(fmax=1e-5, steps=50)
    return strained.get_stress() / GPa


def test_lattice_constant(crystal):
    assert crystal.cell.lengths()[0] * np.sqrt(2.0) == pytest.approx(LATTICE, rel=1e-3)


def test_elastic_constants(crystal):
    along, shear = np.diag([STRAIN, 0, 0]), np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = 0.5 * STRAIN
    xx = (stress_of(crystal, along) - stress_of(crystal, -along)) / (2 * STRAIN)
    yz = stress_of(crystal, shear, relaxed=True) / STRAIN
    assert (xx[0] + 2 * xx[1]) / 3 == pytest.approx(BULK_MODULUS, rel=0.04)
    assert xx[0] == pytest.approx(C11, rel=0.06)
    assert xx[1] == pytest.approx(C12, rel=0.07)
    assert yz[3] == pytest.approx(C44, rel=0.04)
    clamped = stress_of(crystal, shear)[3] / STRAIN
    assert clamped > 1.2 * C44  # which is what programs give that leave ions where they are


def test_optical_phonon(crystal):
    atoms = crystal.copy()
    atoms.calc = crystal.calc
    atoms.positions[1, 0] += SHIFT
    stiffness = -atoms.get_forces()[1, 0] / SHIFT * e / 1e-20  # N/m
    reduced = 0.5 * atoms.get_masses()[0] * atomic_mass
    frequency = np.sqrt(stiffness / reduced) / (2e12 * np.pi)
    assert frequency == pytest.approx(OPTICAL, rel=0.01)
