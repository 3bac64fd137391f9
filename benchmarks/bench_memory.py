"""Whether `max_memory` bounds the process of a fit.

    python benchmarks/bench_memory.py --data DIR --stride 12

Five pipelines are fitted to structures in files with max_memory=1e9, each in a process of its own:
the presets, of which the larger two are kept sparse, a sparse model with as many references as the
limit allows, and one that is quadratic in its features. Told is the largest resident memory above
that of the imports, over the limit; it must not exceed 1.1. The structures are the bundled silicon,
or of DIR/LiPS20 every k-th of each file.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from bench_streamed import unpack
from sklearn.pipeline import make_pipeline

import skpot

LIMIT = 1e9


def _sparse(preset):
    return skpot.make_potential(preset, max_memory=LIMIT).set_params(regressor__max_pairs=0)


MODELS = {
    "fast": lambda: _sparse("fast"),
    "default": lambda: _sparse("default"),
    "accurate": lambda: _sparse("accurate"),
    "references": lambda: make_pipeline(
        skpot.SOAP(hypers="fast", cache=False), skpot.SparseGPR(n_sparse=10_000, max_memory=LIMIT)
    ),
    "quadratic": lambda: make_pipeline(
        skpot.SOAP(hypers="fast", normalize=False, central_weight=0.0, cache=False),
        skpot.PrincipalComponents(40),
        skpot.LinearRidge(alpha=1e-3, degree=2, max_memory=LIMIT),
    ),
}


def resident(largest=False):
    """Return the resident memory of this process in bytes, now or at most so far."""
    name = "VmHWM:" if largest else "VmRSS:"
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024.0 * int(line.split()[1])
    raise OSError("the system does not tell resident memory")


def fit(name, folder, stride):
    """Fit in this process, and print what it took."""
    model = MODELS[name]()
    before, begin = resident(), time.process_time()
    paths = sorted(pathlib.Path(folder).glob("*.xyz"))
    X, y = skpot.read(paths, f"::{stride}", lazy=True)
    while True:
        try:
            model.fit(X, y)
            break
        except skpot.exceptions.InputError as error:  # which says how many references would fit
            fewer = str(error).partition("Use about ")[2].split()
            if not fewer:
                raise
            model[-1].set_params(n_sparse=int(fewer[0]))
    above = resident(largest=True) - before
    record = {
        "bench": "memory",
        "model": name,
        "frames": len(X),
        "atoms": int(y.force_offsets[-1]),
        "imports_mb": round(before / 1e6),
        "above_mb": round(above / 1e6),
        "over_limit": round(above / LIMIT, 2),
        "references": getattr(model[-1], "n_sparse", 0),
        "cpu_s": round(time.process_time() - begin, 1),
    }
    print(json.dumps(record))


def main(options):
    with tempfile.TemporaryDirectory() as folder:
        unpack(options.data, pathlib.Path(folder))
        for name in options.models:
            command = [sys.executable, __file__, "--run", name, folder, str(options.stride)]
            found = subprocess.run(command, capture_output=True, text=True, check=False)
            print(found.stdout.strip() or found.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        fit(given.run[0], given.run[1], int(given.run[2]))
    else:
        main(given)
