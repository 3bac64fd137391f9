import logging
import re
import subprocess
import sys
import warnings

import ase.io
import numpy as np
import pytest
import typer.main

import skpot
from skpot.cli import app
from tests.commands import copper, error, run
from tests.terminal import in_terminal

_COMMON = {"--quiet", "--verbose", "--log", "--debug"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("telling")
    ase.io.write(folder / "train.xyz", copper(12))
    model = folder / "model.skpot"
    result = run("fit", folder / "train.xyz", "-o", model, "--preset", "fast", "--quiet")
    assert result.exit_code == 0 and result.output == "", result.output
    return folder


def _leaves(command, name=""):
    for key, part in getattr(command, "commands", {}).items():
        yield from _leaves(part, f"{name} {key}".strip())
    if not hasattr(command, "commands"):
        yield name, command


def test_all_commands_have_the_common_options():
    for name, command in _leaves(typer.main.get_command(app)):
        options = {option for part in command.params for option in part.opts}
        assert options >= _COMMON, name


def test_quiet_answers_what_was_asked_for_only(folder):
    assert run("info", folder / "model.skpot", "--quiet").output == ""
    assert run("info", folder / "model.skpot", "--json", "--quiet").output.startswith("{")
    result = run("evaluate", folder / "model.skpot", f"{folder}/train.xyz@1:", "-q")
    assert result.exit_code == 0 and result.output == ""


def test_verbose_tells_more_and_the_log_has_all(folder):
    args = ["evaluate", folder / "model.skpot", f"{folder}/train.xyz@1:"]
    plain = run(*args, "--log", folder / "plain.log")
    verbose = run(*args, "--verbose", "--log", folder / "verbose.log")
    assert verbose.stdout == plain.stdout and "CPU" not in plain.stderr
    assert "Python" in verbose.stderr and "s of CPU time" in verbose.stderr
    head, *lines = (folder / "plain.log").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("predict: ")]  # on a busy machine
    assert head.startswith("# skpot ") and lines == plain.stdout.splitlines()
    log = (folder / "verbose.log").read_text()
    assert set(plain.stdout.splitlines()) < set(log.splitlines()) and "s of CPU time" in log
    quiet = run(*args, "--quiet", "--log", folder / "plain.log")  # added at the end
    assert quiet.output == ""
    assert (folder / "plain.log").read_text().splitlines()[1:].count(lines[1]) == 2
    assert "give one" in error(*args, "--quiet", "--verbose")


def test_handlers_are_gone_afterwards(folder):
    logger = logging.getLogger("skpot")
    before = list(logger.handlers), logger.level
    run("info", folder / "model.skpot", "--log", folder / "info.log")
    error("info", folder / "none.skpot", "--log", folder / "info.log")
    assert (list(logger.handlers), logger.level) == before


@pytest.mark.parametrize("name", ["model.skpot", "train.xyz", "out.xyz", ""])
def test_a_log_never_takes_the_place_of_another_file(folder, name):
    before = sorted(folder.iterdir()), (folder / "model.skpot").read_bytes()
    args = ["predict", folder / "model.skpot", f"{folder / 'train.xyz'}@0"]
    told = error(*args, "-o", folder / "out.xyz", "--log", folder / name)
    assert "--log" in told
    assert (sorted(folder.iterdir()), (folder / "model.skpot").read_bytes()) == before


def _dirty():
    frames = copper(24)
    frames[3].calc.results["forces"][0] = 200.0, 0.0, 0.0  # also a net force
    frames[5].calc.results["energy"] += 30.0
    frames.append(frames[6].copy())
    frames[-1].calc = frames[6].calc
    return frames


