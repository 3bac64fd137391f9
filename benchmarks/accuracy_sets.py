"""Test errors of `make_potential` on published sets, each with its own split.

`--data` is the folder that holds the sets. Nothing is chosen for a set: what differs between
them is what `fit` chose, which the record holds. mlearn sets, 3BPA and rMD17 ethanol come with
training and test files; of Ta_snap, InP and Fe a fifth of each configuration type, drawn at random,
is held out; of LiPS20 the first frames of each of eight trajectories are trained on, and the last
ones are held out; of Li7P3S11, which is one of them, a hundred of the first 900 frames and the last
50. Errors are given over all test structures, over those that are no rotated
copies of training structures (crystals with files of their own only), and by configuration type.
Time and peak memory are those up to the end of the fit, descriptors included. Those of the preset
"network" are with and without `--members` for ensembles, whose deviations are compared with errors.
"""

import sys
import time
from pathlib import Path

from _accuracy import errors, rotated_copies
from _common import arguments, emit, machine, peak_mb, usual, versions

OPTIONS = arguments(
    __doc__,
    data=("", "folder with the sets"),
    set=("mlearn_Si", "mlearn_Si, mlearn_Cu, mlearn_Li, 3bpa, rmd17_ethanol, Ta_snap, InP, Fe, "
         "LiPS20, Li7P3S11"),
    **usual(preset="accurate"),
    selection=("", "of references, where the model is sparse; the preset's own by default"),
    members=(4, "networks of the preset 'network'"),
    epochs=(0, "of these; 0 stands for as many as trials find"),
    seed=(0, "of the preset 'network'"),
    frames=(200, "of LiPS20: training frames of each trajectory"),
    verbose=(0, "1 shows progress"),
)  # fmt: skip

_FILES = {  # training file, test files
    "mlearn_Si": ("train.xyz", ("test.xyz",)),
    "mlearn_Cu": ("train.xyz", ("test.xyz",)),
    "mlearn_Li": ("train.xyz", ("test.xyz",)),
    "3bpa": ("train_300K.xyz", ("test_300K.xyz.gz", "test_600K.xyz.gz")),
    "rmd17_ethanol": ("train.xyz", ("test_MD.xyz",)),
}
_COMPOSITIONS = ("Li", "Li2S", "Li3P", "Li7P3S11", "Li7PS6", "P", "P2S5", "gamma-Li3PS4")
_SEED = 0


