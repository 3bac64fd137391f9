r"""SOAP vectors: values, pull-back, forward derivative and Jacobian blocks.

Three stages, each with its own module or function: the neighbour density is expanded
(`skpot.core.density`), its channels may be mixed linearly,
:math:`x_{lm,k} = \sum_q W^l_{kq} c_{lm,q}`, and invariants are formed (`skpot.core.invariants`),
which may be scaled to unit length.
"""

import math
from typing import NamedTuple

import numpy as np

from ._jit import inner_jit, jit
from ._scratch import borrow
from .density import DensityTables, expand, gradient_to_pairs, move_density, neighborhood, survey
from .harmonics import spherical_harmonics_gradient
from .invariants import invariants, invariants_change, invariants_gradient
from .invariants import n_features as n_invariants
from .pair_moves import PairMove, invariants_moves, move_scratch, prepare_moves
from .pairs import add_move, close_rows, largest, largest_of, open_rows


class Mixing(NamedTuple):
    """What happens to the coefficients before and to the invariants after the products."""

    forward: np.ndarray  # (l_max + 1, n_channels, n_species * n_max); l_max + 1 = 0 for no mixing
    back: np.ndarray  # (l_max + 1, n_species * n_max, n_channels), its transpose
    normalize: bool


class SoapTables(NamedTuple):
    """What the kernels need to know, and what `values` leaves for `pull_back`."""

    density: DensityTables
    mixing: Mixing
    product: tuple  # one of the NamedTuples of core.invariants
    kept: np.ndarray  # (n_atoms, (l_max + 1)^2, n_channels), or n_atoms = 0 to keep nothing


def keeping(tables, n_atoms, limit):
    """Return tables with room to keep the coefficients of n_atoms, if `limit` bytes hold them."""
    n_lm, n_channels = (tables.density.l_max + 1) ** 2, tables.product.n_channels
    if 8 * n_atoms * n_lm * n_channels > limit:
        n_atoms = 0
    return tables._replace(kept=borrow((n_atoms, n_lm, n_channels)))


class Scratch(NamedTuple):
    """Arrays for one centre at a time."""

    coefficients: np.ndarray  # ((l_max + 1)^2, n_species * n_max), before they are mixed
    mixed: np.ndarray  # ((l_max + 1)^2, n_channels)
    transposed: np.ndarray  # (n_channels, (l_max + 1)^2)


@inner_jit
def _scratch(density, product):
    n_lm = (density.l_max + 1) ** 2
    n_channels = product.n_channels
    return Scratch(
        np.empty((n_lm, density.n_species * density.n_max)),
        np.empty((n_lm, n_channels)),
        np.empty((n_channels, n_lm)),
    )


@jit
def mix_channels(matrix, c, out):
    """Write sum_q matrix[l, k, q] c[lm, q] to out[lm, k]."""
    size = c.shape[1]
    for l in range(matrix.shape[0]):
        for lm in range(l * l, (l + 1) * (l + 1)):
            source = c[lm]
            for k in range(out.shape[1]):
                row = matrix[l, k]
                total = 0.0
                for q in range(size):
                    total += row[q] * source[q]
                out[lm, k] = total


@inner_jit
def _coefficients(i, pairs, species, density, mixing, near, scratch, c):
    """Write the (mixed) coefficients of centre i to c; return the number of its neighbours."""
    if mixing.forward.shape[0] == 0:
        return expand(i, pairs, species, density, near, c)
    size = expand(i, pairs, species, density, near, scratch)
    mix_channels(mixing.forward, scratch, c)
    return size


@inner_jit
def _length(row):
    """Return the Euclidean length, or 1 for a row of zeros, which cannot be scaled."""
    total = 0.0
    for d in range(row.shape[0]):
        total += float(row[d]) * float(row[d])
    return math.sqrt(total) if total > 0.0 else 1.0


@inner_jit
def _remove_along(unit, length, row):
    """Turn a derivative of a vector into that of the vector scaled to unit length."""
    overlap = 0.0
    for d in range(row.shape[0]):
        overlap += row[d] * unit[d]
    for d in range(row.shape[0]):
        row[d] = (row[d] - overlap * unit[d]) / length


