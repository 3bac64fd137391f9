r"""Linear three-body potentials: values, pull-back and Jacobian blocks of products of B-splines.

.. math:: q_i^{(a, bc)lmn} = \sum_{j<k} B_l(r_{ij}) B_m(r_{ik}) B_n(r_{jk})

for a center i of species a and neighbors j, k of species b, c. For like neighbors the products
with l and m exchanged share a column. Only triples (l, m, n) that the triangle inequality allows
have one; for each (l, m) they are a run of n, so four products of a triangle stand side by side.

S. R. Xie, M. Rupp, R. G. Hennig, npj Comput. Mater. 9, 162 (2023). For the splines see
`skpot.core.splines`.
"""

import math
from typing import NamedTuple

import numpy as np

from ._arena import arena, floats, integers, matrix, padded, release
from ._jit import array_jit, inline_jit, inner_jit, jit
from .pairs import add_move, close_rows, largest, largest_of, open_rows
from .splines import cubic_splines

_TIE = 1e-9  # knots closer than this, in units of their spacing, coincide


class TripletTables(NamedTuple):
    """What the compiled functions need to know of the basis; see `triplet_runs`."""

    r_min: float  # Å
    spacing: float  # of the knots, Å
    n_splines: int
    base: np.ndarray  # (n_species^3 n_splines^2,) column of n = 0, of each a, b, c, l, m
    center_start: np.ndarray  # (n_species + 1,) first column of each species of centers


# Four products at a time are added to a copy of the center's columns with a margin on either side.
# Products outside their run are zero apart from rounding, and do no harm in the columns of others.
_MARGIN = 4


def allowed_runs(cutoff, r_min, n_splines):
    """Return the first and last n that a triangle allows for each (l, m).

    Parameters
    ----------
    cutoff, r_min : float
        In Å.
    n_splines : int
        Number of splines of the distances to the center.

    Returns
    -------
    ndarray of shape (n_splines, n_splines, 2)
    """
    origin = r_min * n_splines / (cutoff - r_min)  # lengths in units of the spacing from here on
    n_third = math.ceil(2 * n_splines + origin - _TIE) + 3
    index = np.arange(n_third)
    # Splines 0 and 1 make the straight line below r_min.
    begin = np.where(index < 2, 0.0, np.maximum(0.0, origin + index - 3))
    end = origin + index + 1
    lo, hi = begin[:n_splines], end[:n_splines]
    closest = np.maximum(0.0, np.maximum(lo[:, None] - hi, lo - hi[:, None]))
    farthest = hi[:, None] + hi
    first = np.argmax(end > closest[..., None] + _TIE, axis=2)
    last = n_third - 1 - np.argmax(begin[::-1] < farthest[..., None] - _TIE, axis=2)
    return np.stack([first, last], axis=2)


def triplet_runs(allowed, n_species):
    """Return where the columns are.

    Columns are ordered by species of the center, of the neighbors, l, m and n, with ascending
    species of the neighbors and, if they are alike, l <= m.

    Parameters
    ----------
    allowed : ndarray of shape (n_splines, n_splines, 2)
        From `allowed_runs`.
    n_species : int

    Returns
    -------
    runs : ndarray of shape (n_species, n_species, n_species, n_splines, n_splines, 3)
        For center a, neighbors b and c, splines l and m: the column of n = 0 if there were one,
        the first and the last n.
    center_start : ndarray of shape (n_species + 1,)
        First column of each species of centers.
    """
    n_splines = len(allowed)
    runs = np.empty((n_species,) * 3 + (n_splines, n_splines, 3), dtype=np.int64)
    runs[..., 1:] = allowed
    center_start = np.zeros(n_species + 1, dtype=np.int64)
    column = 0
    for a, b in np.ndindex(n_species, n_species):
        for c in range(b, n_species):
            for l, m in np.ndindex(n_splines, n_splines):
                if b < c or l <= m:
                    first, last = allowed[l, m]
                    runs[a, b, c, l, m, 0] = runs[a, c, b, m, l, 0] = column - first
                    column += last - first + 1
        center_start[a + 1] = column
    return runs, center_start


