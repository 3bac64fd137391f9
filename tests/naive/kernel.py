"""Sparse Gaussian process on energies, forces and stress by dense normal equations.

`features` is any function (numbers, positions, cell, pbc) -> (n_atoms, n_features); its derivatives
are taken numerically. The kernel acts between environments of the same species.
"""

import math

import numpy as np
from scipy.special import gamma, kv

# Fourth-order central difference: f'(0) = sum_k weight_k f(k h) / h.
STENCIL = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
VOIGT = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


def dot_product(zeta):
    """Kernel (q . q')^zeta of two vectors."""
    return lambda q, p: float(q @ p) ** zeta


def gaussian(length_scale, variance=1.0):
    """Kernel v exp(-d^2 / 2), d the distance of two vectors in units of one or many lengths."""
    return lambda q, p: variance * math.exp(-0.5 * scaled_distance(q, p, length_scale) ** 2)


def matern(length_scale, nu, variance=1.0):
    """Kernel v 2^(1 - nu) s^nu K_nu(s) / Gamma(nu) with s = sqrt(2 nu) d."""

    def kernel(q, p):
        s = math.sqrt(2 * nu) * scaled_distance(q, p, length_scale)
        return variance * (2 ** (1 - nu) / gamma(nu) * s**nu * kv(nu, s) if s > 1e-6 else 1.0)

    return kernel


def scaled_distance(q, p, length_scale):
    """Distance of two vectors, each component divided by its length."""
    lengths = np.broadcast_to(length_scale, np.shape(q))
    return math.sqrt(sum(((a - b) / c) ** 2 for a, b, c in zip(q, p, lengths, strict=True)))


def along(q, t, step=1e-3):
    """Differentiate a function of q along t: points of it with their weights."""
    return [(weight / step, q + k * step * t) for k, weight in STENCIL.items()]


def of_points(kernel):
    """Kernel of sums over weighted points; a plain vector is a sum of one."""

    def summed(p, q):
        p, q = ([(1.0, a)] if isinstance(a, np.ndarray) else a for a in (p, q))
        return sum(u * w * kernel(x, y) for u, x in p for w, y in q)

    return summed


class Structure:
    """Species, positions, cell and periodicity of one labeled structure; labels may be None."""

    def __init__(self, numbers, positions, cell, pbc, energy=None, forces=None, stress=None):
        self.numbers = np.asarray(numbers)
        self.positions = np.asarray(positions, float)
        self.cell = np.asarray(cell, float)
        self.pbc = pbc
        self.energy, self.forces, self.stress = energy, forces, stress


def labeled_structures(X, y):
    """Return structures of ASE with their labels, of which those that are missing are None."""
    return [
        Structure(
            atoms.numbers,
            atoms.positions,
            atoms.cell.array,
            atoms.pbc,
            y.energy[i] if y.has_energy[i] else None,
            y.forces[i],
            y.stress[i] if y.has_stress[i] else None,
        )
        for i, atoms in enumerate(X)
    ]


def unlabeled(atoms):
    """Return a structure of ASE without labels."""
    return Structure(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)


def energy_row(features, structure, kernel, references, positions=None, cell=None):
    """Covariance of the total energy with each reference (vector, species)."""
    positions = structure.positions if positions is None else positions
    cell = structure.cell if cell is None else cell
    q = features(structure.numbers, positions, cell, structure.pbc)
    return np.array(
        [
            sum(kernel(q[i], p) for i in range(len(q)) if structure.numbers[i] == z)
            for p, z in references
        ],
        float,
    )


def force_rows(features, structure, kernel, references, step=1e-3):
    """Covariance of every force component, (n_atoms * 3, n_references)."""
    rows = []
    for i in range(len(structure.numbers)):
        for axis in range(3):
            row = np.zeros(len(references))
            for k, weight in STENCIL.items():
                moved = structure.positions.copy()
                moved[i, axis] += k * step
                row -= weight / step * energy_row(features, structure, kernel, references, moved)
            rows.append(row)
    return np.array(rows)


def stress_rows(features, structure, kernel, references, step=1e-3):
    """Covariance of the six stress components (xx yy zz yz xz xy), (6, n_references)."""
    volume = abs(np.linalg.det(structure.cell))
    rows = []
    for a, b in VOIGT:
        row = np.zeros(len(references))
        for k, weight in STENCIL.items():
            strain = np.zeros((3, 3))
            strain[a, b] += 0.5 * k * step
            strain[b, a] += 0.5 * k * step
            deform = np.eye(3) + strain
            row += (
                weight
                / step
                * energy_row(
                    features,
                    structure,
                    kernel,
                    references,
                    structure.positions @ deform,
                    structure.cell @ deform,
                )
            )
        rows.append(row / volume)
    return np.array(rows)