@jit
def values(lo, hi, pairs, species, tables, values):
    """Write the features of centres lo ... hi to the same rows of `values`."""
    density, mixing, product, kept = tables
    near = neighborhood(largest(lo, hi, pairs), density)
    scratch = _scratch(density, product)
    for i in range(lo, hi):
        c = kept[i] if len(kept) > 0 else scratch.mixed
        _coefficients(i, pairs, species, density, mixing, near, scratch.coefficients, c)
        row = values[i]
        invariants(product, c, row, scratch.transposed)
        if mixing.normalize:
            scale = 1.0 / _length(row)
            for d in range(row.shape[0]):
                row[d] *= scale


@jit
def pull_back(lo, hi, pairs, species, tables, g, pair_gradient):
    """Write dE_i/dr_ij of the pairs of centres lo ... hi, given g = dE_i/d(features of i)."""
    density, mixing, product, kept = tables
    near = neighborhood(largest(lo, hi, pairs), density)
    scratch = _scratch(density, product)
    n_channels = product.n_channels
    unit, g_centre = np.empty(g.shape[1]), np.empty(g.shape[1])
    square = np.empty((n_channels, n_channels))
    d_mixed, d_coefficients = np.empty_like(scratch.mixed), np.empty_like(scratch.coefficients)
    for i in range(lo, hi):
        c = kept[i] if len(kept) > 0 else scratch.mixed
        if len(kept) > 0:
            size = survey(i, pairs, species, density, near)
        else:
            size = _coefficients(i, pairs, species, density, mixing, near, scratch.coefficients, c)
        for d in range(g.shape[1]):  # assigning slices compiles checks of their shapes
            g_centre[d] = g[i, d]
        if mixing.normalize:
            invariants(product, c, unit, scratch.transposed)
            length = _length(unit)
            unit /= length
            _remove_along(unit, length, g_centre)
        if mixing.forward.shape[0] == 0:
            invariants_gradient(product, c, g_centre, d_coefficients, square)
        else:
            invariants_gradient(product, c, g_centre, d_mixed, square)
            mix_channels(mixing.back, d_mixed, d_coefficients)
        gradient_to_pairs(i, size, pairs, density, near, d_coefficients, pair_gradient)


@jit
def push_forward(lo, hi, pairs, species, tables, moves, out):
    """Write the change of the features of centres lo ... hi when pair vectors change by `moves`."""
    density, mixing, product, _ = tables
    near = neighborhood(largest(lo, hi, pairs), density)
    scratch = _scratch(density, product)
    unit, change = np.empty(out.shape[1]), np.empty(out.shape[1])
    work = np.empty((2, product.n_channels, 2 * (density.l_max + 1) ** 2))
    d_mixed, d_coefficients = np.empty_like(scratch.mixed), np.empty_like(scratch.coefficients)
    c, coefficients = scratch.mixed, scratch.coefficients
    for i in range(lo, hi):
        size = _coefficients(i, pairs, species, density, mixing, near, coefficients, c)
        move_density(size, density, near, moves, d_coefficients)
        if mixing.forward.shape[0] == 0:
            invariants_change(product, c, d_coefficients, change, work)
        else:
            mix_channels(mixing.forward, d_coefficients, d_mixed)
            invariants_change(product, c, d_mixed, change, work)
        if mixing.normalize:
            invariants(product, c, unit, scratch.transposed)
            length = _length(unit)
            unit /= length
            _remove_along(unit, length, change)
        for d in range(out.shape[1]):
            out[i, d] = change[d]


