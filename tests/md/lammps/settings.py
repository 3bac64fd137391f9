"""Tries settings of LAMMPS with the plugin and with attach: settings.py plugin library output.json.

What LAMMPS gives at the end of a run is compared with the potential on the structure that it has
then; an attempt that is refused leaves its message.
"""

import json
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from lammps import lammps
from mpi4py import MPI

from skpot.data import as_batch
from skpot.md.lammps import attach
from tests.md.lammps import compiled_toy as toy
from tests.md.lammps.program import BAR

NUMBERS = [1, 6, 8, 14]
MODEL = toy.toy(len(NUMBERS))
predict = toy.reference(MODEL, NUMBERS)
ELEMENTS = ["Si", "O"]


class Attached:
    """The potential of the library, as attach takes it."""

    cutoff = MODEL.cutoff
    species = np.array(NUMBERS)

    def evaluate_pairs(self, pairs, species):
        return toy.evaluated(pairs, species, MODEL)


ATOMIC = ["atom_modify map array"]
BONDED = ["atom_style bond"]
FILL = [
    "create_atoms 1 box",
    "set type 1 type/fraction 2 0.3 7",
    "mass * 28.085",
    "displace_atoms all random 0.1 0.1 0.1 1",
]
CRYSTAL = ["lattice diamond 5.43", "region all block 0 2 0 2 0 2", "create_box 2 all", *FILL]
MOLECULES = [
    *CRYSTAL[:2],
    "create_box 2 all bond/types 1 extra/bond/per/atom 4 extra/special/per/atom 20",
    *FILL,
    "set group all mol 1",
    "special_bonds lj/coul 1 1 1",
]
SLAB = [CRYSTAL[0], "region all block 0 2 0 2 0 4", CRYSTAL[2], "region low block INF INF INF INF "
        "0 1.9", "create_atoms 1 region low", *FILL[1:], "displace_atoms all move 0 0 5 units box",
        ]  # fmt: skip
FAR = [  # types that approach each other
    "region all block 0 20 0 20 0 20",
    "create_box 2 all",
    "create_atoms 1 single 3 10 10",
    "create_atoms 2 single 12 10 10",
    "mass * 28.085",
    "velocity all set 0 0 0",
    "group two type 2",
    "velocity two set -60 0 0",
]
WATCH = [
    "compute p all pressure NULL virial",
    "thermo_style custom step pe c_p[*]",
    "run 0",
]
ONES = "group ones type 1"
CASES = {
    "plain": {},
    "first": {"after": [ONES, "atom_modify first ones"]},
    "multi": {"after": ["neighbor 0.5 multi", "comm_modify mode multi cutoff/multi 1 1.0"]},
    "tiled": {"before": ["comm_style tiled"], "after": ["balance 1.0 rcb"]},
    "empty group": {"after": ["group none empty", "neigh_modify exclude group none all"]},
    "box": {"after": ["fix a all box/relax aniso 0.0"], "run": "minimize 0 1e-6 10 20"},
    "slab": {"before": ["boundary p p f"], "box": SLAB},
    "wrapped slab": {"before": ["boundary p p s"], "box": SLAB},
    "molecules": {"style": BONDED, "box": MOLECULES},
    "swap": {"after": ["fix a all atom/swap 1 10 234 300 ke no types 1 2"], "run": "run 5"},
    "widom": {"after": ["fix a all widom 1 5 1 2345 3000"], "run": "run 3"},
    "gcmc": {"after": ["fix a all gcmc 1 5 5 1 2345 3000 -6.0 0.1"], "run": "run 5"},
    "evaporate": {"after": ["region r block 0 1 0 1 0 1", "fix a all evaporate 1 1 r 3"],
                  "run": "run 4"},
    "respa": {"after": ["fix a all nve", "run_style respa 2 2"], "run": "run 4"},
    "type": {"after": ["neigh_modify exclude type 1 2"]},
    "group": {"after": [ONES, "neigh_modify exclude group ones ones"]},
    "group all": {"after": [ONES, "neigh_modify exclude group ones all"]},
    "molecule": {"style": BONDED, "box": MOLECULES,
                 "after": ["neigh_modify exclude molecule/intra all"]},
    "include": {"after": [ONES, "atom_modify first ones", "neigh_modify include ones"]},
    "later": {"box": FAR, "after": ["neigh_modify exclude type 1 2", "fix a all nve"],
              "run": "run 120"},
    "pair meets": {"after": ["fix a all nve", "create_atoms 1 single 1 1 1 units box",
                             "create_atoms 1 single 1 1 1.05 units box"]},
}  # fmt: skip


def start(driver, before=(), style=ATOMIC, box=CRYSTAL):
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    lmp.commands_list(["units metal", *style, *before, *box])
    if driver == "attach":
        attach(lmp, Attached(), species=ELEMENTS)
        return lmp
    lmp.commands_list(["plugin clear", f"plugin load {PLUGIN}", *STYLE])
    return lmp


def structure(lmp):
    low, high, xy, yz, xz, pbc, _ = lmp.extract_box()
    x, y, z = np.subtract(high, low)
    positions = np.reshape(lmp.gather_concat("x", 1, 3), (-1, 3)) - low
    symbols = [ELEMENTS[t - 1] for t in lmp.gather_concat("type", 0, 1)]
    return Atoms(symbols, positions, cell=[[x, 0, 0], [xy, y, 0], [xz, yz, z]], pbc=pbc)