def load(name):
    """Return training structures and labels, and those of the test parts by name."""
    import numpy as np

    import skpot

    folder = Path(OPTIONS.data) / name
    few = ":12" if OPTIONS.quick else ":"
    if name in _FILES:
        train, test = _FILES[name]
        return *skpot.read(folder / train, few), {
            file.split(".")[0]: skpot.read(folder / file, few) for file in test
        }
    if name == "Li7P3S11":
        file = Path(OPTIONS.data) / "LiPS20" / f"{name}.xyz.gz"
        train = skpot.read(file, "0:900:450" if OPTIONS.quick else "0:900:9")
        return *train, {"last": skpot.read(file, "-5:" if OPTIONS.quick else "-50:")}
    if name == "LiPS20":
        return load_trajectories(folder, 2 if OPTIONS.quick else OPTIONS.frames)
    X, y = skpot.read(folder / "all.xyz.gz", "::40" if OPTIONS.quick else ":")
    rng, held = np.random.default_rng(_SEED), np.zeros(len(X), dtype=bool)
    groups = np.array([group(atoms) for atoms in X])
    for kind in np.unique(groups):
        members = rng.permutation(np.flatnonzero(groups == kind))
        held[members[: max(len(members) // 5, len(members) > 1)]] = True
    train, test = np.flatnonzero(~held), np.flatnonzero(held)
    return [X[i] for i in train], y[train], {"held": ([X[i] for i in test], y[test])}


def load_trajectories(folder, n):
    """Return the first n frames of each trajectory, and n / 4 of its last by name."""
    import numpy as np

    import skpot

    X, y, tests = [], [], {}
    for name in _COMPOSITIONS:
        part, labels = skpot.read(folder / f"{name}.xyz.gz", f":{n}")
        X += part
        y.append(labels)
        tests[name] = skpot.read(folder / f"{name}.xyz.gz", f"-{max(1, n // 4)}:")
    return X, np.concatenate(y), tests


def group(atoms):
    return str(atoms.info.get("config_type", "all"))


def chosen(model):
    """Return what the fit chose."""
    regressor = model[-1]
    levels = {
        name: getattr(regressor, name + "_")
        for name in ("sigma_energy", "sigma_forces", "sigma_stress")
    }
    soap = dict(model["features"].transformer_list)["soap"]["soap"]
    if OPTIONS.preset == "network":
        return levels | {
            "hypers": soap.hypers_,
            "members": regressor.linear_coefs_.shape[1],
            "epochs": regressor.n_iter_,
            "labels": regressor.n_rows_,
            "calibration": {k: v.tolist() for k, v in regressor.calibration_.items()},
        }
    fitted = regressor.model_
    return levels | {
        "hypers": soap.hypers_,
        "exact": regressor.exact_,
        "least_weight": float(regressor.weight_.min()),
        "references": len(fitted.reference_features_),
        "labels": fitted.n_rows_,
        "iterations": getattr(fitted, "n_iter_", None),
        "residual": getattr(fitted, "residual_", None),
    }


def calibration(model, X, y):
    """Return the calibration errors of energies and forces, of some structures."""
    from skpot import metrics

    step = max(1, len(X) // 200)
    X, y = X[::step], y[::step]
    predicted, std = model.predict(X, return_std="all")
    return {
        kind: float(metrics.calibration_error(y, predicted, std, kind=kind))
        for kind in ("energy", "forces")
    }


def main():
    if not OPTIONS.data:
        sys.exit("name the folder that holds the sets with --data")
    import warnings

    import skpot

    warnings.simplefilter("ignore", UserWarning)  # one composition leaves e0 open
    X, y, tests = load(OPTIONS.set)
    model = skpot.make_potential(OPTIONS.preset, verbose=OPTIONS.verbose, random_state=OPTIONS.seed)
    if OPTIONS.preset == "network":
        model.set_params(regressor__n_members=OPTIONS.members)
        model.set_params(regressor__max_iter=OPTIONS.epochs or "auto")
    if OPTIONS.selection:
        model.set_params(regressor__selection=OPTIONS.selection)
    skpot.make_potential(OPTIONS.preset).fit(X[:3], y[:3])  # compiles, which is not measured
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(X, y)
    record = {
        "bench": "accuracy sets",
        "set": OPTIONS.set,
        "preset": OPTIONS.preset,
        "selection": getattr(model[-1], "selection", None),
        "seed": OPTIONS.seed,
        "frames": len(X),
        "atoms": sum(map(len, X)),
        "threads": OPTIONS.threads,
        "fit_wall_s": time.perf_counter() - wall,
        "fit_cpu_s": time.process_time() - cpu,
        "peak_mb": peak_mb(),
        "chosen": chosen(model),
    }
    for name, (X_test, y_test) in tests.items():
        predicted = model.predict(X_test)
        record[name] = errors(y_test, predicted, range(len(X_test)))
        if OPTIONS.preset == "network" and OPTIONS.members > 1:
            record[f"{name}_calibration"] = calibration(model, X_test, y_test)
        if OPTIONS.set.startswith("mlearn"):
            copies = rotated_copies(skpot.SOAP().fit(X), X, X_test)
            others = [k for k in range(len(X_test)) if k not in copies]
            record[f"{name}_without_copies"] = errors(y_test, predicted, others)
        groups = [group(atoms) for atoms in X_test]
        if len(set(groups)) > 1:
            record[f"{name}_by_group"] = {
                g: errors(y_test, predicted, [k for k, h in enumerate(groups) if h == g])
                for g in sorted(set(groups))
            }
    emit(record | machine() | versions("skpot", "numpy", "scipy", "numba"), OPTIONS.out)


if __name__ == "__main__":
    main()
