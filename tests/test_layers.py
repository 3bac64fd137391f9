"""Imports go down only, and each foreign package enters through its own door."""

import ast
import graphlib
import shutil
import subprocess
import sys

import pytest

from tests.project import PACKAGE, ROOT, imports, module_name, python_files, tree, where

# What the lowest layer may use beside the standard library.
CORE_MAY_USE = {"numpy", "numba", "llvmlite", "skpot"}  # llvmlite: what numba compiles with

ASE_DOORS = (
    "data/_ase.py",
    "data/_extxyz.py",
    "data/_frame_files.py",
    "md/",
    "active/",
    "datasets/generate/",
    "testing/",
    "typing.py",  # for type checkers only
)


def lint_imports(folder):
    command = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    return subprocess.run(
        [sys.executable, "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )


def test_imports_go_down_only():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("line", "code"), [("import skpot.data", 1), ("import math", 0)])
def test_the_layer_contract_notices_an_upward_import(tmp_path, line, code):
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    for package, text in {"": "", "core": line, "data": ""}.items():
        folder = tmp_path / "skpot" / package
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text(text)
    result = lint_imports(tmp_path)
    assert result.returncode == code, result.stdout + result.stderr


def test_nothing_comes_in_through_the_lazy_front_door():
    # `from skpot import SOAP` inside the package would be an upward import the contract cannot see.
    subpackages = {p.stem for p in PACKAGE.iterdir()}
    offenders = [
        where(path, node)
        for path in python_files(PACKAGE)
        for node, module, name in imports(path)
        if module == "skpot" and name not in {None, "__version__"} | subpackages
    ]
    assert not offenders, f"name the defining module instead of skpot itself: {offenders}"


def owner_of_private(module, name):
    """Return the package of skpot that an imported name is private to, None if it is public."""
    root, *parts = [*module.split("."), *([name] if name else [])]
    inside = root == "skpot" and len(parts) > 1 and (PACKAGE / parts[0]).is_dir()
    return parts[0] if inside and any(p.startswith("_") for p in parts[1:]) else None


@pytest.mark.parametrize(
    ("module", "name", "owner"),
    [
        ("skpot.data._targets", "Targets", "data"),
        ("skpot.data._targets", None, "data"),
        ("skpot.md.lammps", "_plugin", "md"),
        ("skpot.data.order", "digest", None),
        ("skpot._sklearn", "_fit_context", None),
        ("sklearn.utils", "_safe_indexing", None),
    ],
)
def test_private_names_have_an_owner(module, name, owner):
    assert owner_of_private(module, name) == owner


def test_no_package_imports_private_names_of_another():
    offenders = [
        f"{where(path, node)} {module}"
        for path in python_files(PACKAGE)
        for node, module, name in imports(path)
        if owner_of_private(module, name) not in {None, path.relative_to(PACKAGE).parts[0]}
    ]
    assert not offenders, f"make these public names of their package: {offenders}"


def imported_modules(path, known):
    """Return which known modules a file imports, inside functions and by `import_module` too."""
    found = {
        f"{module}.{name}" if f"{module}.{name}" in known else module
        for _, module, name in imports(path, for_types=False)
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    return found & known - {module_name(path)}


def find_circle(graph):
    """Return nodes along a circle of a graph, or nothing."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_circles_are_found():
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) in (["b", "c", "b"], ["c", "b", "c"])
    assert not find_circle({"a": {"b", "c"}, "b": {"c"}})


def test_modules_do_not_import_each_other_in_circles():
    known = {module_name(path) for path in python_files(PACKAGE)}
    graph = {module_name(p): imported_modules(p, known) for p in python_files(PACKAGE)}
    assert not find_circle(graph)


def test_packages_do_not_import_each_other_in_circles():
    known = {module_name(path) for path in python_files(PACKAGE)}
    graph = {}
    for path in python_files(PACKAGE):
        package = ".".join(module_name(path).split(".")[:2])
        used = {".".join(module.split(".")[:2]) for module in imported_modules(path, known)}
        graph.setdefault(package, set()).update(used - {package})
    assert not find_circle(graph)


def test_numba_is_imported_in_core_only():
    offenders = [
        where(path, node)
        for path in python_files(PACKAGE)
        if not path.is_relative_to(PACKAGE / "core")
        for node, module, _ in imports(path)
        if module.split(".")[0] in {"numba", "llvmlite"}
    ]
    assert not offenders, offenders


def test_core_uses_arrays_and_numba_only():
    offenders = [
        f"{where(path, node)} {module}"
        for path in python_files(PACKAGE / "core")
        for node, module, _ in imports(path)
        if module.split(".")[0] not in CORE_MAY_USE | sys.stdlib_module_names
    ]
    assert not offenders, offenders


def test_ase_is_imported_at_its_doors_only():
    offenders = [
        where(path, node)
        for path in python_files(PACKAGE)
        if not path.relative_to(PACKAGE).as_posix().startswith(ASE_DOORS)
        for node, module, _ in imports(path)
        if module.split(".")[0] == "ase"
    ]
    assert not offenders, offenders


def test_private_names_of_scikit_learn_in_one_file_only():
    def private(module, name):
        parts = [*module.split("."), *([name] if name else [])]
        return parts[0] == "sklearn" and any(p.startswith("_") and p[1] != "_" for p in parts[1:])

    offenders = [
        where(path, node)
        for path in python_files(PACKAGE)
        if path != PACKAGE / "_sklearn.py"
        for node, module, name in imports(path)
        if private(module, name)
    ]
    assert not offenders, f"import them in skpot/_sklearn.py: {offenders}"


def test_importing_skpot_is_cheap():
    code = "import sys, skpot; print(*{'numba', 'ase', 'sklearn', 'scipy'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "", f"imported eagerly: {result.stdout}"
