"""The heat flux of atoms in ASE."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.verlet import VelocityVerlet
from sklearn.pipeline import make_pipeline

import skpot
from skpot.md import heat_flux
from skpot.md.dynamics import thermalize
from tests.naive import heat_flux as naive
from tests.samples import oxide, random_labels


def hot(seed=0):
    """Return a small crystal of three species in motion."""
    atoms = oxide()
    atoms.rattle(0.1, seed=seed)
    thermalize(atoms, 900.0, random_state=seed)
    return atoms


@pytest.fixture(scope="module")
def model():
    """A model of three species."""
    frames = [hot(seed) for seed in range(4)]
    soap = skpot.SOAP(cutoff=4.0, n_max=3, l_max=2)
    return make_pipeline(soap, skpot.SparseGPR(n_sparse=30)).fit(frames, random_labels(frames))


@pytest.mark.parametrize("pbc", [True, [True, False, True], False])
def test_the_double_sum(model, pbc):
    atoms = hot(7)
    atoms.pbc = pbc
    atoms.calc = skpot.Calculator(model)
    potential = atoms.calc.compiled_
    species = potential.species_index(atoms.numbers)

    def energy(*environment):
        atoms_of_it, pairs = naive.around(*environment)
        return potential.evaluate_pairs(pairs, species[atoms_of_it])[0][0]

    velocities = atoms.get_velocities()
    kinetic = 0.5 * atoms.get_masses() * (velocities**2).sum(axis=1)
    total, convective = naive.heat_flux(atoms, velocities, kinetic, potential.cutoff, energy)
    found = heat_flux(atoms)
    scale = np.abs(total).max()
    np.testing.assert_allclose(found.convective, convective, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(found.total, total, rtol=0, atol=1e-8 * scale)
    assert np.abs(total - convective).max() > 0.01 * scale


def test_it_is_the_rate_at_which_the_center_of_energy_moves(model):
    """This holds for clusters, whose positions are not periodic."""
    atoms = hot(3)
    atoms.pbc = False
    atoms.calc = skpot.Calculator(model)
    step, moments = 0.05 * units.fs, []

    def moment():
        kinetic = 0.5 * atoms.get_masses() * (atoms.get_velocities() ** 2).sum(axis=1)
        return (atoms.calc.get_property("energies", atoms) + kinetic) @ atoms.positions

    dynamics = VelocityVerlet(atoms, step)
    for k in range(5):
        moments.append(moment())
        if k == 2:
            found = heat_flux(atoms).total
        dynamics.run(1)
    rate = (8 * (moments[3] - moments[1]) - (moments[4] - moments[0])) / (12 * step)
    np.testing.assert_allclose(found, rate, atol=1e-4 * np.abs(rate).max())


def test_it_follows_the_velocities(model):
    """Forces are cached by positions; the flux must not be."""
    atoms = hot()
    atoms.calc = skpot.Calculator(model)
    first = heat_flux(atoms)
    atoms.set_velocities(-atoms.get_velocities())
    np.testing.assert_allclose(heat_flux(atoms).total, -first.total, rtol=1e-12)
    atoms.set_velocities(np.zeros((8, 3)))
    assert not heat_flux(atoms).total.any()


def test_what_is_refused(model, copper_models):
    atoms = bulk("Cu", cubic=True)
    for calculator in (None, EMT()):
        atoms.calc = calculator
        with pytest.raises(TypeError, match="atoms with a skpot.Calculator"):
            heat_flux(atoms)
    for name, reason in (("by steps", "no compiled form"), ("delta", "corrects another one")):
        atoms.calc = skpot.Calculator(copper_models[name])
        with pytest.raises(ValueError, match=reason):
            heat_flux(atoms)
    atoms = Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]], momenta=[[0, 0, 0], [np.inf, 0, 0]])
    atoms.calc = skpot.Calculator(model)
    with pytest.raises(ValueError, match="the velocity of atom 1 is"):
        heat_flux(atoms)
