"""What checks of deviations cost in a run, and what memory a query takes of many candidates.

A model of copper, 32 atoms, moves atoms for some steps without any check, and in `OnTheFly` with a
check every ten steps and a tolerance that is never exceeded: both CPU times count the steps alone,
without labels, fit and compilation. `DOptimal` then chooses five of `--candidates` cells of four
atoms of copper; the peak of the memory of the process is compared with that for a tenth of them.

    python benchmarks/active_checks.py --candidates 100000
"""

import json
import resource
import subprocess
import sys
import tempfile
import time

from _common import arguments, emit, machine, versions

OPTIONS = arguments(
    __doc__,
    steps=(1000, "steps of the runs"),
    candidates=(10000, "of the query"),
    only=(0, "how many candidates to choose from, for the process that does this"),
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


def choose(n):
    """Choose five of n candidates, and print the peak of memory and what the structures take."""
    import numpy as np
    from ase.build import bulk

    import skpot
    from skpot.active import DOptimal

    rng, cell = np.random.default_rng(0), bulk("Cu", cubic=True)
    pool = []
    for _ in range(n):
        pool.append(cell.copy())
        pool[-1].positions += rng.normal(0.0, 0.1, (4, 3))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    query = DOptimal(skpot.make_potential("fast"))
    query.query(None, candidates=pool, batch_size=5)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = time.process_time() - start
    print(json.dumps({"before": before / 1024, "after": after / 1024, "cpu_s": seconds}))


def peak(n):
    """Return what a process of its own tells of the choice among n candidates."""
    words = [sys.executable, __file__, "--only", str(n)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    if OPTIONS.only:
        choose(OPTIONS.only)
        return
    plain, checked = costs(40 if OPTIONS.quick else OPTIONS.steps)
    n = 100 if OPTIONS.quick else OPTIONS.candidates
    few, many = peak(n // 10), peak(n)
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
            **machine(),
            **versions("skpot", "numpy", "ase"),
        },
        OPTIONS.out,
    )


if __name__ == "__main__":
    main()
