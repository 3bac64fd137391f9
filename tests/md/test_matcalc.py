"""The calculator in matcalc, beside the same properties without it; bounds are those of PBE."""

import numpy as np
import pytest
from ase.build import bulk
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

import skpot

matcalc = pytest.importorskip("matcalc")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def calculator():
    data = skpot.datasets.load_silicon()
    return skpot.Calculator(skpot.make_potential("fast").fit(data.X, data.y))


@pytest.fixture(scope="module")
def crystal(calculator):
    """The relaxed crystal, by ASE alone."""
    atoms = bulk("Si", a=5.47)
    atoms.calc = calculator
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-5)
    atoms.calc = None
    return atoms


def test_relaxation(calculator, crystal):
    start = bulk("Si", a=5.3)
    start.rattle(0.05, seed=0)
    result = matcalc.RelaxCalc(calculator, fmax=1e-4).calc(start)
    assert result["final_structure"].volume == pytest.approx(crystal.get_volume(), rel=1e-3)
    crystal = crystal.copy()
    crystal.calc = calculator
    assert result["energy"] == pytest.approx(crystal.get_potential_energy(), abs=1e-5)


def test_equation_of_state_and_elastic_constants_agree(calculator, crystal):
    settings = {"fmax": 1e-3, "relax_structure": False}
    eos = matcalc.EOSCalc(calculator, max_abs_strain=0.03, **settings).calc(crystal)
    elastic = matcalc.ElasticityCalc(
        calculator, relax_deformed_structures=True, units_GPa=True, r2_min=-1.0, **settings
    ).calc(crystal)
    assert eos["r2_score_bm"] > 0.999
    assert elastic["bulk_modulus_vrh"] == pytest.approx(eos["bulk_modulus_bm"], rel=0.05)
    assert 80.0 < eos["bulk_modulus_bm"] < 98.0  # GPa
    assert 130.0 < elastic["elastic_tensor"].voigt[0, 0] < 175.0


def test_phonons(calculator, crystal, tmp_path):
    result = matcalc.PhononCalc(
        calculator,
        supercell_matrix=np.diag([3, 3, 3]),
        relax_structure=False,
        write_phonon=False,
        t_max=300,
    ).calc(crystal)
    frequencies = result["phonon"].get_frequencies([0.0, 0.0, 0.0])  # THz
    assert np.abs(frequencies[:3]).max() < 0.1
    assert np.abs(frequencies[3:] - 15.1).max() < 1.0
    capacity = result["thermal_properties"]["heat_capacity"][-1]  # J/(K mol) of two atoms
    assert 0.7 < capacity / (6.0 * 8.314) < 1.0


def test_dynamics(calculator, crystal):
    """At constant energy none is lost."""
    atoms = crystal * (2, 2, 2)
    run = matcalc.MDCalc(
        calculator, ensemble="nve", temperature=300, timestep=1.0, steps=200, relax_structure=False
    )
    energies = [frame.get_total_energy() for frame in run.calc(atoms)["trajectory"]]
    assert len(energies) > 100
    assert np.ptp(energies) < 2e-3 * len(atoms)
