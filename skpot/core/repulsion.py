r"""Screened repulsion of nuclei: values, pull-back and Jacobian blocks.

.. math::

    E_i = \tfrac12 \sum_j \frac{e^2}{4\pi\epsilon_0} \frac{Z_i Z_j}{r_{ij}}
        \phi(r_{ij}/a) f_c(r_{ij}), \quad
    a = \frac{0.46850\,\mathrm{\AA}}{Z_i^{0.23} + Z_j^{0.23}}, \quad
    \phi(x) = \sum_k c_k e^{-d_k x}

the universal potential of J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of
Ions in Matter, vol. 1 (1985), with the screening length as LAMMPS rounds it (0.8854 Bohr radii are
0.46853 Å), taken smoothly to zero between an inner and an outer radius. With the factor of one
half, the sum over atoms counts every pair once.
"""

import math
from typing import NamedTuple

import numpy as np

from ._jit import inner_jit, jit
from ._no_scratch import Scratch
from .cutoffs import polynomial_switch
from .pairs import add_move, close_rows, open_rows

COULOMB = 14.399645478  # e^2 / (4 pi epsilon_0) in eV Å
_SCREENING = 0.46850  # Å
_C0, _C1, _C2, _C3 = 0.18175, 0.50986, 0.28022, 0.02817
_D0, _D1, _D2, _D3 = 3.19980, 0.94229, 0.40290, 0.20162


class RepulsionTables(NamedTuple):
    """What the compiled functions need to know; each has the shape (n_species, n_species)."""

    strength: np.ndarray  # e^2 Z_a Z_b / 4 pi epsilon_0 in eV Å
    length: np.ndarray  # a in Å
    inner: np.ndarray  # Å
    outer: np.ndarray  # Å


def repulsion_tables(numbers, inner, outer):
    """Return the tables of species with atomic `numbers` and radii (n_species, n_species) in Å."""
    z = np.asarray(numbers, dtype=float)
    length = _SCREENING / (z[:, None] ** 0.23 + z**0.23)
    return RepulsionTables(COULOMB * z[:, None] * z, length, inner, outer)


@jit
def pair_energy(r, strength, length, inner, outer):
    """Return the energy of a pair at distance r (Å), in eV, and its derivative."""
    switch, switch_slope = polynomial_switch(r, outer, outer - inner)
    x = r / length
    e0, e1 = _C0 * math.exp(-_D0 * x), _C1 * math.exp(-_D1 * x)
    e2, e3 = _C2 * math.exp(-_D2 * x), _C3 * math.exp(-_D3 * x)
    screening = e0 + e1 + e2 + e3
    slope = -(_D0 * e0 + _D1 * e1 + _D2 * e2 + _D3 * e3) / length
    bare = strength / r
    value = bare * screening
    return switch * value, switch * bare * (slope - screening / r) + switch_slope * value


@inner_jit
def _of_pair(p, i, pairs, species, tables):
    """Return half the energy of a pair (eV) and half its derivative over r."""
    x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
    r = math.sqrt(x * x + y * y + z * z)
    a, b = species[i], species[pairs.neighbor[p]]
    if r >= tables.outer[a, b]:
        return 0.0, 0.0
    value, slope = pair_energy(
        r, tables.strength[a, b], tables.length[a, b], tables.inner[a, b], tables.outer[a, b]
    )
    return 0.5 * value, 0.5 * slope / r


@inner_jit
def center_values(tables, i, pairs, species, scratch, kept, row):
    """Write the energy of center i to row (1,)."""
    total = 0.0
    for p in range(pairs.start[i], pairs.start[i + 1]):
        total += _of_pair(p, i, pairs, species, tables)[0]
    row[0] = total


@inner_jit
def center_pull_back(tables, i, pairs, species, scratch, kept, g, pair_gradient):
    """Add g dE_i/dr_ij to the pairs of center i, for g of shape (1,)."""
    for p in range(pairs.start[i], pairs.start[i + 1]):
        slope = g[0] * _of_pair(p, i, pairs, species, tables)[1]
        for axis in range(3):
            pair_gradient[p, axis] += slope * pairs.vector[p, axis]


@jit
def values(lo, hi, pairs, species, tables, values):
    """Write the energies of centers lo ... hi to `values` (n_atoms, 1)."""
    nothing = np.empty(0)
    for i in range(lo, hi):
        center_values(tables, i, pairs, species, Scratch(nothing), nothing, values[i])


@jit
def pull_back(lo, hi, pairs, species, tables, g, pair_gradient):
    """Write g_i dE_i/dr_ij of the pairs of centers lo ... hi."""
    nothing = np.empty(0)
    for i in range(lo, hi):
        pair_gradient[pairs.start[i] : pairs.start[i + 1]] = 0.0
        work = Scratch(nothing)
        center_pull_back(tables, i, pairs, species, work, nothing, g[i], pair_gradient)


@jit
def jacobian(lo, hi, centers, pairs, species, tables, start, atom, jacobian, strain):
    """Write Jacobian rows of `centers[lo:hi]`; the layout is that of `soap.jacobian`."""
    slot = np.full(len(species), -1, dtype=np.int64)
    move = np.empty((3, 1))
    for row in range(lo, hi):
        i = centers[row]
        used = open_rows(i, pairs, start[row], slot, atom, jacobian, strain[row])
        for p in range(pairs.start[i], pairs.start[i + 1]):
            slope = _of_pair(p, i, pairs, species, tables)[1]
            for axis in range(3):
                move[axis, 0] = slope * pairs.vector[p, axis]
            neighbor = jacobian[slot[pairs.neighbor[p]]]
            add_move(move, pairs.vector[p], neighbor, jacobian[start[row]], strain[row])
        close_rows(start[row], used, slot, atom)


def n_features(tables):
    """Return the number of columns."""
    return 1
