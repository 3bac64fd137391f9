r"""Linear three-body potentials: values, pull-back and Jacobian blocks of products of B-splines.

.. math:: q_i^{(a, bc)lmn} = \sum_{j<k} B_l(r_{ij}) B_m(r_{ik}) B_n(r_{jk})

for a centre i of species a and neighbours j, k of species b, c. For like neighbours the products
with l and m exchanged share a column. Only triples (l, m, n) that the triangle inequality allows
have one; for each (l, m) they are a run of n, so four products of a triangle stand side by side.

S. R. Xie, M. Rupp, R. G. Hennig, npj Comput. Mater. 9, 162 (2023). For the splines see
`skpot.core.splines`.
"""

import math
from typing import NamedTuple

import numpy as np

from ._jit import inline_jit, jit, parallel_jit, prange, run_twins
from .pairs import add_move, close_rows, open_rows
from .splines import cubic_splines

_CHUNK = 8  # centres a task; fixed, so that results do not depend on the number of threads
_TIE = 1e-9  # knots closer than this, in units of their spacing, coincide


class TripletTables(NamedTuple):
    """What the kernels need to know of the basis; see `triplet_runs`."""

    r_min: float  # Å
    spacing: float  # of the knots, Å
    n_splines: int
    runs: np.ndarray  # (n_species, n_species, n_species, n_splines, n_splines, 3)
    centre_start: np.ndarray  # (n_species + 1,) first column of each species of centres


def allowed_runs(cutoff, r_min, n_splines):
    """Return the first and last n that a triangle allows for each (l, m).

    Parameters
    ----------
    cutoff, r_min : float
        In Å.
    n_splines : int
        Number of splines of the distances to the centre.

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

    Columns are ordered by species of the centre, of the neighbours, l, m and n, with ascending
    species of the neighbours and, if they are alike, l <= m.

    Parameters
    ----------
    allowed : ndarray of shape (n_splines, n_splines, 2)
        From `allowed_runs`.
    n_species : int

    Returns
    -------
    runs : ndarray of shape (n_species, n_species, n_species, n_splines, n_splines, 3)
        For centre a, neighbours b and c, splines l and m: the column of n = 0 if there were one,
        the first and the last n.
    centre_start : ndarray of shape (n_species + 1,)
        First column of each species of centres.
    """
    n_splines = len(allowed)
    runs = np.empty((n_species,) * 3 + (n_splines, n_splines, 3), dtype=np.int64)
    runs[..., 1:] = allowed
    centre_start = np.zeros(n_species + 1, dtype=np.int64)
    column = 0
    for a, b in np.ndindex(n_species, n_species):
        for c in range(b, n_species):
            for l, m in np.ndindex(n_splines, n_splines):
                if b < c or l <= m:
                    first, last = allowed[l, m]
                    runs[a, b, c, l, m, 0] = runs[a, c, b, m, l, 0] = column - first
                    column += last - first + 1
        centre_start[a + 1] = column
    return runs, centre_start


class Near(NamedTuple):
    """Scratch: the neighbours of one centre."""

    species: np.ndarray  # (n,)
    distance: np.ndarray  # (n,)
    first: np.ndarray  # (n,) first spline that is not zero
    count: np.ndarray  # (n,) how many of four splines there are
    values: np.ndarray  # (n, 4)
    slopes: np.ndarray  # (n, 4)


@jit
def _scratch(lo, hi, centres, pairs):
    n = 0
    for row in range(lo, hi):
        n = max(n, pairs.start[centres[row] + 1] - pairs.start[centres[row]])
    return Near(
        np.empty(n, dtype=np.int64),
        np.empty(n),
        np.empty(n, dtype=np.int64),
        np.empty(n, dtype=np.int64),
        np.empty((n, 4)),
        np.empty((n, 4)),
    )


@jit
def _gather(i, pairs, species, tables, near):
    """Fill `near` for centre i; return how many neighbours it has."""
    origin = pairs.start[i]
    n = pairs.start[i + 1] - origin
    for j in range(n):
        p = origin + j
        x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
        r = math.sqrt(x * x + y * y + z * z)
        first, b, d = cubic_splines(r, tables.r_min, tables.spacing)
        near.species[j] = species[pairs.neighbor[p]]
        near.distance[j] = r
        near.first[j] = first
        near.count[j] = min(4, tables.n_splines - first)
        for q in range(4):
            near.values[j, q], near.slopes[j, q] = b[q], d[q]
    return n


@inline_jit
def _side(v, w):
    """Return the vector from v to w and its length."""
    x, y, z = w[0] - v[0], w[1] - v[1], w[2] - v[2]
    return x, y, z, math.sqrt(x * x + y * y + z * z)


