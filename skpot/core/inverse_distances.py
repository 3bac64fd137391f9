"""Coulomb terms q_i q_j / r_ij between all atoms of a structure, and their derivatives.

Column `column[i, j]`, i < j, has the term of the i-th and j-th atom of each structure. If all
charges are one, the terms are inverse distances.
"""

import math

from ._jit import jit
from .pairs import scatter_pair


@jit
def _slope(i, j, positions, charges):
    """Return d(q_i q_j / r_ij)/dr_j and r_j - r_i."""
    x = positions[j, 0] - positions[i, 0]
    y = positions[j, 1] - positions[i, 1]
    z = positions[j, 2] - positions[i, 2]
    squared = x * x + y * y + z * z
    factor = -charges[i] * charges[j] / (squared * math.sqrt(squared))
    return factor * x, factor * y, factor * z, x, y, z


@jit
def values(lo, hi, positions, offsets, charges, column, values):
    """Write the terms of structures lo to hi - 1 to their columns of `values`."""
    for s in range(lo, hi):
        first = offsets[s]
        for i in range(offsets[s], offsets[s + 1]):
            for j in range(i + 1, offsets[s + 1]):
                x = positions[j, 0] - positions[i, 0]
                y = positions[j, 1] - positions[i, 1]
                z = positions[j, 2] - positions[i, 2]
                term = charges[i] * charges[j] / math.sqrt(x * x + y * y + z * z)
                values[s, column[i - first, j - first]] = term


@jit
def pull_back(lo, hi, positions, offsets, charges, column, g, forces, virials):
    """Add -dE/dr and -dE/d(strain) of structures lo to hi - 1, from g = dE/d(features)."""
    for s in range(lo, hi):
        first = offsets[s]
        for i in range(offsets[s], offsets[s + 1]):
            for j in range(i + 1, offsets[s + 1]):
                g_ij = g[s, column[i - first, j - first]]
                s_x, s_y, s_z, x, y, z = _slope(i, j, positions, charges)
                gradient = (g_ij * s_x, g_ij * s_y, g_ij * s_z)
                scatter_pair(i, j, (x, y, z), gradient, forces, virials[s])


@jit
def jacobian(lo, hi, centers, positions, offsets, charges, column, start, jacobian, strain):
    """Write the derivatives of structures centers[lo:hi] to zeroed rows.

    Parameters
    ----------
    lo, hi : int
        Range of `centers`.
    centers : ndarray of int of shape (n_centers,)
        Structures.
    positions, offsets, charges, column : ndarray
        As explained above; `offsets` has the first atom of each structure.
    start : ndarray of shape (n_centers + 1,)
        First Jacobian row of each; its atoms follow in order.
    jacobian : ndarray of shape (n_rows, 3, n_features)
        d(features)/dr.
    strain : ndarray of shape (n_centers, 6, n_features)
        d(features)/d(strain).
    """
    for k in range(lo, hi):
        first = offsets[centers[k]]
        end = offsets[centers[k] + 1]
        shift = start[k] - first
        for i in range(first, end):
            for j in range(i + 1, end):
                c = column[i - first, j - first]
                s_x, s_y, s_z, x, y, z = _slope(i, j, positions, charges)
                jacobian[i + shift, 0, c] = -s_x
                jacobian[i + shift, 1, c] = -s_y
                jacobian[i + shift, 2, c] = -s_z
                jacobian[j + shift, 0, c] = s_x
                jacobian[j + shift, 1, c] = s_y
                jacobian[j + shift, 2, c] = s_z
                strain[k, 0, c] = x * s_x
                strain[k, 1, c] = y * s_y
                strain[k, 2, c] = z * s_z
                strain[k, 3, c] = y * s_z
                strain[k, 4, c] = x * s_z
                strain[k, 5, c] = x * s_y
