r"""SOAP vectors: values, pull-back, forward derivative and Jacobian blocks.

Three stages, each with its own module or function: the neighbor density is expanded
(`skpot.core.density`), its channels may be mixed linearly,
:math:`x_{lm,k} = \sum_q W^l_{kq} c_{lm,q}`, and invariants are formed (`skpot.core.invariants`),
which may be scaled to unit length.
"""

import math
from typing import NamedTuple

import numpy as np

from ._arena import arena, floats, matrix, padded, release, shaped
from ._jit import array_jit, inline_jit, inner_jit, jit
from ._scratch import borrow
from .density import (
    DensityTables,
    Neighborhood,
    expand,
    gradient_to_pairs,
    move_density,
    neighborhood,
    neighborhood_size,
    survey,
)
from .harmonics import spherical_harmonics_gradient
from .invariants import invariants, invariants_change, invariants_gradient
from .pair_moves import PairMove, invariants_moves, move_scratch, prepare_moves
from .pairs import add_move, close_rows, largest, largest_of, open_rows


class Mixing(NamedTuple):
    """How coefficients are mixed before products are taken, and whether these are scaled after."""

    forward: np.ndarray  # (l_max + 1, n_channels, n_species * n_max); l_max + 1 = 0 for no mixing
    back: np.ndarray  # (l_max + 1, n_species * n_max, n_channels), its transpose
    normalize: bool


class SoapTables(NamedTuple):
    """What the compiled functions need to know, and what `values` keeps for `pull_back`."""

    density: DensityTables
    mixing: Mixing
    product: tuple  # one of the NamedTuples of core.invariants
    n_features: int
    kept: np.ndarray  # (n_atoms, kept_size), or n_atoms = 0 to keep nothing


def keeping(tables, n_atoms, limit):
    """Return tables with room to keep the coefficients of n_atoms, if `limit` bytes hold them."""
    size = (tables.density.l_max + 1) ** 2 * tables.product.n_channels
    if 8 * n_atoms * size > limit:
        n_atoms = 0
    return tables._replace(kept=borrow((n_atoms, size)))


class Scratch(NamedTuple):
    """Arrays for one center at a time."""

    near: Neighborhood
    coefficients: np.ndarray  # ((l_max + 1)^2, n_species * n_max), not mixed, or dE/d(those)
    mixed: np.ndarray  # ((l_max + 1)^2, n_channels) dE/d(mixed coefficients)
    transposed: np.ndarray  # (n_channels, (l_max + 1)^2)
    square: np.ndarray  # (n_channels, n_channels)
    unit: np.ndarray  # (n_features,)
    gradient: np.ndarray  # (n_features,)


@jit
def scratch_size(tables, n_neighbors):
    """Return how many numbers `scratch` cuts."""
    density, n_channels = tables.density, tables.product.n_channels
    n_lm = (density.l_max + 1) ** 2
    return (
        neighborhood_size(n_neighbors, density)
        + padded(n_lm * density.n_species * density.n_max)
        + 2 * padded(n_lm * n_channels)
        + padded(n_channels * n_channels)
        + 2 * padded(tables.n_features)
    )


@array_jit
def scratch(tables, n_neighbors, arena):
    """Cut scratch for centers of up to `n_neighbors` pairs."""
    density, n_channels = tables.density, tables.product.n_channels
    n_lm = (density.l_max + 1) ** 2
    return Scratch(
        neighborhood(n_neighbors, density, arena),
        matrix(n_lm, density.n_species * density.n_max, arena),
        matrix(n_lm, n_channels, arena),
        matrix(n_channels, n_lm, arena),
        matrix(n_channels, n_channels, arena),
        floats(tables.n_features, arena),
        floats(tables.n_features, arena),
    )


@jit
def kept_size(tables):
    """Return how many numbers a center keeps between values and pull-back: its coefficients."""
    n_lm, n_channels = _shape(tables)
    return n_lm * n_channels


@inline_jit
def _shape(tables):
    """Return the shape of the (mixed) coefficients."""
    return (tables.density.l_max + 1) ** 2, tables.product.n_channels


