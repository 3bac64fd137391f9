"""What checks of deviations and new models cost in a run, and the memory of many candidates.

A model of copper, 32 atoms, moves atoms for some steps without any check, and in `OnTheFly` with a
check every ten steps and a tolerance that is never exceeded: both CPU times count the steps alone,
without labels, fit and compilation. `DOptimal` then chooses five of `--candidates` cells of four
atoms of copper; the peak of the memory of the process is compared with that for a tenth of them,
once with the structures in memory and once in a file.

A model of 50 structures of copper, rattled more and more, is fitted anew with one more, or updated
by `SparseGPR.partial_fit`, which keeps its references. Errors on others are those of a fit to all,
and of one to the first ten that is updated forty times.

    python benchmarks/active_checks.py --candidates 100000
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import time

from _common import arguments, emit, machine, versions

LATTICE = 3.61  # Å, of copper
OPTIONS = arguments(
    __doc__,
    steps=(1000, "steps of the runs"),
    candidates=(10000, "of the query"),
    only=(0, "how many candidates to choose from, for the process that does this"),
    file=("", "file of the candidates, for the same process; in memory by default"),
)


def costs(steps):
    """Return CPU seconds of a run without checks, and with them."""
    from ase.build import bulk
    from ase.calculators.emt import EMT

    import skpot
    from skpot.active import OnTheFly
    from skpot.active._walk import Walker
    from skpot.md.dynamics import run, thermalize

    atoms, seconds, walk = bulk("Cu", cubic=True) * 2, [], Walker.walk

    def timed(walker, state, path):
        start = time.process_time()
        found = walk(walker, state, path)
        seconds.append(time.process_time() - start)
        return found

    Walker.walk = timed
    with tempfile.TemporaryDirectory() as folder:
        learner = OnTheFly(EMT(), tol=100.0, path=f"{folder}/run")
        learner.run(atoms, steps, temperature=300.0, timestep=2.0)
    moved = atoms.copy()
    moved.calc = skpot.Calculator(learner.model_)
    thermalize(moved, 300.0)
    moved.get_forces()
    start = time.process_time()
    run(moved, steps, ensemble="nvt", temperature=300.0, timestep=2.0, interval=10**6)
    return time.process_time() - start, sum(seconds)


def rattled(n, seed):
    """Return structures of copper whose atoms are displaced more and more, with labels."""
    import numpy as np
    from ase.build import bulk
    from ase.calculators.emt import EMT

    rng, frames = np.random.default_rng(seed), []
    for k in range(n):
        atoms = bulk("Cu", cubic=True) * 2
        atoms.positions += rng.normal(0.0, 0.03 + 0.2 * k / n, atoms.positions.shape)
        atoms.calc = EMT()
        atoms.get_stress()
        frames.append(atoms)
    return frames


def updates():
    """Return what a new model costs, as a fit or as an update, and errors of forces after both."""
    from sklearn.base import clone

    import skpot

    X, X_test = rattled(51, 1), rattled(30, 2)
    y, y_test = skpot.Targets.from_atoms(X), skpot.Targets.from_atoms(X_test)
    skpot.make_potential("fast").fit(X[:10], y[:10])  # compiles
    times, model = {}, skpot.make_potential("fast")
    start = time.process_time()
    model.fit(X, y)
    times["refit"] = time.process_time() - start
    features, sparse = model[:-1].transform, clone(model[-1].model_)
    sparse.fit(features(X[:50]), y[:50])
    start = time.process_time()
    sparse.partial_fit(features(X[50:]), y[50:])
    times["update"] = time.process_time() - start
    sparse.fit(features(X[:10]), y[:10])
    for k in range(10, 50):
        sparse.partial_fit(features(X[k : k + 1]), y[k : k + 1])
    anew = skpot.make_potential("fast").fit(X[:50], y[:50])
    errors = {
        "refit": 1e3 * skpot.metrics.forces_rmse(y_test, anew.predict(X_test)),
        "update": 1e3 * skpot.metrics.forces_rmse(y_test, sparse.predict(features(X_test))),
    }
    return times, errors


def positions(n):
    """Yield positions of n cells of four atoms of copper, displaced at random."""
    rng, half = random.Random(0), 0.5 * LATTICE
    ideal = (0.0, 0.0, 0.0), (0.0, half, half), (half, 0.0, half), (half, half, 0.0)
    for _ in range(n):
        yield [[x + rng.gauss(0.0, 0.1) for x in atom] for atom in ideal]


def in_memory(n):
    """Return the cells as a list of structures."""
    from ase import Atoms

    return [Atoms("Cu4", found, cell=[LATTICE] * 3, pbc=True) for found in positions(n)]


def write_cells(path, n):
    """Write the cells to a file, without numpy: children begin with the memory of this process."""
    a = LATTICE
    head = f'4\nLattice="{a} 0 0 0 {a} 0 0 0 {a}" Properties=species:S:1:pos:R:3 pbc="T T T"\n'
    with open(path, "w", encoding="utf-8") as file:
        for found in positions(n):
            lines = (f"Cu {x:.10f} {y:.10f} {z:.10f}\n" for x, y, z in found)
            file.write(head + "".join(lines))


def choose(n):
    """Choose five of n candidates, and print the peak of memory before and after."""
    import skpot
    from skpot.active import DOptimal

    pool = skpot.Frames(OPTIONS.file) if OPTIONS.file else in_memory(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    query = DOptimal(skpot.make_potential("fast"))
    chosen = query.query(None, candidates=pool, batch_size=5)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = {"before": before / 1024, "after": after / 1024}
    print(json.dumps(told | {"cpu_s": time.process_time() - start, "chosen": chosen.tolist()}))


def peak(n, file=""):
    """Return what a process of its own tells of the choice among n candidates."""
    words = [sys.executable, __file__, "--only", str(n), "--file", file]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def peaks(n):
    """Return what is told of n candidates in memory and in a file."""
    with tempfile.TemporaryDirectory() as folder:
        write_cells(f"{folder}/pool.xyz", n)
        return peak(n), peak(n, f"{folder}/pool.xyz")


def main():
    if OPTIONS.only:
        choose(OPTIONS.only)
        return
    n = 100 if OPTIONS.quick else OPTIONS.candidates
    (few, few_in_file), (many, in_file) = peaks(n // 10), peaks(n)
    plain, checked = costs(40 if OPTIONS.quick else OPTIONS.steps)
    times, errors = updates()
    emit(
        {
            "bench": "active_checks",
            "steps": OPTIONS.steps,
            "plain_cpu_s": plain,
            "checked_cpu_s": checked,
            "ratio": checked / plain,
            "candidates": n,
            "grown_mb": many["after"] - many["before"],
            "grown_mb_tenth": few["after"] - few["before"],
            "structures_mb": many["before"] - few["before"],
            "selection_cpu_s": many["cpu_s"],
            "grown_mb_in_file": in_file["after"] - in_file["before"],
            "grown_mb_in_file_tenth": few_in_file["after"] - few_in_file["before"],
            "in_file_cpu_s": in_file["cpu_s"],
            "new_model_cpu_s": times,
            "new_model_errors": errors,
            **machine(),
            **versions("skpot", "numpy", "ase"),
        },
        OPTIONS.out,
    )


if __name__ == "__main__":
    main()