class Scratch(NamedTuple):
    """The neighbors of one center within the cutoff, and its columns."""

    pair: np.ndarray  # (n,) index among all pairs
    species: np.ndarray  # (n,)
    vector: np.ndarray  # (n, 3)
    distance: np.ndarray  # (n,)
    first: np.ndarray  # (n,) first spline that is not zero
    count: np.ndarray  # (n,) how many of four splines there are
    values: np.ndarray  # (n, 4)
    slopes: np.ndarray  # (n, 4)
    row: np.ndarray  # (n_columns of a center + 2 * _MARGIN,)


@inline_jit
def _widest(tables):
    """Return the largest number of columns of a center."""
    widest = 0
    for a in range(len(tables.center_start) - 1):
        widest = max(widest, tables.center_start[a + 1] - tables.center_start[a])
    return widest


@jit
def scratch_size(tables, n_neighbors):
    """Return how many numbers `scratch` cuts."""
    of_neighbors = 5 * padded(n_neighbors) + padded(3 * n_neighbors) + 2 * padded(4 * n_neighbors)
    return of_neighbors + padded(_widest(tables) + 2 * _MARGIN)


@array_jit
def scratch(tables, n_neighbors, arena):
    """Cut scratch for centers of up to `n_neighbors` pairs."""
    return Scratch(
        integers(n_neighbors, arena),
        integers(n_neighbors, arena),
        matrix(n_neighbors, 3, arena),
        floats(n_neighbors, arena),
        integers(n_neighbors, arena),
        integers(n_neighbors, arena),
        matrix(n_neighbors, 4, arena),
        matrix(n_neighbors, 4, arena),
        floats(_widest(tables) + 2 * _MARGIN, arena),
    )


@jit
def kept_size(tables):
    """Return how many numbers a center keeps between values and pull-back: none."""
    return 0


@inner_jit
def _gather(i, pairs, species, tables, near):
    """Fill `near` for center i; return how many neighbors are within the cutoff."""
    n = 0
    for p in range(pairs.start[i], pairs.start[i + 1]):
        x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
        r = math.sqrt(x * x + y * y + z * z)
        first, b, d = cubic_splines(r, tables.r_min, tables.spacing)
        if first >= tables.n_splines:
            continue
        near.pair[n] = p
        near.species[n] = species[pairs.neighbor[p]]
        near.vector[n, 0], near.vector[n, 1], near.vector[n, 2] = x, y, z
        near.distance[n] = r
        near.first[n] = first
        near.count[n] = min(4, tables.n_splines - first)
        for q in range(4):
            near.values[n, q], near.slopes[n, q] = b[q], d[q]
        n += 1
    return n


@inline_jit
def _side(vector, j, k):
    """Return the vector from neighbor j to neighbor k and its length."""
    x, y = vector[k, 0] - vector[j, 0], vector[k, 1] - vector[j, 1]
    z = vector[k, 2] - vector[j, 2]
    return x, y, z, math.sqrt(x * x + y * y + z * z)


@inline_jit
def _first_base(a, b, c, k, near, n_species, n_splines):
    """Return where in `base` the splines l = 0 and those of neighbor k begin, of one triangle."""
    return ((a * n_species + b) * n_species + c) * n_splines * n_splines + near.first[k]


@inner_jit
def center_values(tables, i, pairs, species, scratch, kept, row):
    """Write the features of center i to `row`."""
    own, bases, n_splines = scratch.row, tables.base, tables.n_splines
    n_species, a = len(tables.center_start) - 1, species[i]
    begin, end = tables.center_start[a], tables.center_start[a + 1]
    own[:] = 0.0
    n = _gather(i, pairs, species, tables, scratch)
    for j in range(n):
        for k in range(j + 1, n):
            _, _, _, r = _side(scratch.vector, j, k)
            third, (b0, b1, b2, b3), _ = cubic_splines(r, tables.r_min, tables.spacing)
            e = _first_base(
                a, scratch.species[j], scratch.species[k], k, scratch, n_species, n_splines
            )
            third += _MARGIN - begin
            for q in range(scratch.count[j]):
                b_j, line = scratch.values[j, q], e + (scratch.first[j] + q) * n_splines
                for s in range(scratch.count[k]):
                    w = b_j * scratch.values[k, s]
                    c = bases[np.uint64(line + s)] + third
                    own[np.uint64(c)] += w * b0
                    own[np.uint64(c + 1)] += w * b1
                    own[np.uint64(c + 2)] += w * b2
                    own[np.uint64(c + 3)] += w * b3
    row[:] = 0.0
    own_columns, columns = own[_MARGIN:], row[begin:end]
    for c in range(columns.shape[0]):  # assigning a slice would compile a check of shapes
        columns[c] = own_columns[c]


