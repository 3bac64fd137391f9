"""Fit of SparseGPR on silicon: where the time goes, floors, peak memory.

Stages are timed by wrapping the functions that do them; on several threads assembly counts as
products. Floors, at the rate of a matrix product
measured in the same run:

  label floor    rows x references x features x 2 flops: every label a functional of the features
  true floor     sum over centers of (3 x neighbors + 3 + 6) x features x references x 2 flops:
                 each label collects what every center near it contributes
  QR floor       2 x rows x references^2 flops

Times are CPU seconds on one thread, wall seconds on several. Peak memory is that of a child process
that only fits; subtract `imports_mb`, what it held before it read any data.
"""

from _common import (
    StageClock,
    arguments,
    emit,
    machine,
    machine_rates,
    peak_mb,
    run_again,
    versions,
)

OPTIONS = arguments(
    __doc__,
    data=(None, "training file for skpot.read instead of the built structures"),
    frames=(100, "built structures"),
    references=(1000, "n_sparse"),
    mode=("all", "internal: 'stages' and 'fit' run in children"),
)


def training_data():
    import _systems

    import skpot

    if OPTIONS.data:
        return skpot.read(OPTIONS.data)
    if OPTIONS.quick:
        return _systems.labeled_silicon(4, 1)
    return _systems.labeled_silicon(OPTIONS.frames, 2)


def pipeline():
    from sklearn.pipeline import make_pipeline

    import skpot

    soap = skpot.SOAP(cutoff=5.0, n_max=8, l_max=6, sigma=0.5)
    return make_pipeline(soap, skpot.SparseGPR(n_sparse=OPTIONS.references))


def fit_only():
    """Fit once; print what the process held before data and at its peak."""
    pipeline()
    import skpot.descriptors
    import skpot.models  # noqa: F401

    imports = peak_mb()
    X, y = training_data()
    data = peak_mb()
    pipeline().fit(X, y)
    emit({"imports_mb": imports, "data_mb": data, "peak_mb": peak_mb()})


def stages():
    """Fit with every stage timed; print the split and the floors."""
    from skpot.data import AtomicFeatures
    from skpot.descriptors import SOAP, descriptor_cache
    from skpot.processes import references
    from skpot.solvers import TriangularFactor

    X, y = training_data()
    places = [
        (SOAP, "transform", "descriptors"),
        (references, "select_from_parts", "selection"),
        (AtomicFeatures, "jacobian", "jacobian"),
        (references.References, "gradient_rows", "products"),
        (TriangularFactor, "fold", "qr"),
    ]
    if OPTIONS.threads == 1:  # on several, these run in threads, which the clock cannot follow
        places.append((references, "add_rows", "assembly"))
    if not OPTIONS.quick:
        pipeline().fit(X[:10], y[:10])  # compiles, or loads what was compiled
    runs = []
    for _ in range(min(3, OPTIONS.rounds)):
        descriptor_cache.clear()
        clock = StageClock()
        model = pipeline()
        with clock.wrapping(*places), clock.stage("other"):
            model.fit(X, y)
        runs.append(clock.cpu if OPTIONS.threads == 1 else clock.wall)
    split = sorted(runs, key=lambda run: sum(run.values()))[len(runs) // 2]
    rates = machine_rates(3 if OPTIONS.quick else 7)
    features = model[0].transform(X)
    emit(split_record(*model, features, split, rates), OPTIONS.out)


def split_record(soap, regressor, features, split, rates):
    from _soap_costs import shape_of

    m, p = regressor.reference_features_.shape
    rows = regressor.n_rows_
    rate = rates["dgemm_gflops"] * 1e9
    shape = shape_of(features, soap)
    entries = 3 * shape.n_rows + 6 * shape.n_atoms
    total = sum(split.values())
    label, true, qr = 2.0 * rows * m * p, 2.0 * entries * m * p, 2.0 * rows * m * m
    return {
        "bench": "sparse_gpr",
        "quantity": "stages",
        "threads": OPTIONS.threads,
        **rates,
        "structures": len(features),
        "atoms": len(features.values),
        "rows": rows,
        "references": m,
        "features": p,
        "jacobian_rows": entries,
        "fit_s": total,
        "stages_s": split,
        "label_floor_s": label / rate,
        "true_floor_s": true / rate,
        "qr_floor_s": qr / rate,
        "times_label_floor": total / (label / rate),
        "times_true_and_qr_floor": total / ((true + qr) / rate),
        "products_share_of_rate": true / rate / split["products"],
        "qr_share_of_rate": qr / rate / split["qr"],
        **machine(),
        **versions("skpot", "numpy", "scipy", "numba"),
    }


def main():
    if OPTIONS.mode == "fit":
        fit_only()
    elif OPTIONS.mode == "stages":
        stages()
    else:
        run_again(OPTIONS, "stages")
        (inside,), used = run_again(OPTIONS, "fit", show=False)
        emit(
            {
                "bench": "sparse_gpr",
                "quantity": "memory",
                "threads": OPTIONS.threads,
                **inside,
                **used,
            },
            OPTIONS.out,
        )


if __name__ == "__main__":
    main()
