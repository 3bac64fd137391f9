"""Errors of models whose training structures were chosen from a pool, by queries or at random.

Each set has a pool without labels and test structures. Structures are chosen from the pool all at
once, a model of the preset is fitted to their labels, and its errors are compared with those of
random choices, one for each seed. The pool of 3BPA has 285 frames at 300 K and 15 hot ones, at
1200 K as far as their forces tell; its hot test frames are others of these. Isolated atoms, where a
set has them, are always learned from. LiPS20 are the first 300 frames of seven of its trajectories,
every twelfth, and others of their last 300; water is a quarter of its frames.

    python benchmarks/active_pools.py --data FOLDER --set 3bpa
"""

import time
import warnings
from pathlib import Path

from _common import arguments, emit, machine, usual, versions

OPTIONS = arguments(
    __doc__,
    **usual(data="", preset="fast", seeds=5),
    set=("silicon", "silicon (bundled), 3bpa, mlearn_Cu, mlearn_Si, LiPS20, water_dpmd"),
    queries=("VOptimal,DOptimal,Mixture", "which queries of skpot.active are compared"),
    sizes=("", "numbers of labels, those of the set by default"),
)

SIZES = {"3bpa": (20, 30, 40, 80), "water_dpmd": (5, 10, 20)}
_LIPS = ("Li2S", "Li3P", "Li7P3S11", "Li7PS6", "P2S5", "gamma-Li3PS4", "Li")


def load(name):
    """Return the pool and its labels, structures that are always learned from, and test sets."""
    import numpy as np

    import skpot

    folder = Path(OPTIONS.data) / name
    if name == "silicon":
        X, y, X_test, y_test = skpot.datasets.load_silicon(return_X_y=True)
        return X, y, None, {"test": (X_test, y_test)}
    if name == "3bpa":
        X, y = skpot.read(folder / "train_300K.xyz", ":285")
        hot, of_hot = skpot.read(folder / "train_mixedT.xyz", "350:")
        X, y = X + hot[::10], np.concatenate([y, of_hot[::10]])
        others = [k for k in range(len(hot)) if k % 10]
        tests = {
            "test": skpot.read(folder / "test_300K.xyz.gz", "::8"),
            "hot": ([hot[k] for k in others], of_hot[others]),
        }
        return X, y, skpot.read(folder / "isolated_atoms.xyz"), tests
    if name == "LiPS20":
        parts = [skpot.read(folder / f"{kind}.xyz.gz", ":300:12") for kind in _LIPS]
        tests = [skpot.read(folder / f"{kind}.xyz.gz", "700::50") for kind in _LIPS]
        return *_joined(parts), None, {"test": _joined(tests)}
    if name == "water_dpmd":
        X, y = skpot.read(folder / "all.xyz.gz")
        return X[:300:3], y[:300:3], None, {"test": (X[301::5], y[301::5])}
    X, y = skpot.read(folder / "train.xyz")
    return X, y, None, {"test": skpot.read(folder / "test.xyz")}


def _joined(parts):
    import numpy as np

    return [a for X, _ in parts for a in X], np.concatenate([y for _, y in parts])


def errors_of(model, X, y):
    """Return errors in meV per atom and meV/Å; the quantile is of force components."""
    import numpy as np

    from skpot import metrics

    predicted = model.predict(X)
    error = np.abs(np.concatenate(y.forces) - np.concatenate(predicted.forces))
    return {
        "energy": 1e3 * metrics.energy_rmse(y, predicted),
        "forces": 1e3 * metrics.forces_rmse(y, predicted),
        "quantile": 1e3 * float(np.quantile(error, 0.99)),
    }


def fitted_errors(pool, chosen):
    """Fit a model to chosen structures; return its errors on all test sets."""
    import numpy as np

    import skpot

    X, y, always, tests = pool
    X, y = [X[i] for i in chosen], y[chosen]
    if always is not None:
        X, y = always[0] + X, np.concatenate([always[1], y])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few structures say little of free atoms
        model = skpot.make_potential(OPTIONS.preset).fit(X, y)
        return {name: errors_of(model, *test) for name, test in tests.items()}


def by_query(name, pool, sizes):
    """Yield the name of a query or random seed, the time it took, and what it chose."""
    import numpy as np

    import skpot
    from skpot import active

    X = pool[0]
    for query in OPTIONS.queries.split(","):
        model = skpot.make_potential(OPTIONS.preset)
        asked = active.DOptimal(model)
        if query == "Mixture":
            asked = active.Mixture(asked, share=0.5)
        elif query != "DOptimal":
            asked = getattr(active, query)(model)
        asked.query(None, candidates=X[:3], batch_size=1)  # compiles
        for size in sizes if query == "Mixture" else sizes[-1:]:
            start = time.perf_counter(), time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that there are copies in a pool
                chosen = asked.query(None, candidates=X, batch_size=size)
            seconds = time.perf_counter() - start[0], time.process_time() - start[1]
            for n in sizes if query != "Mixture" else (size,):
                yield query, n, seconds, chosen[:n]
    for seed in range(OPTIONS.seeds):
        order = np.random.default_rng(seed).permutation(len(X))
        for n in sizes:
            yield f"Random {seed}", n, (0.0, 0.0), order[:n]


def main():
    sizes = SIZES.get(OPTIONS.set, (20, 40, 80))
    if OPTIONS.sizes:
        sizes = tuple(map(int, OPTIONS.sizes.split(",")))
    pool = load(OPTIONS.set)
    if OPTIONS.quick:
        sizes, pool = (3, 5), (pool[0][:12], pool[1][:12], *pool[2:])
    for query, n, seconds, chosen in by_query(OPTIONS.set, pool, sizes):
        emit(
            {
                "bench": "active_pools",
                "set": OPTIONS.set,
                "preset": OPTIONS.preset,
                "query": query,
                "labels": n,
                "pool": len(pool[0]),
                "hot": int((chosen >= 285).sum()) if OPTIONS.set == "3bpa" else None,
                "selection_s": seconds[0],
                "selection_cpu_s": seconds[1],
                "errors": fitted_errors(pool, chosen),
                **machine(),
                **versions("skpot", "numpy", "ase"),
            },
            OPTIONS.out,
        )


if __name__ == "__main__":
    main()
