"""Ahead-of-time compilation: a model's functions and numbers as a library without Python.

Compiled functions take a model as nested named tuples. For the library, a small Python function is
written that rebuilds these tuples around the numbers stored in the library. Numba compiles it with
all functions that it calls, and LLVM turns the result into an object file for each of several
processors. `model.c` gives the functions C names and picks, when the library is loaded, the newest
processor that the machine is a match for. The C compiler of the system links everything.
"""

import math
import shutil
import zlib
from pathlib import Path
from typing import NamedTuple

import llvmlite.binding as llvm
import numpy as np
from numba import carray, types

from ..exceptions import FileError, InputError, InputTypeError
from . import _jit
from ._arena import Arena
from .pairs import Pairs, largest
from .processors import own_kind, processors
from .toolchain import first_error, run

ABI = 3  # version of the functions of model.c and of the file; drivers refuse all others

_TYPES = (np.float64, np.float32, np.int64)
_SEAL = b"skpotsum%08x"  # the end of a library's file: the CRC-32 of everything before it
_KINDS = {62: "x86-64", 183: "aarch64"}  # by what stands in the header of an ELF file
_LINE = 64  # bytes of a cache line; every array begins at a multiple
_FLOATS, _INTEGERS = types.CPointer(types.float64), types.CPointer(types.int64)
_INTEGER, _TABLE = types.int64, types.CPointer(types.voidptr)

# Functions of a library; {model} stands for the expression that rebuilds the model.
_SIZE = """
def {name}(n_neighbors, n_centers, table):
    return {size}(n_neighbors, n_centers, {model})
"""
_SIZE_TYPE = types.int64(_INTEGER, _INTEGER, _TABLE)

_CALL = """
def {name}(
    lo, hi, n_centers, n_atoms, start, neighbor, vector, species, {outputs}, work, n_work, used,
    table,
):
    row = carray(start, (n_centers + 1,))
    n_pairs = row[n_centers]
    pairs = Pairs(row, carray(neighbor, (n_pairs,)), carray(vector, (n_pairs, 3)))
    model = {model}
    wanted = {size}(largest(lo, hi, pairs), hi - lo, model)
    if wanted > n_work:
        return wanted
    arena = Arena(carray(work, (n_work,)), carray(used, (1,)))
    {function}(lo, hi, pairs, carray(species, (n_atoms,)), model, arena, {arrays})
    return int64(0)
"""


def _call_type(n_outputs):
    inputs = [_INTEGER] * 4 + [_INTEGERS, _INTEGERS, _FLOATS, _INTEGERS]
    work = [_FLOATS, _INTEGER, _INTEGERS, _TABLE]
    return types.int64(*inputs, *[_FLOATS] * n_outputs, *work)


def _functions(source):
    """Return what to compile, by its name in model.c: text, C types, and parts of the text."""
    evaluate = {
        "size": "work_size",
        "function": "evaluate",
        "outputs": "energies, gradient",
        "arrays": "carray(energies, (n_centers,)), carray(gradient, (n_pairs, 3))",
    }
    grade = {
        "size": "grade_size",
        "function": "grade",
        "outputs": "grades",
        "arrays": "carray(grades, (n_centers,))",
    }
    functions = {
        "skpot_compiled_size": (_SIZE, _SIZE_TYPE, {"size": "work_size"}),
        "skpot_compiled_evaluate": (_CALL, _call_type(2), evaluate),
    }
    if source.grade is not None:
        functions["skpot_compiled_grade_size"] = (_SIZE, _SIZE_TYPE, {"size": "grade_size"})
        functions["skpot_compiled_grade"] = (_CALL, _call_type(1), grade)
    return functions


class Source(NamedTuple):
    """What a library is made of.

    Parameters
    ----------
    evaluate : compiled function
        ``evaluate(lo, hi, pairs, species, model, arena, energies, gradient)`` writes the energies
        of centers and dE_i/dr_ij of their pairs; it allocates nothing.
    work_size : compiled function
        ``work_size(n_neighbors, n_centers, model)`` returns how many numbers of the arena
        `evaluate` takes for n_centers with up to n_neighbors pairs each.
    model : NamedTuple
        The numbers of the model: arrays of float64, float32 or int64, scalars, and tuples of these.
    cutoff : float
        In Å.
    numbers : sequence of int
        Atomic numbers, in the order of the species' indices.
    symbols : sequence of str
        Their symbols. An empty one says that drivers must not use this species.
    description : str
        One line for logs.
    grade, grade_size : compiled function, optional
        ``grade(lo, hi, pairs, species, model, arena, grades)`` writes the extrapolation grades of
        centers; `grade_size` is to it what `work_size` is to `evaluate`.
    """

    evaluate: object
    work_size: object
    model: tuple
    cutoff: float
    numbers: tuple
    symbols: tuple
    description: str
    grade: object = None
    grade_size: object = None


