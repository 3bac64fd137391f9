"""How well standard deviations agree with errors on published sets, before and after calibration.

`--data` is a folder that holds `mlearn_Si`, `3bpa` and `rmd17_ethanol`, each with its training and
test files. Some training frames are learnt from, and calibrated on by cross-validation; test frames
serve the figures alone. Calibration error is the mean absolute difference of nominal and observed
coverage; the rank correlation (Spearman) of errors and deviations is per atom for forces. Grades
are extrapolation grades of atoms; `beyond` is the share of them above 1.
"""

import sys
import time
from pathlib import Path

from _common import arguments, emit, machine, versions

OPTIONS = arguments(
    __doc__,
    data=("", "folder with the sets"),
    sets=("si,3bpa,ethanol", "which of them"),
    frames=(200, "training frames, drawn at random"),
    folds=(4, "of the cross-validation"),
    test=(200, "test frames, evenly spread"),
    references=(1000, "n_sparse"),
    sigma_energy=(0.001, "noise, eV/atom"),
    sigma_forces=(0.05, "noise, eV/Å"),
    preset=("default", "hypers of SOAP"),
    members=(16, "of the committee"),
)

SETS = {
    "si": ("mlearn_Si/train.xyz", "mlearn_Si/test.xyz"),
    "3bpa": ("3bpa/train_300K.xyz", "3bpa/test_600K.xyz.gz"),
    "ethanol": ("rmd17_ethanol/train.xyz", "rmd17_ethanol/test_MD.xyz"),
}


def figures(y, predicted, std):
    """Return calibration error and rank correlation of energies and forces."""
    from skpot import metrics

    found = {}
    for quantity in ("energy", "forces"):
        sides = y, predicted, std
        found[quantity] = {
            "calibration_error": metrics.calibration_error(*sides, quantity=quantity),
            "correlation": metrics.error_correlation(*sides, quantity=quantity),
        }
    return found


def run(name, train, test):
    import numpy as np

    import skpot
    from skpot import metrics

    folder = Path(OPTIONS.data)
    X, y = skpot.read(folder / train)
    chosen = np.random.default_rng(0).permutation(len(X))[: OPTIONS.frames]
    X, y = [X[i] for i in chosen], y[chosen]
    X_test, y_test = skpot.read(folder / test)
    every = max(1, len(X_test) // OPTIONS.test)
    X_test, y_test = X_test[::every], y_test[::every]
    soap = skpot.SOAP(hypers=OPTIONS.preset, cache=False)
    features, others = soap.fit_transform(X), soap.transform(X_test)
    gpr = skpot.SparseGPR(
        n_sparse=OPTIONS.references,
        sigma_energy=OPTIONS.sigma_energy,
        sigma_forces=OPTIONS.sigma_forces,
    )
    begin = time.process_time()
    committee = skpot.Committee(gpr, OPTIONS.members).fit(features, y)
    fit, gpr_ = time.process_time() - begin, committee.estimator_
    begin = time.process_time()
    gpr_.predict(others)
    plain = time.process_time()
    predicted, std = gpr_.predict(others, return_std="all")
    per_atom = 1e3 / sum(map(len, X_test))
    record = {
        "bench": "accuracy uncertainty",
        "set": name,
        "frames": [len(X), len(X_test)],
        "fit_cpu_s": fit,
        "predict_ms_atom": per_atom * (plain - begin),
        "predict_std_ms_atom": per_atom * (time.process_time() - plain),
        "rmse_energy_meV_atom": 1e3 * metrics.energy_rmse(y_test, predicted),
        "rmse_forces_eV_A": metrics.forces_rmse(y_test, predicted),
        "plain": figures(y_test, predicted, std),
        "committee": figures(y_test, *committee.predict(others, return_std="all")),
    }
    for method in ("scale", "isotonic"):
        calibrated = skpot.CalibratedPotential(gpr, method, OPTIONS.folds).fit(features, y)
        record[method] = figures(y_test, predicted, calibrated.calibrate(std))
        if method == "scale":
            record["factor_and_noise"] = {k: v.tolist() for k, v in calibrated.calibration_.items()}
    grade = gpr_.extrapolation_grade(others)
    shares = {"median": np.median(grade), "largest": grade.max(), "beyond": np.mean(grade > 1)}
    record["grade"] = {k: float(v) for k, v in shares.items()}
    settings = ("references", "sigma_energy", "sigma_forces", "preset", "folds", "members")
    record["settings"] = {k: getattr(OPTIONS, k) for k in settings}
    emit(record | machine() | versions("skpot", "numpy", "scipy", "numba"), OPTIONS.out)


def main():
    if not OPTIONS.data:
        sys.exit("name the folder that holds the sets with --data")
    import warnings

    warnings.simplefilter("ignore", UserWarning)  # one composition leaves e0 open
    if OPTIONS.quick:
        OPTIONS.frames, OPTIONS.folds, OPTIONS.test, OPTIONS.references = 4, 2, 2, 20
        OPTIONS.preset = "fast"
    for name in OPTIONS.sets.split(","):
        run(name, *SETS[name])


if __name__ == "__main__":
    main()
