"""Test errors, time and memory of the exact Gaussian process on molecules, such as 3BPA.

`--data` is a folder with the training file and the test files (energy and forces). Features are
SOAP with data-optimal radial functions and radial scaling, projected on the leading directions of
each species; nothing is chosen on test data. Time and peak memory are those up to the end of the
fit, descriptors included.
"""

import sys
import time
from pathlib import Path

from _accuracy import molecule_errors
from _common import arguments, emit, machine, peak_mb, usual, versions

OPTIONS = arguments(
    __doc__,
    **usual(data="", train="train_300K.xyz", test="test_300K.xyz.gz,test_600K.xyz.gz"),
    **usual(frames=100, every=1, cutoff=5.0, references=2000),
    **usual(sigma_energy=0.001, sigma_forces=0.02),
    r0=(2.5, "of the radial scaling, Å"),
    exponent=(4.0, "of the radial scaling"),
    l_max=(5, "of SOAP"),
    components=(300, "directions kept of each species"),
    evidence=(0, "labels from which kernel and noise are optimized; 0 to keep what is given"),
)


def model(X):
    import skpot
    from skpot.kernels import RBF

    hydrogen = any("H" in atoms.symbols for atoms in X)
    soap = skpot.SOAP(
        cutoff=OPTIONS.cutoff,
        n_max=8,
        l_max=OPTIONS.l_max,
        sigma=0.3,
        radial_scaling=(OPTIONS.r0, OPTIONS.exponent),
        cutoff_width=OPTIONS.cutoff,
        radial_basis="optimal",
        # A constant of each center, it takes a share of the length that the kernel compares.
        central_weight=0.0,
        species_weights={"H": 0.6} if hydrogen else None,
        normalize=False,
        cache=False,
    )
    gpr = skpot.GPR(
        RBF(1.0),
        sigma_energy=OPTIONS.sigma_energy,
        sigma_forces=OPTIONS.sigma_forces,
        solver="cg",
        n_precondition=OPTIONS.references,
        optimizer="fmin_l_bfgs_b" if OPTIONS.evidence else None,
        subsample=OPTIONS.evidence or 1,
    )
    return [soap, skpot.PrincipalComponents(OPTIONS.components), gpr]


def main():
    if not OPTIONS.data:
        sys.exit("name the folder that holds the training and test files with --data")
    import warnings

    from sklearn.pipeline import make_pipeline

    import skpot

    warnings.simplefilter("ignore", UserWarning)  # one composition leaves e0 open
    folder = Path(OPTIONS.data)
    X, y = skpot.read(folder / OPTIONS.train, f":{OPTIONS.frames}")
    steps = model(X)
    # Compilation is not what is measured.
    make_pipeline(*model(X)).set_params(principalcomponents__n_components=5).fit(X[:3], y[:3])
    wall, cpu = time.perf_counter(), time.process_time()
    features = steps[1].fit_transform(steps[0].fit_transform(X))
    prepared = time.perf_counter() - wall
    gpr = steps[2].fit(features, y)
    record = {
        "bench": "accuracy exact",
        "frames": len(X),
        "labels": gpr.n_rows_,
        "threads": OPTIONS.threads,
        "features_s": prepared,
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": peak_mb(),
        "iterations": gpr.n_iter_,
        "residual": gpr.residual_,
        "kernel": str(gpr.kernel_),
        "noise_scale": gpr.noise_scale_,
        "settings": {
            name: getattr(OPTIONS, name)
            for name in (
                "cutoff", "r0", "exponent", "l_max", "components", "references",
                "sigma_energy", "sigma_forces", "evidence",
            )
        },
    }  # fmt: skip
    fitted = make_pipeline(*steps)
    for name in OPTIONS.test.split(","):
        X_test, y_test = skpot.read(folder / name, f"::{OPTIONS.every}")
        predicted = fitted.predict(X_test)
        record[name.split(".")[0]] = molecule_errors(y_test, predicted)
    emit(record | machine() | versions("skpot", "numpy", "scipy", "numba"), OPTIONS.out)


if __name__ == "__main__":
    main()
