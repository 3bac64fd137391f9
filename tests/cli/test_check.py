"""`skpot check`."""

import json
import subprocess
import sys

import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from typer.testing import CliRunner

from skpot.cli import app
from tests.mistakes import COMMON, Labeled
from tests.samples import ethanol


def file_of(path, X, y):
    frames = []
    for atoms, energy, forces in zip(X, y.energy, y.forces, strict=True):
        frames.append(atoms.copy())
        frames[-1].calc = SinglePointCalculator(frames[-1], energy=energy, forces=forces)
    write(path, frames)
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    X, y, _, _ = ethanol()
    data, folder = Labeled(X[::3], y[::3]), tmp_path_factory.mktemp("check")
    wrong = COMMON["energies in kcal/mol"][0](data)
    return file_of(folder / "right.xyz", data.X, data.y), file_of(folder / "wrong.xyz", *wrong)


def test_exit_status_and_text(files):
    right, wrong = (CliRunner().invoke(app, ["check", file]) for file in files)
    assert (right.exit_code, wrong.exit_code) == (0, 1)
    assert "no mistakes found" in right.output
    assert "kcal/mol" in wrong.output
    assert "Fix: multiply the energies" in wrong.output
    assert all(len(line) <= 80 for line in right.output.splitlines() if "/" not in line)


def test_json_is_for_programs(files):
    result = CliRunner().invoke(app, ["check", files[1], "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["findings"][0]["kind"] == "unit of energies"


def test_report(files, tmp_path):
    page = tmp_path / "check.html"
    args = ["check", files[1], "--report", str(page)]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 1
    assert f"wrote {page}" in result.output
    assert "<h3>unit of energies</h3>" in page.read_text(encoding="utf-8")
    assert "<h1>Check of wrong.xyz</h1>" in page.read_text(encoding="utf-8")
    assert "add --force" in CliRunner().invoke(app, args).output
    result = CliRunner().invoke(app, [*args, "--force", "--json"])
    assert json.loads(result.stdout)["findings"]  # nothing else is printed


def test_a_reader_that_has_seen_enough_is_no_error(files):
    command = f"{sys.executable} -m skpot.cli check {files[0]} | head -1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert result.stderr == ""
