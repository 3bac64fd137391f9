"""docs/architecture.md agrees with the code, and new parts have all that it says they need.

What a fitted estimator needs in files of models is asked for by tests/persistence/test_fitted.py.
"""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import skpot
from skpot import descriptors, kernels, models
from skpot.core import centers
from skpot.core.radial import BASES
from skpot.descriptors._soap_basis import RADIAL_BASES
from skpot.descriptors._soap_channels import COMPRESSIONS
from tests.project import PACKAGE, ROOT, imports, python_files, where

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = [
    path.name
    for path in sorted(PACKAGE.iterdir())
    if path.is_dir() and (path / "__init__.py").exists()
]
TABLE = dict(re.findall(r"^\| `skpot/(\w+)` \|[^|]*\| ([^|]*) \|$", PAGE, re.M))


def stem_of(cls):
    return Path(inspect.getfile(cls)).stem.lstrip("_")


def public_estimators(module):
    """Public estimator classes of a module by name, without those that others are made from."""
    values = {name: getattr(module, name) for name in module.__all__}
    return {
        name: value
        for name, value in values.items()
        if inspect.isclass(value) and issubclass(value, BaseEstimator)
        if stem_of(value) not in {"base", "potential", "kernel_potential"}
    }


DESCRIPTORS = public_estimators(descriptors)
MODELS = public_estimators(models)
KERNELS = public_estimators(kernels)


def unexported(module):
    """Return the estimators in the files of a room that its `__init__.py` does not have.

    Private classes, and those that others derive from, need not be there.
    """
    classes = {}
    for file in sorted(Path(module.__file__).parent.glob("_*.py")):
        if file.name != "__init__.py":
            classes |= vars(importlib.import_module(f"{module.__name__}.{file.stem}"))
    return sorted(
        name
        for name, value in classes.items()
        if inspect.isclass(value) and issubclass(value, BaseEstimator)
        if value.__module__.startswith(f"{module.__name__}.") and not name.startswith("_")
        if name not in module.__all__ and not value.__subclasses__()
    )


def says(file, word):
    """Whether a file has a word, which may stand in quotes or within code."""
    return re.search(rf"\b{word}\b", (ROOT / file).read_text(encoding="utf-8")) is not None


def without(word, files):
    """Return those of the files that do not have a word."""
    return [file for file in files if not says(file, word)]


def refuse_missing(name, missing):
    assert not missing, f"{name} is missing in {missing}; docs/architecture.md says what goes there"


def without_tests(cls, folder):
    """Return in a list the file of tests that a class should have and has not."""
    file = f"tests/{folder}/test_{stem_of(cls)}.py"
    return [] if (ROOT / file).exists() else [file]


def test_files_on_the_page_exist():
    named = re.findall(r"`([\w./-]+)`", PAGE)
    paths = {name for name in named if "/" in name or re.search(r"\.(py|md|cfg|c|cpp)$", name)}
    assert len(paths) > 50
    missing = sorted(name for name in paths if not (ROOT / name).exists())
    assert not missing, f"docs/architecture.md names what does not exist: {missing}"


def test_every_room_is_on_the_page_above_those_it_may_import():
    assert sorted(TABLE) == ROOMS
    place = {room: k for k, room in enumerate(TABLE)}
    for room, cell in TABLE.items():
        assert all(place[other] > place[room] for other in re.findall(r"`(\w+)`", cell)), room


def test_files_beside_the_rooms_are_on_the_page():
    files = {f"skpot/{path.name}" for path in python_files(PACKAGE) if path.parent == PACKAGE}
    missing = sorted(file for file in files if f"`{file}`" not in PAGE)
    assert not missing, f"docs/architecture.md says nothing of {missing}"


def test_rooms_import_what_the_page_allows():
    allowed = {room: set(re.findall(r"`(\w+)`", cell)) for room, cell in TABLE.items()}
    offenders = [
        f"{where(path, node)} {module}"
        for room in ROOMS
        if TABLE[room] != "all"
        for path in python_files(PACKAGE / room)
        for node, module, name in imports(path)
        if room_of(module, name) not in {None, room} | allowed[room]
    ]
    assert not offenders, f"docs/architecture.md does not allow these imports: {offenders}"


def room_of(module, name):
    """Return the room that an import is from; None for other packages and single files."""
    root, *parts = [*module.split("."), *([name] if name else [])]
    return parts[0] if root == "skpot" and parts and parts[0] in ROOMS else None


@pytest.mark.parametrize("name", RADIAL_BASES)
def test_a_radial_basis_is_wherever_it_has_to_be(name):
    files = ["CHANGELOG.md"]
    if name not in BASES:  # a basis that is learned has no formula to compare with
        files += ["tests/registry.py", "tests/descriptors/test_soap_learning.py"]
    elif name == skpot.SOAP().radial_basis:  # others are named where they are tested
        files += ["tests/naive/soap.py"]
    else:
        files += ["tests/naive/soap.py", "tests/descriptors/test_soap.py"]
        files += ["tests/test_smoothness.py"]
    missing = without(name, files)
    (options,) = skpot.SOAP._parameter_constraints["radial_basis"]
    if name not in options.options:
        missing.append("radial_basis of _parameter_constraints in skpot/descriptors/_soap.py")
    if f'"{name}"' not in skpot.SOAP.__doc__:
        missing.append("the docstring in skpot/descriptors/_soap.py")
    refuse_missing(name, missing)


@pytest.mark.parametrize("name", sorted(COMPRESSIONS - {None}))
def test_a_way_to_combine_species_is_wherever_it_has_to_be(name):
    tests = ["tests/descriptors/test_soap.py", "tests/descriptors/test_soap_learning.py"]
    missing = without(name, tests)
    if f'"{name}"' not in skpot.SOAP.__doc__:
        missing.append("the docstring in skpot/descriptors/_soap.py")
    refuse_missing(name, missing)


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_a_descriptor_is_wherever_it_has_to_be(name):
    files = ["skpot/__init__.py", "tests/registry.py", "CHANGELOG.md"]
    missing = without(name, [*files, "tests/descriptors/test_limits.py"])
    refuse_missing(name, missing + without_tests(DESCRIPTORS[name], "descriptors"))


@pytest.mark.parametrize("tables", centers._MODULES, ids=lambda tables: tables.__name__)
def test_tables_of_compiled_descriptors_are_checked_everywhere(tables):
    files = ["skpot/descriptors/_table_sizes.py"]
    files += ["skpot/persistence/_shapes.py", "skpot/persistence/_relations.py"]
    refuse_missing(tables.__name__, without(tables.__name__, files))


@pytest.mark.parametrize("room", [descriptors, kernels, models], ids=lambda r: r.__name__)
def test_public_estimators_are_exported(room):
    names = unexported(room)
    refuse_missing(names, ["`__all__` of " + room.__name__] if names else [])


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_wherever_it_has_to_be(name):
    missing = without(name, ["skpot/__init__.py", "tests/registry.py", "CHANGELOG.md"])
    refuse_missing(name, missing + without_tests(MODELS[name], "models"))


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_is_wherever_it_has_to_be(name):
    files = ["tests/registry.py"]
    if name not in {"Sum", "Product", "Exponentiation"}:  # which are written +, * and **
        files += ["tests/kernels/test_kernels.py", "CHANGELOG.md"]
    refuse_missing(name, without(name, files))
