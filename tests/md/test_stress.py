"""Stress is the strain derivative of the energy over the volume, for any periodicity."""

import itertools

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import fcc111
from ase.calculators.calculator import PropertyNotImplementedError
from ase.filters import FrechetCellFilter
from ase.md.nptberendsen import Inhomogeneous_NPTBerendsen
from ase.optimize import BFGS

import skpot
from skpot.md.dynamics import Trace, run, thermalize
from tests.samples import crystal

MODELS = ["compiled", "by steps", "delta"]
PERIODIC = list(itertools.product([True, False], repeat=3))
VOIGT = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


def structure(pbc):
    atoms = crystal("Cu", seed=3)
    atoms.set_cell(atoms.cell.array @ [[1.02, 0.05, 0], [0, 0.97, 0.03], [0, 0, 1.0]], True)
    atoms.pbc = pbc
    return atoms


def by_differences(energy, atoms, h=2e-4):
    """Return the stress from energies of strained structures, an error of order h^4."""
    stress = np.zeros(6)
    for k, (i, j) in enumerate(VOIGT):
        for factor, steps in ((8.0, 1), (-1.0, 2)):
            for sign in (1, -1):
                strain = np.eye(3)
                strain[i, j] += 0.5 * sign * steps * h
                strain[j, i] += 0.5 * sign * steps * h
                strained = atoms.copy()
                strained.set_cell(atoms.cell.array @ strain, scale_atoms=False)
                strained.positions = atoms.positions @ strain
                stress[k] += sign * factor * energy(strained)
    return stress / (12.0 * h * abs(np.linalg.det(atoms.cell.array)))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("pbc", PERIODIC)
def test_stress_is_the_derivative_by_strain(copper_models, name, pbc):
    atoms = structure(pbc)
    calculator = skpot.Calculator(copper_models[name])
    expected = by_differences(lambda a: calculator.get_property("energy", a), atoms)
    found = calculator.get_property("stress", atoms)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    predicted = copper_models[name].predict([atoms]).stress[0]
    np.testing.assert_allclose(found, predicted, atol=1e-10)


@pytest.mark.parametrize("name", MODELS[:2])
def test_all_paths_give_the_same_stress(copper_models, name):
    model = copper_models[name]
    frames = [structure(pbc) for pbc in PERIODIC] + [Atoms("Cu2", [[0, 0, 0], [2.4, 0, 0]])]
    done = skpot.md.BatchCalculator(model).evaluate(frames)
    for frame, atoms in zip(done[:-1], frames[:-1], strict=True):
        expected = skpot.Calculator(model).get_property("stress", atoms)
        np.testing.assert_allclose(frame.get_stress(), expected, atol=1e-12)
    assert "stress" not in done[-1].calc.results
    if name == "compiled":
        predicted = skpot.compile(model).predict(frames)
        assert predicted.has_stress.tolist() == 8 * [True] + [False]
        np.testing.assert_allclose(predicted.stress[:8], [f.get_stress() for f in done[:-1]])


@pytest.mark.parametrize("name", MODELS[:2])
def test_deviations_of_stress_are_there_where_stress_is(copper_models, name):
    calculator = skpot.Calculator(copper_models[name])
    for pbc in PERIODIC:
        std = calculator.get_property("stress_std", structure(pbc))
        assert (std > 0.0).all() and np.isfinite(std).all()


@pytest.mark.parametrize("cell", [None, [4, 4, 0], [[4, 0, 0], [0, 4, 0], [4, 4, 0]]])
@pytest.mark.parametrize("name", MODELS[:2])  # the other calculator fails for dependent vectors
def test_no_stress_without_a_volume(copper_models, name, cell):
    atoms = Atoms("Cu2", [[0, 0, 0], [2.4, 0, 0]], cell=cell)
    atoms.calc = skpot.Calculator(copper_models[name])
    assert np.isfinite(atoms.get_forces()).all()
    for quantity in ("stress", "stress_std"):
        with pytest.raises(PropertyNotImplementedError):
            atoms.calc.get_property(quantity, atoms)


def test_a_slab_relaxes_within_its_plane(copper_models):
    atoms = fcc111("Cu", (1, 1, 3), a=3.8, vacuum=6.0)
    height = atoms.cell.array[2].copy()
    atoms.calc = skpot.Calculator(copper_models["compiled"])
    before = np.abs(atoms.get_stress()[[0, 1, 5]]).max()
    filtered = FrechetCellFilter(atoms, mask=[1, 1, 0, 0, 0, 1])
    BFGS(filtered, logfile=None).run(fmax=1e-3, steps=100)
    assert np.abs(atoms.get_stress()[[0, 1, 5]]).max() < 0.01 * before
    np.testing.assert_allclose(atoms.cell.array[2], height, atol=1e-8)


def test_a_barostat_that_leaves_out_the_vacuum(copper_models):
    atoms = fcc111("Cu", (2, 2, 2), a=3.8, vacuum=6.0)
    atoms.calc = skpot.Calculator(copper_models["compiled"])
    thermalize(atoms, 100.0)
    before, pressure = atoms.cell.lengths(), abs(atoms.get_stress()[:2].mean())
    fs = units.fs
    Inhomogeneous_NPTBerendsen(
        atoms, fs, temperature_K=100, pressure_au=0.0, taut=50 * fs, taup=100 * fs,
        compressibility_au=1.0, mask=(1, 1, 0),
    ).run(40)  # fmt: skip
    after = atoms.cell.lengths()
    assert after[2] == pytest.approx(before[2]) and (after[:2] < before[:2]).all()
    assert abs(atoms.get_stress()[:2].mean()) < pressure


def test_an_isotropic_barostat_refuses_a_slab_and_says_why(copper_models):
    atoms = fcc111("Cu", (1, 1, 2), vacuum=6.0)
    atoms.calc = skpot.Calculator(copper_models["compiled"])
    with pytest.raises(ValueError, match="vacuum.*Inhomogeneous_NPTBerendsen"):
        run(atoms, 1, ensemble="npt")


def test_the_trace_has_volumes_where_stress_is(copper_models):
    trace = Trace()
    for cell in ([4, 5, 6], [4, 4, 0]):
        atoms = Atoms("Cu2", [[0, 0, 0], [2.4, 0, 0]], cell=cell)
        atoms.calc = skpot.Calculator(copper_models["compiled"])
        trace.add(0.0, atoms)
    np.testing.assert_allclose(trace.volume, [60.0, np.nan])
