"""Fitted models with drivers of ASE."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.filters import FrechetCellFilter, StrainFilter, UnitCellFilter
from ase.md.andersen import Andersen
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.npt import NPT
from ase.md.nptberendsen import NPTBerendsen
from ase.md.nvtberendsen import NVTBerendsen
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS, FIRE, LBFGS, GPMin, MDMin
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skpot
from skpot.md._skin import SkinnedStructure
from skpot.md.dynamics import run
from tests.samples import crystal, labeled


@pytest.fixture(scope="module")
def model():
    X, y, _, _ = skpot.datasets.load_silicon(return_X_y=True)
    chosen = list(range(0, len(X), 3))
    soap = skpot.SOAP(cutoff=4.0, n_max=5, l_max=4)
    pipeline = make_pipeline(soap, skpot.SparseGPR(n_sparse=150))
    return pipeline.fit([X[i] for i in chosen], y[chosen])


def thermal(repeat, kelvin, model, **options):
    atoms = bulk("Si", cubic=True) * repeat
    atoms.calc = skpot.Calculator(model, **options)
    MaxwellBoltzmannDistribution(atoms, temperature_K=kelvin, rng=np.random.default_rng(0))
    Stationary(atoms)
    return atoms


def test_results_are_those_of_predict(model):
    atoms = crystal("Si", 0.1, seed=0)
    predicted, std = model.predict([atoms], return_std=True)
    atoms.calc = skpot.Calculator(model, uncertainty=True)
    assert atoms.get_potential_energy() == pytest.approx(predicted.energy[0], rel=1e-10)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    np.testing.assert_allclose(atoms.get_forces(), predicted.forces[0], atol=1e-9)
    np.testing.assert_allclose(atoms.get_stress(), predicted.stress[0], atol=1e-11)
    assert atoms.get_potential_energies().sum() == pytest.approx(predicted.energy[0])
    assert atoms.calc.results["energy_std"] == pytest.approx(std[0])


def test_takes_the_name_of_a_file(model, tmp_path):
    path = tmp_path / "model.skpot"
    skpot.dump(model, path)
    atoms = crystal("Si", 0.1, seed=0)
    expected = skpot.Calculator(model).get_property("forces", atoms)
    for name in (path, str(path)):
        np.testing.assert_array_equal(
            skpot.Calculator(name).get_property("forces", atoms), expected
        )
    with pytest.raises(FileNotFoundError, match="none.skpot"):
        skpot.Calculator("none.skpot")


def test_results_do_not_depend_on_the_skin(model):
    rng = np.random.default_rng(0)
    atoms, plain = bulk("Si", cubic=True), bulk("Si", cubic=True)
    atoms.calc = skpot.Calculator(model, skin=0.6)
    plain.calc = skpot.Calculator(model, skin=0.0)
    for step in range(40):
        move = rng.normal(scale=0.02, size=(8, 3))
        strain = np.eye(3) + rng.normal(scale=0.004, size=(3, 3))
        for a in (atoms, plain):
            a.positions += move
            if step % 2:
                a.set_cell(a.cell.array @ strain, scale_atoms=True)
        expected = plain.get_potential_energy()
        assert atoms.get_potential_energy() == pytest.approx(expected, rel=1e-10)
        np.testing.assert_allclose(atoms.get_forces(), plain.get_forces(), atol=1e-9)
    assert 1 < atoms.calc._last.structure.n_searches < 40
    assert plain.calc._last.structure.n_searches == 40


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 1, 0), (0, 1, 0), (0, 0, 0)])
def test_a_collapsing_cell_loses_no_pair(pbc):
    rng = np.random.default_rng(0)
    atoms = Atoms("Si6", rng.uniform(0, 5, (6, 3)), cell=[[5, 0, 0], [1, 4, 0], [0, 1, 6]], pbc=pbc)
    structure = SkinnedStructure(skpot.data.as_batch([atoms]), skin=0.8)
    for _ in range(30):
        atoms.set_cell(atoms.cell.array * 0.99, scale_atoms=True)
        batch = skpot.data.as_batch([atoms])
        structure = structure.moved(batch.positions, batch.cells[0], 0.8)
        found, expected = structure.neighbors(3.0).pairs, batch.neighbors(3.0).pairs
        assert np.array_equal(found.start, expected.start)
        for i in range(6):
            rows = slice(found.start[i], found.start[i + 1])
            np.testing.assert_allclose(
                np.sort(np.linalg.norm(found.vector[rows], axis=1)),
                np.sort(np.linalg.norm(expected.vector[rows], axis=1)),
                atol=1e-10,
            )
    assert structure.n_searches < 15


def test_energy_is_conserved(model):
    """2 ps at 300 K: less than 1 meV/atom between the first and the last half picosecond."""
    atoms = thermal((2, 2, 2), 600, model)  # half of it becomes potential energy
    energies = []
    dynamics = VelocityVerlet(atoms, 1.0 * units.fs)
    dynamics.attach(lambda: energies.append(atoms.get_total_energy() / len(atoms)))
    dynamics.run(2000)
    assert 200 < atoms.get_temperature() < 400
    assert abs(np.mean(energies[-500:]) - np.mean(energies[:500])) < 1e-3


FS = units.fs
DYNAMICS = {
    "VelocityVerlet": lambda a: VelocityVerlet(a, FS),
    "Langevin": lambda a: Langevin(a, FS, temperature_K=300, friction=0.01 / FS),
    "Andersen": lambda a: Andersen(a, FS, temperature_K=300, andersen_prob=0.1),
    "Bussi": lambda a: Bussi(a, FS, temperature_K=300, taut=50 * FS),
    "NoseHooverChain": lambda a: NoseHooverChainNVT(a, FS, temperature_K=300, tdamp=50 * FS),
    "NVTBerendsen": lambda a: NVTBerendsen(a, FS, temperature_K=300, taut=50 * FS),
    "NPTBerendsen": lambda a: NPTBerendsen(
        a, FS, temperature_K=300, pressure_au=0.0, taut=50 * FS, taup=500 * FS,
        compressibility_au=1.6,
    ),
    "IsotropicMTKNPT": lambda a: IsotropicMTKNPT(
        a, FS, temperature_K=300, pressure_au=0.0, tdamp=50 * FS, pdamp=500 * FS
    ),
    "NPT": lambda a: NPT(
        a, FS, temperature_K=300, externalstress=0.0, ttime=25 * FS, pfactor=0.6 * (75 * FS) ** 2
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DYNAMICS)
@pytest.mark.filterwarnings("ignore")
def test_every_integrator_runs(model, name):
    atoms = thermal((1, 1, 1), 300, model)
    DYNAMICS[name](atoms).run(10)
    assert np.isfinite(atoms.get_total_energy())
    assert 0 < atoms.get_temperature() < 1500


@pytest.mark.parametrize("optimizer", [BFGS, LBFGS, FIRE, MDMin, GPMin])
def test_every_optimizer_runs(model, optimizer):
    atoms = crystal("Si", 0.05, seed=1)
    atoms.calc = skpot.Calculator(model)
    before = atoms.get_potential_energy()
    optimizer(atoms, logfile=None).run(fmax=0.02, steps=80)
    assert atoms.get_potential_energy() < before


@pytest.mark.parametrize("cell_filter", [FrechetCellFilter, UnitCellFilter, StrainFilter])
def test_every_cell_filter_runs(model, cell_filter):
    atoms = bulk("Si", a=5.35)
    atoms.calc = skpot.Calculator(model)
    BFGS(cell_filter(atoms), logfile=None).run(fmax=1e-3, steps=60)
    assert np.abs(atoms.get_stress()).max() < 1e-3
    assert 5.3 < atoms.cell.lengths()[0] * np.sqrt(2) < 5.6


def test_nothing_is_recomputed_without_a_change(model):
    atoms = bulk("Si")
    atoms.calc = skpot.Calculator(model)
    atoms.get_forces()
    calls = []
    atoms.calc.calculate = lambda *args: calls.append(args)
    atoms.set_initial_charges([0.1, -0.1])
    atoms.set_tags([1, 2])
    atoms.get_potential_energy()
    atoms.get_stress()
    assert not calls


def test_steps_repeat_nothing_that_stays(model, monkeypatch):
    atoms = thermal((1, 1, 1), 300.0, model)
    stress = atoms.get_stress()
    asked = []
    for name in ("radii_of", "cell_volumes"):
        monkeypatch.setattr(f"skpot.data._batch.{name}", asked.append)
    VelocityVerlet(atoms, 1.0).run(3)
    assert not asked
    assert (atoms.get_stress() != stress).all()
    monkeypatch.undo()
    atoms.set_cell(atoms.cell.array * 1.01, scale_atoms=True)
    anew = skpot.Calculator(model, skin=0.0).get_stress(atoms)
    np.testing.assert_allclose(atoms.get_stress(), anew, rtol=1e-12, atol=1e-12)


def test_other_atoms_start_anew(model):
    calc = skpot.Calculator(model)
    for atoms in (bulk("Si"), bulk("Si", cubic=True), Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]])):
        atoms.calc = calc
        expected = model.predict([atoms]).energy[0]
        assert atoms.get_potential_energy() == pytest.approx(expected)


def test_uncertainty_is_computed_when_asked_for(model):
    atoms = bulk("Si", cubic=True)
    atoms.calc = skpot.Calculator(model)
    atoms.get_potential_energy()
    assert "energy_std" not in atoms.calc.results
    on_request = atoms.calc.get_property("energy_std", atoms)
    atoms.calc = skpot.Calculator(model, uncertainty=True)
    atoms.get_potential_energy()
    assert atoms.calc.results["energy_std"] == pytest.approx(on_request) and on_request > 0


def test_atoms_that_leave_all_bounds_say_so(model):
    atoms = bulk("Si", cubic=True)
    atoms.calc = skpot.Calculator(model)
    atoms.get_forces()
    atoms.positions[3, 1] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        atoms.get_forces()
    atoms.positions[3] = atoms.positions[2] + 0.01
    with pytest.raises(ValueError, match="0.0173 Å apart"):
        atoms.get_forces()


def test_molecules_have_no_stress(model):
    atoms = Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]])
    atoms.calc = skpot.Calculator(model)
    atoms.get_forces()
    assert "stress" not in atoms.calc.results


def test_an_exploded_run_says_so(model):
    atoms = bulk("Si")
    atoms.calc = skpot.Calculator(model)
    atoms.positions[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        atoms.get_forces()


def test_a_search_or_an_unfitted_model_is_refused(model):
    with pytest.raises(TypeError, match="fitted pipeline"):
        skpot.Calculator(7)
    with pytest.raises(FileNotFoundError, match="no-such-model.skpot"):
        skpot.Calculator("no-such-model.skpot")
    search = GridSearchCV(model, {"sparsegpr__n_sparse": [1]})
    search.best_estimator_ = model
    with pytest.raises(TypeError, match="best_estimator_"):
        skpot.Calculator(search)


def test_uncertainty_of_all_results_on_request(model):
    atoms = crystal("Si", 0.1, seed=1)
    atoms.calc = skpot.Calculator(model)
    atoms.get_forces()
    costly = {"energy_std", "energies_std", "forces_std", "stress_std", "extrapolation_grade"}
    assert not costly & set(atoms.calc.results)
    features = model[:-1].transform([atoms])
    _, std = model.predict([atoms], return_std="all")
    for name, expected in {
        "forces_std": std.forces[0],
        "stress_std": std.stress[0],
        "energy_std": std.energy[0],
        "energies_std": model[-1].energies_std(features),
        "extrapolation_grade": model[-1].extrapolation_grade(features),
    }.items():
        np.testing.assert_allclose(atoms.calc.get_property(name, atoms), expected, rtol=1e-6)
    assert costly <= set(atoms.calc.results)  # earlier results are kept
    atoms.positions[0, 0] += 0.3
    before = atoms.calc.results["extrapolation_grade"]
    assert not np.allclose(atoms.calc.get_property("extrapolation_grade", atoms), before)
    assert "forces_std" not in atoms.calc.results


def test_draws_give_deviations_of_forces(model):
    atoms = crystal("Si", 0.1, seed=1)
    atoms.calc = skpot.Calculator(model, draws=True)
    assert atoms.calc.quick_forces_std and not skpot.Calculator(model).quick_forces_std
    found = atoms.calc.get_property("forces_std", atoms)
    expected = skpot.compile(model, deviations=True).forces_std([atoms])
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    exact = model.predict([atoms], return_std="all")[1]
    assert np.median(found / exact.forces[0]) == pytest.approx(1.0, abs=0.5)
    np.testing.assert_allclose(
        atoms.calc.get_property("stress_std", atoms), exact.stress[0], rtol=1e-6
    )
    np.testing.assert_array_equal(atoms.calc.get_property("forces_std", atoms), found)


def test_draws_are_calibrated_as_the_model_is(model):
    X, y = labeled(("Si",), 4, lone_atom=False)
    calibrated = skpot.CalibratedPotential(FrozenEstimator(model)).fit(X, y)
    atoms = crystal("Si", 0.1, seed=1)
    atoms.calc = skpot.Calculator(calibrated, draws=True)
    found = atoms.calc.get_property("forces_std", atoms)
    expected = skpot.compile(calibrated, deviations=True).forces_std([atoms])
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    plain = skpot.compile(model, deviations=True).forces_std([atoms])
    assert not np.allclose(found, plain, rtol=0.01)


def test_a_request_evaluates_nothing_anew(model, monkeypatch):
    atoms = bulk("Si", cubic=True)
    atoms.calc = skpot.Calculator(model)
    forces = atoms.get_forces()

    def refuse(*args):
        raise AssertionError("evaluated again")

    monkeypatch.setattr(atoms.calc, "_evaluated", refuse)
    assert atoms.calc.get_property("energies_std", atoms).shape == (8,)
    np.testing.assert_array_equal(atoms.get_forces(), forces)


def test_a_compiled_potential_is_a_calculator_too(model):
    atoms = crystal("Si", 0.1, seed=2)
    own = atoms.copy()
    own.calc = skpot.Calculator(skpot.compile(model, grades=True))
    atoms.calc = skpot.Calculator(model)
    np.testing.assert_array_equal(own.get_forces(), atoms.get_forces())
    grade = own.calc.get_property("extrapolation_grade", own)
    expected = atoms.calc.get_property("extrapolation_grade", atoms)
    np.testing.assert_allclose(grade, expected, rtol=1e-4)
    with pytest.raises(PropertyNotImplementedError):
        own.calc.get_property("energy_std", own)


def test_molecules_have_no_deviation_of_stress(model):
    atoms = Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]])
    atoms.calc = skpot.Calculator(model)
    assert atoms.calc.get_property("forces_std", atoms).shape == (2, 3)
    with pytest.raises(PropertyNotImplementedError):
        atoms.calc.get_property("stress_std", atoms)


@pytest.mark.parametrize("draws", [True, False])
def test_runs_show_deviations_of_forces_as_often_as_they_are_quick(model, draws):
    atoms = thermal(1, 300, model, draws=draws)
    trace = run(atoms, 4, interval=2)
    assert np.isfinite(trace.forces_std).tolist() == [True, draws, draws]
    assert np.isfinite(trace.energy_std).tolist() == [True, False, False]
