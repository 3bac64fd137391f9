r"""How far forces and stress of networks are from labels, and where slopes should move.

With the slopes :math:`g = \partial E / \partial x` of all environments of a structure and its
stored Jacobian J, forces are :math:`F = -J^T g`. For the loss
:math:`L = \tfrac12 \sum w_F |F - F^*|^2 + \tfrac12 \sum w_T |T - T^*|^2` the derivative along the
slopes is

.. math:: U = \partial L / \partial g = -J\, w_F (F - F^*) + S\, w_T (T - T^*) / V

where S is the part of the Jacobian along strains and :math:`T = S^T g / V` the stress. Both
products are made while the Jacobian of the structure is in cache.
"""

from typing import NamedTuple

import numpy as np

from ._jit import jit


class StoredParts(NamedTuple):
    """Jacobian blocks of all structures, as numbers; see `skpot.data.JacobianBlock`."""

    offsets: np.ndarray  # (n_structures + 1,) first environment
    atom_offsets: np.ndarray  # (n_structures + 1,) first atom
    start: np.ndarray  # (n_environments + 1,)
    atom: np.ndarray  # (n_rows,)
    values: np.ndarray  # (n_rows, 3, n)
    strain: np.ndarray  # (n_environments, 6, n), or (0, 6, n) if no structure has a stress


class DerivativeLabels(NamedTuple):
    """Forces and stress with their weights; a weight of zero stands for no label."""

    forces: np.ndarray  # (n_atoms, 3)
    force_weights: np.ndarray  # (n_atoms,)
    stress: np.ndarray  # (n_structures, 6)
    stress_weights: np.ndarray  # (n_structures,)
    volumes: np.ndarray  # (n_structures,) one where there is none


@jit
def pull_losses(structures, rows, parts, labels, g, forces, losses, moves):
    """Write the loss of each structure, and its derivatives along the slopes.

    Parameters
    ----------
    structures : ndarray of shape (n,)
        Indices of the structures of a batch.
    rows : ndarray of shape (n + 1,)
        First row of each in `g` and `moves`.
    parts : StoredParts
        Their Jacobians, among those of others.
    labels : DerivativeLabels
        Their labels.
    g : ndarray of shape (n_rows, n_features)
        Slopes.
    forces : ndarray of shape (most atoms of a structure, 3)
        Work space, of the type of `g`.
    losses : ndarray of shape (n,)
        Loss of each structure.
    moves : ndarray of shape (n_rows, n_features)
        Derivatives of the loss along `g`.
    """
    stress = np.empty(6, dtype=g.dtype)
    for b in range(structures.shape[0]):
        s = structures[b]
        first, n_atoms = parts.atom_offsets[s], parts.atom_offsets[s + 1] - parts.atom_offsets[s]
        shift = rows[b] - parts.offsets[s]
        labeled = labels.stress_weights[s] > 0.0
        forces[:n_atoms] = 0.0
        stress[:] = 0.0
        for i in range(parts.offsets[s], parts.offsets[s + 1]):
            row = g[i + shift]
            for e in range(parts.start[i], parts.start[i + 1]):
                values = parts.values[e]
                along_x, along_y, along_z = values[0], values[1], values[2]
                x = y = z = g.dtype.type(0)
                for d in range(row.shape[0]):
                    x += along_x[d] * row[d]
                    y += along_y[d] * row[d]
                    z += along_z[d] * row[d]
                force = forces[parts.atom[e] - first]
                force[0] -= x
                force[1] -= y
                force[2] -= z
            if labeled:
                for v in range(6):
                    slope, total = parts.strain[i, v], g.dtype.type(0)
                    for d in range(row.shape[0]):
                        total += slope[d] * row[d]
                    stress[v] += total
        weights = labels.force_weights[first : first + n_atoms]
        loss = _weigh(forces, labels.forces[first : first + n_atoms], weights)
        if labeled:
            loss += _weigh_stress(s, labels, stress)
        losses[b] = loss
        _move(s, shift, first, labeled, parts, forces, stress, moves)


@jit
def _weigh(forces, known, weights):
    """Replace forces by their weighted errors, and return the loss."""
    loss = 0.0
    for i in range(weights.shape[0]):
        for axis in range(3):
            error = forces[i, axis] - known[i, axis]
            loss += 0.5 * weights[i] * error * error
            forces[i, axis] = weights[i] * error
    return loss


@jit
def _weigh_stress(s, labels, strained):
    """Replace dE/d(strain) of structure s by the derivative of the loss, and return the loss."""
    loss, weight, volume = 0.0, labels.stress_weights[s], labels.volumes[s]
    for v in range(6):
        error = strained[v] / volume - labels.stress[s, v]
        loss += 0.5 * weight * error * error
        strained[v] = weight * error / volume
    return loss


@jit
def _move(s, shift, first, labeled, parts, forces, stress, moves):
    """Write the derivatives of the loss of structure s along its slopes."""
    for i in range(parts.offsets[s], parts.offsets[s + 1]):
        move = moves[i + shift]
        for d in range(move.shape[0]):
            move[d] = 0.0
        for e in range(parts.start[i], parts.start[i + 1]):
            force = forces[parts.atom[e] - first]
            x, y, z = force[0], force[1], force[2]
            values = parts.values[e]
            along_x, along_y, along_z = values[0], values[1], values[2]
            for d in range(move.shape[0]):
                move[d] -= x * along_x[d] + y * along_y[d] + z * along_z[d]
        if labeled:
            for v in range(6):
                along, factor = parts.strain[i, v], stress[v]
                for d in range(move.shape[0]):
                    move[d] += factor * along[d]


@jit
def linear_rows(s, parts, kinds, n, forces, strain):
    """Write how forces and strains of structure s depend on linear terms.

    Parameters
    ----------
    s : int
        Index of the structure.
    parts : StoredParts
        Its Jacobian, among those of others.
    kinds : ndarray of shape (n_environments,)
        Index of the species of each environment.
    n : int
        Columns from one species to the next.
    forces : ndarray of shape (3 * n_atoms, n_columns)
        -dE/dr of the structure's atoms; row 3 i + axis belongs to atom i.
    strain : ndarray of shape (6, n_columns)
        dE/d(strain); zero if the parts have none.
    """
    first, size = parts.atom_offsets[s], parts.values.shape[2]
    forces[:] = 0.0
    strain[:] = 0.0
    for i in range(parts.offsets[s], parts.offsets[s + 1]):
        begin = kinds[i] * n
        for e in range(parts.start[i], parts.start[i + 1]):
            for axis in range(3):
                row = forces[3 * (parts.atom[e] - first) + axis, begin : begin + size]
                slope = parts.values[e, axis]
                for d in range(size):
                    row[d] -= slope[d]
        if parts.strain.shape[0] > 0:
            for v in range(6):
                row, slope = strain[v, begin : begin + size], parts.strain[i, v]
                for d in range(size):
                    row[d] += slope[d]