def build(source, folder, cpu="portable"):
    """Compile and link a library.

    Parameters
    ----------
    source : Source
        What it is made of.
    folder : str or Path
        An empty folder to work in.
    cpu : str
        The processors to compile for: "portable" for the levels x86-64-v2, -v3 and -v4 in one
        library (64-bit ARM has one), "host" for the processor of this machine, "aarch64" for 64-bit
        ARM on Linux, or the name of a processor in LLVM ("x86-64-v3", "znver4").

    Returns
    -------
    path : Path
        The library, in `folder`.

    Raises
    ------
    OSError
        If there is no C compiler, or the folder cannot be written.
    ValueError
        If the processor is unknown, or functions need more than the C library offers.
    TypeError
        If the model holds anything but arrays, numbers and tuples.
    """
    try:
        return _build(source, Path(folder), cpu)
    except FileError:
        raise
    except OSError as error:
        reason = f"a library cannot be built here: {error.strerror}"
        raise FileError(error.errno, reason, str(folder)) from error


def _build(source, folder, cpu):
    targets, cc = processors(cpu, folder)
    layout = _Layout()
    model = layout.expression(source.model)
    space = source._asdict() | layout.names
    for name, (text, signature, parts) in _functions(source).items():
        function = _define(name, text.format(name=name, model=model, **parts), space)
        for k, code in enumerate(Bitcode(function, signature).objects(targets, name)):
            (folder / f"{name}_{k}.o").write_bytes(code)
    with open(folder / "model.bin", "wb") as file:
        offsets = layout.write(file)
    (folder / "model.h").write_text(_header(source, targets, offsets), encoding="ascii")
    shutil.copy(Path(__file__).with_name("model.c"), folder)
    _link(cc, targets[0].triple, folder)
    seal(folder / "model.so")
    return folder / "model.so"


def seal(path):
    """Append a checksum to a library, by which drivers see whether the file is intact."""
    with open(path, "ab+") as file:
        file.seek(0)
        file.write(_SEAL % zlib.crc32(file.read()))


def check_file(path):
    """Refuse a file that is no intact library for this kind of machine, before it is loaded.

    A damaged library might end the process by a signal. skpot/md/lammps/plugin/model.cpp does the
    same in LAMMPS.
    """
    code = Path(path).read_bytes()
    n = len(code) - len(_SEAL % 0)
    if n < 0 or code[n:-8] != (_SEAL % 0)[:-8]:
        raise InputError(
            f"{path} is not a library of skpot, or the end of it is missing: export the model again"
        )
    if code[n:] != _SEAL % zlib.crc32(code[:n]):
        raise InputError(f"the file {path} is damaged: export the model again")
    kind = _kind(code)
    if kind not in (None, own_kind()):
        raise InputError(
            f"{path} was exported for {kind} and this machine is {own_kind()}: export the model "
            "again, for this kind of machine"
        )


def _kind(code):
    """Return the instruction set that a library is for; None if that is not known."""
    if code[:4] != b"\x7fELF":
        return None
    return _KINDS.get(int.from_bytes(code[18:20], "little"))


def is_foreign(path):
    """Return whether a library is for machines of another kind than this one."""
    with open(path, "rb") as file:
        return _kind(file.read(20)) not in (None, own_kind())


class Bitcode:
    """A compiled Python function before it is translated for processors.

    Parameters
    ----------
    function : function
        It calls nothing but compiled functions.
    signature : Numba signature
        Its types.
    """

    def __init__(self, function, signature):
        # Only these lines use private names of Numba. The public `inspect_llvm` does not serve:
        # LLVM 15 (of Numba 0.61) cannot read the text that it writes of large functions.
        compiled = _jit.compile_for(signature, function).overloads[signature.args]
        self._code = compiled.library.serialize_using_bitcode()[2]
        self._name = compiled.fndesc.llvm_func_name

    def objects(self, targets, symbol):
        """Return an object file for each processor; the symbol of the k-th is ``symbol_k``.

        They have Numba's calling convention: ``int32_t symbol(result *, void **raised, ...)``. A
        file has all functions that are called, except those of the C library. The code is
        optimized once, for the last processor, the newest, and then translated for each.
        """
        code, files = self._optimized(targets[-1], symbol), []
        for k, target in enumerate(targets):
            module = llvm.parse_bitcode(code)
            module.get_function(symbol).name = f"{symbol}_{k}"
            files.append(target.machine().emit_object(module))
        return files

    def _optimized(self, target, symbol):
        module = llvm.parse_bitcode(self._code)
        module.get_function(self._name).name = symbol
        module.verify()
        machine = target.machine()
        if target.is_foreign:
            _translate(module, target.triple, machine)
        for value in (*module.functions, *module.global_variables):
            if value.name == symbol:
                value.visibility = "hidden"
            elif not value.is_declaration:
                value.linkage = "internal"
        # Now that all functions but one are internal, the scalars of the model become constants.
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(3))
        builder.getModulePassManager().run(module, builder)
        return module.as_bitcode()


