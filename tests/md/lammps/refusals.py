"""Tries what attach must refuse; prints a JSON object with the error of each attempt."""

import functools
import json

import numpy as np
from lammps import lammps
from mpi4py import MPI

from skpot.exceptions import EngineError
from skpot.md.lammps import attach, mliap
from tests.md.lammps.toy import Toy

FREEZE = "fix still all setforce 0 0 0"
METAL, MOVE = "units metal", "fix move all nve"
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
    failures = range(4, 99)

    def evaluate_pairs(self, pairs, species):
        self.calls += 1
        if self.calls in self.failures and MPI.COMM_WORLD.rank == MPI.COMM_WORLD.size - 1:
            raise ZeroDivisionError("no more")
        return super().evaluate_pairs(pairs, species)


class Doubtful(Toy):
    """Has deviations that fail at the second time: on the last rank, or as they are calibrated."""

    drawn = (None,)

    def __init__(self, fails):
        self.uncertain, self.fails, self.calls = self, fails, 0

    def gradients(self, pairs, species):
        self.calls += 1
        last = MPI.COMM_WORLD.rank == MPI.COMM_WORLD.size - 1
        if self.fails == "draw" and self.calls == 2 and last:
            raise ZeroDivisionError("no draw")
        yield self.evaluate_pairs(pairs, species)[1]

    def calibrated(self, squares, numbers):
        if self.fails == "calibration" and self.calls == 2:
            raise ZeroDivisionError("no calibration")
        return np.sqrt(squares)


class Overflowing(Toy):
    """Has an energy of NaN for one atom."""

    def evaluate_pairs(self, pairs, species):
        energies, gradient = super().evaluate_pairs(pairs, species)
        energies[2] = np.nan
        return energies, gradient


class FailingOnce(Failing):
    failures = (4,)


def ignoring(command):
    """Return a function that gives a command and ignores its error."""

    def give(lmp):
        try:
            lmp.command(command)
        except EngineError:
            pass
        else:
            raise AssertionError("no error")

    return give


def attached(species=("Si",), **options):
    return lambda lmp: attach(lmp, Toy(), species=species, **options)


def at_step(step):
    """Return a function that checks that all steps were done, with the energies of a new run."""

    def check(lmp):
        assert lmp.extract_global("ntimestep") == step
        energy = lmp.get_thermo("pe")
        lmp.command("run 0")
        assert abs(lmp.get_thermo("pe") - energy) < 1e-9

    return check


def no_forces(lmp):
    assert not np.reshape(lmp.gather_concat("f", 1, 3), (-1, 3)).any()


def closed():
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
    lmp.close()
    try:
        attach(lmp, Toy(), species=["Si"])
    except ValueError as error:
        return str(error)


def attempt(before, after=(), potential=None, species=("Si",), attach=attach):
    """Return the error, and the step at which it is raised."""
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
    lmp.commands_list(before)
    try:
        attach(lmp, potential or Toy(), species=species and list(species))
        for command in after:
            command(lmp) if callable(command) else lmp.command(command)
    except Exception as error:
        return f"step {lmp.extract_global('ntimestep')}: {error}"
    finally:
        lmp.close()
    return "nothing"


ON_THE_EDGE = [METAL, "lattice sc 4.0", *ATOMS[1:-1]]  # neighbors at the cutoff itself

DEVIATIONS = functools.partial(attach, deviation_every=3)

FLUX = [
    "compute k all ke/atom", "compute p all pe/atom", "compute s all stress/atom NULL virial",
    "compute flux all heat/flux k p s",
]  # fmt: skip
BONDED = [
    METAL,
    "atom_style bond",
    *ATOMS[:2],
    "create_box 1 all bond/types 1 extra/bond/per/atom 4 extra/special/per/atom 20",
    *ATOMS[3:],
]
BONDS = ["bond_style zero", "bond_coeff *", "create_bonds many all all 1 0.5 2.6"]

if __name__ == "__main__":
    FOUND = {
        "bonded": attempt(BONDED, [*BONDS, "run 0"]),
        "bonded_without_effect": attempt(BONDED, [*BONDS, "special_bonds lj/coul 1 1 1", "run 0"]),
        "bonded_and_marked": attempt(
            BONDED, [*BONDS, "special_bonds lj/coul 0.5 0.5 0.5", "run 0"]
        ),
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
        "overflow": attempt([METAL, *ATOMS], ["run 0"], Overflowing()),
        "draw": attempt([METAL, *ATOMS], [MOVE, "run 10"], Doubtful("draw"), attach=DEVIATIONS),
        # Ranks that fail alone while others wait end the program.
        "calibration": MPI.COMM_WORLD.size == 1
        and attempt([METAL, *ATOMS], [MOVE, "run 10"], Doubtful("calibration"), attach=DEVIATIONS),
        "mliap": attempt([METAL, *ATOMS], attach=mliap.attach),
        "failing": attempt([METAL, *ATOMS], [MOVE, "run 10"], Failing()),
        "failing_again": attempt(
            [METAL, *ATOMS], [MOVE, ignoring("run 10"), "reset_timestep 0", "run 10"], Failing()
        ),
        "after_failing": attempt(
            [METAL, *ATOMS], [MOVE, ignoring("run 10"), "run 5", at_step(8)], FailingOnce()
        ),
        "another_model": attempt([METAL, *ATOMS], [attached(fix_id="b")]),
        "the_same_name": attempt([METAL, *ATOMS], [attached(), "run 2", at_step(2)]),
        "after_unfix": attempt([METAL, *ATOMS], ["unfix skpot", attached(fix_id="b"), "run 2"]),
        "name_of_a_fix": attempt([METAL, *ATOMS, "fix skpot all nve"]),
        "forces_set_before": attempt([METAL, *ATOMS, FREEZE]),
        "forces_set_after": attempt([METAL, *ATOMS], [FREEZE, "run 0", no_forces]),
        "attached_again": attempt([METAL, *ATOMS], [FREEZE, attached(), "run 0", no_forces]),
        "heat_flux_before": attempt([METAL, *ATOMS, *FLUX]),
        "heat_flux": attempt([METAL, *ATOMS], FLUX),
        "heat_flux_in_a_list": attempt([METAL, *ATOMS], [lambda lmp: lmp.commands_list(FLUX)]),
        "heat_flux_in_a_text": attempt(
            [METAL, *ATOMS], [lambda lmp: lmp.commands_string("\n".join(FLUX))]
        ),
        "closed": closed(),
        "no_engine": attempt(
            [METAL, *ATOMS], attach=lambda *_, **__: attach(None, Toy(), species=[])
        ),
        "no_name": attempt([METAL, *ATOMS], ["unfix skpot", attached(fix_id="a b")]),
        "grade_every": attempt([METAL, *ATOMS], [attached(grade_every=-1)]),
        "no_list": attempt([METAL, *ATOMS], species=None),
    }
    if MPI.COMM_WORLD.rank == 0:
        print(json.dumps(FOUND))
