"""LinearRidge on splines beside SparseGPR on SOAP: errors and CPU time on the bundled silicon.

Fits begin with structures, descriptors included; predictions are of energies, forces and stress of
the test structures, per atom.
"""

from _common import arguments, emit, machine, machine_rates, measure, versions

OPTIONS = arguments(__doc__)


def models(quick):
    from sklearn.pipeline import make_pipeline, make_union

    import skpot

    n_splines, references = (5, 20) if quick else (8, 1000)
    pair = skpot.PairBasis(6.0, r_min=1.5, cache=False)
    triplet = skpot.TripletBasis(5.0, n_splines, r_min=1.5, cache=False)
    soap = skpot.SOAP(cutoff=5.0, n_max=8, l_max=6, cache=False)
    return {
        "LinearRidge": make_pipeline(make_union(pair, triplet), skpot.LinearRidge()),
        "SparseGPR": make_pipeline(soap, skpot.SparseGPR(n_sparse=references)),
    }


def main():
    import skpot
    from skpot.metrics import energy_rmse, forces_rmse, stress_rmse

    X, y, X_test, y_test = skpot.datasets.load_silicon(return_X_y=True)
    if OPTIONS.quick:
        X, y = X[:20], y[:20]
    rounds = min(3, OPTIONS.rounds)
    for name, model in models(OPTIONS.quick).items():
        _, fit = measure(lambda model=model: model.fit(X, y), rounds)
        predicted, predict = measure(lambda model=model: model.predict(X_test), rounds)
        emit(
            {
                "bench": "linear_ridge",
                "model": name,
                "threads": OPTIONS.threads,
                **machine_rates(3),
                "structures": len(X),
                "rows": model[-1].n_rows_,
                "features": model[-1].n_features_in_,
                "fit_cpu_s": fit["cpu_s"],
                "predict_cpu_us_per_atom": 1e6 * predict["cpu_s"] / sum(map(len, X_test)),
                "energy_rmse_mev": 1e3 * energy_rmse(y_test, predicted),
                "forces_rmse": forces_rmse(y_test, predicted),
                "stress_rmse": stress_rmse(y_test, predicted),
                **machine(),
                **versions("skpot", "numpy", "scipy", "numba"),
            },
            OPTIONS.out,
        )


if __name__ == "__main__":
    main()
