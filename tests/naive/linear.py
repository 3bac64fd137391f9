"""Linear and quadratic energies and their least squares, with loops and numerical derivatives."""

import itertools
import math

import numpy as np

from tests.naive.kernel import STENCIL, VOIGT


def columns(q, degree):
    """Features of one atom, then products of two."""
    products = [q[a] * q[b] for a in range(len(q)) for b in range(a, len(q))]
    return np.array([*q, *(products if degree == 2 else [])])


def energy_row(features, structure, kinds, degree, positions=None, cell=None):
    """What the coefficients of each species are multiplied with."""
    positions = structure.positions if positions is None else positions
    cell = structure.cell if cell is None else cell
    q = features(structure.numbers, positions, cell, structure.pbc)
    rows = {z: 0.0 for z in kinds}
    for i, z in enumerate(structure.numbers):
        rows[int(z)] = rows[int(z)] + columns(q[i], degree)
    size = len(columns(q[0], degree))
    return np.concatenate([rows[z] + np.zeros(size) for z in kinds])


def rows(features, structure, kinds, degree, step=1e-3):
    """Rows of energy, forces and, in a cell, stress."""
    arguments = features, structure, kinds, degree
    out = [energy_row(*arguments)]
    for i, axis in itertools.product(range(len(structure.numbers)), range(3)):
        row = 0.0
        for k, weight in STENCIL.items():
            moved = structure.positions.copy()
            moved[i, axis] += k * step
            row = row - weight / step * energy_row(*arguments, moved)
        out.append(row)
    if all(structure.pbc):
        volume = abs(np.linalg.det(structure.cell))
        for a, b in VOIGT:
            row = 0.0
            for k, weight in STENCIL.items():
                deform = np.eye(3)
                deform[a, b] += 0.5 * k * step
                deform[b, a] += 0.5 * k * step
                moved = structure.positions @ deform, structure.cell @ deform
                row = row + weight / step * energy_row(*arguments, *moved)
            out.append(row / volume)
    return np.array(out)


def labels(structure, sigma_energy, sigma_forces, sigma_stress):
    """Labels in the order of `rows`, and their standard deviations."""
    n = len(structure.numbers)
    values, noise = [structure.energy, *np.ravel(structure.forces)], [sigma_energy * math.sqrt(n)]
    noise += [sigma_forces] * 3 * n
    if all(structure.pbc):
        values += list(structure.stress)
        noise += [sigma_stress] * 6
    return np.array(values), np.array(noise)


def log_likelihood(a, y, noise, penalty, alpha, scale):
    """Density of the labels under the prior of the coefficients, from its dense covariance."""
    covariance = a @ np.linalg.inv(penalty) @ a.T / alpha + np.diag(noise**2)
    covariance *= scale**2
    _, determinant = np.linalg.slogdet(covariance)
    quadratic = y @ np.linalg.solve(covariance, y)
    return -0.5 * (determinant + quadratic + len(y) * math.log(2 * math.pi))
