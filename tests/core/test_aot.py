import errno
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numba import types

from skpot.core import aot
from skpot.core._jit import jit
from skpot.core.pairs import Pairs
from skpot.core.processors import processors
from skpot.data import as_batch
from skpot.exceptions import FileError
from skpot.md.lammps._build import reference_structures
from skpot.md.lammps._library import Library
from tests.md.lammps import compiled_toy as toy

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

NUMBERS, SYMBOLS = (6, 8, 14), ("C", "O", "Si")


def problem():
    """Return a model, pairs of structures, and the species of their atoms."""
    batch = as_batch(reference_structures(NUMBERS))
    model = toy.toy(3)
    return model, batch.neighbors(model.cutoff).pairs, np.searchsorted(NUMBERS, batch.numbers)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    source = toy.source(toy.toy(3), NUMBERS, SYMBOLS)
    return aot.build(source, tmp_path_factory.mktemp("aot"))


def test_a_library_gives_what_its_functions_give(library):
    model, pairs, species = problem()
    loaded = Library(library)
    energies, gradient = loaded.evaluate(pairs, species)
    expected, slopes = toy.evaluated(pairs, species, model)
    np.testing.assert_allclose(energies, expected, rtol=1e-13)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-12, atol=1e-13)
    assert loaded.cutoff == model.cutoff
    assert loaded.numbers.tolist() == list(NUMBERS)
    assert loaded.description == "toy"


def test_a_library_leaves_nothing_open_but_the_c_library(library):
    command = ["nm", "-D", "--undefined-only", str(library)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    symbols = [line.split() for line in listing.splitlines()]
    assert ["U", "exp@GLIBC"] in [[kind, name.split("_")[0]] for kind, name in symbols]
    foreign = [name for kind, name in symbols if kind == "U" and "@GLIBC" not in name]
    assert not foreign


def test_some_centers_and_too_little_work_space(library):
    model, pairs, species = problem()
    call = Library(library)._library.skpot_evaluate
    n, (energies, slopes) = len(species), toy.evaluated(pairs, species, model)
    own, gradient = np.full(n, 7.0), np.full(slopes.shape, 7.0)
    lo, hi = 3, 9
    wanted = toy.work_size(np.diff(pairs.start)[lo:hi].max(), hi - lo, model)
    work = np.empty(wanted)
    args = lo, hi, n, n, *pairs, species, own, gradient, work
    assert call(*args, wanted - 1) == wanted
    assert (own == 7.0).all() and (gradient == 7.0).all()
    assert call(*args, wanted) == 0
    np.testing.assert_allclose(own[lo:hi], energies[lo:hi], rtol=1e-13)
    assert (own[:lo] == 7.0).all() and (own[hi:] == 7.0).all()
    p = slice(pairs.start[lo], pairs.start[hi])
    np.testing.assert_allclose(gradient[p], slopes[p], rtol=1e-12, atol=1e-13)
    assert (gradient[: p.start] == 7.0).all() and (gradient[p.stop :] == 7.0).all()


class Parts(NamedTuple):
    singles: np.ndarray
    empty: np.ndarray
    nothing: tuple
    mixed: tuple
    large: np.ndarray


class Scalars(NamedTuple):
    yes: bool
    no: bool
    n: int
    x: float
    infinite: float
    undefined: float


@jit
def parts_size(n_neighbors, n_centers, parts):
    return 1


@jit
def parts_evaluate(lo, hi, pairs, species, parts, arena, energies, gradient):
    scalars = parts.mixed[1]
    energies[0] = parts.singles[1, 2]
    energies[1] = parts.singles.itemsize
    energies[2] = parts.empty.shape[0] + 10 * parts.empty.shape[1] + 100 * len(parts.nothing)
    energies[3] = parts.mixed[0][-1]
    energies[4] = scalars.n * scalars.x if scalars.yes and not scalars.no else 0.0
    energies[5] = scalars.infinite
    energies[6] = scalars.undefined
    energies[7] = parts.large[3999, 999] - parts.large.sum()


def pairless(n):
    return Pairs(np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3)))


def test_all_that_a_model_may_hold(tmp_path):
    large = np.random.default_rng(0).normal(size=(4000, 1000))  # 32 MB
    parts = Parts(
        np.arange(6.0, dtype=np.float32).reshape(3, 2).T,
        np.empty((0, 4)),
        (),
        (np.array([1, 2, -(2**60)]), Scalars(True, False, -3, 0.1, -math.inf, math.nan)),
        large,
    )
    source = aot.Source(parts_evaluate, parts_size, parts, 1.0, (1,), ("H",), 'ü "%s" \\')
    library = Library(aot.build(source, tmp_path))
    energies, _ = library.evaluate(pairless(8), np.zeros(8, dtype=np.int64))
    assert energies[:6].tolist() == [5.0, 4.0, 40.0, -(2.0**60), -3 * 0.1, -math.inf]
    assert np.isnan(energies[6])
    np.testing.assert_allclose(energies[7], large[-1, -1] - large.sum())
    assert library.description == 'ü "%s" \\'


@pytest.mark.parametrize(
    "part",
    [np.zeros(3, dtype=np.int32), "text", None, [1.0]],
    ids=["type", "string", "none", "list"],
)
def test_what_a_model_may_not_hold(part, tmp_path):
    source = toy.source(toy.toy(1)._replace(e0=(part,)), (14,), ("Si",))
    with pytest.raises(TypeError, match="arrays must be|arrays, numbers and tuples"):
        aot.build(source, tmp_path)


@jit
def allocating(lo, hi, pairs, species, parts, arena, energies, gradient):
    own = np.zeros(hi)
    for i in range(lo, hi):
        own[i] = energies[hi - i - 1]
    for i in range(lo, hi):
        energies[i] = own[i]


def test_functions_that_allocate_are_refused(tmp_path):
    source = aot.Source(allocating, parts_size, (), 1.0, (1,), ("H",), "")
    with pytest.raises(ValueError, match="undefined.*NRT_"):
        aot.build(source, tmp_path)


def test_an_unknown_processor(tmp_path):
    with pytest.raises(ValueError, match="knows no processor 'pentium9'"):
        aot.build(toy.source(toy.toy(3), NUMBERS, SYMBOLS), tmp_path, "pentium9")


def test_a_missing_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    with pytest.raises(OSError, match="no-such-compiler was not found.*variable CC"):
        aot.build(toy.source(toy.toy(3), NUMBERS, SYMBOLS), tmp_path)


def add(a, b):
    return a + b


ADD = types.int64(types.int64, types.int64)


def test_a_full_disk(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(FileError, match="cannot be built here: No space left") as found:
        aot.build(toy.source(toy.toy(1), NUMBERS, SYMBOLS), tmp_path)
    assert found.value.errno == errno.ENOSPC and found.value.filename == str(tmp_path)


def test_object_code_holds_one_symbol(tmp_path):
    targets, _ = processors("host", tmp_path)
    (code,) = aot.Bitcode(add, ADD).objects(targets, "add")
    (tmp_path / "add.o").write_bytes(code)
    command = ["nm", "--extern-only", "--defined-only", "add.o"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [line.split()[1:] for line in result.stdout.splitlines()] == [["T", "add_0"]]
