r"""Expansion of the neighbour density around an atom, and the way back from it to the pairs.

.. math::

    c_{lm,k} = \sum_{j \in a,\, r_{ij} < r_c} f_c(r_{ij}) R_{nl}(r_{ij}) Y_{lm}(\hat r_{ij})

with the joint channel :math:`k = (a, n)` of neighbour species and radial function. The central atom
adds to the l = 0 channels of its own species. All neighbours of a centre are worked on at once,
sorted by species, so that the inner loops run over neighbours: the harmonics' recurrences, and
the sums over neighbours as dot products.
"""

import math
from typing import NamedTuple

import numpy as np

from ._jit import inline_jit, inner_jit, jit
from .cutoffs import cosine_switch
from .harmonics import many_harmonics


class DensityTables(NamedTuple):
    """What the kernels need to know of the basis."""

    radial: np.ndarray  # (n_tables, n_knots, 2, (l_max + 1) * n_max), see radial.spline_table
    of_pair: np.ndarray  # (n_species, n_species) which table serves centre, neighbour
    cutoff: np.ndarray  # (n_tables,) in Å
    cutoff_width: float
    spacing: float
    centre: np.ndarray  # (n_tables, n_max) what a central atom adds to its own l = 0 channels
    legendre: np.ndarray  # harmonics.legendre_coefficients
    n_max: int
    l_max: int
    n_species: int


class Neighborhood(NamedTuple):
    """The neighbours of one centre, sorted by species, and scratch; P is their largest number."""

    first: np.ndarray  # (n_species + 1,) where each species begins
    pair: np.ndarray  # (P,) index of the pair
    unit: np.ndarray  # (3, P) direction
    inverse: np.ndarray  # (P,) 1/r
    radial: np.ndarray  # (P, (l_max + 1) * n_max)
    slopes: np.ndarray  # (P, (l_max + 1) * n_max)
    columns: np.ndarray  # ((l_max + 1) * n_max, P) radial once more, neighbours innermost
    legendre: np.ndarray  # see harmonics.many_harmonics
    cosine: np.ndarray
    sine: np.ndarray
    y_lm: np.ndarray  # ((l_max + 1)^2, P)
    turn: np.ndarray  # ((l_max + 1)^2, P)
    stretch: np.ndarray  # ((l_max + 1)^2, P)
    sums: np.ndarray  # (4, P)


