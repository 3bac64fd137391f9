"""Test errors, time and memory of `SymmetricGPR` on a molecule, with and without symmetry.

`--data` is a folder with a training file and test files (energy and forces); without it the bundled
ethanol is used. All hyperparameters are the defaults of `SymmetricGPR`, which the bundled ethanol
has set, unless options say otherwise.
"""

import time
from pathlib import Path

from _accuracy import molecule_errors
from _common import arguments, emit, machine, peak_mb, usual, versions

OPTIONS = arguments(
    __doc__,
    **usual(data="", train="train.xyz", test="test_MD.xyz", frames=1000, every=1),
    symmetric=(1, "0 for the process without symmetry"),
    max_iter=(300, "of conjugate gradients"),
)


def read(skpot):
    """Return training structures and labels, and test sets by name; molecules only."""
    if not OPTIONS.data:
        X, y, X_test, y_test = skpot.datasets.load_ethanol(return_X_y=True)
        X, y = X[3:], y[3:]  # after the isolated atoms
        return X[: OPTIONS.frames], y[: OPTIONS.frames], {"ethanol": (X_test, y_test)}
    folder = Path(OPTIONS.data)
    sets = {
        name.split(".")[0]: skpot.read(folder / name, f"::{OPTIONS.every}")
        for name in OPTIONS.test.split(",")
    }
    return *skpot.read(folder / OPTIONS.train, f":{OPTIONS.frames}"), sets


def main():
    import warnings

    import skpot

    warnings.simplefilter("ignore", UserWarning)  # one composition leaves e0 open
    X, y, sets = read(skpot)
    descriptor = skpot.InverseDistances().fit(X)
    features = descriptor.transform(X)
    identity = [range(len(X[0]))]
    model = skpot.SymmetricGPR(
        permutations="auto" if OPTIONS.symmetric else identity, max_iter=OPTIONS.max_iter
    )
    skpot.SymmetricGPR().fit(features[:3], y[:3])  # compilation is not what is measured
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(features, y)
    record = {
        "bench": "accuracy symmetric",
        "set": Path(OPTIONS.data or "ethanol").name,
        "frames": len(X),
        "labels": model.n_rows_,
        "permutations": len(model.permutations_),
        "threads": OPTIONS.threads,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": peak_mb(),
        "iterations": model.n_iter_,
        "residual": model.residual_,
    }
    for name, (X_test, y_test) in sets.items():
        predicted = model.predict(descriptor.transform(X_test))
        record[name] = molecule_errors(y_test, predicted)
    emit(record | machine() | versions("skpot", "numpy", "scipy", "numba"), OPTIONS.out)


if __name__ == "__main__":
    main()
