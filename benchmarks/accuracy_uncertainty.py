"""How well standard deviations agree with errors on published sets, before and after calibration.

`--data` is a folder that holds `mlearn_Si`, `3bpa` and `rmd17_ethanol`, each with its training and
test files. A model is fitted to part of the training frames and calibrated on others; test frames
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
    frames=(150, "training frames to fit to"),
    held=(50, "training frames to calibrate on"),
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


def split(X, y):
    """Return frames to fit to and frames to calibrate on, drawn at random."""
    import numpy as np

    order = np.random.default_rng(0).permutation(len(X))
    parts = order[: OPTIONS.frames], order[OPTIONS.frames : OPTIONS.frames + OPTIONS.held]
    return [([X[i] for i in part], y[part]) for part in parts]


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
    from sklearn.frozen import FrozenEstimator
    from sklearn.pipeline import make_pipeline

    import skpot
    from skpot import metrics

    folder = Path(OPTIONS.data)
    (X, y), held = split(*skpot.read(folder / train))
    X_test, y_test = skpot.read(folder / test)
    every = max(1, len(X_test) // OPTIONS.test)
    X_test, y_test = X_test[::every], y_test[::every]
    regressor = skpot.Committee(
        skpot.SparseGPR(
            n_sparse=OPTIONS.references,
            sigma_energy=OPTIONS.sigma_energy,
            sigma_forces=OPTIONS.sigma_forces,
        ),
        OPTIONS.members,
    )
    begin = time.process_time()
    committee = make_pipeline(skpot.SOAP(hypers=OPTIONS.preset, cache=False), regressor).fit(X, y)
    fit = time.process_time() - begin
    model = make_pipeline(committee[0], committee[1].estimator_)
    plain = time.process_time()
    model.predict(X_test)
    begin = time.process_time()
    predicted, std = model.predict(X_test, return_std="all")
    record = {
        "bench": "accuracy uncertainty",
        "set": name,
        "frames": [len(X), len(held[0]), len(X_test)],
        "fit_cpu_s": fit,
        "predict_ms_atom": 1e3 * (begin - plain) / sum(map(len, X_test)),
        "predict_std_ms_atom": 1e3 * (time.process_time() - begin) / sum(map(len, X_test)),
        "rmse_energy_meV_atom": 1e3 * metrics.energy_rmse(y_test, predicted),
        "rmse_forces_eV_A": metrics.forces_rmse(y_test, predicted),
        "plain": figures(y_test, predicted, std),
    }
    for method in ("scale", "isotonic"):
        calibrated = skpot.CalibratedPotential(FrozenEstimator(model), method).fit(*held)
        record[method] = figures(y_test, predicted, calibrated.calibrate(std))
        if method == "scale":
            record["factor_and_noise"] = {k: v.tolist() for k, v in calibrated.calibration_.items()}
    predicted, std = committee.predict(X_test, return_std="all")
    calibrated = skpot.CalibratedPotential(FrozenEstimator(committee)).fit(*held)
    record["committee"] = figures(y_test, predicted, calibrated.calibrate(std))
    for part, frames in [("held", held[0]), ("test", X_test)]:
        grade = model[-1].extrapolation_grade(model[0].transform(frames))
        shares = {"median": np.median(grade), "largest": grade.max(), "beyond": np.mean(grade > 1)}
        record[f"grade_{part}"] = {k: float(v) for k, v in shares.items()}
    settings = ("references", "sigma_energy", "sigma_forces", "preset", "members")
    record["settings"] = {k: getattr(OPTIONS, k) for k in settings}
    emit(record | machine() | versions("skpot", "numpy", "scipy", "numba"), OPTIONS.out)


def main():
    if not OPTIONS.data:
        sys.exit("name the folder that holds the sets with --data")
    import warnings

    warnings.simplefilter("ignore", UserWarning)  # one composition leaves e0 open
    if OPTIONS.quick:
        OPTIONS.frames, OPTIONS.held, OPTIONS.test, OPTIONS.references = 4, 2, 2, 20
        OPTIONS.preset = "fast"
    for name in OPTIONS.sets.split(","):
        run(name, *SETS[name])


if __name__ == "__main__":
    main()
