"""Files that are not what they should be: commands say so, and what to do."""

import os
import signal

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.md import MolecularDynamics

import skpot
from tests.commands import copper, error, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dirty")
    frames = copper(12)
    ase.io.write(folder / "train.xyz", frames)
    ase.io.write(folder / "few.xyz", copper(3, seed=1))
    plain = [atoms.copy() for atoms in frames]
    for atoms in plain:
        atoms.info["odd_name"] = 1.0
    ase.io.write(folder / "plain.xyz", plain)
    broken = frames[0].copy()
    broken.symbols[1] = "X"
    ase.io.write(folder / "broken.xyz", broken)
    silver = bulk("Ag", cubic=True)
    silver.calc = EMT()
    silver.get_stress()
    ase.io.write(folder / "silver.xyz", silver)
    result = run("fit", folder / "train.xyz", "-o", folder / "m.skpot", "--preset", "fast")
    assert result.exit_code == 0, result.output
    assert "warning" not in result.stderr
    return folder


def words(result):
    return " ".join(result.output.split())


@pytest.mark.parametrize(
    "command",
    [
        "check plain.xyz",
        "fit plain.xyz -o no.skpot",
        "fit train.xyz -o no.skpot --test plain.xyz",
        "evaluate m.skpot plain.xyz",
        "select m.skpot plain.xyz -o no.xyz --prune",
        "learn few.xyz -o no --calculator emt --tol 0.1 --data plain.xyz",
    ],
)
def test_files_without_labels_are_refused_with_what_they_hold(folder, monkeypatch, command):
    monkeypatch.chdir(folder)
    text = error(*command.split())
    assert "plain.xyz has no labels" in text
    assert "odd_name" in text and "--energy-key" in text
    assert not list(folder.glob("no*"))


def test_a_check_that_compares_nothing_says_so(folder):
    result = run("check", folder / "few.xyz")
    assert result.exit_code == 0
    assert "Labels were not compared with each other" in words(result)
    assert "not compared" not in words(run("check", folder / "train.xyz"))


def test_test_structures_that_are_learned_are_warned_of(folder):
    train, few, model = (folder / name for name in ("train.xyz", "few.xyz", "again.skpot"))
    options = ["-o", model, "--preset", "fast", "--force"]
    result = run("fit", train, *options, "--test", f"{train}@:3")
    assert "3 of the 3 test structures are in the training set" in result.stderr
    assert "training set, too" not in run("fit", train, *options, "--test", few).stderr


def test_evaluation_on_the_training_set_is_warned_of(folder):
    model = folder / "m.skpot"
    assert "has learned from these" in run("evaluate", model, folder / "train.xyz").stderr
    result = run("evaluate", model, folder / "few.xyz")
    assert "has learned" not in result.stderr
    assert "nan" not in run("evaluate", model, f"{folder / 'few.xyz'}@0").stdout


@pytest.mark.parametrize("suffix, lost", [("xyz", ""), ("traj", "forces_std"), ("cif", "energy")])
def test_predictions_that_a_format_drops_are_named(folder, suffix, lost):
    target = folder / f"predicted.{suffix}"
    result = run("predict", folder / "m.skpot", folder / "few.xyz", "-o", target)
    assert result.exit_code == 0, result.output
    told, _, dropped = words(result).partition("do not hold")
    assert (lost in dropped) if lost else not dropped
    assert not lost or lost not in told.partition("with")[2]


def test_errors_in_several_files_say_which_structures_are_whose(folder):
    for command in ("check", "fit"):
        options = ["-o", folder / "no.skpot"] if command == "fit" else []
        text = error(command, folder / "train.xyz", folder / "broken.xyz", *options)
        assert "0-11: train.xyz, 12-12: broken.xyz" in text
        assert "structure 12" in text


def test_parameters_that_do_not_exist_are_told_with_those_that_are_near(folder):
    options = ["-o", folder / "no.skpot", "--grid", "nsparse=1,2"]
    text = error("fit", folder / "train.xyz", *options)
    assert "Is n_sparse meant?" in text
    assert "__" not in text and "[" not in text


def test_runs_do_not_begin_from_labels_of_other_species(folder):
    options = ["--calculator", "emt", "--tol", "0.1", "--preset", "fast"]
    data = folder / "silver.xyz"
    text = error("learn", folder / "few.xyz", "-o", folder / "no", *options, "--data", data)
    assert "structure 0 has Cu" in text
    assert not (folder / "no").exists()


def test_primitive_cells_are_no_free_atoms():
    atoms = bulk("Cu")
    y = skpot.Targets([0.0])
    assert skpot.check([atoms], y).summary["free atoms"] == 0
    atoms.pbc = False
    assert skpot.check([atoms], y).summary["free atoms"] == 1


def test_evaluate_tells_of_deviations_that_do_not_fit(caplog):
    from skpot.cli._report import advise_on_coverage
    from skpot.reports import coverages_of

    def advise(y, std):
        advise_on_coverage(coverages_of(y, skpot.Targets(np.zeros(len(y))), std))

    caplog.set_level("INFO", "skpot")
    rng = np.random.default_rng(0)
    y = skpot.Targets(rng.normal(size=200))
    advise(y, skpot.Targets(np.ones(200)))
    advise(y[:12], skpot.Targets(np.ones(12)))
    assert not caplog.messages
    advise(y[:12], skpot.Targets(np.full(12, 0.1)))  # none within, of so few: no chance
    assert "energy: deviations are too small here" in " ".join(caplog.messages)
    caplog.clear()
    advise(y, skpot.Targets(np.full(200, 0.25)))
    told = " ".join(" ".join(caplog.messages).split())
    assert "energy: deviations are too small here" in told
    assert "CalibratedPotential" in told


def test_the_closest_atoms_are_named():
    atoms = bulk("Cu", cubic=True)
    near = atoms.copy()
    near.positions[1] = near.positions[0] + [0.8, 0.0, 0.0]
    nearest = atoms.copy()
    nearest.positions[2] = nearest.positions[3] + [0.0, 0.5, 0.0]
    told = r"^2 structures .* Cu-Cu at 0.5 Å in structure 2: structures 1, 2\."
    with pytest.warns(skpot.exceptions.StructureWarning, match=told):
        skpot.check_structures([atoms, near, nearest])


def test_a_full_disk_is_told_with_the_file(folder, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.chdir(folder)
    with monkeypatch.context() as patched:
        patched.setattr("skpot.md.frames.write", full)
        text = error("relax", "m.skpot", "few.xyz", "-o", "full.xyz")
    assert text == "error: full.xyz: the file cannot be written: No space left on device"
    with monkeypatch.context() as patched:
        patched.setattr("skpot.md.frames.os.write", full)  # frames are appended one by one
        text = error("predict", "m.skpot", "few.xyz", "-o", "full.xyz")
    reason = "No space left on device; what was written before is kept"
    assert text == f"error: full.part.xyz: {reason}"
    assert not list(folder.glob("full*"))


def test_a_run_that_a_queue_ends_leaves_its_trajectory(folder, monkeypatch):
    def ended(step):
        def stepped(*args):
            os.kill(os.getpid(), signal.SIGTERM)
            return step(*args)

        return stepped

    before = signal.getsignal(signal.SIGTERM)
    target = folder / "run.xyz"
    monkeypatch.setattr(MolecularDynamics, "irun", ended(MolecularDynamics.irun))
    options = ["--steps", "5", "--no-stop"]
    result = run("md", folder / "m.skpot", folder / "few.xyz", "-o", target, *options)
    assert result.exit_code == 143
    assert "terminated" in result.stderr
    assert signal.getsignal(signal.SIGTERM) is before
