"""How well standard deviations agree with errors on published sets, before and after calibration.

The model is `make_potential`, which calibrates in its fit (`--models fast,default`), or `sparse`, a
`SparseGPR` with `CalibratedPotential` around it. Records of presets have the CPU time of the fit
over that of the same fit without calibration.

`--data` is a folder that holds the sets, each with its training and test files. Some training
frames are drawn at random, learned from and calibrated on; the test file serves the figures alone,
and so do training frames that were not drawn (`unused`). Calibration error is the mean absolute
difference of nominal and observed coverage; the rank correlation (Spearman) of errors and
deviations is per atom for forces. With `--seeds`, the last record of a set has mean and largest
calibration error over the draws. Grades are extrapolation grades of atoms; `beyond` is the share
of them above 1.
"""

import sys
import time
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from _common import arguments, emit, machine, usual, versions

OPTIONS = arguments(
    __doc__,
    **usual(data="", seeds=1, references=1000, sigma_energy=0.001, sigma_forces=0.05),
    sets=("si,3bpa,ethanol", "which of them, or cu, li"),
    models=("sparse", "presets of make_potential, or sparse"),
    methods=("coverage,scale,isotonic", "of calibration of sparse; and committee"),
    frames=(200, "training frames, drawn at random"), test=(200, "test frames, evenly spread"),
    folds=(0, "of the cross-validation; 0 for the default"), members=(16, "of the committee"),
    preset=("default", "hypers of SOAP"),
)  # fmt: skip

SETS = {
    "si": ("mlearn_Si/train.xyz", "mlearn_Si/test.xyz"),
    "3bpa": ("3bpa/train_300K.xyz", "3bpa/test_600K.xyz.gz"),
    "ethanol": ("rmd17_ethanol/train.xyz", "rmd17_ethanol/test_MD.xyz"),
    "cu": ("mlearn_Cu/train.xyz", "mlearn_Cu/test.xyz"),
    "li": ("mlearn_Li/train.xyz", "mlearn_Li/test.xyz"),
}


def figures(y, predicted, std):
    """Return calibration error and rank correlation of energies and forces."""
    from skpot import metrics

    found = {}
    for quantity in ("energy", "forces"):
        sides = y, predicted, std
        found[quantity] = {
            "calibration_error": metrics.calibration_error(*sides, kind=quantity),
            "correlation": metrics.error_correlation(*sides, kind=quantity),
        }
    return found


