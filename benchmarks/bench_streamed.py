"""Fits to structures in files: time and memory over the number of atoms.

    python benchmarks/bench_streamed.py --data DIR --strides 100 12 3

DIR/LiPS20 has the published set, 1.2 million atoms; of each of its files every k-th frame is taken,
for each of the strides. Each fit runs in a process of its own, whose largest memory is told.
Without --data it is the bundled silicon. --in-memory adds fits that hold all structures. --costs
fits the three presets instead, the larger two kept sparse, and tells how much of the CPU time rows
take, which can be divided among workers: what the table of costs in docs/scale.md is made of.
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

import numpy as np

import skpot
from skpot.processes import sparse
from skpot.rows import folding

PRESETS = ("fast", "default", "accurate")
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


class RowsWatch:
    """Wall and CPU time that rows take in this process."""

    def __init__(self):
        self.wall = self.cpu = 0.0

    def __enter__(self):
        self._fold = sparse.fold_rows

        def watched(*args):
            begin = time.perf_counter(), time.process_time()
            try:
                return self._fold(*args)
            finally:
                self.wall += time.perf_counter() - begin[0]
                self.cpu += time.process_time() - begin[1]

        sparse.fold_rows = watched
        return self

    def __exit__(self, *_):
        sparse.fold_rows = self._fold


def merging(m):
    """Return the CPU time that it takes to merge two factors of m references."""
    rng = np.random.default_rng(0)
    one, other = ({"forces": np.triu(rng.normal(size=(m + 1, m + 1)))} for _ in range(2))
    begin = time.process_time()
    folding.merged([one, other])
    return time.process_time() - begin


def fit(folder, stride, how, preset="fast"):
    """Fit in this process, and print what it took."""
    paths = sorted(pathlib.Path(folder).glob("*.xyz"))
    model = skpot.make_potential(preset).set_params(regressor__max_pairs=0)
    if how == "costs":  # of what is compiled nothing
        X, y = skpot.read(paths, f"::{stride}", lazy=True)
        few = skpot.make_potential(preset).set_params(regressor__max_pairs=0)
        few.set_params(regressor__n_sparse=50).fit(X[:3], y[:3])
    begin = time.process_time()
    X, y = skpot.read(paths, f"::{stride}", lazy=how != "in memory")
    with RowsWatch() as rows:
        model.fit(X, y)
    cpu, n_atoms = time.process_time() - begin, int(y.force_offsets[-1])
    record = {
        "bench": "costs" if how == "costs" else "streamed",
        "how": how,
        "frames": len(X),
        "atoms": n_atoms,
        "references": len(model[-1].model_.dual_coef_),
        "cpu_s": round(cpu, 1),
        "us_per_atom": round(1e6 * cpu / n_atoms),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }
    if how == "costs":
        merge = merging(record["references"])
        record |= {"preset": preset, "rows_us_per_atom": round(1e6 * rows.cpu / n_atoms)}
        record |= {"merge_s": round(merge, 3), "task_atoms": folding.TASK_ATOMS}
    print(json.dumps(record))


def main(options):
    with tempfile.TemporaryDirectory() as folder:
        unpack(options.data, pathlib.Path(folder))
        for stride in options.strides:
            runs = [("in files",), ("in memory",)][: 1 + options.in_memory]
            if options.costs:
                runs = [("costs", preset) for preset in PRESETS]
            for run in runs:
                command = [sys.executable, __file__, "--run", folder, str(stride), *run]
                found = subprocess.run(command, capture_output=True, text=True, check=False)
                print(found.stdout.strip() or found.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--strides", type=int, nargs="+", default=[1])
    parser.add_argument("--in-memory", action="store_true")
    parser.add_argument("--costs", action="store_true")
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        fit(given.run[0], int(given.run[1]), *given.run[2:])
    else:
        main(given)
