"""A run that labels by itself, as a process that can be killed: python killed_run.py FOLDER.

The labeler writes a line to paid.txt in FOLDER for each label that it has computed.
"""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ase.build import bulk
from ase.calculators.emt import EMT

from skpot.active import OnTheFly

COMPARED = ("trail.xyz", "checks.jsonl")  # files of a run that must not depend on kills


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


def run(folder):
    """Heat copper, with so small a tolerance that there are some labels."""
    atoms = bulk("Cu", cubic=True).repeat((2, 1, 1))
    learner = OnTheFly(labeler(Path(folder) / "paid.txt"), 0.04, Path(folder) / "run", check=5)
    return learner.run(atoms, 300, temperature=(300.0, 2000.0), timestep=2.0)


def run_with_kills(folder, most, rng, longest=1.0):
    """Run in processes that are killed after up to `longest` seconds; return how many were.

    After `most` kills the process is left alone. Seconds count from where the run begins, since the
    imports before it take longer than all the rest.
    """
    begun, kills = Path(folder) / "begun", 0
    while True:
        begun.unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, __file__, folder], stderr=subprocess.PIPE)
        while process.poll() is None and not begun.exists():
            time.sleep(0.01)
        until = time.monotonic() + (rng.uniform(0.0, longest) if kills < most else 1e9)
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read().decode()
            return kills
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1


def differences(folder, whole):
    """Return the files that differ from those of a whole run, and labels that were paid twice."""
    differ = [
        name
        for name in COMPARED
        if (Path(folder) / "run" / name).read_bytes() != (Path(whole) / "run" / name).read_bytes()
    ]
    paid = (Path(folder) / "paid.txt").read_text(encoding="utf-8").split()
    return differ, len(paid) - len(set(paid))


if __name__ == "__main__":
    (Path(sys.argv[1]) / "begun").touch()
    run(sys.argv[1])
