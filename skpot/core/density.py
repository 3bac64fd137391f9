r"""Expansion of the neighbor density around an atom, and the way back from it to the pairs.

.. math::

    c_{lm,k} = \sum_{j \in a,\, r_{ij} < r_c} f_c(r_{ij}) R_{nl}(r_{ij}) Y_{lm}(\hat r_{ij})

with the joint channel :math:`k = (a, n)` of neighbor species and radial function. The center itself
adds to the l = 0 channels of its own species. All neighbors of a center are worked on at once,
sorted by species, so that the inner loops run over neighbors: the harmonics' recurrences, and
the sums over neighbors as dot products.
"""

import math
from typing import NamedTuple

import numpy as np

from ._arena import floats, integers, matrix, padded
from ._jit import array_jit, inline_jit, inner_jit
from .cutoffs import cosine_switch
from .harmonics import many_harmonics


class DensityTables(NamedTuple):
    """What the compiled functions need to know of the basis."""

    radial: np.ndarray  # (n_tables, n_knots, 2, (l_max + 1) * n_max), see radial.spline_table
    of_pair: np.ndarray  # (n_species, n_species) which table serves center, neighbor
    cutoff: np.ndarray  # (n_tables,) in Å
    cutoff_width: float
    spacing: float
    center: np.ndarray  # (n_tables, n_max) what a center adds to its own l = 0 channels
    legendre: np.ndarray  # harmonics.legendre_coefficients
    n_max: int
    l_max: int
    n_species: int


class Neighborhood(NamedTuple):
    """The neighbors of one center, sorted by species, and scratch; P is their largest number."""

    first: np.ndarray  # (n_species + 1,) where each species begins
    pair: np.ndarray  # (P,) index of the pair
    unit: np.ndarray  # (3, P) direction
    inverse: np.ndarray  # (P,) 1/r
    radial: np.ndarray  # (P, (l_max + 1) * n_max)
    slopes: np.ndarray  # (P, (l_max + 1) * n_max)
    columns: np.ndarray  # ((l_max + 1) * n_max, P) radial (or slopes) with neighbors innermost
    legendre: np.ndarray  # see harmonics.many_harmonics
    cosine: np.ndarray
    sine: np.ndarray
    y_lm: np.ndarray  # ((l_max + 1)^2, P)
    turn: np.ndarray  # ((l_max + 1)^2, P)
    stretch: np.ndarray  # ((l_max + 1)^2, P)
    sums: np.ndarray  # (4, P)


