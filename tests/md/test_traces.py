"""Files say which model made their results and how far to trust it, to readers without skpot."""

import json
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.calculators.mixing import AverageCalculator, LinearCombinationCalculator, SumCalculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect

import skpot
from skpot.datasets import load_silicon
from skpot.md.dynamics import run
from skpot.md.frames import AseTrajectoryFile, TrajectoryFile
from tests.samples import crystal

ALONE = "import sys; sys.modules['skpot'] = None\n"  # any import of skpot would fail
DEVIATIONS = ("energy_std", "forces_std", "extrapolation_grade")


@pytest.fixture(scope="module")
def model():
    X, y, _, _ = load_silicon(return_X_y=True)
    return skpot.make_potential("fast").fit(X[:30], y[:30])


@pytest.fixture(scope="module")
def frames(model):
    return list(
        skpot.md.predicted(skpot.Calculator(model), [crystal("Si", seed=s) for s in (1, 2)])
    )


def read_alone(code, folder):
    """Run code in a process that has ASE but cannot import skpot; return what it prints."""
    command = [sys.executable, "-c", ALONE + code]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_calculator_says_which_model_it_runs(model, tmp_path):
    found = skpot.Calculator(model).parameters
    assert skpot.Calculator(model).name == "skpot"
    assert found["preset"] == "fast" and found["skpot_version"] == skpot.__version__
    assert found["model"] == "SOAP + PrincipalComponents + ZBL + AutoGPR"
    skpot.dump(model, tmp_path / "a.skpot")
    assert skpot.Calculator(tmp_path / "a.skpot").parameters == found
    X, y, _, _ = load_silicon(return_X_y=True)
    other = skpot.make_potential("fast").fit(X[:29], y[:29])
    assert skpot.Calculator(other).parameters["model_hash"] != found["model_hash"]
    compiled = skpot.Calculator(skpot.compile(model)).parameters
    assert compiled["model"] == "CompiledPotential" and "preset" not in compiled


@pytest.mark.parametrize("name", ["a.traj", "a.db", "a.json"])
def test_ase_alone_reads_model_and_deviations(model, frames, tmp_path, name):
    ase.io.write(tmp_path / name, frames)
    if name == "a.traj":
        code = "calc = ase.io.read('a.traj').calc; found = calc.parameters | {'name': calc.name}"
    else:
        code = f"row = ase.db.connect('{name}').get(id=2)\n"
        code += "found = row.calculator_parameters | {'name': row.calculator}"
    code += "\nfrom ase.io.jsonio import encode; print(encode(found))"
    found = ase.io.jsonio.decode(read_alone("import ase.io, ase.db\n" + code, tmp_path))
    assert found["name"] == "skpot" and found["preset"] == "fast"
    assert found["model_hash"] == skpot.Calculator(model).parameters["model_hash"]
    calculator = skpot.Calculator(model)
    for quantity in DEVIATIONS:
        expected = calculator.get_property(quantity, frames[1])
        np.testing.assert_allclose(found[quantity], expected, rtol=1e-12)


def test_the_shell_of_ase_prints_them(model, frames, tmp_path):
    ase.io.write(tmp_path / "a.db", frames)
    code = "from ase.cli.main import main; main(args=['db', 'a.db', 'id=1', '--json'])"
    row = json.loads(read_alone(code, tmp_path))["1"]
    assert row["calculator"] == "skpot"
    assert row["calculator_parameters"]["energy_std"] == frames[0].info["energy_std"]
    assert row["calculator_parameters"]["model_hash"] == frames[0].info["skpot_model"]


def test_extended_xyz_has_them_as_columns(model, frames, tmp_path):
    ase.io.write(tmp_path / "a.xyz", frames)
    code = "import ase.io; a = ase.io.read('a.xyz'); print(a.info['skpot_model'], "
    code += (
        "a.info['energy_std'], a.arrays['forces_std'].shape, a.arrays['extrapolation_grade'].max())"
    )
    name, std, *_, grade = read_alone(code, tmp_path).split()
    assert name == skpot.Calculator(model).parameters["model_hash"]
    np.testing.assert_allclose(float(std), frames[1].info["energy_std"], rtol=1e-7)
    np.testing.assert_allclose(
        float(grade), frames[1].arrays["extrapolation_grade"].max(), rtol=1e-6
    )
    X, y = skpot.read(tmp_path / "a.xyz")
    np.testing.assert_allclose(y.energy, [atoms.get_potential_energy() for atoms in frames])


@pytest.mark.parametrize("name", ["run.traj", "run.db", "run.xyz"])
def test_runs_leave_them_in_each_frame(model, tmp_path, name):
    atoms = crystal("Si", seed=1)
    atoms.calc = skpot.Calculator(model)
    kind = TrajectoryFile if name == "run.xyz" else AseTrajectoryFile
    with kind(tmp_path / name) as trajectory:
        run(atoms, 4, interval=2, trajectory=trajectory)
    read = ase.io.read(tmp_path / name, ":")
    for frame, other in zip(read, skpot.md.predicted(atoms.calc, read), strict=True):
        if name == "run.db":
            continue
        known = frame.arrays if name == "run.xyz" else frame.calc.parameters
        grades = other.arrays["extrapolation_grade"]
        np.testing.assert_allclose(known["extrapolation_grade"], grades, rtol=1e-5)
        assert frame.info["skpot_model"] == other.info["skpot_model"]
    if name == "run.db":
        row = connect(tmp_path / name).get(id=3)
        assert (
            row.calculator == "skpot" and len(row.calculator_parameters["extrapolation_grade"]) == 8
        )


def test_results_of_another_calculator_keep_its_name(tmp_path):
    atoms = crystal("Cu")
    atoms.calc = EMT()
    with AseTrajectoryFile(tmp_path / "run.traj") as trajectory:
        run(atoms, 1, trajectory=trajectory)
    assert ase.io.read(tmp_path / "run.traj").calc.name == "emt"


def test_deviations_are_not_mixed_as_energies_are(model):
    atoms = crystal("Si", seed=3)
    one, other = (
        skpot.Calculator(model, uncertainty=True),
        skpot.Calculator(model, uncertainty=True),
    )
    energy, std = (one.get_property(name, atoms) for name in ("energy", "energy_std"))
    mixtures = {
        0.4: LinearCombinationCalculator([one, other], [0.7, -0.3]),
        2.0: SumCalculator([one, other]),
        1.0: AverageCalculator([one, other]),
    }
    for factor, mixed in mixtures.items():
        assert mixed.get_property("energy", atoms) == pytest.approx(factor * energy)
        with pytest.raises(NotImplementedError):
            mixed.get_property("energy_std", atoms)
        assert not set(one.deviations) & set(mixed.results)
    assert one.get_property("energy_std", atoms) == std > 0.0


def test_results_that_ase_knows_are_all_that_is_implemented(model):
    """Many scripts make a calculator of results; ASE refuses names that it does not know."""
    atoms = crystal("Si", seed=3)
    atoms.calc = skpot.Calculator(model)
    atoms.calc.get_property("extrapolation_grade", atoms)
    kept = {k: v for k, v in atoms.calc.results.items() if k in atoms.calc.implemented_properties}
    assert SinglePointCalculator(atoms, **kept).get_property("energy", atoms) < 0.0