def drawn(train, test, seed):
    """Return structures and labels to learn from, and by name those to test on."""
    import numpy as np

    import skpot

    folder = Path(OPTIONS.data)
    X_all, y_all = skpot.read(folder / train)
    order = np.random.default_rng(seed).permutation(len(X_all))
    chosen, others = order[: OPTIONS.frames], order[OPTIONS.frames :][: OPTIONS.test]
    X, y = [X_all[i] for i in chosen], y_all[chosen]
    X_test, y_test = skpot.read(folder / test)
    every = max(1, len(X_test) // OPTIONS.test)
    tests = {"test": (X_test[::every], y_test[::every])}
    if len(others):
        tests["unused"] = [X_all[i] for i in others], y_all[others]
    return X, y, tests


def of_preset(name, preset, seed, X, y, tests):
    """Return the record of a preset, whose fit calibrates."""
    import skpot
    from skpot import metrics

    model = skpot.make_potential(preset)
    begin = time.process_time()
    with calibration_timed() as spent:
        model.fit(X, y)
    fit = time.process_time() - begin
    regressor = model[-1]
    record = {
        "bench": "calibration of presets",
        "set": name,
        "preset": preset,
        "seed": seed,
        "frames": [len(X), *(len(x) for x, _ in tests.values())],
        "exact": regressor.exact_,
        "fit_cpu_s": fit,
        "times_uncalibrated": fit / (fit - sum(spent)),
        "factors": {k: v.tolist() for k, v in regressor.calibration_.items()},
    }
    for part, (X_part, y_part) in tests.items():
        predicted, std = model.predict(X_part, return_std="all")
        record[part] = {
            "rmse_energy_meV_atom": 1e3 * metrics.energy_rmse(y_part, predicted),
            "rmse_forces_eV_A": metrics.forces_rmse(y_part, predicted),
            "calibrated": figures(y_part, predicted, std),
        }
    return record


@contextmanager
def calibration_timed():
    """Yield a list to which the CPU times of what serves calibration alone are appended."""
    from skpot.models import _auto_gpr
    from skpot.processes import exact

    spent = []

    def timed(function):
        def call(*args, **kwargs):
            begin = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent.append(time.process_time() - begin)

        return call

    places = (_auto_gpr, "held_out"), (exact, "_errors_without")
    kept = [getattr(*place) for place in places]
    for place, function in zip(places, kept, strict=True):
        setattr(*place, timed(function))
    try:
        yield spent
    finally:
        for place, function in zip(places, kept, strict=True):
            setattr(*place, function)


def of_sparse(name, seed, X, y, tests):
    """Return the record of a `SparseGPR` and its calibrations."""
    import numpy as np

    import skpot
    from skpot import metrics

    soap = skpot.SOAP(hypers=OPTIONS.preset, cache=False)
    features = soap.fit_transform(X)
    gpr = skpot.SparseGPR(
        n_sparse=OPTIONS.references,
        sigma_energy=OPTIONS.sigma_energy,
        sigma_forces=OPTIONS.sigma_forces,
    )
    begin = time.process_time()
    gpr.fit(features, y)
    fit = time.process_time() - begin
    record = {
        "bench": "accuracy uncertainty",
        "set": name,
        "seed": seed,
        "frames": [len(X), *(len(x) for x, _ in tests.values())],
        "fit_cpu_s": fit,
    }
    calibrated, begin = {}, time.process_time()
    for method in OPTIONS.methods.split(","):
        if method == "committee":
            continue
        model = skpot.CalibratedPotential(gpr, method, OPTIONS.folds or None).fit(features, y)
        calibrated[method] = model
        record[f"{method}_cpu_s"] = time.process_time() - begin
        begin = time.process_time()
        numbers = {k: v.tolist() for k, v in model.calibration_.items() if len(v) == 2}
        record[f"{method}_factors"] = numbers | {"species": model.species_factors_}
    for part, (X_part, y_part) in tests.items():
        values = soap.transform(X_part)
        begin = time.process_time()
        gpr.predict(values)
        plain = time.process_time()
        predicted, std = gpr.predict(values, return_std="all")
        per_atom = 1e3 / sum(map(len, X_part))
        found = {
            "predict_ms_atom": per_atom * (plain - begin),
            "predict_std_ms_atom": per_atom * (time.process_time() - plain),
            "rmse_energy_meV_atom": 1e3 * metrics.energy_rmse(y_part, predicted),
            "rmse_forces_eV_A": metrics.forces_rmse(y_part, predicted),
            "plain": figures(y_part, predicted, std),
        }
        for method, model in calibrated.items():
            found[method] = figures(y_part, predicted, model.calibrate(std, values))
        if "committee" in OPTIONS.methods:
            committee = skpot.Committee(gpr, OPTIONS.members).fit(features, y)
            found["committee"] = figures(y_part, *committee.predict(values, return_std="all"))
        grade = gpr.extrapolation_grade(values)
        found["grade"] = {
            "median": float(np.median(grade)),
            "largest": float(grade.max()),
            "beyond": float(np.mean(grade > 1)),
        }
        record[part] = found
    return record


def summary(records):
    """Return mean and largest calibration error over the draws."""
    first = records[0]
    out = {"bench": f"{first['bench']}, all draws", "set": first["set"], "draws": len(records)}
    methods = ["plain", *OPTIONS.methods.split(",")]
    if "preset" in first:
        out |= {"preset": first["preset"], "exact": first["exact"]}
        out["times_uncalibrated"] = sum(r["times_uncalibrated"] for r in records) / len(records)
        methods = ["calibrated"]
    for part in ("test", "unused"):
        several = [r[part] for r in records if part in r]
        for method in methods if several else []:
            for quantity in ("energy", "forces"):
                values = [r[method][quantity]["calibration_error"] for r in several]
                ranks = [r[method][quantity]["correlation"] for r in several]
                out[f"{part} {method} {quantity}"] = {
                    "mean": sum(values) / len(values),
                    "largest": max(values),
                    "least_correlation": min(ranks),
                }
    return out


def main():
    if not OPTIONS.data:
        sys.exit("name the folder that holds the sets with --data")
    import warnings

    warnings.simplefilter("ignore", UserWarning)  # one composition leaves e0 open
    if OPTIONS.quick:
        OPTIONS.frames, OPTIONS.test, OPTIONS.references = 4, 2, 20
        OPTIONS.preset = "fast"
    settings = ("references", "sigma_energy", "sigma_forces", "preset", "folds", "members")
    common = {"settings": {k: getattr(OPTIONS, k) for k in settings}}
    common |= machine() | versions("skpot", "numpy", "scipy", "numba")
    for name, model in product(OPTIONS.sets.split(","), OPTIONS.models.split(",")):
        records = []
        for seed in range(OPTIONS.seeds):
            data = drawn(*SETS[name], seed)
            if model == "sparse":
                records.append(of_sparse(name, seed, *data))
            else:
                records.append(of_preset(name, model, seed, *data))
            emit(records[-1] | common, OPTIONS.out)
        if OPTIONS.seeds > 1 or model != "sparse":
            emit(summary(records) | common, OPTIONS.out)


if __name__ == "__main__":
    main()