@jit
def values_serial(lo, hi, pairs, species, tables, values):
    """Write the features of centres lo ... hi to the same rows of `values`."""
    near = _scratch(0, hi - lo, np.arange(lo, hi), pairs)
    for i in range(lo, hi):
        out = values[i]
        out[:] = 0.0
        vector = pairs.vector[pairs.start[i] : pairs.start[i + 1]]
        n = _gather(i, pairs, species, tables, near)
        for j in range(n):
            b_j = near.values[j]
            for k in range(j + 1, n):
                b_k = near.values[k]
                _, _, _, r = _side(vector[j], vector[k])
                third, b, _ = cubic_splines(r, tables.r_min, tables.spacing)
                b0, b1, b2, b3 = b
                runs = tables.runs[species[i], near.species[j], near.species[k]]
                for q in range(near.count[j]):
                    row = runs[near.first[j] + q]
                    for s in range(near.count[k]):
                        m = near.first[k] + s
                        w = b_j[q] * b_k[s]
                        c = row[m, 0] + third
                        if third >= row[m, 1] and third + 3 <= row[m, 2]:
                            out[c] += w * b0
                            out[c + 1] += w * b1
                            out[c + 2] += w * b2
                            out[c + 3] += w * b3
                        else:  # what the run leaves out is zero but for rounding
                            for t in range(max(third, row[m, 1]), min(third + 3, row[m, 2]) + 1):
                                out[row[m, 0] + t] += w * b[t - third]


@parallel_jit
def values_parallel(pairs, species, tables, values):
    """Run `values_serial` on all centres, threads taking chunks."""
    n = values.shape[0]
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        values_serial(chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK), pairs, species, tables, values)


@jit
def pull_back_serial(lo, hi, pairs, species, tables, g, pair_gradient):
    """Write dE_i/dr_ij of the pairs of centres lo ... hi, given g = dE_i/d(features of i)."""
    near = _scratch(0, hi - lo, np.arange(lo, hi), pairs)
    for i in range(lo, hi):
        g_i = g[i]
        vector = pairs.vector[pairs.start[i] : pairs.start[i + 1]]
        gradient = pair_gradient[pairs.start[i] : pairs.start[i + 1]]
        gradient[:] = 0.0
        n = _gather(i, pairs, species, tables, near)
        for j in range(n):
            b_j, d_j = near.values[j], near.slopes[j]
            along, move_x, move_y, move_z = 0.0, 0.0, 0.0, 0.0
            for k in range(j + 1, n):
                b_k, d_k = near.values[k], near.slopes[k]
                x, y, z, r = _side(vector[j], vector[k])
                third, b, d = cubic_splines(r, tables.r_min, tables.spacing)
                b0, b1, b2, b3 = b
                d0, d1, d2, d3 = d
                runs = tables.runs[species[i], near.species[j], near.species[k]]
                slope_j, slope_k, slope = 0.0, 0.0, 0.0
                for q in range(near.count[j]):
                    row = runs[near.first[j] + q]
                    level_k, tilt_k, tilt = 0.0, 0.0, 0.0
                    for s in range(near.count[k]):
                        m = near.first[k] + s
                        c = row[m, 0] + third
                        if third >= row[m, 1] and third + 3 <= row[m, 2]:
                            g0, g1, g2, g3 = g_i[c], g_i[c + 1], g_i[c + 2], g_i[c + 3]
                            value = (g0 * b0 + g1 * b1) + (g2 * b2 + g3 * b3)
                            change = (g0 * d0 + g1 * d1) + (g2 * d2 + g3 * d3)
                        else:
                            value, change = 0.0, 0.0
                            for t in range(max(third, row[m, 1]), min(third + 3, row[m, 2]) + 1):
                                value += g_i[row[m, 0] + t] * b[t - third]
                                change += g_i[row[m, 0] + t] * d[t - third]
                        level_k += b_k[s] * value
                        tilt_k += d_k[s] * value
                        tilt += b_k[s] * change
                    slope_j += d_j[q] * level_k
                    slope_k += b_j[q] * tilt_k
                    slope += b_j[q] * tilt
                slope /= r
                slope_k /= near.distance[k]
                along += slope_j
                move_x += slope * x
                move_y += slope * y
                move_z += slope * z
                gradient[k, 0] += slope_k * vector[k, 0] + slope * x
                gradient[k, 1] += slope_k * vector[k, 1] + slope * y
                gradient[k, 2] += slope_k * vector[k, 2] + slope * z
            along /= near.distance[j]
            gradient[j, 0] += along * vector[j, 0] - move_x
            gradient[j, 1] += along * vector[j, 1] - move_y
            gradient[j, 2] += along * vector[j, 2] - move_z