def _translate(module, triple, machine):
    """Make a module that was compiled for this machine one of another instruction set."""
    module.triple, module.data_layout = triple, str(machine.target_data)
    for function in module.functions:
        # The one instruction of x86 in it, for reference counts: a function of model.c instead.
        if function.name.startswith("llvm.x86.atomic.sub.cc"):
            function.name = "skpot_release"


class _Layout:
    """Where the arrays of a model go in the library, and the expression that rebuilds the model."""

    def __init__(self):
        self.arrays = []
        self.names = {}

    def expression(self, value):
        """Return the Python expression of a part of the model."""
        if isinstance(value, np.ndarray):
            if value.dtype not in _TYPES:
                raise InputTypeError(
                    "a compiled model's arrays must be float64, float32 or int64, got "
                    f"{value.dtype}"
                )
            self.arrays.append(np.ascontiguousarray(value))
            shape = "".join(f"{n}, " for n in value.shape)
            return f"carray(table[{len(self.arrays) - 1}], ({shape}), {value.dtype})"
        if isinstance(value, tuple):
            inner = "".join(f"{self.expression(part)}, " for part in value)
            if not hasattr(type(value), "_fields"):
                return f"({inner})"
            name = f"{type(value).__name__}_{len(self.names)}"
            self.names[name] = type(value)
            return f"{name}({inner})"
        if isinstance(value, bool | np.bool_):
            return str(bool(value))
        if isinstance(value, int | np.int64):
            return f"int64({int(value)})"
        if isinstance(value, float):
            text = repr(float(value))
            return text if math.isfinite(value) else f"float64({text})"
        raise InputTypeError(
            f"a compiled model consists of arrays, numbers and tuples, got {type(value)}"
        )

    def write(self, file):
        """Write the numbers of all arrays to a file; return where each begins."""
        offsets = []
        for array in self.arrays:
            file.write(bytes(-file.tell() % _LINE))
            offsets.append(file.tell())
            file.write(array.data)
        return offsets


def _define(name, text, names):
    """Return the Python function that a text defines."""
    space = {
        "Arena": Arena,
        "Pairs": Pairs,
        "carray": carray,
        "largest": largest,
        "float32": np.float32,
        "float64": np.float64,
        "int64": np.int64,
        "inf": math.inf,
        "nan": math.nan,
    }
    space |= names
    exec(compile(text, f"<{name}>", "exec"), space)
    return space[name]


def _header(source, targets, offsets):
    table = [f"skpot_numbers + {offset}" for offset in offsets]
    lines = {
        "ABI": str(ABI),
        "CUTOFF": float(source.cutoff).hex(),
        "SPECIES": ", ".join(str(int(number)) for number in source.numbers),
        "SYMBOLS": ", ".join(_c_string(symbol) for symbol in source.symbols),
        "DESCRIPTION": _c_string(source.description),
        "TABLE": ", ".join(table) or "NULL",
        "VARIANTS(X)": " ".join(f"X({k})" for k in range(len(targets))),
    }
    for k, target in enumerate(targets):
        rows = [f"{{{_c_string(name)}, {row}}}, " for name, row in target.needs_in_cpuid()]
        lines[f"NAME_{k}"] = _c_string(target.name)
        lines[f"NEEDS_{k}"] = "".join(rows) + "{0}"
    if source.grade is not None:
        lines["GRADE"] = "1"
    return "".join(f"#define SKPOT_{name} {value}\n" for name, value in lines.items())


def _c_string(text):
    return '"' + "".join(f"\\{byte:03o}" for byte in text.encode()) + '"'


def _link(cc, triple, folder):
    # Linkers accept undefined symbols in libraries: refuse them here, not when it is loaded.
    complete = [] if "darwin" in triple else ["-Wl,-z,defs"]
    # The C code chooses, so it must run on every processor, whatever the compiler's default is.
    oldest = ["-march=x86-64"] if triple.startswith("x86_64") else []
    objects = sorted(path.name for path in folder.glob("skpot_*.o"))
    command = [*cc, *oldest, "-O2", "-std=c11", "-fPIC", "-shared", "-fvisibility=hidden"]
    result = run([*command, *complete, "-o", "model.so", "model.c", *objects, "-lm"], folder)
    if result.returncode:
        raise InputError(
            "the model's functions need more than the C library offers, or the C compiler failed. "
            f"The compiler says: {first_error(result)}"
        )