def test_each_cause_is_one_warning(folder):
    ase.io.write(folder / "dirty.xyz", _dirty())
    options = ["--preset", "fast", "--cv", 2, "--jobs", 2, "--grid", "n_sparse=20"]
    command = [sys.executable, "-m", "skpot.cli", "fit", "dirty.xyz", "-o", "dirty.skpot"]
    command += map(str, options)
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    lines = [line for line in result.stderr.splitlines() if "arning" in line]
    assert all(line.startswith("warning: ") for line in lines), result.stderr  # no names of code
    for what, where in (
        ("do not add up to zero", "structure 3"),
        ("have forces above", "structures 3"),
        ("far from all others", "structure 5"),
        ("occur twice", "6 = 24"),
    ):
        (line,) = (line for line in lines if what in line)
        assert where in line
    assert len(lines) == 4
    assert "skpot check dirty.xyz looks deeper" in result.stdout


def test_close_atoms_are_one_finding(folder):
    frames = copper(24)
    frames[2].positions[1] = frames[2].positions[0] + [0.6, 0.0, 0.0]
    ase.io.write(folder / "close.xyz", frames)
    options = ["--preset", "fast", "--grid", "n_sparse=20"]
    result = run("fit", folder / "close.xyz", "-o", folder / "close.skpot", *options)
    assert result.exit_code == 0, result.output
    told = [line for line in result.stderr.splitlines() if "clos" in line]
    assert len(told) == 1 and "structures 2: Two atoms" in told[0]


def test_clean_labels_give_no_warning(folder):
    options = ["--preset", "fast", "--force", "-o", folder / "clean.skpot"]
    result = run("fit", folder / "train.xyz", *options)
    assert result.exit_code == 0 and "warning" not in result.stderr


def test_a_terminal_has_bars_and_wrapped_lines(folder):
    ase.io.write(folder / "dirty.xyz", _dirty())
    ase.io.write(folder / "start.xyz", copper(1))
    for command in (
        ["fit", "dirty.xyz", "-o", "t.skpot", "--preset", "fast", "--grid", "n_sparse=20"],
        ["md", "model.skpot", "start.xyz", "--steps", 4000, "--force", "--no-stop"],
        ["learn", *12 * ["start.xyz"], "--calculator", "emt", "--tol", 1, "--max-calls", 1,
         "-o", "run"],
        ["select", "model.skpot", "start.xyz", "-o", "a.xyz", "--by", "quality"],
    ):  # fmt: skip
        code, lines = in_terminal(command, folder)
        shown = "\n".join(lines)
        assert code == (2 if command[0] == "select" else 0), shown
        assert max(map(len, lines)) <= 80, max(lines, key=len)
        if command[0] == "fit":
            assert "warning: " in shown
        elif command[0] == "learn":
            assert "Cu4: NVT, 300 K, 1000\n  steps of 1 fs\n" in shown
        elif command[0] == "select":
            assert "Error: Invalid value for '--by'" in shown
        else:
            assert re.search(r"md: +\d+%.*\d\d:\d\d<\d\d:\d\d", shown)  # passed, and left


def test_warnings_of_other_packages_are_details(folder, monkeypatch):
    def check(*args, **kwargs):
        warnings.warn("overflow encountered in exp", RuntimeWarning, stacklevel=1)
        warnings.warn("something that users should know", UserWarning, stacklevel=1)
        return skpot.checks.CheckReport([], [], dict.fromkeys(
            ["density (g/cm³)", "closest pair over covalent radii", "forces (eV/Å)", "free atoms"]
        ), [])  # fmt: skip

    monkeypatch.setattr("skpot.checks.check", check)
    result = run("check", folder / "train.xyz")
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == ["warning: something that users should know"]
    assert "overflow" in run("check", folder / "train.xyz", "-v").stderr


def test_predictions_in_parts_are_those_in_one(folder, monkeypatch):
    from skpot.reports import _predictions, predict_with_std

    model = skpot.load(folder / "model.skpot")
    X, _ = skpot.read(folder / "train.xyz")
    whole, std = predict_with_std(model, X)
    monkeypatch.setattr(_predictions, "_PART", 9)
    parts, std_parts = predict_with_std(model, X)
    for one, other in ((whole, parts), (std, std_parts)):
        np.testing.assert_allclose(one.energy, other.energy, rtol=1e-8)
        np.testing.assert_allclose(one.forces_flat, other.forces_flat, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(one.stress, other.stress, rtol=1e-8, atol=1e-12)
