"""`skpot learn`: runs that label by themselves, from the shell."""

import sys

import ase.io
import pytest
from ase.build import bulk

import skpot
from skpot.active import OnTheFly
from tests.commands import error, run

HEAT = "--tol", 0.1, "--temperature", "300:900", "--steps", 60, "--timestep", 2

SCRIPT = """
from ase.calculators.emt import EMT
from ase.io import read, write
atoms = read("structure.xyz")
atoms.calc = EMT()
atoms.get_forces()
write("label.xyz", atoms)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learn")
    ase.io.write(folder / "start.xyz", bulk("Cu", cubic=True))
    result = run("learn", folder / "start.xyz", "--calculator", "emt", "-o", folder / "run", *HEAT)
    assert result.exit_code == 0, result.output
    assert "model 0: learned from 4 structures" in result.stdout
    return folder


def test_a_run_leaves_model_trail_and_report(folder):
    frames = ase.io.read(folder / "run" / "trail.xyz", ":")
    model = skpot.load(folder / "run" / "model.skpot")
    assert model.predict([bulk("Cu", cubic=True)]).has_forces.all()
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    assert f"paid for {len(frames)} labels" in page and "Along the run" in page
    assert "figure-temperature" in page and "figure-expected" in page


def test_the_same_command_continues(folder):
    options = "--calculator", "emt", "-o", folder / "run", *HEAT
    assert "add --restart" in error("learn", folder / "start.xyz", *options)
    trail = (folder / "run" / "trail.xyz").read_bytes()
    result = run("learn", folder / "start.xyz", *options, "--restart")
    assert result.exit_code == 0, result.output
    assert (folder / "run" / "trail.xyz").read_bytes() == trail


def test_it_is_the_run_of_python(folder, tmp_path):
    from ase.calculators.emt import EMT

    learner = OnTheFly(EMT(), 0.1, tmp_path / "run")
    atoms = ase.io.read(folder / "start.xyz")
    learner.run(atoms, 60, temperature=(300.0, 900.0), timestep=2.0)
    trail = (folder / "run" / "trail.xyz").read_bytes()
    assert (tmp_path / "run" / "trail.xyz").read_bytes() == trail


def test_a_command_labels(folder, tmp_path):
    (tmp_path / "label.py").write_text(SCRIPT)
    words = f"{sys.executable} {tmp_path / 'label.py'}"
    target = tmp_path / "run"
    result = run("learn", folder / "start.xyz", "--command", words, "-o", target, *HEAT)
    assert result.exit_code == 0, result.output
    n = len(ase.io.read(target / "trail.xyz", ":"))
    assert len(list((target / "labels").glob("0*"))) == n


def test_options_of_calculators_and_data(folder, tmp_path):
    options = "--calculator", "emt:asap_cutoff=true", "--max-calls", 2, "-o", tmp_path / "a", *HEAT
    result = run("learn", folder / "start.xyz", *options)
    assert result.exit_code == 0, result.output
    assert "ended early: max_calls=2" in result.stdout
    data = "--data", folder / "run" / "trail.xyz", "--tol", 1.0, "--steps", 20
    result = run("learn", folder / "start.xyz", "--calculator", "emt", *data, "-o", tmp_path / "b")
    assert result.exit_code == 0, result.output
    assert "0 labels" in result.stdout


def test_mistakes_are_one_line(folder, tmp_path):
    start = folder / "start.xyz"
    target = "-o", tmp_path / "run", "--tol", 0.1
    assert "one of --calculator" in error("learn", start, *target)
    emt = "--calculator", "emt"
    assert "like 300 or" in error("learn", start, *emt, *target, "--temperature", "hot")
    assert "is no option such as" in error("learn", start, "--calculator", "emt:3", *target)
    assert "no calculator" in error("learn", start, "--calculator", "nothing", *target)