@inner_jit
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
def _coefficients(tables, i, pairs, species, scratch, c):
    """Write the (mixed) coefficients of center i to c; return the number of its neighbors."""
    density, near, forward = tables.density, scratch.near, tables.mixing.forward
    size = survey(i, pairs, species, density, near)
    if forward.shape[0] == 0:
        expand(i, size, species, density, near, c)
    else:
        expand(i, size, species, density, near, scratch.coefficients)
        mix_channels(forward, scratch.coefficients, c)
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


@inner_jit
def center_values(tables, i, pairs, species, scratch, kept, row):
    """Write the features of center i to `row`, its coefficients to `kept`."""
    c = shaped(kept, _shape(tables))
    _coefficients(tables, i, pairs, species, scratch, c)
    invariants(tables.product, c, row, scratch.transposed)
    if tables.mixing.normalize:
        scale = 1.0 / _length(row)
        for d in range(row.shape[0]):
            row[d] *= scale


@inner_jit
def center_pull_back(tables, i, pairs, species, scratch, kept, g, pair_gradient):
    """Add dE_i/dr_ij to the pairs of center i, given g = dE_i/d(features) and `kept`."""
    size = survey(i, pairs, species, tables.density, scratch.near)
    _pull_back(tables, size, scratch, shaped(kept, _shape(tables)), g, pair_gradient)


@inner_jit
def _pull_back(tables, size, scratch, c, g, pair_gradient):
    """Add dE_i/dr_ij, given g, the coefficients and, in `scratch`, the neighbors."""
    density, product, gradient = tables.density, tables.product, scratch.gradient
    for d in range(g.shape[0]):  # assigning a slice would compile a check of shapes
        gradient[d] = g[d]
    if tables.mixing.normalize:
        length = _unit_invariants(product, c, scratch)
        _remove_along(scratch.unit, length, gradient)
    mixed = tables.mixing.forward.shape[0] > 0
    dc = scratch.mixed if mixed else scratch.coefficients
    invariants_gradient(product, c, gradient, dc, scratch.square)
    if mixed:
        mix_channels(tables.mixing.back, dc, scratch.coefficients)
    gradient_to_pairs(size, density, scratch.near, scratch.coefficients, pair_gradient)


@inner_jit
def _unit_invariants(product, c, scratch):
    """Write the invariants scaled to unit length to `scratch.unit`; return their length before."""
    unit = scratch.unit
    invariants(product, c, unit, scratch.transposed)
    length = _length(unit)
    for d in range(unit.shape[0]):
        unit[d] /= length
    return length


@jit
def values(lo, hi, pairs, species, tables, values):
    """Write the features of centers lo ... hi to the same rows of `values`."""
    n = largest(lo, hi, pairs)
    own = arena(scratch_size(tables, n))
    work = scratch(tables, n, own)
    spare = np.empty(kept_size(tables))
    for i in range(lo, hi):
        kept = tables.kept[i] if len(tables.kept) > 0 else spare
        center_values(tables, i, pairs, species, work, kept, values[i])
    release(own)


@jit
def pull_back(lo, hi, pairs, species, tables, g, pair_gradient):
    """Write dE_i/dr_ij of the pairs of centers lo ... hi, given g = dE_i/d(features of i)."""
    n = largest(lo, hi, pairs)
    own = arena(scratch_size(tables, n))
    work = scratch(tables, n, own)
    spare = np.empty(_shape(tables))
    for i in range(lo, hi):
        pair_gradient[pairs.start[i] : pairs.start[i + 1]] = 0.0
        if len(tables.kept) > 0:
            c = shaped(tables.kept[i], _shape(tables))
            size = survey(i, pairs, species, tables.density, work.near)
        else:
            c = spare
            size = _coefficients(tables, i, pairs, species, work, c)
        _pull_back(tables, size, work, c, g[i], pair_gradient)
    release(own)


