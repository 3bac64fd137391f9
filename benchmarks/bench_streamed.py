"""Fits to structures in files: time and memory over the number of atoms.

    python benchmarks/bench_streamed.py --data DIR --strides 100 12 3

DIR/LiPS20 has the published set, 1.2 million atoms; of each of its files every k-th frame is taken,
for each of the strides. Each fit runs in a process of its own, whose largest memory is told.
Without --data it is the bundled silicon. --in-memory adds fits that hold all structures. --costs
fits the three presets instead, the larger two kept sparse, and tells how much of the CPU time goes
into work that is made of tasks, which can be divided among workers: what the table of costs in
docs/scale.md is made of.
"""

import argparse
import functools
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
from skpot.data import tasks
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


class Watch:
    """Wall and CPU time that functions of modules take in this process.

    Parameters
    ----------
    *places : tuple of (module, str)
        The functions, which do not call each other.
    """

    def __init__(self, *places):
        self._places = places
        self.wall = self.cpu = 0.0

    def __enter__(self):
        self._known = [getattr(*place) for place in self._places]
        for (module, name), function in zip(self._places, self._known, strict=True):
            setattr(module, name, functools.partial(self._watched, function))
        return self

    def _watched(self, function, *args, **options):
        begin = time.perf_counter(), time.process_time()
        try:
            return function(*args, **options)
        finally:
            self.wall += time.perf_counter() - begin[0]
            self.cpu += time.process_time() - begin[1]

    def __exit__(self, *_):
        for (module, name), function in zip(self._places, self._known, strict=True):
            setattr(module, name, function)


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
    with Watch((tasks, "worked"), (sparse, "fold_rows")) as divided:
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
        m, n_features = record["references"], model[-1].n_features_in_
        record |= {"preset": preset, "divided_us_per_atom": round(1e6 * divided.cpu / n_atoms)}
        task_atoms = round(folding.row_times(m, n_features) * tasks.TASK_ATOMS)
        record |= {"merge_s": round(merging(m), 3), "task_atoms": task_atoms}
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
