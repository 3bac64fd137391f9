"""One library for many processors, run by an emulator of theirs, and files that are no library."""

import os
import shutil
import subprocess
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from skpot.core import aot, processors
from skpot.data import as_batch
from skpot.md.lammps._build import reference_structures
from skpot.md.lammps._library import Library
from tests.md.lammps import compiled_toy as toy

X86 = "x86_64" in llvm.get_process_triple()
CALLER = Path(__file__).with_name("caller.c")
NUMBERS, SYMBOLS = (6, 8, 14), ("C", "O", "Si")
MODEL = toy.toy(3)
UNFIT = 3

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


def problem():
    batch = as_batch(reference_structures(NUMBERS))
    return batch.neighbors(MODEL.cutoff).pairs, np.searchsorted(NUMBERS, batch.numbers)


def build(folder, cpu="portable"):
    folder.mkdir(exist_ok=True)
    return aot.build(toy.source(MODEL, NUMBERS, SYMBOLS), folder, cpu)


@pytest.fixture(scope="module")
def portable(tmp_path_factory):
    return build(tmp_path_factory.mktemp("portable"))


def executable(name):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is missing (Debian: apt install qemu-user gcc-aarch64-linux-gnu)")
    return name


def called(folder, library, compiler, *emulator):
    """Evaluate by a program in C; return what it prints, and the energies and gradient."""
    pairs, species = problem()
    given, found = folder / "given", folder / "found"
    sizes = np.array([len(species), len(pairs.neighbor)])
    arrays = (sizes, pairs.start, pairs.neighbor, species, pairs.vector)
    given.write_bytes(b"".join(array.tobytes() for array in arrays))
    subprocess.run([compiler, "-o", folder / "caller", CALLER, "-ldl"], check=True)
    command = [*emulator, folder / "caller", library, given, found]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode in (0, UNFIT), (result.returncode, result.stderr)
    return result.stdout.strip(), np.fromfile(found) if found.exists() else None


def expected():
    energies, gradient = toy.evaluated(*problem(), MODEL)
    return np.concatenate([energies, gradient.ravel()])


@pytest.mark.skipif(not X86, reason="these are processors of Intel and AMD")
@pytest.mark.parametrize(
    ("cpu", "level"), [("Nehalem", "x86-64-v2"), ("Haswell", "x86-64-v3"), ("max", None)]
)
def test_an_emulated_processor_runs_its_own_code(cpu, level, portable, tmp_path):
    emulator = executable("qemu-x86_64")
    chosen, found = called(tmp_path, portable, "cc", emulator, "-cpu", cpu)
    assert chosen == level if level else chosen in Library(portable).variants
    np.testing.assert_allclose(found, expected(), rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(not X86, reason="these are processors of Intel and AMD")
@pytest.mark.parametrize(
    ("cpu", "built_for", "what"),
    [("core2duo", "portable", "x86-64-v2 needs sse4.1"), ("Nehalem", "skylake", "needs avx")],
)
def test_a_processor_that_is_too_old_is_told_what_it_lacks(cpu, built_for, what, tmp_path):
    emulator = executable("qemu-x86_64")
    library = build(tmp_path / "library", built_for)
    chosen, found = called(tmp_path, library, "cc", emulator, "-cpu", cpu)
    assert what in chosen
    assert found is None


def test_a_library_for_arm(tmp_path):
    compiler, emulator = executable("aarch64-linux-gnu-gcc"), executable("qemu-aarch64")
    library = build(tmp_path / "library", "aarch64")
    system = "/usr/aarch64-linux-gnu"
    chosen, found = called(tmp_path, library, compiler, emulator, "-L", system)
    assert chosen == "aarch64"
    np.testing.assert_allclose(found, expected(), rtol=1e-12, atol=1e-12)
    if X86:
        with pytest.raises(ValueError, match=r"was exported for aarch64 and this machine is x86"):
            Library(library)


@pytest.mark.skipif(not X86, reason="other processors have one kind of code")
def test_all_code_that_runs_here_gives_the_same(portable):
    library = Library(portable)
    assert list(library.variants) == ["x86-64-v2", "x86-64-v3", "x86-64-v4"]
    energies, gradient = toy.evaluated(*problem(), MODEL)
    codes = {portable.with_name(f"skpot_compiled_evaluate_{k}.o").read_bytes() for k in range(3)}
    assert len(codes) == 3
    for variant, lacking in library.variants.items():
        if lacking is not None:
            with pytest.raises(ValueError, match=f"{variant} needs {lacking}, which this machine"):
                library.choose(variant)
            continue
        library.choose(variant)
        own, slopes = library.evaluate(*problem())
        np.testing.assert_allclose(own, energies, rtol=1e-13)
        np.testing.assert_allclose(slopes, gradient, rtol=1e-12, atol=1e-13)


@pytest.mark.skipif(not X86, reason="these are processors of Intel and AMD")
def test_what_named_processors_need(tmp_path):
    def needs(cpu):
        (one,), _ = processors.processors(cpu, tmp_path)
        return set(one.needs)

    levels, _ = processors.processors("portable", tmp_path)
    assert [set(level.needs) for level in levels] == [needs(level.name) for level in levels]
    assert needs("haswell") >= set(levels[1].needs) > needs("sandybridge") > set(levels[0].needs)
    assert needs("skylake-avx512") >= set(levels[2].needs)
    build(tmp_path / "host", "host")
    (lacking,) = Library(tmp_path / "host" / "model.so").variants.values()
    assert lacking is None


def test_files_that_are_no_library(portable, tmp_path):
    whole = portable.read_bytes()
    path = tmp_path / "model.so"
    edited = bytearray(whole)
    edited[len(whole) // 2] ^= 1
    wrong = {
        "is not a library of skpot, or the end of it is missing": (
            b"",
            b"text",
            whole[:100],
            whole[: len(whole) // 2],
            whole[:-1],
        ),
        "is damaged: export the model again": (bytes(edited),),
    }
    for message, contents in wrong.items():
        for content in contents:
            path.write_bytes(content)
            with pytest.raises(ValueError, match=message):
                Library(path)


def test_an_older_library(tmp_path):
    (tmp_path / "old.c").write_text("long skpot_abi(void) { return 2; }")
    command = ["cc", "-shared", "-fPIC", "old.c", "-o", "old.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    aot.seal(tmp_path / "old.so")
    with pytest.raises(ValueError, match="has interface 2, this skpot reads 3; export the model"):
        Library(tmp_path / "old.so")


def test_a_missing_cross_compiler(tmp_path, monkeypatch):
    if not X86:
        pytest.skip("none is needed here")
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(OSError, match="aarch64-linux-gnu-gcc was not found.*gcc-aarch64-linux-gnu"):
        build(tmp_path / "library", "aarch64")
