"""What a cluster of two workers costs and gains, and what a search sends to it.

    python benchmarks/bench_distributed.py fit --data DIR --stride 12
    python benchmarks/bench_distributed.py search

`fit` fits "fast" to structures in files (see bench_streamed.py) in one process, then on two workers
of dask with one thread each. CPU time is compared twice, both sides warm:

- tasks_over_serial: inside of the tasks of rows, what they are packed in included, over rows in one
  process, merging excluded;
- cpu_over_serial: of all processes, this one and both workers with everything that dask does, over
  that of the whole fit in one process.

Cores share caches and memory: side_by_side is the CPU time of the rows where both workers fit all
structures on their own at the same time, without tasks, over that of one process. What the two
ratios above exceed it by is what tasks cost.

Tasks of rows must last 10 s or more; then both should be at most 1.15, and rows 1.7 times as fast.
The machine must be idle, with two free cores.

`search` runs a grid of 12 candidates on such a cluster and counts the bytes that its processes
receive: at most twice the data for each worker. The data are structures and labels as they are
pickled, and `AtomicFeatures` that were computed before.
"""

import argparse
import json
import pathlib
import pickle
import tempfile
import time
from typing import NamedTuple

import dask
import joblib
import numpy as np
from bench_streamed import Watch, unpack
from distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skpot
from skpot.data import tasks
from skpot.processes import sparse
from skpot.rows import folding

_TWO = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}


def _small_fit(X, y):
    """Let this process load everything that it compiled before."""
    skpot.make_potential("fast").fit(X, y)


class _Rows(NamedTuple):
    """What a worker spends on tasks of rows."""

    n: int = 0
    cpu: float = 0.0


def _counting():
    """Let this process, a worker, count what tasks of rows take from now on."""
    run, tasks.rows = tasks._task, _Rows()

    def counted(common, packed):
        function = common.content()[0]
        begin = time.process_time()
        result = run(common, packed)
        if function is folding._folded:
            n, cpu = tasks.rows
            tasks.rows = _Rows(n + 1, cpu + time.process_time() - begin)
        return result

    tasks._task = counted


def _fit_alone(X, y):
    """Return the CPU time of the rows of a fit without tasks."""
    with Watch((folding, "_folded")) as rows:
        skpot.make_potential("fast").fit(X, y)
    return rows.cpu


def _spent():
    """Return what this process has spent so far: on tasks of rows, and in all."""
    return tasks.rows, time.process_time()


def fit(options):
    """Print what a fit takes in one process and on two workers."""
    with tempfile.TemporaryDirectory() as folder:
        unpack(options.data, pathlib.Path(folder))
        paths = sorted(pathlib.Path(folder).glob("*.xyz"))
        X, y = skpot.read(paths, f"::{options.stride}", lazy=True)
        some = np.arange(0, len(X), max(1, len(X) // 20))
        _small_fit(X[some], y[some])
        # Else workers give back all memory after every array, and look a hundred times a second at
        # what they are doing.
        dask.config.set(
            {
                "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
                "distributed.worker.profile.enabled": False,
            }
        )
        fold = (sparse, "fold_rows")
        begin, cpu = time.perf_counter(), time.process_time()
        with Watch(fold) as alone, Watch((folding, "_folded")) as rows_alone:
            model = skpot.make_potential("fast").fit(X, y)
        wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
        with LocalCluster(**_TWO) as cluster, Client(cluster) as client:
            names = list(client.run(_small_fit, X[some], y[some]))
            both = [client.submit(_fit_alone, X, y, workers=[n], pure=False) for n in names]
            side_by_side = sum(client.gather(both)) / 2
            client.run(_counting)
            before, mine = client.run(_spent), time.process_time()
            begin = time.perf_counter()
            with Watch(fold) as shared, joblib.parallel_config("dask"):
                other = skpot.make_potential("fast").fit(X, y)
            wall_two = time.perf_counter() - begin
            mine = time.process_time() - mine
            spent = [(rows, cpu - before[w][1]) for w, (rows, cpu) in client.run(_spent).items()]
        coefficients = [m[-1].model_.dual_coef_ for m in (model, other)]
        n_tasks, in_tasks = (sum(rows[k] for rows, _ in spent) for k in range(2))
        on_workers = sum(of_worker for _, of_worker in spent)
        record = {
            "bench": "distributed",
            "frames": len(X),
            "atoms": int(y.force_offsets[-1]),
            "tasks": n_tasks,
            "task_s": round(in_tasks / n_tasks, 1),
            "tasks_over_serial": round(in_tasks / rows_alone.cpu, 3),
            "cpu_over_serial": round((mine + on_workers) / cpu, 3),
            "side_by_side": round(side_by_side / rows_alone.cpu, 3),
            "rows_faster": round(alone.wall / shared.wall, 2),
            "fit_faster": round(wall / wall_two, 2),
            "rows_share": round(alone.wall / wall, 2),
            "share_on_workers": round(on_workers / (mine + on_workers), 2),
            "serial_cpu_s": round(cpu, 1),
            "equal": bool(np.array_equal(*coefficients)),
        }
        print(json.dumps(record))


def search(options):
    """Print how many bytes a search sends to each worker, over those of its data."""
    X, y, _, _ = skpot.datasets.load_silicon(return_X_y=True)
    some = np.tile(np.arange(len(X)), options.copies)
    structures = [X[i].copy() for i in some]
    for seed, atoms in enumerate(structures):
        atoms.rattle(1e-3, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "data.xyz")
        import ase.io

        ase.io.write(path, y[some].to_atoms(structures))
        X, y = skpot.read(path)
    soap = skpot.SOAP(n_max=3, l_max=2)
    grid = {"sparsegpr__n_sparse": [5, 10, 15, 20], "sparsegpr__sigma_forces": [0.05, 0.1, 0.2]}
    on_features = {name.partition("__")[2]: values for name, values in grid.items()}
    cases = {
        "structures": (make_pipeline(soap, skpot.SparseGPR()), grid, X),
        "features": (skpot.SparseGPR(), on_features, soap.fit_transform(X)),
    }
    with LocalCluster(**_TWO) as cluster, Client(cluster) as client:
        for name, (model, grid, data) in cases.items():
            size = len(pickle.dumps((data, y), protocol=5))
            before = sum(_received(client).values())
            with joblib.parallel_config("dask"):
                GridSearchCV(model, grid, cv=2, refit=False).fit(data, y)
            sent = sum(_received(client).values()) - before
            record = {
                "bench": "search",
                "data": name,
                "candidates": 12,
                "data_mb": round(size / 1e6, 2),
                "received_mb": round(sent / 1e6, 2),
                "over_data_and_workers": round(sent / size / 2, 2),
            }
            print(json.dumps(record), flush=True)


def _received(client):
    """Return how many bytes each worker has received so far."""
    return client.run(_count)


def _count():
    """Count the bytes that come through the sockets of this process; return those so far."""
    from tornado.iostream import IOStream

    if not hasattr(IOStream, "n_received"):
        IOStream.n_received, read = 0, IOStream.read_from_fd

        def counted(self, buffer):
            n = read(self, buffer)
            IOStream.n_received += n or 0
            return n

        IOStream.read_from_fd = counted
    return IOStream.n_received


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["fit", "search"])
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--copies", type=int, default=20)
    given = parser.parse_args()
    {"fit": fit, "search": search}[given.what](given)