@jit
def neighborhood(size, tables):
    """Allocate scratch for up to `size` neighbours."""
    l_max = tables.l_max
    n_radial, n_lm = (l_max + 1) * tables.n_max, (l_max + 1) ** 2
    return Neighborhood(
        np.empty(tables.n_species + 1, dtype=np.int64),
        np.empty(size, dtype=np.int64),
        np.empty((3, size)),
        np.empty(size),
        np.empty((size, n_radial)),
        np.empty((size, n_radial)),
        np.empty((n_radial, size)),
        np.empty(((l_max + 1) * (l_max + 2) // 2, size)),
        np.empty((l_max + 1, size)),
        np.empty((l_max + 1, size)),
        np.empty((n_lm, size)),
        np.empty((n_lm, size)),
        np.empty((n_lm, size)),
        np.empty((4, size)),
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
    # The switch has a step in its curvature, which no spline can follow: it stays out of the table.
    switch, slope = cosine_switch(r, tables.cutoff[which], tables.cutoff_width)
    f0, m0, f1, m1 = table[k, 0], table[k, 1], table[k + 1, 0], table[k + 1, 1]
    for q in range(values.shape[0]):
        value = h00 * f0[q] + h10 * m0[q] + h01 * f1[q] + h11 * m1[q]
        values[q] = switch * value
        slopes[q] = switch * (d00 * (f0[q] - f1[q]) + d10 * m0[q] + d11 * m1[q]) + slope * value


@inner_jit
def _gather(i, pairs, species, tables, near):
    """Collect the neighbours of centre i within the cutoff; return how many."""
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
            row = near.radial[n]
            radial_functions(tables, which, r, row, near.slopes[n])
            for q in range(row.shape[0]):
                near.columns[q, n] = row[q]
            n += 1
    near.first[tables.n_species] = n
    return n


@inline_jit
def _add_species(b, near, tables, c):
    """Add the neighbours of species b to their channels of c."""
    n_max = tables.n_max
    lo, hi = near.first[b], near.first[b + 1]
    size = hi - lo  # slices and loops from 0: an index that may be negative is not vectorised
    offset = b * n_max
    for l in range(tables.l_max + 1):
        n = 0
        while n + 4 <= n_max:  # four sums share the load of y_lm
            q = l * n_max + n
            r0, r1 = near.columns[q, lo:hi], near.columns[q + 1, lo:hi]
            r2, r3 = near.columns[q + 2, lo:hi], near.columns[q + 3, lo:hi]
            for lm in range(l * l, (l + 1) * (l + 1)):
                y = near.y_lm[lm, lo:hi]
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
                y = near.y_lm[lm, lo:hi]
                s0 = 0.0
                for t in range(size):
                    s0 += y[t] * r0[t]
                c[lm, offset + n] += s0
            n += 1


@jit
def expand(i, pairs, species, tables, near, c):
    """Write the expansion coefficients of centre i to c ((l_max + 1)^2, n_species * n_max).

    `near` keeps the neighbours for `gradient_to_pairs`. Returns their number.
    """
    n_max = tables.n_max
    c[:] = 0.0
    own = species[i] * n_max
    centre = tables.centre[tables.of_pair[species[i], species[i]]]
    for n in range(n_max):
        c[0, own + n] = centre[n] * tables.legendre[2, 0, 0]
    size = _gather(i, pairs, species, tables, near)
    many_harmonics(
        near.unit, size, tables.legendre, tables.l_max,
        near.legendre, near.cosine, near.sine, near.y_lm,
    )  # fmt: skip
    for b in range(tables.n_species):
        if near.first[b + 1] > near.first[b]:
            _add_species(b, near, tables, c)
    return size


@inline_jit
def _weigh_species(b, near, tables, dc):
    """Write sums over n of dE/dc times radial functions and slopes to `turn` and `stretch`."""
    n_max = tables.n_max
    lo, hi = b * n_max, (b + 1) * n_max
    turn, stretch = near.turn, near.stretch
    for t in range(near.first[b], near.first[b + 1]):
        for l in range(tables.l_max + 1):
            r = near.radial[t, l * n_max : (l + 1) * n_max]
            s = near.slopes[t, l * n_max : (l + 1) * n_max]
            lm, end = l * l, (l + 1) * (l + 1)
            while lm + 4 <= end:  # eight sums share the loads of r and s
                g0, g1, g2, g3 = (
                    dc[lm, lo:hi],
                    dc[lm + 1, lo:hi],
                    dc[lm + 2, lo:hi],
                    dc[lm + 3, lo:hi],
                )
                t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
                s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
                for n in range(n_max):
                    t0 += g0[n] * r[n]
                    t1 += g1[n] * r[n]
                    t2 += g2[n] * r[n]
                    t3 += g3[n] * r[n]
                    s0 += g0[n] * s[n]
                    s1 += g1[n] * s[n]
                    s2 += g2[n] * s[n]
                    s3 += g3[n] * s[n]
                turn[lm, t], turn[lm + 1, t], turn[lm + 2, t], turn[lm + 3, t] = t0, t1, t2, t3
                stretch[lm, t], stretch[lm + 1, t] = s0, s1
                stretch[lm + 2, t], stretch[lm + 3, t] = s2, s3
                lm += 4
            while lm < end:
                g0 = dc[lm, lo:hi]
                t0, s0 = 0.0, 0.0
                for n in range(n_max):
                    t0 += g0[n] * r[n]
                    s0 += g0[n] * s[n]
                turn[lm, t], stretch[lm, t] = t0, s0
                lm += 1


@inline_jit
def _sum_harmonics(size, near, legendre, l_max):
    """Sum over (l, m): slopes times harmonics, and radial functions times their gradients.

    One array is written a loop: with more, the compiler gives up proving them distinct.
    """
    along, g_x, g_y, g_z = near.sums[0], near.sums[1], near.sums[2], near.sums[3]
    for t in range(size):
        along[t], g_x[t], g_y[t], g_z[t] = 0.0, 0.0, 0.0, 0.0
    for l in range(l_max + 1):
        for lm in range(l * l, (l + 1) * (l + 1)):
            m = abs(lm - l * l - l)
            cosine_term = lm >= l * l + l
            turn, stretch, y = near.turn[lm], near.stretch[lm], near.y_lm[lm]
            for t in range(size):
                along[t] += stretch[t] * y[t]
            if m < l:
                factor = legendre[3, l, m]
                p = near.legendre[l * (l + 1) // 2 + m + 1]
                trigonometric = near.cosine[m] if cosine_term else near.sine[m]
                for t in range(size):
                    g_z[t] += factor * turn[t] * p[t] * trigonometric[t]
            if m > 0:
                p = near.legendre[l * (l + 1) // 2 + m]
                for_x = near.cosine[m - 1] if cosine_term else near.sine[m - 1]
                for_y = near.sine[m - 1] if cosine_term else near.cosine[m - 1]
                sign = -m if cosine_term else m
                for t in range(size):
                    g_x[t] += m * turn[t] * p[t] * for_x[t]
                for t in range(size):
                    g_y[t] += sign * turn[t] * p[t] * for_y[t]


@jit
def gradient_to_pairs(i, size, pairs, tables, near, dc, pair_gradient):
    """Write dE/dr_ij of the pairs of centre i, given dE/dc, right after its `expand`."""
    for b in range(tables.n_species):
        _weigh_species(b, near, tables, dc)
    _sum_harmonics(size, near, tables.legendre, tables.l_max)
    for p in range(pairs.start[i], pairs.start[i + 1]):
        for axis in range(3):
            pair_gradient[p, axis] = 0.0
    for t in range(size):
        x, y, z, inverse = near.unit[0, t], near.unit[1, t], near.unit[2, t], near.inverse[t]
        g_x, g_y, g_z = near.sums[1, t], near.sums[2, t], near.sums[3, t]
        # Only the part of the harmonics' gradient normal to the pair turns it.
        along = near.sums[0, t] - (g_x * x + g_y * y + g_z * z) * inverse
        p = near.pair[t]
        pair_gradient[p, 0] = g_x * inverse + along * x
        pair_gradient[p, 1] = g_y * inverse + along * y
        pair_gradient[p, 2] = g_z * inverse + along * z
