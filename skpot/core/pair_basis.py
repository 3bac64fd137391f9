r"""Linear pair potentials: values, pull-back and Jacobian blocks of B-splines of distances.

.. math:: q_i^{(ab)n} = \tfrac12 \sum_j B_n(r_{ij})

over those j for which the species of i and j are a and b in either order. With the factor of one
half, the sum over all atoms counts every pair once:
:math:`\sum_i w \cdot q_i = \sum_{i<j} \phi_{ab}(r_{ij})` with
:math:`\phi_{ab} = \sum_n w_{(ab)n} B_n`.

S. R. Xie, M. Rupp, R. G. Hennig, npj Comput. Mater. 9, 162 (2023). For the splines see
`skpot.core.splines`.
"""

import math
from typing import NamedTuple

import numpy as np

from ._jit import inner_jit, jit
from ._no_scratch import Scratch
from .pairs import close_rows, open_rows
from .splines import cubic_splines


class PairTables(NamedTuple):
    """What the compiled functions need to know of the basis."""

    r_min: float  # Å
    spacing: float  # of the knots, Å
    n_splines: int
    column: np.ndarray  # (n_species, n_species) first column of a pair of species
    n_columns: int


@inner_jit
def center_values(tables, i, pairs, species, scratch, kept, row):
    """Write the features of center i to `row`."""
    row[:] = 0.0
    columns = tables.column[species[i]]
    for p in range(pairs.start[i], pairs.start[i + 1]):
        x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
        r = math.sqrt(x * x + y * y + z * z)
        first, b, _ = cubic_splines(r, tables.r_min, tables.spacing)
        column = columns[species[pairs.neighbor[p]]] + first
        for q in range(min(4, tables.n_splines - first)):  # none beyond the cutoff
            row[np.uint64(column + q)] += 0.5 * b[q]


@inner_jit
def center_pull_back(tables, i, pairs, species, scratch, kept, g, pair_gradient):
    """Add dE_i/dr_ij to the pairs of center i, given g = dE_i/d(features of i)."""
    columns = tables.column[species[i]]
    for p in range(pairs.start[i], pairs.start[i + 1]):
        x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
        r = math.sqrt(x * x + y * y + z * z)
        first, _, d = cubic_splines(r, tables.r_min, tables.spacing)
        column = columns[species[pairs.neighbor[p]]] + first
        total = 0.0
        for q in range(min(4, tables.n_splines - first)):
            total += g[np.uint64(column + q)] * d[q]
        total *= 0.5 / r
        pair_gradient[p, 0] += total * x
        pair_gradient[p, 1] += total * y
        pair_gradient[p, 2] += total * z


@jit
def values(lo, hi, pairs, species, tables, values):
    """Write the features of centers lo ... hi to the same rows of `values`."""
    nothing = np.empty(0)
    for i in range(lo, hi):
        center_values(tables, i, pairs, species, Scratch(nothing), nothing, values[i])


@jit
def pull_back(lo, hi, pairs, species, tables, g, pair_gradient):
    """Write dE_i/dr_ij of the pairs of centers lo ... hi, given g = dE_i/d(features of i)."""
    nothing = np.empty(0)
    for i in range(lo, hi):
        pair_gradient[pairs.start[i] : pairs.start[i + 1]] = 0.0
        work = Scratch(nothing)
        center_pull_back(tables, i, pairs, species, work, nothing, g[i], pair_gradient)


@jit
def jacobian(lo, hi, centers, pairs, species, tables, start, atom, jacobian, strain):
    """Write Jacobian rows of `centers[lo:hi]`; the layout is that of `soap.jacobian`."""
    slot = np.full(len(species), -1, dtype=np.int64)
    for row in range(lo, hi):
        i = centers[row]
        used = open_rows(i, pairs, start[row], slot, atom, jacobian, strain[row])
        center, change = jacobian[start[row]], strain[row]
        columns = tables.column[species[i]]
        for p in range(pairs.start[i], pairs.start[i + 1]):
            x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
            r = math.sqrt(x * x + y * y + z * z)
            first, _, d = cubic_splines(r, tables.r_min, tables.spacing)
            j = pairs.neighbor[p]
            neighbor, column = jacobian[slot[j]], columns[species[j]] + first
            for q in range(min(4, tables.n_splines - first)):
                slope, c = 0.5 * d[q] / r, np.uint64(column + q)
                m_x, m_y, m_z = slope * x, slope * y, slope * z
                neighbor[0, c] += m_x
                neighbor[1, c] += m_y
                neighbor[2, c] += m_z
                center[0, c] -= m_x
                center[1, c] -= m_y
                center[2, c] -= m_z
                change[0, c] += x * m_x
                change[1, c] += y * m_y
                change[2, c] += z * m_z
                change[3, c] += y * m_z
                change[4, c] += x * m_z
                change[5, c] += x * m_y
        close_rows(start[row], used, slot, atom)


def n_features(tables):
    """Return the number of columns."""
    return tables.n_columns
