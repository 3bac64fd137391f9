"""Rules of the project that a machine can check."""

import ast
import inspect
import re
import subprocess
import sys
import types

import pytest

import skpot
from skpot import exceptions
from tests.project import PACKAGE, ROOT, python_files, tracked_files, tree, where

MAX_LINES = 500
COMPILERS = {
    "njit",
    "jit",
    "vectorize",
    "guvectorize",
    "generated_jit",
    "stencil",
    "cfunc",
    "jitclass",
}
DECORATORS = {
    "jit",
    "inner_jit",
    "array_jit",
    "inline_jit",
    "exact_jit",
    "exact_inline_jit",
}
CORE_FILES = [p for p in python_files(PACKAGE / "core") if p.name != "_jit.py"]

# Written with brackets, so that this file passes its own test.
MACHINE_PATH = re.compile(r"(?<![\w.~])/(wor[k]|tm[p]|hom[e]|roo[t]|User[s])/")
TALK = re.compile(r"\b(sessio[n]s?|helper agen[t]s?|sub-?agen[t]s?|assistan[t]s?)\b", re.IGNORECASE)


def compiled_functions():
    """Yield the file and the definition of each compiled function."""
    for path in CORE_FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef):
                names = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
                if names & DECORATORS:
                    yield path, node


def test_compiled_functions_go_through_core_jit():
    offenders = []
    for path in CORE_FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id in {"numba", "nb"} and node.attr in COMPILERS:
                    offenders.append(where(path, node))
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "numba":
                offenders += [where(path, node) for a in node.names if a.name in COMPILERS]
    assert not offenders, f"use the decorators of skpot.core._jit: {offenders}"


def test_compiled_functions_take_no_signature():
    offenders = [
        where(path, node)
        for path in CORE_FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef)
        for d in node.decorator_list
        if isinstance(d, ast.Call) and isinstance(d.func, ast.Name) and d.func.id in DECORATORS
    ]
    assert not offenders, f"signatures and options belong to core/_jit.py: {offenders}"


def test_compiled_functions_raise_nothing():
    offenders = [
        where(path, node)
        for path, function in compiled_functions()
        for node in ast.walk(function)
        if isinstance(node, ast.Raise | ast.Assert)
    ]
    assert not offenders, f"the caller validates: {offenders}"


def test_compiled_functions_have_docstrings():
    offenders = [
        where(path, function)
        for path, function in compiled_functions()
        if not function.name.startswith("_") and not ast.get_docstring(function)
    ]
    assert not offenders, offenders


