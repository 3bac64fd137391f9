"""Test errors on a data set with its own train and test parts, such as mlearn silicon.

`--data` is a folder with train.xyz and test.xyz (energy, forces and stress in ASE's convention,
`config_type` in info). The noise levels are chosen on the training part alone, by cross-validation
over shuffled folds; the choice minimizes the product of the mean absolute errors of energies and
forces. The final fit runs in a child process, for its CPU time and peak memory. Errors
are given over all test structures, over those that are no rotated copies of training structures
(equal environments to within 1e-6), and by configuration type.
"""

import sys
from pathlib import Path

from _accuracy import errors, rotated_copies
from _common import arguments, emit, machine, peak_mb, run_again, versions

OPTIONS = arguments(
    __doc__,
    data=("", "folder with train.xyz and test.xyz"),
    references=(2000, "n_sparse"),
    sigma_energy=("0.0005,0.001,0.002", "noise levels to choose from, eV/atom"),
    sigma_forces=("0.05,0.1,0.2", "noise levels to choose from, eV/Å"),
    folds=(3, "of the cross-validation"),
    mode=("all", "internal: 'choose' and 'fit' run in children"),
)


def descriptor():
    import skpot

    return skpot.SOAP(cutoff=5.0, n_max=8, l_max=6, sigma=0.5)


def part(name):
    import skpot

    return skpot.read(Path(OPTIONS.data) / name)


def levels(text):
    return [float(value) for value in str(text).split(",")]


def choose():
    """Print the noise levels with the smallest errors in cross-validation."""
    import numpy as np
    from sklearn.model_selection import GridSearchCV, KFold

    import skpot

    X, y = part("train.xyz")
    features = descriptor().fit_transform(X)  # once for all fits; it has nothing to learn
    search = GridSearchCV(
        skpot.SparseGPR(n_sparse=OPTIONS.references),
        {
            "sigma_energy": levels(OPTIONS.sigma_energy),
            "sigma_forces": levels(OPTIONS.sigma_forces),
        },
        scoring=["neg_energy_mae", "neg_forces_mae"],
        cv=KFold(OPTIONS.folds, shuffle=True, random_state=0),
        refit=False,
        error_score="raise",
    ).fit(features, y)
    energy = -search.cv_results_["mean_test_neg_energy_mae"]
    forces = -search.cv_results_["mean_test_neg_forces_mae"]
    for candidate, e, f in zip(search.cv_results_["params"], energy, forces, strict=True):
        record = {**candidate, "mae_energy_meV_atom": 1e3 * e, "mae_forces_eV_A": f}
        emit({"bench": "accuracy", "quantity": "cross-validation", **record}, OPTIONS.out)
    emit({"chosen": search.cv_results_["params"][int(np.argmin(energy * forces))]})


def final():
    """Fit with one choice; print errors, fit time and peak memory up to the end of the fit."""
    import time

    from sklearn.pipeline import make_pipeline

    import skpot

    X, y = part("train.xyz")
    (sigma_energy,), (sigma_forces,) = levels(OPTIONS.sigma_energy), levels(OPTIONS.sigma_forces)
    model = make_pipeline(
        descriptor(),
        skpot.SparseGPR(
            n_sparse=OPTIONS.references, sigma_energy=sigma_energy, sigma_forces=sigma_forces
        ),
    )
    begin = time.process_time()
    model.fit(X, y)
    fit = {"fit_cpu_s": time.process_time() - begin, "peak_mb": peak_mb()}
    X_test, y_test = part("test.xyz")
    predicted = model.predict(X_test)
    copies = rotated_copies(model[0], X, X_test)
    groups = [str(atoms.info.get("config_type", "all")) for atoms in X_test]
    emit(
        {
            "bench": "accuracy",
            "quantity": "test",
            "threads": OPTIONS.threads,
            "references": model[-1].reference_features_.shape[0],
            "sigma_energy": sigma_energy,
            "sigma_forces": sigma_forces,
            **fit,
            "all": errors(y_test, predicted, range(len(X_test))),
            "without_copies": errors(
                y_test, predicted, [k for k in range(len(X_test)) if k not in copies]
            ),
            "copies": copies,
            **{
                group: errors(y_test, predicted, [k for k, g in enumerate(groups) if g == group])
                for group in sorted(set(groups))
            },
            **machine(),
            **versions("skpot", "numpy", "scipy", "numba"),
        },
        OPTIONS.out,
    )


def main():
    if OPTIONS.mode == "choose":
        choose()
    elif OPTIONS.mode == "fit":
        final()
    else:
        if not OPTIONS.data:
            sys.exit("name the folder that holds train.xyz and test.xyz with --data")
        chosen = {"sigma_energy": OPTIONS.sigma_energy, "sigma_forces": OPTIONS.sigma_forces}
        if any("," in value for value in chosen.values()):
            records, _ = run_again(OPTIONS, "choose")
            chosen = records[-1]["chosen"]
        flags = [f"--{k.replace('_', '-')}={v}" for k, v in chosen.items()]
        run_again(OPTIONS, "fit", *flags)


if __name__ == "__main__":
    main()
