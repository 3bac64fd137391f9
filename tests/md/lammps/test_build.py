"""Libraries are compared before they are written, and LAMMPS finds the plugin."""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from skpot.cli import app
from skpot.core.aot import seal
from skpot.data import as_batch
from skpot.md.lammps import _build, _plugin
from tests.md.lammps import compiled_toy as toy
from tests.md.lammps.program import BIN
from tests.project import loaded_heavy_packages


@pytest.mark.parametrize("numbers", [[14], [1, 55], list(range(1, 90))])
def test_structures_for_the_comparison(numbers):
    structures = _build.reference_structures(numbers)
    assert set(structures[0].numbers) == set(structures[1].numbers) == set(numbers)
    assert len(structures[2]) == 1
    distances = np.linalg.norm(as_batch(structures).neighbors(6.0).pairs.vector, axis=1)
    assert 0.8 < distances.min() < 3.0


CRASHING = """
#include <signal.h>
long skpot_abi(void) { raise(SIGNAL); return 1; }
"""


def crashing(signal):
    def build(source, folder, cpu):
        (Path(folder) / "model.c").write_text(CRASHING)
        command = ["cc", f"-DSIGNAL={signal}", "-shared", "-fPIC", "model.c", "-o", "model.so"]
        subprocess.run(command, cwd=folder, check=True)
        seal(Path(folder) / "model.so")
        return Path(folder) / "model.so"

    return build


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ("forces", 1e-6, "the forces of the library differ by 1e-06 from those of the model"),
        ("grades", np.nan, "the grades of the library differ by nan"),
        (None, 0.0, "the library crashes: signal 11. Nothing was written"),
    ],
    ids=["forces", "grades", "crash"],
)
def test_what_is_wrong_is_not_written(wrong, error, message, library, tmp_path, monkeypatch):
    numbers, model = library.numbers, library.model
    path = tmp_path / "model.so"
    shutil.copy(library.path, path)

    def build(source, folder, cpu):
        return Path(shutil.copy(library.path, folder))

    def reference(batch):
        results = toy.reference(model, numbers)(batch)
        return results._replace(**{wrong: getattr(results, wrong) + error}) if wrong else results

    monkeypatch.setattr(_build.aot, "build", build if wrong else crashing("SIGSEGV"))
    with pytest.raises(RuntimeError, match=message):
        _build.write_library(toy.source(model, numbers, "HCOZ"), path, reference)
    assert path.read_bytes() == library.path.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["model.so"]
    assert [p.name for p in library.path.parent.iterdir()] == ["model.so"]  # the intact library


def test_code_that_this_machine_cannot_run(library, tmp_path, monkeypatch):
    source = toy.source(library.model, library.numbers, "HCOZ")
    monkeypatch.setattr(_build.aot, "build", crashing("SIGILL"))
    with pytest.raises(ValueError, match="this machine cannot run code for x86-64-v9"):
        _build.write_library(source, tmp_path / "model.so", None, "x86-64-v9")


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(OSError, match="folder .*nowhere for model.so does not exist"):
        _build.write_library(None, tmp_path / "nowhere" / "model.so", None)


def test_lammps_asks_for_the_folder_without_cost():
    code = "from skpot.md.lammps._plugin import plugin_folder; plugin_folder()"
    assert not loaded_heavy_packages(code)


def installed_entry_point():
    points = metadata.entry_points(group="lammps.plugins")
    return any(point.value == "skpot.md.lammps._plugin:plugin_folder" for point in points)


def test_lammps_finds_the_plugin_by_itself(plugins, tmp_path, monkeypatch):
    if not installed_entry_point():
        pytest.skip("skpot is on the path but not installed")
    # If the package is read-only, the plugin goes to the user's cache.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = _plugin._folders()[1]
    folder.mkdir(parents=True)
    shutil.copy(plugins / _plugin.PLUGIN_FILE, folder)
    code = "import os, lammps; print(os.environ['LAMMPS_PLUGIN_PATH'])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip().split(":")[0] == _plugin.plugin_folder()
    (tmp_path / "in.txt").write_text('if "$(is_available(pair,skpot))" then "print found"\n')
    command = [str(BIN / "lmp"), "-in", "in.txt", "-log", "none"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "found" in result.stdout.splitlines(), result.stdout


def test_where_the_plugin_is_put_and_found(tmp_path, monkeypatch):
    package, cache = tmp_path / "package", tmp_path / "cache"
    monkeypatch.setattr(_plugin, "_SOURCE", package)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    made = tmp_path / "made"
    made.write_text("plugin")
    version = metadata.version("lammps")
    assert _plugin.plugin_folder() == str(package / version)  # no plugin exists yet
    package.write_text("not a folder: nothing can be written below")
    path = _plugin._install(made)
    assert path == cache / "skpot" / f"lammps-{version}" / "skpotplugin.so"
    assert _plugin.plugin_folder() == str(path.parent)
    package.unlink()
    path = _plugin._install(made)
    assert path == package / version / "skpotplugin.so"
    assert _plugin.plugin_folder() == str(path.parent)
    assert [p.name for p in path.parent.iterdir()] == ["skpotplugin.so"]


def building(monkeypatch, tmp_path, compile_plugin, *options):
    """Run the command with another compiler and other folders; return its result."""
    monkeypatch.setattr(_plugin, "compile_plugin", compile_plugin)
    monkeypatch.setattr(_plugin, "_SOURCE", tmp_path / "package")
    return CliRunner().invoke(app, ["lammps", "build-plugin", *map(str, options)])


def test_the_command_tries_the_plugin_and_puts_it_in_place(plugins, tmp_path, monkeypatch):
    def compiled(folder, engine, flags):
        assert engine.version > 20250000 and "-DLAMMPS_SMALLBIG" in engine.definitions
        return Path(shutil.copy(plugins / _plugin.PLUGIN_FILE, folder))

    result = building(monkeypatch, tmp_path, compiled)
    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "package").glob(f"*/{_plugin.PLUGIN_FILE}")
    assert result.output == f"wrote {path}\n"
    assert path.read_bytes() == (plugins / _plugin.PLUGIN_FILE).read_bytes()


def test_a_plugin_that_lammps_does_not_take(plugins, tmp_path, monkeypatch):
    def compiled(folder, engine, flags=()):
        (tmp_path / "empty.c").write_text("void missing(void); void f(void) { missing(); }")
        path = Path(folder) / _plugin.PLUGIN_FILE
        command = ["cc", "-shared", "-fPIC", tmp_path / "empty.c", "-o", path]
        subprocess.run(command, check=True)
        return path

    result = building(monkeypatch, tmp_path, compiled)
    assert result.exit_code == 1
    assert "does not take the plugin: " in result.stderr
    assert "undefined symbol: missing" in result.stderr
    assert not (tmp_path / "package").exists()


def test_a_plugin_that_can_be_written_nowhere(tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    monkeypatch.setattr(_plugin, "_SOURCE", blocked)
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    with pytest.raises(OSError, match="cannot be written anywhere: .*Not a directory"):
        _plugin._install(blocked)