def test_fast_math_keeps_nan_and_infinity():
    offenders = []
    # Where numba may be imported; elsewhere "fast" is an ordinary word.
    for path in python_files(PACKAGE / "core"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and node.value in ("nnan", "ninf", "fast"):
                offenders.append(where(path, node))
            elif isinstance(node, ast.keyword) and node.arg == "fastmath":
                if isinstance(node.value, ast.Constant) and node.value.value is True:
                    offenders.append(where(path, node.value))
    assert not offenders, offenders


def test_files_are_short():
    lengths = {where(p): len(p.read_text(encoding="utf-8").splitlines()) for p in python_files()}
    too_long = {name: n for name, n in lengths.items() if n > MAX_LINES}
    assert not too_long, f"split these (limit {MAX_LINES} lines): {too_long}"


def test_no_machine_paths_and_no_talk_about_how_the_code_was_made():
    offenders = []
    for path in tracked_files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:  # binary
            continue
        for number, line in enumerate(lines, start=1):
            for pattern in (MACHINE_PATH, TALK):
                if found := pattern.search(line):
                    offenders.append(f"{where(path)}:{number}: {found.group()!r}")
    assert not offenders, offenders


def test_ruff_is_content():
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise", "."]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def public_objects():
    for name in sorted(skpot.__all__):
        value = getattr(skpot, name)
        if not isinstance(value, types.ModuleType | str):
            yield pytest.param(value, id=name)


def sections(doc):
    """Map each numpydoc heading to its text."""
    parts = re.split(r"^([A-Z][A-Za-z ]+)\n-{3,}\n", inspect.cleandoc(doc), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("value", list(public_objects()))
def test_public_names_are_documented(value):
    doc = inspect.getdoc(value)
    assert doc, "no docstring"
    found = sections(doc)
    parameters = [p for p in inspect.signature(value).parameters if p != "self"]
    if parameters:
        assert "Parameters" in found, f"has parameters {parameters} but no such section"
        listed = re.findall(r"^\**(\w[\w, *]*?) ?:", found["Parameters"], flags=re.M)
        listed = {name.strip(" *") for names in listed for name in names.split(",")}
        missing = [p for p in parameters if p not in listed]
        assert not missing, f"not in the Parameters section: {missing}"
    if inspect.isfunction(value):
        returns = any(
            isinstance(node, ast.Return) and node.value is not None
            for node in ast.walk(ast.parse(inspect.getsource(value)))
        )
        assert not returns or {"Returns", "Yields"} & set(found), "returns something undocumented"
    assert ">>>" in found.get("Examples", ""), "no runnable Examples section"


# What Python itself or NumPy expects at a place, not what a user catches.
PROTOCOL_ERRORS = {"AttributeError", "AssertionError", "NotImplementedError", "Exit"}


def raised_names(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            function = node.exc.func
            if isinstance(function, ast.Name | ast.Attribute):
                yield node, function.id if isinstance(function, ast.Name) else function.attr


def test_errors_are_those_of_skpot():
    own = {name for name, value in vars(exceptions).items() if isinstance(value, type)}
    own |= {"BlowUp", "LimitPassed", "DivergenceError", "CommandError", "LabelFailed", "Futile"}
    own |= {"NoRoom"}
    offenders = [
        f"{where(path, node)} {name}"
        for path in python_files(PACKAGE)
        if not path.is_relative_to(PACKAGE / "datasets" / "generate")
        for node, name in raised_names(path)
        if name[0].isupper() and name not in own | PROTOCOL_ERRORS
    ]
    assert not offenders, f"raise the errors of skpot.exceptions: {offenders}"


def test_warnings_are_those_of_skpot():
    own = {name for name in exceptions.__all__ if name.endswith("Warning")}
    offenders = []
    for path in python_files(PACKAGE):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn":
                names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
                if not names & (own | {"InconsistentVersionWarning", "OtherVersionWarning"}):
                    offenders.append(where(path, node))
    assert not offenders, f"give the warnings of skpot.exceptions: {offenders}"


def test_every_error_is_one_of_skpot_and_one_users_expect():
    for name in exceptions.__all__:
        kind = getattr(exceptions, name)
        assert issubclass(kind, exceptions.SkpotError | exceptions.SkpotWarning), name
        if kind is not exceptions.SkpotError:
            assert issubclass(kind, Warning) or len(
                {ValueError, TypeError, RuntimeError, OSError, ImportError} & set(kind.__mro__)
            ), name


# Numba infers what arguments of compiled functions are; the scripts are run, not imported.
NOT_ANNOTATED = ("core/", "datasets/generate/")


def public_signatures(path):
    """Yield functions, methods and `__init__` that users and other modules may call."""
    bodies = [tree(path).body]
    for body in bodies:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.If | ast.Try):
                bodies.append(node.body)
            elif isinstance(node, ast.FunctionDef):
                if node.name == "__init__" or not node.name.startswith("_"):
                    yield node


def is_annotated(function):
    a = function.args
    arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    said = [arg.annotation for arg in arguments if arg.arg not in {"self", "cls"}]
    return all([*said, function.returns])


def test_public_signatures_are_annotated():
    every = [
        (path, node)
        for path in python_files(PACKAGE)
        if not path.relative_to(PACKAGE).as_posix().startswith(NOT_ANNOTATED)
        for node in public_signatures(path)
    ]
    offenders = [
        f"{where(path, node)} {node.name}" for path, node in every if not is_annotated(node)
    ]
    assert not offenders, f"{len(offenders)} of {len(every)} lack types: {offenders}"
