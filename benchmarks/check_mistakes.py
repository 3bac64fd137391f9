"""Which mistakes in labels `skpot.check` finds, and whether it finds any where there are none.

Each of 25 mistakes, such as another unit, another sign or the energies of the next frame, is made
with the labels of a set, and counts as found if a finding has its name. With `--data`, a folder of
published sets, these are checked as they are as well; up to `--frames` frames of each are used for
the mistakes.

    python benchmarks/check_mistakes.py --data FOLDER --sets silicon,ethanol,mlearn_Si,InP
"""

import time
import warnings
from itertools import islice
from pathlib import Path

from _common import arguments, emit, machine, usual, versions

OPTIONS = arguments(
    __doc__,
    **usual(data=""),
    sets=("silicon,ethanol", "which of them; the first two are bundled"),
    frames=(250, "frames that mistakes are made with"),
    mistakes=(1, "0 to check the sets as they are only"),
)

FILES = {
    "mlearn_Si": "mlearn_Si/train.xyz",
    "mlearn_Li": "mlearn_Li/train.xyz",
    "mlearn_Cu": "mlearn_Cu/train.xyz",
    "3bpa": "3bpa/train_300K.xyz",
    "rmd17_ethanol": "rmd17_ethanol/train.xyz",
    "Ta_snap": "Ta_snap/all.xyz.gz",
    "InP": "InP/all.xyz.gz",
    "Fe": "Fe/all.xyz.gz",
    "LiPS20": "LiPS20/Li3P.xyz.gz",
    "water_dpmd": "water_dpmd/all.xyz.gz",
}


def load(name):
    """Return structures with energy and forces, and their labels."""
    import skpot

    if name in FILES:
        X, y = skpot.read(Path(OPTIONS.data) / FILES[name])
    else:
        X, y, _, _ = getattr(skpot.datasets, f"load_{name}")(return_X_y=True)
    return X, y


def as_given(name, X, y):
    """Return the record of a set as it is."""
    import skpot

    start = time.perf_counter()
    report = skpot.check(X, y)
    return {
        "bench": "check_as_given",
        "set": name,
        "frames": len(X),
        "findings": [[found.kind, len(found.frames)] for found in report.findings],
        "seconds": time.perf_counter() - start,
    }


def with_mistakes(name, X, y):
    """Yield the records of all mistakes, and how many were found."""
    import numpy as np

    import skpot
    from tests.mistakes import Labeled, mistakes_for

    order = np.random.default_rng(0).permutation(len(X))
    kept = np.sort(order[: max(OPTIONS.frames, 0)])
    data = Labeled([X[i] for i in kept], y[kept])
    found = []
    for mistake, (make, kind) in mistakes_for(data.y).items():
        kinds = [one.kind for one in skpot.check(*make(data)).findings]
        found.append(kind in kinds)
        yield {
            "bench": "check_mistake",
            "set": name,
            "mistake": mistake,
            "found": found[-1],
            "findings": kinds,
        }
    yield {"bench": "check_mistakes", "set": name, "found": sum(found), "of": len(found)}


def main():
    """Print a record for each set and each mistake."""
    emit({"bench": "check", **machine(), **versions("skpot")}, OPTIONS.out)
    warnings.simplefilter("ignore")
    for name in OPTIONS.sets.split(","):
        X, y = load(name)
        emit(as_given(name, X, y), OPTIONS.out)
        if OPTIONS.mistakes:
            for record in islice(with_mistakes(name, X, y), 2 if OPTIONS.quick else None):
                emit(record, OPTIONS.out)


if __name__ == "__main__":
    main()
