"""A run that labels by itself, as a process that can be killed: python killed_run.py FOLDER LOG.

The labeler writes a line to LOG for each label that it has computed.
"""

import hashlib
import os
import sys

from ase.build import bulk
from ase.calculators.emt import EMT

from skpot.active import OnTheFly


def labeler(log):
    """Return a function that labels by EMT and says so."""

    def label(atoms):
        atoms.calc = EMT()
        found = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{hashlib.sha256(atoms.positions.tobytes()).hexdigest()}\n")
            file.flush()
            os.fsync(file.fileno())
        return found

    return label


def run(folder, log):
    """Heat copper, with so small a tolerance that there are some labels."""
    atoms = bulk("Cu", cubic=True).repeat((2, 1, 1))
    learner = OnTheFly(labeler(log), 0.04, folder, check=5)
    return learner.run(atoms, 300, temperature=(300.0, 2000.0), timestep=2.0)


if __name__ == "__main__":
    run(*sys.argv[1:])
