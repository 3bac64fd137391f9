"""Exact Gaussian process on energies, forces and stress, by loops and dense algebra.

The kernel acts between environments of one species, or times `coupling(z, other)` between all;
`features` is any function (numbers, positions,
cell, pbc) -> (n_atoms, n_features). Covariances of derivatives come from second differences of the
covariance of two energies, so nothing is known of the kernel but its values.
"""

import numpy as np

from tests.naive.kernel import STENCIL, VOIGT


def labels(structure):
    """Names of the labels a structure has: "energy", (atom, axis) or Voigt index."""
    names = [] if structure.energy is None else ["energy"]
    if structure.forces is not None:
        names += [(i, axis) for i in range(len(structure.numbers)) for axis in range(3)]
    if structure.stress is not None:
        names += list(range(6))
    return names


def combination(features, structure, name, step=1e-3):
    """A label as a sum over deformed structures: [(weight, feature rows)]."""

    def rows(positions, cell):
        return features(structure.numbers, positions, cell, structure.pbc)

    if name == "energy":
        return [(1.0, rows(structure.positions, structure.cell))]
    terms = []
    for k, weight in STENCIL.items():
        if isinstance(name, tuple):
            positions = structure.positions.copy()
            positions[name] += k * step
            terms.append((-weight / step, rows(positions, structure.cell)))
        else:
            a, b = VOIGT[name]
            deform = np.eye(3)
            deform[a, b] += 0.5 * k * step
            deform[b, a] += 0.5 * k * step
            volume = abs(np.linalg.det(structure.cell))
            moved = rows(structure.positions @ deform, structure.cell @ deform)
            terms.append((weight / step / volume, moved))
    return terms


def apart(z, other):
    """The coupling of species that have nothing in common."""
    return float(z == other)


def covariance(kernel, first, second, coupling=apart):
    """Covariance of two labels, each (species, combination)."""
    total = 0.0
    for u, x in first[1]:
        for w, q in second[1]:
            for i, z in enumerate(first[0]):
                for j, other in enumerate(second[0]):
                    if coupling(z, other):
                        total += u * w * coupling(z, other) * kernel(x[i], q[j])
    return total


class ExactGP:
    """Posterior of the exact process with dense matrices; `e0` is per atomic number."""

    def __init__(
        self, features, kernel, e0, *, sigma_energy, sigma_forces, sigma_stress, coupling=apart
    ):
        self.features, self.kernel, self.e0, self.coupling = features, kernel, e0, coupling
        self.sigmas = sigma_energy, sigma_forces, sigma_stress

    def fit(self, structures):
        sigma_energy, sigma_forces, sigma_stress = self.sigmas
        self.known, y, variance = [], [], []
        for s in structures:
            for name in labels(s):
                self.known.append((s.numbers, combination(self.features, s, name)))
                if name == "energy":
                    y.append(s.energy - sum(self.e0[int(z)] for z in s.numbers))
                    variance.append(sigma_energy**2 * len(s.numbers))
                elif isinstance(name, tuple):
                    y.append(s.forces[name])
                    variance.append(sigma_forces**2)
                else:
                    y.append(s.stress[name])
                    variance.append(sigma_stress**2)
        matrix = [[self._of(a, b) for b in self.known] for a in self.known]
        self.matrix = np.array(matrix) + np.diag(variance)
        self.y = np.array(y)
        self.alpha = np.linalg.solve(self.matrix, y)
        return self

    def predict(self, structure, name):
        """Value and variance of a label of a structure, free atoms' energies not included."""
        mine = structure.numbers, combination(self.features, structure, name)
        row = np.array([self._of(mine, other) for other in self.known])
        prior = self._of(mine, mine)
        return float(row @ self.alpha), prior - float(row @ np.linalg.solve(self.matrix, row))

    def _of(self, first, second):
        return covariance(self.kernel, first, second, self.coupling)
