"""SparseGPRCV against SparseGPR on the same features: what 5 folds x 20 noise levels cost.

CPU seconds of a fit with fixed noise, of the search, and their ratio; the largest relative
difference of the search's scores from fits to the same folds, row by row.
"""

import time

from _common import arguments, emit, machine, machine_rates, versions

OPTIONS = arguments(
    __doc__, frames=(100, "built structures of 64 atoms"), references=(1000, "n_sparse")
)


def cpu(function):
    begin = time.process_time()
    result = function()
    return result, time.process_time() - begin


def main():
    import _systems
    import numpy as np
    from sklearn.model_selection import KFold

    import skpot
    from skpot.metrics import forces_rmse

    frames, repeat = (6, 1) if OPTIONS.quick else (OPTIONS.frames, 2)
    X, y = _systems.labeled_silicon(frames, repeat)
    features = skpot.SOAP(cutoff=5.0, n_max=8, l_max=6, sigma=0.5).fit_transform(X)
    m = 20 if OPTIONS.quick else OPTIONS.references
    levels = dict(sigma_energy=[5e-4, 1e-3, 2e-3, 4e-3], sigma_forces=[0.02, 0.05, 0.1, 0.2, 0.4])
    skpot.SparseGPRCV(n_sparse=10, cv=2).fit(features[:4], y[:4])  # compiles
    model, fit_s = cpu(lambda: skpot.SparseGPR(n_sparse=m).fit(features, y))
    folds = KFold(5)  # as the structures stand
    search, search_s = cpu(
        lambda: skpot.SparseGPRCV(n_sparse=m, cv=folds, **levels).fit(features, y)
    )
    # One fold by its rows, with the same references: those of its own structures would be others.
    train, test = next(folds.split(np.zeros(len(y))))

    class OfSearch(skpot.SparseGPR):
        def _choose_references(self, training):
            return search.posterior_.references

    params = search.cv_results_["params"][7]
    model = OfSearch(n_sparse=m, e0=search.e0_).set_params(**params)
    error = forces_rmse(y[test], model.fit(features[train], y[train]).predict(features[test]))
    score = -search.cv_results_["split0_test_neg_forces_rmse"][7]
    emit(
        {
            "bench": "sparse_gpr_cv",
            "threads": OPTIONS.threads,
            **machine_rates(3 if OPTIONS.quick else 7),
            "rows": search.n_rows_,
            "references": len(search.dual_coef_),
            "folds": search.n_splits_,
            "settings": len(search.cv_results_["params"]),
            "fit_s": fit_s,
            "search_s": search_s,
            "ratio": search_s / fit_s,
            "relative_difference_from_rows": abs(score / error - 1.0),
            **machine(),
            **versions("skpot", "numpy", "scipy", "numba"),
        },
        OPTIONS.out,
    )


if __name__ == "__main__":
    main()