@jit
def push_forward(lo, hi, pairs, species, tables, moves, out):
    """Write the change of the features of centers lo ... hi when pair vectors change by `moves`."""
    density, mixing, product = tables.density, tables.mixing, tables.product
    n = largest(lo, hi, pairs)
    own = arena(scratch_size(tables, n))
    space = scratch(tables, n, own)
    c = np.empty(_shape(tables))
    work = np.empty((2, product.n_channels, 2 * (density.l_max + 1) ** 2))
    change, mixed = space.gradient, mixing.forward.shape[0] > 0
    for i in range(lo, hi):
        size = _coefficients(tables, i, pairs, species, space, c)
        move_density(size, density, space.near, moves, space.coefficients)
        if mixed:
            mix_channels(mixing.forward, space.coefficients, space.mixed)
        dc = space.mixed if mixed else space.coefficients
        invariants_change(product, c, dc, change, work)
        if mixing.normalize:
            length = _unit_invariants(product, c, space)
            _remove_along(space.unit, length, change)
        for d in range(out.shape[1]):
            out[i, d] = change[d]
    release(own)


@jit
def jacobian(lo, hi, centers, pairs, species, tables, start, atom, jacobian, strain):
    """Write Jacobian rows of `centers[lo:hi]`.

    For row `e` in `start[row]:start[row + 1]`, `atom[e]` is the atom that moves (the center first,
    images of one atom merged) and `jacobian[e]` (3, n_features) the derivative of the center's
    features with respect to its position; `strain[row]` (6, n_features) is the derivative with
    respect to a symmetric strain, Voigt order xx yy zz yz xz xy.
    """
    density, mixing, product = tables.density, tables.mixing, tables.product
    n = largest_of(centers[lo:hi], pairs)
    own = arena(scratch_size(tables, n))
    space = scratch(tables, n, own)
    c = np.empty(_shape(tables))
    move = np.empty((3, tables.n_features))
    pair_move = _pair_scratch(density, mixing, product)
    legendre = np.empty((density.l_max + 1, density.l_max + 1))
    work = move_scratch(product, tables.n_features)
    slot = np.full(len(species), -1, dtype=np.int64)
    for row in range(lo, hi):
        i = centers[row]
        size = _coefficients(tables, i, pairs, species, space, c)
        length = _unit_invariants(product, c, space)
        prepare_moves(product, c, work)
        used = open_rows(i, pairs, start[row], slot, atom, jacobian, strain[row])
        for t in range(size):
            p = space.near.pair[t]
            pair = _move_of(t, pairs, species, density, mixing, space.near, legendre, pair_move)
            invariants_moves(product, c, pair, work, move)
            if mixing.normalize:
                for axis in range(3):
                    _remove_along(space.unit, length, move[axis])
            neighbor = jacobian[slot[pairs.neighbor[p]]]
            add_move(move, pairs.vector[p], neighbor, jacobian[start[row]], strain[row])
        close_rows(start[row], used, slot, atom)
    release(own)


@array_jit
def _pair_scratch(density, mixing, product):
    n_lm = (density.l_max + 1) ** 2
    n = density.n_max if mixing.forward.shape[0] == 0 else product.n_channels
    n_radial = (density.l_max + 1) * n
    return PairMove(
        0, n, np.empty(3), np.empty(n_radial), np.empty(n_radial), np.empty(n_lm),
        np.empty((3, n_lm)),
    )  # fmt: skip


@array_jit
def _move_of(t, pairs, species, density, mixing, near, legendre, scratch):
    """Return how neighbor t of center i moves the (mixed) coefficients."""
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
def coefficients(centers, pairs, species, density, out):
    """Write the expansion coefficients of `centers` to out (n_centers, (l_max + 1)^2, ...)."""
    n = largest_of(centers, pairs)
    own = arena(neighborhood_size(n, density))
    near = neighborhood(n, density, own)
    for row in range(len(centers)):
        size = survey(centers[row], pairs, species, density, near)
        expand(centers[row], size, species, density, near, out[row])
    release(own)


def n_features(tables):
    """Return the number of columns."""
    return tables.n_features
