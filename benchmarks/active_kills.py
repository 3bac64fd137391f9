"""Kill a run that labels by itself at random moments, until it has been killed often enough.

Each run is started again after every kill (signal 9) until it ends, and its audit trail is compared
byte for byte with that of a run that was left alone. Labels that were computed twice are counted.

    python benchmarks/active_kills.py --kills 50
"""

import os
import sys
import tempfile
from pathlib import Path

from _common import arguments, emit, machine, versions

OPTIONS = arguments(
    __doc__,
    kills=(50, "how often"),
    seed=(0, "of the moments"),
    longest=(2.0, "s, from the begin of a process to its end at most"),
)


def main():
    import numpy as np

    root = str(Path(__file__).resolve().parent.parent)
    os.environ["PYTHONPATH"] = root
    sys.path.insert(0, root)
    from tests.active import killed_run

    rng, kills, runs, differ, twice = np.random.default_rng(OPTIONS.seed), 0, 0, 0, 0
    wanted = 2 if OPTIONS.quick else OPTIONS.kills
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        whole.mkdir()
        killed_run.run(whole)
        while kills < wanted:
            one = Path(folder) / f"{runs}"
            one.mkdir()
            kills += killed_run.run_with_kills(one, wanted - kills, rng, OPTIONS.longest)
            files, paid_twice = killed_run.differences(one, whole)
            runs, differ, twice = runs + 1, differ + bool(files), twice + paid_twice
    emit(
        {
            "bench": "active_kills",
            "kills": kills,
            "seed": OPTIONS.seed,
            "runs": runs,
            "runs_that_differ": differ,
            "labels_paid_twice": twice,
            **machine(),
            **versions("skpot", "numpy", "ase"),
        },
        OPTIONS.out,
    )


if __name__ == "__main__":
    main()
