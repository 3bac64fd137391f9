"""A run of LAMMPS that stops where its model extrapolates: halted_run.py MODEL DATA DUMP."""

import sys

from mpi4py import MPI  # before LAMMPS, which finds its library of MPI through it

import skpot
from skpot.md.lammps import attach


def run(model, data, dump):
    """Heat copper until the grade stops it, and write the last frame."""
    from lammps import lammps

    lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
    lmp.commands_list(["units metal", f"read_data {data}", "timestep 0.002"])
    attach(lmp, skpot.load(model), species=["Cu"], grade_every=5)
    lmp.commands_list(
        [
            "velocity all create 5000 7 loop all",
            "fix move all nve",
            "variable grade equal f_skpot[1]",
            "fix stop all halt 5 v_grade > 2.0 error continue",
            "run 400",
            f"write_dump all custom {dump} id type x y z vx vy vz",
        ]
    )
    step, grade = lmp.extract_global("ntimestep"), lmp.extract_variable("grade")
    if MPI.COMM_WORLD.rank == 0:
        print(step, MPI.COMM_WORLD.size, grade)


if __name__ == "__main__":
    run(*sys.argv[1:])