@inner_jit
def center_pull_back(tables, i, pairs, species, scratch, kept, g, pair_gradient):
    """Add dE_i/dr_ij to the pairs of center i, given g = dE_i/d(features of i)."""
    row, bases, n_splines = scratch.row, tables.base, tables.n_splines
    n_species, a = len(tables.center_start) - 1, species[i]
    begin, end = tables.center_start[a], tables.center_start[a + 1]
    row[:] = 0.0
    own_columns, columns = row[_MARGIN:], g[begin:end]
    for c in range(columns.shape[0]):
        own_columns[c] = columns[c]
    n = _gather(i, pairs, species, tables, scratch)
    for j in range(n):
        along, move_x, move_y, move_z = 0.0, 0.0, 0.0, 0.0
        for k in range(j + 1, n):
            x, y, z, r = _side(scratch.vector, j, k)
            third, (b0, b1, b2, b3), (d0, d1, d2, d3) = cubic_splines(
                r, tables.r_min, tables.spacing
            )
            e = _first_base(
                a, scratch.species[j], scratch.species[k], k, scratch, n_species, n_splines
            )
            third += _MARGIN - begin
            slope_j, slope_k, slope = 0.0, 0.0, 0.0
            for q in range(scratch.count[j]):
                line = e + (scratch.first[j] + q) * n_splines
                level_k, tilt_k, tilt = 0.0, 0.0, 0.0
                for s in range(scratch.count[k]):
                    c = bases[np.uint64(line + s)] + third
                    g0, g1 = row[np.uint64(c)], row[np.uint64(c + 1)]
                    g2, g3 = row[np.uint64(c + 2)], row[np.uint64(c + 3)]
                    value = (g0 * b0 + g1 * b1) + (g2 * b2 + g3 * b3)
                    change = (g0 * d0 + g1 * d1) + (g2 * d2 + g3 * d3)
                    level_k += scratch.values[k, s] * value
                    tilt_k += scratch.slopes[k, s] * value
                    tilt += scratch.values[k, s] * change
                slope_j += scratch.slopes[j, q] * level_k
                slope_k += scratch.values[j, q] * tilt_k
                slope += scratch.values[j, q] * tilt
            slope /= r
            slope_k /= scratch.distance[k]
            along += slope_j
            move_x += slope * x
            move_y += slope * y
            move_z += slope * z
            other = pair_gradient[scratch.pair[k]]
            other[0] += slope_k * scratch.vector[k, 0] + slope * x
            other[1] += slope_k * scratch.vector[k, 1] + slope * y
            other[2] += slope_k * scratch.vector[k, 2] + slope * z
        along /= scratch.distance[j]
        mine = pair_gradient[scratch.pair[j]]
        mine[0] += along * scratch.vector[j, 0] - move_x
        mine[1] += along * scratch.vector[j, 1] - move_y
        mine[2] += along * scratch.vector[j, 2] - move_z


@jit
def values(lo, hi, pairs, species, tables, values):
    """Write the features of centers lo ... hi to the same rows of `values`."""
    n = largest(lo, hi, pairs)
    own, kept = arena(scratch_size(tables, n)), np.empty(0)
    work = scratch(tables, n, own)
    for i in range(lo, hi):
        center_values(tables, i, pairs, species, work, kept, values[i])
    release(own)


@jit
def pull_back(lo, hi, pairs, species, tables, g, pair_gradient):
    """Write dE_i/dr_ij of the pairs of centers lo ... hi, given g = dE_i/d(features of i)."""
    n = largest(lo, hi, pairs)
    own, kept = arena(scratch_size(tables, n)), np.empty(0)
    work = scratch(tables, n, own)
    for i in range(lo, hi):
        pair_gradient[pairs.start[i] : pairs.start[i + 1]] = 0.0
        center_pull_back(tables, i, pairs, species, work, kept, g[i], pair_gradient)
    release(own)


