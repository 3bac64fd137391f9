"""Packages and names are reached as attributes, in a process that has imported only skpot."""

import subprocess
import sys

import pytest

import skpot
from skpot._lazy import lazy_names
from tests.project import PACKAGE, ROOT

INTERNAL = {"cli", "processes", "rows"}  # what they hold is for other packages only


def packages(pattern):
    """Return the names of packages, relative to skpot."""
    folders = (path.parent.relative_to(PACKAGE) for path in PACKAGE.glob(f"{pattern}/__init__.py"))
    return {".".join(folder.parts) for folder in folders}


def test_all_packages_are_attributes_of_skpot():
    assert packages("*") - INTERNAL <= skpot._SUBMODULES


def test_packages_within_are_attributes_after_import_skpot():
    nested = sorted(packages("*/*"), reverse=True)  # i-PI imports much, so it comes last
    assert nested == ["md.lammps", "md.ipi"]
    code = "import skpot; " + "; ".join(f"print(skpot.{name}.__name__)" for name in nested)
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout.split() == [f"skpot.{name}" for name in nested], result.stderr


def test_names_that_there_are_not():
    load, names = lazy_names("skpot.md", {"Guard": "._guard"}, ["lammps"])
    assert names == ["Guard"] and load("lammps").__name__ == "skpot.md.lammps"
    with pytest.raises(AttributeError, match=r"'skpot.md' has no attribute 'gromacs'"):
        load("gromacs")
