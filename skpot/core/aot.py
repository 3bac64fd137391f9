"""Ahead-of-time compilation: a model's functions and numbers as a library without Python.

Compiled functions take a model as nested named tuples. For the library, a small Python function is
written that rebuilds these tuples around the numbers stored in the library. Numba compiles it with
all functions that it calls, and LLVM turns the result into an object file. `model.c` gives the
functions C names, and the C compiler of the system links everything.
"""

import math
import os
import shlex
import shutil
import subprocess
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

ABI = 2  # version of the functions of model.c and of the file; drivers refuse all others

_TYPES = (np.float64, np.float32, np.int64)
_SEAL = b"skpotsum%08x"  # the end of a library's file: the CRC-32 of everything before it
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


def build(source, folder, cpu="host"):
    """Compile and link a library.

    Parameters
    ----------
    source : Source
        What it is made of.
    folder : str or Path
        An empty folder to work in.
    cpu : str
        The processor to compile for, by its name in LLVM ("x86-64-v3", "znver4"); "host" is that
        of this machine.

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
    cc = compiler("CC", "cc")
    flags = _check_cpu(cc, cpu, folder)
    layout = _Layout()
    model = layout.expression(source.model)
    space = source._asdict() | layout.names
    for name, (text, signature, parts) in _functions(source).items():
        function = _define(name, text.format(name=name, model=model, **parts), space)
        (folder / f"{name}.o").write_bytes(object_code(function, signature, cpu))
    with open(folder / "model.bin", "wb") as file:
        offsets = layout.write(file)
    (folder / "model.h").write_text(_header(source, offsets), encoding="ascii")
    shutil.copy(Path(__file__).with_name("model.c"), folder)
    _link(cc, flags, folder)
    seal(folder / "model.so")
    return folder / "model.so"


def seal(path):
    """Append a checksum to a library, by which drivers see whether the file is intact."""
    with open(path, "ab+") as file:
        file.seek(0)
        file.write(_SEAL % zlib.crc32(file.read()))


def compiler(variable, default):
    """Return a compiler's command as a list: what the environment variable holds, or `default`."""
    command = shlex.split(os.environ.get(variable, "")) or [default]
    if shutil.which(command[0]) is None:
        raise FileError(
            f"no compiler: {command[0]} was not found. Install one (Debian: apt install g++) or "
            f"name it in the environment variable {variable}."
        )
    return command


def object_code(function, signature, cpu="host"):
    """Compile a Python function to an object file with one symbol, its name.

    The symbol has Numba's calling convention: ``int32_t name(result *, void **raised, ...)``. The
    file has all functions that are called, except those of the C library.
    """
    # Only these lines use private names of Numba. The public `inspect_llvm` does not serve: LLVM 15
    # (of Numba 0.61) cannot read the text that it writes of large functions.
    compiled = _jit.compile_for(signature, function).overloads[signature.args]
    module = llvm.parse_bitcode(compiled.library.serialize_using_bitcode()[2])
    module.get_function(compiled.fndesc.llvm_func_name).name = function.__name__
    module.verify()
    for value in (*module.functions, *module.global_variables):
        if value.name == function.__name__:
            value.visibility = "hidden"
        elif not value.is_declaration:
            value.linkage = "internal"
    machine = _target_machine(cpu)
    # Optimize once more, now that all functions but one are internal: the scalars of the model
    # become constants in them.
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(3))
    builder.getModulePassManager().run(module, builder)
    return machine.emit_object(module)


def processor(cpu):
    """Return the name of a processor in LLVM; "host" is that of this machine."""
    return llvm.get_host_cpu_name() if cpu == "host" else cpu


def _target_machine(cpu):
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten() if cpu == "host" else ""
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(cpu=processor(cpu), features=features, opt=3, reloc="pic")


def _check_cpu(cc, cpu, folder):
    """Return the flag of the C compiler for a processor, or refuse it: LLVM accepts any name."""
    if cpu == "host":
        return []
    on_arm = llvm.get_process_triple().startswith(("aarch64", "arm"))
    flag = f"-mcpu={cpu}" if on_arm else f"-march={cpu}"
    (folder / "empty.c").write_text("int skpot_empty;\n")
    result = _run([*cc, flag, "-c", "empty.c", "-o", "empty.o"], folder)
    if result.returncode:
        raise InputError(
            f"the compiler {cc[0]} knows no processor {cpu!r}. x86-64-v2, -v3 and -v4 are common "
            f"levels of Intel and AMD. The compiler says: {_first_error(result)}"
        )
    return [flag]


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


def _header(source, offsets):
    table = [f"skpot_numbers + {offset}" for offset in offsets]
    lines = {
        "ABI": str(ABI),
        "CUTOFF": float(source.cutoff).hex(),
        "SPECIES": ", ".join(str(int(number)) for number in source.numbers),
        "SYMBOLS": ", ".join(_c_string(symbol) for symbol in source.symbols),
        "DESCRIPTION": _c_string(source.description),
        "TABLE": ", ".join(table) or "NULL",
    }
    if source.grade is not None:
        lines["GRADE"] = "1"
    return "".join(f"#define SKPOT_{name} {value}\n" for name, value in lines.items())


def _c_string(text):
    return '"' + "".join(f"\\{byte:03o}" for byte in text.encode()) + '"'


def _link(cc, flags, folder):
    # Linkers accept undefined symbols in libraries: refuse them here, not when it is loaded.
    complete = [] if llvm.get_process_triple().find("darwin") >= 0 else ["-Wl,-z,defs"]
    objects = sorted(path.name for path in folder.glob("skpot_*.o"))
    command = [*cc, *flags, "-O2", "-std=c11", "-fPIC", "-shared", "-fvisibility=hidden"]
    result = _run([*command, *complete, "-o", "model.so", "model.c", *objects, "-lm"], folder)
    if result.returncode:
        raise InputError(
            "the model's functions need more than the C library offers, or the C compiler failed. "
            f"The compiler says: {_first_error(result)}"
        )


def _run(command, folder):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def _first_error(result):
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    telling = [line for line in lines if "undefined" in line.lower() or "error" in line.lower()]
    return "; ".join((telling or lines)[:5])