@inline_jit
def _add(rows, c, x, y, z):
    """Add a vector to column c of three rows."""
    rows[0, np.uint64(c)] += x
    rows[1, np.uint64(c)] += y
    rows[2, np.uint64(c)] += z


@inner_jit
def _pair_moves(i, pairs, species, tables, near, moves):
    """Write d(features of i)/d(vector) of each pair of center i to `moves`.

    Shape (n, 3, n_columns of its species + 2 * _MARGIN).
    """
    bases, n_splines = tables.base, tables.n_splines
    n_species, a = len(tables.center_start) - 1, species[i]
    origin = pairs.start[i]
    moves[: pairs.start[i + 1] - origin] = 0.0
    n = _gather(i, pairs, species, tables, near)
    for j in range(n):
        r_j, u, move_j = near.distance[j], near.vector[j], moves[near.pair[j] - origin]
        u_x, u_y, u_z = u[0] / r_j, u[1] / r_j, u[2] / r_j
        for k in range(j + 1, n):
            r_k, v, move_k = near.distance[k], near.vector[k], moves[near.pair[k] - origin]
            v_x, v_y, v_z = v[0] / r_k, v[1] / r_k, v[2] / r_k
            x, y, z, r = _side(near.vector, j, k)
            x, y, z = x / r, y / r, z / r
            third, b, d = cubic_splines(r, tables.r_min, tables.spacing)
            e = _first_base(a, near.species[j], near.species[k], k, near, n_species, n_splines)
            third += _MARGIN - tables.center_start[a]
            for q in range(near.count[j]):
                line = e + (near.first[j] + q) * n_splines
                for s in range(near.count[k]):
                    c = bases[np.uint64(line + s)] + third
                    tilt_j = near.slopes[j, q] * near.values[k, s]
                    tilt_k = near.values[j, q] * near.slopes[k, s]
                    level = near.values[j, q] * near.values[k, s]
                    j_x, j_y, j_z = tilt_j * u_x, tilt_j * u_y, tilt_j * u_z
                    k_x, k_y, k_z = tilt_k * v_x, tilt_k * v_y, tilt_k * v_z
                    x_n, y_n, z_n = level * x, level * y, level * z
                    for t in range(4):
                        b_t, d_t = b[t], d[t]
                        d_x, d_y, d_z = x_n * d_t, y_n * d_t, z_n * d_t
                        _add(move_j, c + t, j_x * b_t - d_x, j_y * b_t - d_y, j_z * b_t - d_z)
                        _add(move_k, c + t, k_x * b_t + d_x, k_y * b_t + d_y, k_z * b_t + d_z)


@jit
def jacobian(lo, hi, centers, pairs, species, tables, start, atom, jacobian, strain):
    """Write Jacobian rows of `centers[lo:hi]`; the layout is that of `soap.jacobian`."""
    size = largest_of(centers[lo:hi], pairs)
    own = arena(scratch_size(tables, size))
    near = scratch(tables, size, own)
    space = np.empty(size * 3 * len(near.row))
    slot = np.full(len(species), -1, dtype=np.int64)
    for row in range(lo, hi):
        i = centers[row]
        begin, end = tables.center_start[species[i]], tables.center_start[species[i] + 1]
        width = end - begin + 2 * _MARGIN
        moves = space[: size * 3 * width].reshape((size, 3, width))
        _pair_moves(i, pairs, species, tables, near, moves)
        used = open_rows(i, pairs, start[row], slot, atom, jacobian, strain[row])
        center, change = jacobian[start[row]], strain[row]
        for p in range(pairs.start[i], pairs.start[i + 1]):
            move, neighbor = moves[p - pairs.start[i]], jacobian[slot[pairs.neighbor[p]]]
            add_move(move, pairs.vector[p], neighbor, center, change, begin, _MARGIN)
        close_rows(start[row], used, slot, atom)
    release(own)


def n_features(tables):
    """Return the number of columns."""
    return int(tables.center_start[-1])