@jit
def jacobian(lo, hi, centres, pairs, species, tables, start, atom, jacobian, strain):
    """Write Jacobian rows of `centres[lo:hi]`.

    For row `e` in `start[row]:start[row + 1]`, `atom[e]` is the atom that moves (the centre first,
    images of one atom merged) and `jacobian[e]` (3, n_features) the derivative of the centre's
    features with respect to its position; `strain[row]` (6, n_features) is the derivative with
    respect to a symmetric strain, Voigt order xx yy zz yz xz xy.
    """
    density, mixing, product, _ = tables
    near = neighborhood(largest_of(centres[lo:hi], pairs), density)
    scratch = _scratch(density, product)
    n_columns = jacobian.shape[2]
    unit, move = np.empty(n_columns), np.empty((3, n_columns))
    pair_move = _pair_scratch(density, mixing, product)
    legendre = np.empty((density.l_max + 1, density.l_max + 1))
    work = move_scratch(product, n_columns)
    slot = np.full(len(species), -1, dtype=np.int64)
    c, coefficients = scratch.mixed, scratch.coefficients
    for row in range(lo, hi):
        i = centres[row]
        size = _coefficients(i, pairs, species, density, mixing, near, coefficients, c)
        invariants(product, c, unit, scratch.transposed)
        length = _length(unit)
        unit /= length
        prepare_moves(product, c, work)
        used = open_rows(i, pairs, start[row], slot, atom, jacobian, strain[row])
        for t in range(size):
            p = near.pair[t]
            pair = _move_of(t, pairs, species, density, mixing, near, legendre, pair_move)
            invariants_moves(product, c, pair, work, move)
            if mixing.normalize:
                for axis in range(3):
                    _remove_along(unit, length, move[axis])
            neighbor = jacobian[slot[pairs.neighbor[p]]]
            add_move(move, pairs.vector[p], neighbor, jacobian[start[row]], strain[row])
        close_rows(start[row], used, slot, atom)


@inner_jit
def _pair_scratch(density, mixing, product):
    n_lm = (density.l_max + 1) ** 2
    n = density.n_max if mixing.forward.shape[0] == 0 else product.n_channels
    n_radial = (density.l_max + 1) * n
    return PairMove(
        0, n, np.empty(3), np.empty(n_radial), np.empty(n_radial), np.empty(n_lm),
        np.empty((3, n_lm)),
    )  # fmt: skip


@inner_jit
def _move_of(t, pairs, species, density, mixing, near, legendre, scratch):
    """Return how neighbour t of centre i moves the (mixed) coefficients."""
    n_max, l_max = density.n_max, density.l_max
    x, y, z, inverse = near.unit[0, t], near.unit[1, t], near.unit[2, t], near.inverse[t]
    y_lm, normal = scratch.y_lm, scratch.normal
    spherical_harmonics_gradient(x, y, z, density.legendre, l_max, legendre, y_lm, normal)
    for lm in range(y_lm.shape[0]):
        # Remove the radial part of the polynomial's gradient.
        along = normal[0, lm] * x + normal[1, lm] * y + normal[2, lm] * z
        normal[0, lm] = (normal[0, lm] - along * x) * inverse
        normal[1, lm] = (normal[1, lm] - along * y) * inverse
        normal[2, lm] = (normal[2, lm] - along * z) * inverse
    scratch.direction[0], scratch.direction[1], scratch.direction[2] = x, y, z
    offset = species[pairs.neighbor[near.pair[t]]] * n_max
    radial, slopes = scratch.radial, scratch.slopes
    if mixing.forward.shape[0] == 0:
        for q in range(radial.shape[0]):
            radial[q], slopes[q] = near.radial[t, q], near.slopes[t, q]
        return PairMove(offset, n_max, scratch.direction, radial, slopes, y_lm, normal)
    n = mixing.forward.shape[1]
    for l in range(l_max + 1):
        for k in range(n):
            weights = mixing.forward[l, k, offset : offset + n_max]
            value, slope = 0.0, 0.0
            for q in range(n_max):
                value += weights[q] * near.radial[t, l * n_max + q]
                slope += weights[q] * near.slopes[t, l * n_max + q]
            radial[l * n + k], slopes[l * n + k] = value, slope
    return PairMove(0, n, scratch.direction, radial, slopes, y_lm, normal)


@jit
def coefficients(centres, pairs, species, density, out):
    """Write the expansion coefficients of `centres` to out (n_centres, (l_max + 1)^2, ...)."""
    near = neighborhood(largest_of(centres, pairs), density)
    for row in range(len(centres)):
        expand(centres[row], pairs, species, density, near, out[row])


def n_features(tables):
    """Return the number of columns."""
    return n_invariants(tables.product)
