"""SOAP on growing systems: cost per atom, threads, memory of a batch, and the time to import.

Copper of 108 to 100 000 atoms (5 Å, n_max 8, l_max 6): the whole of `transform`, and `transform`
with the pull-back to forces, neighbor search included. Threads: the same on 2048 atoms, one and
two threads in child processes in alternation, wall time. Memory: a child that takes 105 clusters of
20 atoms (2100 in all) through values and every Jacobian block. Import: what `import skpot` with
its main names adds to numba and scikit-learn, and what the first call adds when compiled
functions are cached.
"""

import json
import sys
from pathlib import Path
from statistics import median

from _common import arguments, emit, json_lines, machine, run_child, versions

OPTIONS = arguments(
    __doc__,
    job=("", "run one part in this process (used by the script itself)"),
    systems=("", "folder with S4_aspirin100.xyz for the memory of a batch"),
)
HERE = Path(__file__).resolve()
SETTINGS = dict(cutoff=5.0, n_max=8, l_max=6, sigma=0.5, cache=False)


def sizes():
    """Cost per atom of `transform`, and with the pull-back, by number of atoms."""
    import _systems
    from _common import measure

    repeats = [(2, 2, 2)] if OPTIONS.quick else [(3, 3, 3), (6, 6, 6), (14, 14, 14), (29, 29, 30)]
    for repeat in repeats:
        atoms = _systems.copper(repeat)
        record = {"bench": "scaling size", "atoms": len(atoms)}
        rounds = max(OPTIONS.rounds, 20_000 // len(atoms)) if not OPTIONS.quick else 1
        for name, job in _jobs(atoms).items():
            _, timing = measure(job, min(rounds, 50) if len(atoms) < 50_000 else 3)
            record[f"{name}_us_per_atom"] = timing["cpu_s"] / len(atoms) * 1e6
        emit(record, OPTIONS.out)


def _jobs(atoms):
    import numpy as np

    import skpot

    soap = skpot.SOAP(**SETTINGS).fit([atoms])
    g = np.random.default_rng(0).normal(size=(len(atoms), soap.n_features_out_))
    return {
        "values": lambda: soap.transform([atoms]),
        "force_evaluation": lambda: soap.transform([atoms]).pull_back(g),
    }


def wall():
    """Wall seconds of one force evaluation on 2048 atoms (child)."""
    import _systems
    from _common import measure

    job = _jobs(_systems.copper((2, 2, 2) if OPTIONS.quick else (8, 8, 8)))["force_evaluation"]
    _, timing = measure(job, OPTIONS.rounds)
    emit({key: timing[key] for key in ("wall_s", "wall_min_s")})


def memory():
    """Peak memory of values and all Jacobian blocks of 2100 atoms (child)."""
    import _systems
    import numpy as np
    from _common import peak_mb

    import skpot

    frames = _systems.molecules(2 if OPTIONS.quick else 105)
    if OPTIONS.systems:
        frames = _systems.load(OPTIONS.systems)["S4_aspirin100"]
    soap = skpot.SOAP(**SETTINGS).fit(frames[:1])
    soap.transform(frames[:1]).jacobian([0])  # compiled or loaded
    before = peak_mb()
    features = soap.transform(frames)
    row_bytes = 24.0 * features.shape[1] * features.neighborhood_sizes().max()
    step = max(1, int(24e6 / row_bytes))
    checksum = 0.0
    for begin in range(0, len(features.values), step):
        rows = np.arange(begin, min(begin + step, len(features.values)))
        checksum += float(np.abs(features.jacobian(rows).values).max())
    emit({"atoms": len(features.values), "before_mb": before, "peak_mb": peak_mb()})
    assert checksum > 0.0


_IMPORT = """
import json, time
t0 = time.perf_counter(); import sklearn.base, sklearn.pipeline, numba, scipy.linalg
t1 = time.perf_counter(); import skpot; skpot.SOAP, skpot.SparseGPR
t2 = time.perf_counter()
from ase.build import bulk
soap, atoms = skpot.SOAP(), bulk("Si", cubic=True)
t3 = time.perf_counter(); soap.fit_transform([atoms]); t4 = time.perf_counter()
print(json.dumps({"libraries_s": t1 - t0, "skpot_s": t2 - t1, "first_call_s": t4 - t3}))
"""


def child(job, threads=1):
    extra = ["--quick"] if OPTIONS.quick else []
    extra += ["--systems", OPTIONS.systems] if OPTIONS.systems else []
    command = [sys.executable, HERE, "--job", job, "--threads", threads, *extra]
    return json_lines(run_child(command, threads)[0])[-1]


def main():
    about = machine() | versions("skpot", "numpy", "numba")
    seconds = {1: [], 2: []}
    for _ in range(1 if OPTIONS.quick else 5):
        for threads in seconds:
            seconds[threads].append(child("wall", threads))
    one, two = (median(r["wall_s"] for r in seconds[n]) for n in (1, 2))
    # Of the fastest rounds too: a core that others use for a moment spoils all of two threads.
    least = [min(r["wall_min_s"] for r in seconds[n]) for n in (1, 2)]
    speed_up = {"speed_up": one / two, "speed_up_of_minima": least[0] / least[1]}
    threads = {"bench": "scaling threads", "wall_s": {"1": one, "2": two}}
    emit(threads | speed_up | about, OPTIONS.out)
    emit({"bench": "scaling memory"} | child("memory") | about, OPTIONS.out)
    runs = []
    for _ in range(2 if OPTIONS.quick else 5):
        output, _ = run_child([sys.executable, "-c", _IMPORT], cwd=HERE.parent.parent)
        runs.append(json.loads(output.splitlines()[-1]))
    figures = {key: median(r[key] for r in runs) for key in runs[0]}
    emit({"bench": "scaling import"} | figures | about, OPTIONS.out)
    sizes()  # last: the children's memory would begin at this process's


if __name__ == "__main__":
    {"": main, "wall": wall, "memory": memory}[OPTIONS.job]()