@parallel_jit
def pull_back_parallel(pairs, species, tables, g, pair_gradient):
    """Run `pull_back_serial` on all centres, threads taking chunks."""
    n = g.shape[0]
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        pull_back_serial(
            chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK), pairs, species, tables, g, pair_gradient
        )


@inline_jit
def _move_pair(j, k, runs, origin, b, d, third, unit, e, near, move_j, move_k):
    """Add what a triangle gives to d(features)/d(vector) of its two neighbours."""
    b_j, d_j, b_k, d_k = near.values[j], near.slopes[j], near.values[k], near.slopes[k]
    for q in range(near.count[j]):
        for s in range(near.count[k]):
            run = runs[near.first[j] + q, near.first[k] + s]
            tilt_j, tilt_k, level = d_j[q] * b_k[s], b_j[q] * d_k[s], b_j[q] * b_k[s]
            for t in range(max(third, run[1]), min(third + 3, run[2]) + 1):
                c = run[0] + t - origin
                value, change = b[t - third], level * d[t - third]
                for axis in range(3):
                    move_j[axis, c] += tilt_j * value * unit[j, axis] - change * e[axis]
                    move_k[axis, c] += tilt_k * value * unit[k, axis] + change * e[axis]


@jit
def _pair_moves(i, pairs, species, tables, near, unit, moves):
    """Write d(features of i)/d(vector) of each pair of centre i to `moves`.

    Only the columns of its species are there: shape (n, 3, n_columns of the species).
    """
    vector = pairs.vector[pairs.start[i] : pairs.start[i + 1]]
    origin = tables.centre_start[species[i]]
    n = _gather(i, pairs, species, tables, near)
    for j in range(n):
        moves[j] = 0.0
        for axis in range(3):
            unit[j, axis] = vector[j, axis] / near.distance[j]
    for j in range(n):
        for k in range(j + 1, n):
            x, y, z, r = _side(vector[j], vector[k])
            third, b, d = cubic_splines(r, tables.r_min, tables.spacing)
            runs = tables.runs[species[i], near.species[j], near.species[k]]
            e = (x / r, y / r, z / r)
            _move_pair(j, k, runs, origin, b, d, third, unit, e, near, moves[j], moves[k])


@jit
def jacobian_serial(lo, hi, centres, pairs, species, tables, start, atom, jacobian, strain):
    """Write Jacobian rows of `centres[lo:hi]`; the layout is that of `soap.jacobian_serial`."""
    near = _scratch(lo, hi, centres, pairs)
    largest = len(near.distance)
    widest = 0
    for a in range(len(tables.centre_start) - 1):
        widest = max(widest, tables.centre_start[a + 1] - tables.centre_start[a])
    unit = np.empty((largest, 3))
    space = np.empty(largest * 3 * widest)
    slot = np.full(len(species), -1, dtype=np.int64)
    for row in range(lo, hi):
        i = centres[row]
        begin, end = tables.centre_start[species[i]], tables.centre_start[species[i] + 1]
        moves = space[: largest * 3 * (end - begin)].reshape((largest, 3, end - begin))
        _pair_moves(i, pairs, species, tables, near, unit, moves)
        used = open_rows(i, pairs, start[row], slot, atom, jacobian, strain[row])
        centre, change = jacobian[start[row], :, begin:end], strain[row, :, begin:end]
        for p in range(pairs.start[i], pairs.start[i + 1]):
            neighbor = jacobian[slot[pairs.neighbor[p]], :, begin:end]
            add_move(moves[p - pairs.start[i]], pairs.vector[p], neighbor, centre, change)
        close_rows(start[row], used, slot, atom)


@parallel_jit
def jacobian_parallel(centres, pairs, species, tables, start, atom, jacobian, strain):
    """Run `jacobian_serial` on all `centres`, threads taking chunks."""
    n = len(centres)
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        lo, hi = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        jacobian_serial(lo, hi, centres, pairs, species, tables, start, atom, jacobian, strain)


def n_features(tables):
    """Return the number of columns."""
    return int(tables.centre_start[-1])


def triplet_basis(pairs, species, tables, values):
    """Write the features of all atoms to `values` (n_atoms, n_features)."""
    run_twins(values_serial, values_parallel, len(values), pairs, species, tables, values)


def pull_back(pairs, species, tables, g, pair_gradient):
    """Write dE_i/dr_ij of all pairs to `pair_gradient` (n_pairs, 3), from g = dE_i/dq_i."""
    run_twins(
        pull_back_serial, pull_back_parallel, len(g), pairs, species, tables, g, pair_gradient
    )


def jacobian(centres, pairs, species, tables, start, atom, values, strain):
    """Write the Jacobian rows of `centres`; see `soap.jacobian_serial` for their layout."""
    run_twins(
        jacobian_serial, jacobian_parallel, len(centres),
        centres, pairs, species, tables, start, atom, values, strain,
    )  # fmt: skip
