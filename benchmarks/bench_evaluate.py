"""Predictions of many frames: memory, and a run that is killed and goes on.

    python benchmarks/bench_evaluate.py --frames 100000 --folder evaluate

Frames are displaced crystals of four atoms of copper, numbered. The first process predicts a tenth
of them and says its memory; the second predicts all and is killed by the system as it writes past
half of the bytes of the first tenth times ten, in the middle of a frame; the third goes on. Each
frame must be there once, in order.
"""

import argparse
import json
import pathlib
import resource
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np

import skpot


def write_frames(path, n):
    from ase.build import bulk

    cell = bulk("Cu", cubic=True)
    rng = np.random.default_rng(0)
    side = cell.cell[0, 0]
    with open(path, "w") as file:
        for k in range(n):
            moved = cell.positions + rng.normal(0.0, 0.1, (4, 3))
            rows = "\n".join("Cu " + " ".join(f"{x:.8f}" for x in row) for row in moved)
            file.write(
                f'4\nLattice="{side} 0 0 0 {side} 0 0 0 {side}" Properties=species:S:1:pos:R:3 '
                f'number={k} pbc="T T T"\n{rows}\n'
            )


def fit(path):
    from ase.build import bulk
    from ase.calculators.emt import EMT

    X = []
    for seed in range(30):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        X.append(atoms)
    model = skpot.make_potential("fast").fit(X, skpot.Targets.from_atoms(X))
    skpot.dump(model, path)


def evaluate(model, frames, out):
    """Predict, in this process, and print what it took."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python makes an exception of it
    n = skpot.evaluate(skpot.load(model), skpot.Frames(frames), out)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps({"predicted": n, "cpu_s": round(time.process_time(), 1), "peak_mb": peak}))


def child(*arguments, largest_file=None):
    """Predict in a new process, which dies without a word where a file outgrows `largest_file`."""
    command = [sys.executable, __file__, "--run", *map(str, arguments)]
    limit = largest_file and partial(die_of_large_files, largest_file)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=limit)
    assert done.returncode == (-signal.SIGXFSZ if largest_file else 0)
    return done.stdout and json.loads(done.stdout)


def die_of_large_files(n_bytes):
    """A limit of the system: unlike a kill by a watcher, it comes at the same byte each time."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def main(n, folder):
    folder.mkdir(parents=True, exist_ok=True)
    model, frames, out = (folder / name for name in ("model.skpot", "frames.xyz", "out.xyz"))
    fit(model)
    write_frames(frames, n)
    tenth = folder / "tenth.xyz"
    small = child(model, f"{frames}@:{n // 10}", tenth)
    child(model, frames, out, largest_file=5 * tenth.stat().st_size)
    rest = child(model, frames, out)
    with open(out) as file:
        numbers = [int(line.split(" number=")[1].split()[0]) for line in file if " number=" in line]
    print(json.dumps({"part": "a tenth"} | small))
    print(json.dumps({"part": "the rest of all, after a kill"} | rest))
    print(json.dumps({"each_once_in_order": numbers == list(range(n))}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("evaluate"))
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        evaluate(*options.run)
    else:
        main(options.frames, options.folder)
