"""Fits to structures in files: time and memory over the number of atoms.

    python benchmarks/bench_streamed.py --data DIR --strides 100 12 3

DIR/LiPS20 has the published set, 1.2 million atoms; of each of its files every k-th frame is taken,
for each of the strides. Each fit runs in a process of its own, whose largest memory is told.
Without --data it is the bundled silicon. --in-memory adds fits that hold all structures.
"""

import argparse
import gzip
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import skpot

_FILES = "LiPS20/*.xyz.gz"


def unpack(data, folder):
    """Write plain files, since single frames cannot be read from compressed ones."""
    if data is None:
        import ase.io

        known = skpot.datasets.load_silicon()
        ase.io.write(folder / "silicon.xyz", known.y.to_atoms(known.X))
        return
    for path in sorted(data.glob(_FILES)):
        with gzip.open(path) as packed, open(folder / path.stem, "wb") as plain:
            shutil.copyfileobj(packed, plain)


def fit(folder, stride, lazy):
    """Fit in this process, and print what it took."""
    begin = time.process_time()
    paths = sorted(pathlib.Path(folder).glob("*.xyz"))
    X, y = skpot.read(paths, f"::{stride}", lazy=lazy)
    model = skpot.make_potential("fast").fit(X, y)
    cpu, n_atoms = time.process_time() - begin, int(y.force_offsets[-1])
    record = {
        "bench": "streamed",
        "how": "in files" if lazy else "in memory",
        "frames": len(X),
        "atoms": n_atoms,
        "references": len(model[-1].model_.dual_coef_),
        "cpu_s": round(cpu, 1),
        "us_per_atom": round(1e6 * cpu / n_atoms),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }
    print(json.dumps(record))


def main(options):
    with tempfile.TemporaryDirectory() as folder:
        unpack(options.data, pathlib.Path(folder))
        for stride in options.strides:
            for lazy in (True, False)[: 1 + options.in_memory]:
                command = [sys.executable, __file__, "--run", folder, str(stride), str(int(lazy))]
                found = subprocess.run(command, capture_output=True, text=True, check=False)
                print(found.stdout.strip() or found.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--strides", type=int, nargs="+", default=[1])
    parser.add_argument("--in-memory", action="store_true")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        fit(given.run[0], int(given.run[1]), given.run[2] == "1")
    else:
        main(given)
