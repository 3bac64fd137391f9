"""Linear models of energies and forces with any quadratic penalty, by normal equations."""

import numpy as np


def rows(features):
    """Energy rows (n_structures, n_features) and force rows (3 n_atoms, n_features)."""
    energy = np.add.reduceat(features.values, features.offsets[:-1])
    block = features.jacobian(np.arange(len(features.values)))
    force = np.zeros((len(features.values), 3, energy.shape[1]))
    np.subtract.at(force, block.atom, block.values)
    return energy, force.reshape(-1, energy.shape[1])


def fit(features, energies, forces, penalty, sigma_energy, sigma_forces):
    """Coefficients with least (A w - y)' (A w - y) + w' P w, rows divided by their noise."""
    energy, force = rows(features)
    a = np.concatenate([energy / sigma_energy, force / sigma_forces])
    y = np.concatenate([energies / sigma_energy, forces.ravel() / sigma_forces])
    return np.linalg.solve(a.T @ a + penalty, a.T @ y)


def force_error(features, coefficients, forces):
    """RMSE of the forces of the model, by its pull-back."""
    g = np.tile(coefficients, (len(features.values), 1))
    return np.sqrt(np.mean((features.pull_back(g)[0] - forces) ** 2))
