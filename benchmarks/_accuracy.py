"""What the benchmarks of test errors share."""


def errors(y_true, y_predicted, rows):
    """Return errors over some structures, in the units the field's tables use."""
    import numpy as np

    from skpot import metrics

    rows = list(rows)
    a, b = y_true[rows], y_predicted[rows]
    out = {
        "structures": len(rows),
        "mae_energy_meV_atom": 1e3 * metrics.energy_mae(a, b),
        "rmse_energy_meV_atom": 1e3 * metrics.energy_rmse(a, b),
    }
    if a.has_forces.any():
        out["mae_forces_eV_A"] = metrics.forces_mae(a, b)
        out["rmse_forces_eV_A"] = metrics.forces_rmse(a, b)
    if a.has_stress.any():
        out["rmse_stress_GPa"] = 160.21766 * metrics.stress_rmse(a, b)
    else:  # molecules, of which tables give total energies
        error = 1e3 * (np.asarray(b) - np.asarray(a))
        out["mae_total_energy_meV"] = float(np.mean(np.abs(error)))
        out["rmse_total_energy_meV"] = float(np.sqrt(np.mean(error**2)))
    return out


def molecule_errors(y_true, y_predicted):
    """Return errors of total energies (meV) and forces (meV/Å), as tables of molecules do."""
    import numpy as np

    from skpot import metrics

    error = np.asarray(y_predicted) - np.asarray(y_true)
    return {
        "structures": len(error),
        "rmse_energy_meV": 1e3 * float(np.sqrt(np.mean(error**2))),
        "mae_energy_meV": 1e3 * float(np.mean(np.abs(error))),
        "rmse_forces_meV_A": 1e3 * metrics.forces_rmse(y_true, y_predicted),
        "mae_forces_meV_A": 1e3 * metrics.forces_mae(y_true, y_predicted),
    }


def rotated_copies(soap, X, X_test, tolerance=1e-6):
    """Return the test structures whose environments are all those of a training structure."""
    import numpy as np

    known, new = soap.transform(X), soap.transform(X_test)
    # A generic projection sorts environments alike whatever the order of atoms; rows that tie are
    # equal themselves.
    direction = np.random.default_rng(0).normal(size=known.shape[1])

    def in_order(features):
        for s in range(len(features)):
            rows = features.values[features.offsets[s] : features.offsets[s + 1]]
            yield rows[np.argsort((rows @ direction).round(7), kind="stable")]

    train = list(in_order(known))
    found = []
    for k, rows in enumerate(in_order(new)):
        alike = (
            other.shape == rows.shape and np.abs(other - rows).max() < tolerance for other in train
        )
        if any(alike):
            found.append(k)
    return found