def least_squares_e0(structures, species):
    """Energy per atom of each species that fits the total energies best."""
    counts = [[int(np.sum(s.numbers == z)) for z in species] for s in structures]
    energies = [s.energy for s in structures]
    return np.linalg.lstsq(np.array(counts, float), np.array(energies, float), rcond=None)[0]


class SparseGP:
    """The posterior of a sparse Gaussian process with dense matrices.

    Minimizes ``(y - K a)^T S^-1 (y - K a) + a^T K_MM a`` over the coefficients a; S is diagonal
    with sigma_energy^2 * n_atoms, sigma_forces^2 and sigma_stress^2.
    """

    def __init__(
        self, features, kernel, references, e0, *, sigma_energy, sigma_forces, sigma_stress
    ):
        self.features, self.kernel, self.references, self.e0 = features, kernel, references, e0
        self.sigmas = sigma_energy, sigma_forces, sigma_stress

    def fit(self, structures):
        sigma_energy, sigma_forces, sigma_stress = self.sigmas
        blocks, labels, noise = [], [], []
        for s in structures:
            arguments = self.features, s, self.kernel, self.references
            if s.energy is not None:
                blocks.append(energy_row(*arguments)[None])
                labels.append([s.energy - sum(self.e0[int(z)] for z in s.numbers)])
                noise.append([sigma_energy * math.sqrt(len(s.numbers))])
            if s.forces is not None:
                blocks.append(force_rows(*arguments))
                labels.append(np.ravel(s.forces))
                noise.append([sigma_forces] * (3 * len(s.numbers)))
            if s.stress is not None:
                blocks.append(stress_rows(*arguments))
                labels.append(np.ravel(s.stress))
                noise.append([sigma_stress] * 6)
        k_nm = np.concatenate(blocks)
        y = np.concatenate(labels)
        weights = 1 / np.concatenate(noise) ** 2
        self.k_mm = np.array(
            [
                [self.kernel(p, q) if z == w else 0.0 for q, w in self.references]
                for p, z in self.references
            ]
        )
        self.k_nm, self.y, self.noise = k_nm, y, np.concatenate(noise)
        self.precision = self.k_mm + k_nm.T @ (weights[:, None] * k_nm)
        self.alpha = np.linalg.solve(self.precision, k_nm.T @ (weights * y))
        return self

    def energy(self, structure):
        row = energy_row(self.features, structure, self.kernel, self.references)
        return float(row @ self.alpha) + sum(self.e0[int(z)] for z in structure.numbers)

    def forces(self, structure):
        rows = force_rows(self.features, structure, self.kernel, self.references)
        return (rows @ self.alpha).reshape(-1, 3)

    def stress(self, structure):
        return stress_rows(self.features, structure, self.kernel, self.references) @ self.alpha

    def energy_variance(self, structure):
        """Projected-process variance of the total energy, without noise."""
        q = self.features(structure.numbers, structure.positions, structure.cell, structure.pbc)
        z = structure.numbers
        prior = sum(
            self.kernel(q[i], q[j]) for i in range(len(q)) for j in range(len(q)) if z[i] == z[j]
        )
        row = energy_row(self.features, structure, self.kernel, self.references)
        return (
            prior
            - row @ np.linalg.solve(self.k_mm, row)
            + row @ np.linalg.solve(self.precision, row)
        )


def compare_with_oracle(model, X, oracle, atol, variance_atol):
    """Hold predictions and deviations of a fitted pipeline to a fitted `SparseGP`."""
    predicted, std = model.predict(X, return_std=True)
    for i, atoms in enumerate(X):
        s = unlabeled(atoms)
        np.testing.assert_allclose(predicted.energy[i], oracle.energy(s), atol=atol)
        np.testing.assert_allclose(predicted.forces[i], oracle.forces(s), atol=10 * atol)
        if atoms.pbc.all():
            np.testing.assert_allclose(predicted.stress[i], oracle.stress(s), atol=atol)
        variance = oracle.energy_variance(s)
        np.testing.assert_allclose(std[i] ** 2, variance, rtol=1e-3, atol=variance_atol)