def differences(lmp):
    """Return the largest differences between LAMMPS's results and the potential's."""
    atoms = structure(lmp)
    expected = predict(as_batch([atoms]))
    thermo = lmp.last_thermo()
    virial = np.array([thermo[f"c_p[{k}]"] for k in (1, 2, 3, 6, 5, 4)])
    virial *= atoms.get_volume() / BAR
    forces = np.reshape(lmp.gather_concat("f", 1, 3), (-1, 3))
    return [
        abs(lmp.get_thermo("pe") - expected.energies.sum()),
        np.abs(forces - expected.forces).max(),
        np.abs(virial - expected.virials[0]).max(),
    ]


def attempt(driver, after=(), run="run 0", **box):
    lmp = start(driver, **box)
    try:
        lmp.commands_list([*after, run])
        lmp.commands_list(WATCH)
        return max(differences(lmp))
    except Exception as error:
        return str(error)
    finally:
        lmp.close()


def energies(driver, after, steps=8):
    """Return numbers of atoms and energies after each step."""
    lmp = start(driver)
    lmp.commands_list(after)
    found = []
    for step in range(steps):
        lmp.command(f"run 1 pre {'no' if step else 'yes'} post no")
        found.append([lmp.get_natoms(), lmp.get_thermo("pe")])
    lmp.close()
    return found


def gas(driver, kind, kelvin=1000.0, span=150.0):
    """Return how many atoms an ideal gas has by the step, 20 in the mean at any free energy."""
    free = predict(as_batch([Atoms(ELEMENTS[kind - 1])])).energies[0]
    box = [f"region all block 0 {span} 0 {span} 0 {span}", "create_box 2 all", "mass * 63.5",
           f"create_atoms {kind} random 20 4321 all overlap 8.0 maxtry 1000"]  # fmt: skip
    lmp = start(driver, box=box)
    kt = 8.617343e-5 * kelvin  # LAMMPS's own constants
    wave = np.sqrt(4.135667403e-3**2 / (2 * np.pi * 63.5 * 1.0364269e-4 * kt))
    mu = kt * np.log(20.0 * wave**3 / span**3) + free
    lmp.command("neighbor 0.5 nsq")  # no bins to fill
    lmp.command(f"fix a all gcmc 1 20 0 {kind} 29494 {kelvin} {float(mu)!r} 0.5")
    found = []
    for step in range(25):
        lmp.command(f"run 1 pre {'no' if step else 'yes'} post no")
        found.append(lmp.get_natoms())
    lmp.close()
    return found


def lost(driver):
    """Return the message about a position that is not a number."""
    lmp = start(driver)
    lmp.commands_list(["fix a all nve", "run 0"])
    atom = 5
    lmp.numpy.extract_atom("x")[list(lmp.numpy.extract_atom("id")).index(atom), 1] = np.nan
    try:
        lmp.command("run 1 pre no")
        return "taken"
    except Exception as error:
        return str(error)
    finally:
        lmp.close()


def excluded_from_another_style():
    """Exclude a type without an element, which the model does not need."""
    lmp = start("plugin")
    lmp.commands_list([
        f"pair_style hybrid skpot {LIBRARY} lj/cut 3.0", "pair_coeff * * skpot Si NULL",
        "pair_coeff * 2 lj/cut 0.0 1.0", "neigh_modify exclude type 1 2", "run 0",
    ])  # fmt: skip
    atoms = structure(lmp)
    energy = predict(as_batch([atoms[atoms.symbols == "Si"]])).energies.sum()
    difference = abs(lmp.get_thermo("pe") - energy)
    lmp.close()
    return difference


def damaged(folder):
    """Return the messages about libraries that were cut or changed."""
    whole = Path(LIBRARY).read_bytes()
    rng, found = np.random.default_rng(0), []
    lmp = start("plugin")
    for k in range(20):
        cut = int(rng.integers(len(whole)))
        data = bytearray(whole if k % 2 else whole[:cut])
        if k % 2:
            data[cut] ^= 1 << int(rng.integers(8))
        path = folder / f"damaged{k}.so"
        path.write_bytes(data)
        try:
            lmp.commands_list([f"pair_style skpot {path}", STYLE[1], "run 0"])
            found.append("taken")
        except Exception as error:
            found.append(str(error))
    lmp.close()
    return found


MOVES = {
    "swap": CASES["swap"]["after"],
    "gcmc": ["fix a all gcmc 1 5 2 1 2345 3000 -6.0 0.1"],
}
DRIVERS = ("plugin", "attach")
if __name__ == "__main__":
    PLUGIN, LIBRARY, OUTPUT = sys.argv[1:]
    STYLE = [f"pair_style skpot {LIBRARY}", f"pair_coeff * * {' '.join(ELEMENTS)}"]
    if MPI.COMM_WORLD.size > 1:  # settings on which ranks must agree
        names = ["swap", "gcmc", "type", "group all", "later"]
        FOUND = {d: {"cases": {name: attempt(d, **CASES[name]) for name in names}} for d in DRIVERS}
    else:
        FOUND = {
            driver: {
                "cases": {name: attempt(driver, **case) for name, case in CASES.items()},
                "moves": {name: energies(driver, after) for name, after in MOVES.items()},
                "lost": lost(driver),
                "gas": [gas(driver, kind) for kind in (1, 2)],
            }
            for driver in DRIVERS
        }
        FOUND["another style"] = excluded_from_another_style()
        FOUND["damaged"] = damaged(Path(OUTPUT).parent)
    if MPI.COMM_WORLD.rank == 0:
        Path(OUTPUT).write_text(json.dumps(FOUND))
