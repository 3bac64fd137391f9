"""A small regressor on structures with exact forces: pair functions and least squares."""

import numpy as np
from ase import Atoms
from sklearn.base import BaseEstimator, RegressorMixin

from skpot._base import VersionedEstimator
from skpot.data import Targets, check_structures, check_targets


def clusters(n=24, sizes=(2, 3, 4), seed=0):
    """Random clusters of hydrogen, sizes in turn."""
    rng = np.random.default_rng(seed)
    structures = []
    for k in range(n):
        size = sizes[k % len(sizes)]
        positions = np.arange(size)[:, None] * [1.2, 0.3, 0.1] + rng.normal(0, 0.15, (size, 3))
        structures.append(Atoms("H" * size, positions))
    return structures


def morse(structures, with_forces=True):
    """Label structures with a Morse potential."""
    energies, forces = [], []
    for atoms in structures:
        delta, distance = _pairs(atoms)
        decay = np.exp(-1.5 * (distance - 1.0))
        slope = 3.0 * decay * (1.0 - decay)
        energies.append(float(((1.0 - decay) ** 2 - 1.0).sum() / 2) - 2.0 * len(atoms))
        forces.append(-(slope / distance)[:, :, None] * delta)
    forces = [np.where(np.isfinite(f), f, 0.0).sum(axis=1) for f in forces]
    return Targets(energies, forces if with_forces else None)


def _pairs(atoms):
    delta = atoms.positions[:, None] - atoms.positions[None]
    distance = np.linalg.norm(delta, axis=2)
    np.fill_diagonal(distance, np.inf)
    return delta, distance


class PairRidge(VersionedEstimator, RegressorMixin, BaseEstimator):
    """E = sum over pairs of Gaussians of the distance, fitted to energies and forces."""

    def __init__(self, width=0.5, alpha=1e-6, targets="auto"):
        self.width = width
        self.alpha = alpha
        self.targets = targets

    def _rows(self, structures):
        energy, forces = [], []
        centers = np.linspace(0.4, 4.0, 16)
        for atoms in structures:
            delta, distance = _pairs(atoms)
            scaled = (distance[:, :, None] - centers) / self.width
            value = np.exp(-0.5 * scaled**2)
            slope = -np.where(np.isfinite(scaled), scaled, 0.0) / self.width * value
            energy.append([len(atoms), *value.sum(axis=(0, 1)) / 2])
            unit = delta / distance[:, :, None]
            force = -np.einsum("ijk,ijc->ick", slope, unit)
            forces.append(np.concatenate([np.zeros((len(atoms), 3, 1)), force], axis=2))
        return np.array(energy), np.concatenate(forces).reshape(-1, 17)

    def fit(self, X, y, sample_weight=None):
        X = check_structures(X)
        labels = check_targets(y, [len(atoms) for atoms in X], self.targets)
        weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight)
        energy, _ = self._rows(X)
        rows, values = [energy * weight[:, None]], [labels.energy * weight]
        if labels.has_forces.any():
            which = np.flatnonzero(labels.has_forces)
            rows.append(self._rows([X[i] for i in which])[1])
            values.append(labels.forces_flat.ravel())
        rows, values = np.concatenate(rows), np.concatenate(values)
        gram = rows.T @ rows + self.alpha * np.eye(17)
        self.coef_ = np.linalg.solve(gram, rows.T @ values)
        self.returns_targets_ = isinstance(y, Targets)
        self.saw_forces_ = bool(labels.has_forces.any())
        return self

    def predict(self, X):
        energy, forces = self._rows(check_structures(X))
        if not self.returns_targets_:
            return energy @ self.coef_
        sizes = np.cumsum([len(atoms) for atoms in X])[:-1]
        return Targets(energy @ self.coef_, np.split((forces @ self.coef_).reshape(-1, 3), sizes))