@inner_jit
def neighborhood_size(size, tables):
    """Return how many numbers `neighborhood` cuts."""
    l_max = tables.l_max
    n_radial, n_lm = (l_max + 1) * tables.n_max, (l_max + 1) ** 2
    return (
        padded(tables.n_species + 1)
        + 2 * padded(size)
        + padded(3 * size)
        + 3 * padded(size * n_radial)
        + padded((l_max + 1) * (l_max + 2) // 2 * size)
        + 2 * padded((l_max + 1) * size)
        + 3 * padded(n_lm * size)
        + padded(4 * size)
    )


@array_jit
def neighborhood(size, tables, arena):
    """Cut scratch for up to `size` neighbors."""
    l_max = tables.l_max
    n_radial, n_lm = (l_max + 1) * tables.n_max, (l_max + 1) ** 2
    return Neighborhood(
        integers(tables.n_species + 1, arena),
        integers(size, arena),
        matrix(3, size, arena),
        floats(size, arena),
        matrix(size, n_radial, arena),
        matrix(size, n_radial, arena),
        matrix(n_radial, size, arena),
        matrix((l_max + 1) * (l_max + 2) // 2, size, arena),
        matrix(l_max + 1, size, arena),
        matrix(l_max + 1, size, arena),
        matrix(n_lm, size, arena),
        matrix(n_lm, size, arena),
        matrix(n_lm, size, arena),
        matrix(4, size, arena),
    )


@inline_jit
def radial_functions(tables, which, r, values, slopes):
    """Evaluate spline times cutoff function and its derivative at one distance."""
    table = tables.radial[which]
    spacing = tables.spacing
    x = r / spacing
    k = min(int(x), table.shape[0] - 2)
    t = x - k
    s = 1.0 - t
    h00, h10 = (1.0 + 2.0 * t) * s * s, t * s * s
    h01, h11 = t * t * (3.0 - 2.0 * t), -t * t * s
    d00, d10 = -6.0 * t * s / spacing, s * (1.0 - 3.0 * t) / spacing
    d11 = t * (3.0 * t - 2.0) / spacing
    # The cutoff function is not in the table: no spline could follow the step of its curvature.
    switch, slope = cosine_switch(r, tables.cutoff[which], tables.cutoff_width)
    f0, m0, f1, m1 = table[k, 0], table[k, 1], table[k + 1, 0], table[k + 1, 1]
    for q in range(values.shape[0]):
        value = h00 * f0[q] + h10 * m0[q] + h01 * f1[q] + h11 * m1[q]
        values[q] = switch * value
        slopes[q] = switch * (d00 * (f0[q] - f1[q]) + d10 * m0[q] + d11 * m1[q]) + slope * value


@inner_jit
def _gather(i, pairs, species, tables, near):
    """Collect the neighbors of center i within the cutoff; return how many."""
    n = 0
    for b in range(tables.n_species):
        near.first[b] = n
        which = tables.of_pair[species[i], b]
        for p in range(pairs.start[i], pairs.start[i + 1]):
            if species[pairs.neighbor[p]] != b:
                continue
            x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
            r = math.sqrt(x * x + y * y + z * z)
            if r >= tables.cutoff[which]:
                continue
            near.pair[n] = p
            near.inverse[n] = 1.0 / r
            near.unit[0, n], near.unit[1, n], near.unit[2, n] = x / r, y / r, z / r
            radial_functions(tables, which, r, near.radial[n], near.slopes[n])
            n += 1
    near.first[tables.n_species] = n
    return n


@inline_jit
def _add_neighbors(size, near, tables, radial, angular, c):
    """Add the sums over neighbors of `radial` times `angular` to c."""
    for t in range(size):
        row = radial[t]
        for q in range(row.shape[0]):
            near.columns[q, t] = row[q]
    for b in range(tables.n_species):
        if near.first[b + 1] > near.first[b]:
            _add_species(b, near, tables, angular, c)


@inline_jit
def _add_species(b, near, tables, angular, c):
    """Add sums over neighbors of species b, `angular` times `columns`, to their channels of c."""
    n_max = tables.n_max
    lo, hi = near.first[b], near.first[b + 1]
    size = hi - lo  # loops run from 0: indices that may be negative would not be vectorized
    offset = b * n_max
    for l in range(tables.l_max + 1):
        n = 0
        while n + 4 <= n_max:  # four sums share the load of y
            q = l * n_max + n
            r0, r1 = near.columns[q, lo:hi], near.columns[q + 1, lo:hi]
            r2, r3 = near.columns[q + 2, lo:hi], near.columns[q + 3, lo:hi]
            for lm in range(l * l, (l + 1) * (l + 1)):
                y = angular[lm, lo:hi]
                s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
                for t in range(size):
                    s0 += y[t] * r0[t]
                    s1 += y[t] * r1[t]
                    s2 += y[t] * r2[t]
                    s3 += y[t] * r3[t]
                c[lm, offset + n] += s0
                c[lm, offset + n + 1] += s1
                c[lm, offset + n + 2] += s2
                c[lm, offset + n + 3] += s3
            n += 4
        while n < n_max:
            r0 = near.columns[l * n_max + n, lo:hi]
            for lm in range(l * l, (l + 1) * (l + 1)):
                y = angular[lm, lo:hi]
                s0 = 0.0
                for t in range(size):
                    s0 += y[t] * r0[t]
                c[lm, offset + n] += s0
            n += 1


@inner_jit
def survey(i, pairs, species, tables, near):
    """Note neighbors, radial functions and harmonics of center i in `near`; return how many."""
    size = _gather(i, pairs, species, tables, near)
    many_harmonics(
        near.unit, size, tables.legendre, tables.l_max,
        near.legendre, near.cosine, near.sine, near.y_lm,
    )  # fmt: skip
    return size


@inner_jit
def expand(i, size, species, tables, near, c):
    """Write the expansion coefficients of center i to c ((l_max + 1)^2, n_species * n_max).

    Right after its `survey`, which returned `size`.
    """
    n_max = tables.n_max
    c[:] = 0.0
    own = species[i] * n_max
    center = tables.center[tables.of_pair[species[i], species[i]]]
    for n in range(n_max):
        c[0, own + n] = center[n] * tables.legendre[2, 0, 0]
    _add_neighbors(size, near, tables, near.radial, near.y_lm, c)


@inline_jit
def _weigh_species(b, near, tables, dc):
    """Write sums over n of dE/dc times radial functions and slopes to `turn` and `stretch`."""
    n_max = tables.n_max
    lo, hi = b * n_max, (b + 1) * n_max
    turn, stretch = near.turn, near.stretch
    t, end = near.first[b], near.first[b + 1]
    while t + 4 <= end:  # four neighbors share the load of dE/dc
        for l in range(tables.l_max + 1):
            q0, q1 = l * n_max, (l + 1) * n_max
            r0, r1 = near.radial[t, q0:q1], near.radial[t + 1, q0:q1]
            r2, r3 = near.radial[t + 2, q0:q1], near.radial[t + 3, q0:q1]
            s0, s1 = near.slopes[t, q0:q1], near.slopes[t + 1, q0:q1]
            s2, s3 = near.slopes[t + 2, q0:q1], near.slopes[t + 3, q0:q1]
            for lm in range(l * l, (l + 1) * (l + 1)):
                g = dc[lm, lo:hi]
                turn_0, turn_1, turn_2, turn_3 = 0.0, 0.0, 0.0, 0.0
                stretch_0, stretch_1, stretch_2, stretch_3 = 0.0, 0.0, 0.0, 0.0
                for n in range(n_max):
                    turn_0 += g[n] * r0[n]
                    turn_1 += g[n] * r1[n]
                    turn_2 += g[n] * r2[n]
                    turn_3 += g[n] * r3[n]
                    stretch_0 += g[n] * s0[n]
                    stretch_1 += g[n] * s1[n]
                    stretch_2 += g[n] * s2[n]
                    stretch_3 += g[n] * s3[n]
                turn[lm, t], turn[lm, t + 1] = turn_0, turn_1
                turn[lm, t + 2], turn[lm, t + 3] = turn_2, turn_3
                stretch[lm, t], stretch[lm, t + 1] = stretch_0, stretch_1
                stretch[lm, t + 2], stretch[lm, t + 3] = stretch_2, stretch_3
        t += 4
    while t < end:
        for l in range(tables.l_max + 1):
            r0 = near.radial[t, l * n_max : (l + 1) * n_max]
            s0 = near.slopes[t, l * n_max : (l + 1) * n_max]
            for lm in range(l * l, (l + 1) * (l + 1)):
                g = dc[lm, lo:hi]
                turn_0, stretch_0 = 0.0, 0.0
                for n in range(n_max):
                    turn_0 += g[n] * r0[n]
                    stretch_0 += g[n] * s0[n]
                turn[lm, t], stretch[lm, t] = turn_0, stretch_0
        t += 1


@inline_jit
def _sum_harmonics(size, near, legendre, l_max):
    """Sum over (l, m): slopes times harmonics, and radial functions times their gradients.

    One array is written a loop: with more, the compiler gives up proving them distinct.
    """
    along, g_x, g_y, g_z = near.sums[0], near.sums[1], near.sums[2], near.sums[3]
    for t in range(size):
        along[t], g_x[t], g_y[t], g_z[t] = 0.0, 0.0, 0.0, 0.0
    for l in range(l_max + 1):
        turn, stretch, p = near.turn[l * l + l], near.stretch[l * l + l], near.y_lm[l * l + l]
        for t in range(size):
            along[t] += stretch[t] * p[t]
        if l > 0:
            factor, p = legendre[3, l, 0], near.legendre[l * (l + 1) // 2 + 1]
            for t in range(size):
                g_z[t] += factor * turn[t] * p[t]
        for m in range(1, l + 1):
            plus, minus = near.stretch[l * l + l + m], near.stretch[l * l + l - m]
            p, c, s = near.legendre[l * (l + 1) // 2 + m], near.cosine[m], near.sine[m]
            for t in range(size):
                along[t] += p[t] * (plus[t] * c[t] + minus[t] * s[t])
            plus, minus = near.turn[l * l + l + m], near.turn[l * l + l - m]
            if m < l:
                factor, up = legendre[3, l, m], near.legendre[l * (l + 1) // 2 + m + 1]
                for t in range(size):
                    g_z[t] += factor * up[t] * (plus[t] * c[t] + minus[t] * s[t])
            c, s = near.cosine[m - 1], near.sine[m - 1]
            for t in range(size):
                g_x[t] += m * p[t] * (plus[t] * c[t] + minus[t] * s[t])
            for t in range(size):
                g_y[t] += m * p[t] * (minus[t] * c[t] - plus[t] * s[t])


@inner_jit
def move_density(size, tables, near, moves, dc):
    """Write the change of c when pair vectors change by `moves` (n_pairs, 3), after `survey`."""
    _move_harmonics(size, near, tables.legendre, tables.l_max, moves)
    dc[:] = 0.0
    _add_neighbors(size, near, tables, near.radial, near.turn, dc)
    _add_neighbors(size, near, tables, near.slopes, near.stretch, dc)


@inline_jit
def _move_harmonics(size, near, legendre, l_max, moves):
    """Write the change of the harmonics to `turn`, the change of r times them to `stretch`."""
    along, w_x, w_y, w_z = near.sums[0], near.sums[1], near.sums[2], near.sums[3]
    for t in range(size):
        x, y, z, p = near.unit[0, t], near.unit[1, t], near.unit[2, t], near.pair[t]
        along[t] = x * moves[p, 0] + y * moves[p, 1] + z * moves[p, 2]
        w_x[t] = (moves[p, 0] - along[t] * x) * near.inverse[t]
        w_y[t] = (moves[p, 1] - along[t] * y) * near.inverse[t]
        w_z[t] = (moves[p, 2] - along[t] * z) * near.inverse[t]
    for l in range(l_max + 1):
        for lm in range(l * l, (l + 1) * (l + 1)):
            stretch, turn, y_lm = near.stretch[lm], near.turn[lm], near.y_lm[lm]
            for t in range(size):
                stretch[t] = along[t] * y_lm[t]
            m = abs(lm - l * l - l)
            cosine_term = lm >= l * l + l
            if m < l:
                factor, up = legendre[3, l, m], near.legendre[l * (l + 1) // 2 + m + 1]
                c = near.cosine[m] if cosine_term else near.sine[m]
                for t in range(size):
                    turn[t] = factor * up[t] * c[t] * w_z[t]
            else:
                for t in range(size):
                    turn[t] = 0.0
            if m > 0:
                p = near.legendre[l * (l + 1) // 2 + m]
                c = near.cosine[m - 1] if cosine_term else near.sine[m - 1]
                s = near.sine[m - 1] if cosine_term else near.cosine[m - 1]
                sign = -m if cosine_term else m
                for t in range(size):
                    turn[t] += m * p[t] * c[t] * w_x[t]
                for t in range(size):
                    turn[t] += sign * p[t] * s[t] * w_y[t]


@inner_jit
def gradient_to_pairs(size, tables, near, dc, pair_gradient):
    """Add dE/dr_ij to the pairs of a center, given dE/dc, after its `survey`."""
    for b in range(tables.n_species):
        _weigh_species(b, near, tables, dc)
    _sum_harmonics(size, near, tables.legendre, tables.l_max)
    for t in range(size):
        x, y, z, inverse = near.unit[0, t], near.unit[1, t], near.unit[2, t], near.inverse[t]
        g_x, g_y, g_z = near.sums[1, t], near.sums[2, t], near.sums[3, t]
        # The part of the harmonics' gradient along the pair does not belong to its direction.
        along = near.sums[0, t] - (g_x * x + g_y * y + g_z * z) * inverse
        p = near.pair[t]
        pair_gradient[p, 0] += g_x * inverse + along * x
        pair_gradient[p, 1] += g_y * inverse + along * y
        pair_gradient[p, 2] += g_z * inverse + along * z
