r"""Atom-centered symmetry functions: values, pull-back and Jacobian blocks.

Every function is a sum over neighbors, or over pairs of neighbors, of products of radial factors
:math:`E(r) = e^{-\eta (r - r_s)^2} \cos(\kappa r) f_c(r)` and of a power of the angle's cosine:

.. math::

    G_i = \sum_j w_j E(r_{ij}), \qquad
    G_i = 2^{1-\zeta} \sum_{j<k} w_{jk} (1 + \lambda \cos\theta_{jik})^\zeta
          E(r_{ij}) E(r_{ik}) [E(r_{jk})]

J. Behler, J. Chem. Phys. 134, 074106 (2011), with weights w = 1 for neighbors of the species asked
for and 0 for others; M. Gastegger et al., J. Chem. Phys. 148, 241709 (2018), with weights that are
atomic numbers. The last factor distinguishes G4 from G5. The tables list, for each species of
center and neighbors, only the terms whose weight is not zero.
"""

import math
from typing import NamedTuple

import numpy as np

from ._arena import arena, floats, integers, matrix, padded, release
from ._jit import array_jit, inline_jit, inner_jit, jit
from .cutoffs import cosine_switch, polynomial_switch, tanh_switch
from .elementary import fast_exp
from .pairs import add_move, close_rows, largest, largest_of, open_rows


@inline_jit
def _switch(r, cutoff, width, kind):
    if kind == 1.0:
        return polynomial_switch(r, cutoff, width)
    if kind == 2.0:
        return tanh_switch(r, cutoff)
    return cosine_switch(r, cutoff, width)


@inline_jit
def _bare_factor(r, eta, shift, kappa):
    """Return a factor without its cutoff function, and its derivative."""
    d = r - shift
    value = fast_exp(-eta * d * d)
    slope = -2.0 * eta * d * value
    if kappa != 0.0:
        cosine = math.cos(kappa * r)
        slope = slope * cosine - value * kappa * math.sin(kappa * r)
        value *= cosine
    return value, slope


@inline_jit
def _power(x, zeta, n):
    """Return x^(zeta - 1), by multiplication if that is the integer n >= 0."""
    if n < 0:
        return x ** (zeta - 1.0)
    power = 1.0
    while n > 0:
        if n & 1:
            power *= x
        x *= x
        n >>= 1
    return power


@inline_jit
def _factors(r, factors, switches, values, slopes):
    """Evaluate all factors and their derivatives at one distance."""
    last, cut, cut_slope = -1, 0.0, 0.0
    for f in range(len(factors.switch)):
        if factors.switch[f] != last:
            last = factors.switch[f]
            cut, cut_slope = _switch(r, switches[last, 0], switches[last, 1], switches[last, 2])
        value, slope = _bare_factor(r, factors.eta[f], factors.shift[f], factors.kappa[f])
        values[f], slopes[f] = value * cut, slope * cut + value * cut_slope


class Scratch(NamedTuple):
    """Those neighbors of one center that angular terms reach, and factors of one distance."""

    pair: np.ndarray  # (n,) index among all pairs
    species: np.ndarray  # (n,)
    distance: np.ndarray  # (n,)
    unit: np.ndarray  # (n, 3)
    values: np.ndarray  # (n, n_factors) radial factors
    slopes: np.ndarray  # (n, n_factors)
    third: np.ndarray  # (2, n_factors) factors of the distance between two neighbors, slopes
    angle: np.ndarray  # (2, n_angles) factors of the angle between them, slopes
    radial: np.ndarray  # (2, n_radial_factors) radial factors of one neighbor, slopes


@jit
def scratch_size(tables, n_neighbors):
    """Return how many numbers `scratch` cuts."""
    n_factors = len(tables.angular_factors.switch)
    return (
        3 * padded(n_neighbors)
        + padded(3 * n_neighbors)
        + 2 * padded(n_neighbors * n_factors)
        + padded(2 * n_factors)
        + padded(2 * len(tables.angles.slope))
        + padded(2 * len(tables.radial_factors.switch))
    )


@array_jit
def scratch(tables, n_neighbors, arena):
    """Cut scratch for centers of up to `n_neighbors` pairs."""
    n_factors = len(tables.angular_factors.switch)
    return Scratch(
        integers(n_neighbors, arena),
        integers(n_neighbors, arena),
        floats(n_neighbors, arena),
        matrix(n_neighbors, 3, arena),
        matrix(n_neighbors, n_factors, arena),
        matrix(n_neighbors, n_factors, arena),
        matrix(2, n_factors, arena),
        matrix(2, len(tables.angles.slope), arena),
        matrix(2, len(tables.radial_factors.switch), arena),
    )


@jit
def kept_size(tables):
    """Return how many numbers a center keeps between values and pull-back: none."""
    return 0


@inner_jit
def _gather(i, pairs, species, tables, near):
    """Fill `near` for center i; return how many neighbors are in it."""
    n = 0
    if len(tables.angular_factors.switch) == 0:
        return n
    for p in range(pairs.start[i], pairs.start[i + 1]):
        x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
        r = math.sqrt(x * x + y * y + z * z)
        if r < tables.reach:
            near.pair[n] = p
            near.species[n] = species[pairs.neighbor[p]]
            near.distance[n] = r
            near.unit[n, 0], near.unit[n, 1], near.unit[n, 2] = x / r, y / r, z / r
            _factors(r, tables.angular_factors, tables.switches, near.values[n], near.slopes[n])
            n += 1
    return n


@inline_jit
def _third_side(a, b, c):
    """Return the distance between two neighbors at distances a, b whose angle has cosine c."""
    return math.sqrt(max(0.0, a * a + b * b - 2.0 * a * b * c))


@inner_jit
def _add_angular(i, n, species, tables, near, out):
    """Add the angular terms of center i to its row of features."""
    terms, factors, angles = tables.angular, tables.angular_factors, tables.angles
    switches, reach, n_species = tables.switches, tables.reach, tables.n_species
    angle = near.angle[0]
    for j in range(n):
        first = (species[i] * n_species + near.species[j]) * n_species
        f_j = near.values[j]
        r_j, u_x, u_y, u_z = near.distance[j], near.unit[j, 0], near.unit[j, 1], near.unit[j, 2]
        for k in range(j + 1, n):
            t = first + near.species[k]
            begin, closed, end = terms.start[t], terms.closed[t], terms.start[t + 1]
            c = u_x * near.unit[k, 0] + u_y * near.unit[k, 1] + u_z * near.unit[k, 2]
            # Rounding may lead out of [-1, 1], to where a power of 1 + lambda cos is not defined.
            c = min(1.0, max(-1.0, c))
            r_jk = _third_side(r_j, near.distance[k], c)
            if r_jk >= reach:
                end = closed
            if begin == end:
                continue
            for v in range(len(angle)):
                x = 1.0 + angles.slope[v] * c
                angle[v] = x * _power(x, angles.power[v], angles.integer[v])
            f_k = near.values[k]
            last, radial = -1, 0.0
            for e in range(begin, closed):
                if terms.factor[e] != last:
                    last = terms.factor[e]
                    radial = f_j[last] * f_k[last]
                out[terms.column[e]] += terms.weight[e] * angle[terms.angle[e]] * radial
            last, switch, cut = -1, -1, 0.0
            for e in range(closed, end):
                if terms.factor[e] != last:
                    last = terms.factor[e]
                    if factors.switch[last] != switch:
                        switch = factors.switch[last]
                        cut, _ = _switch(
                            r_jk, switches[switch, 0], switches[switch, 1], switches[switch, 2]
                        )
                    eta, shift, kappa = factors.eta[last], factors.shift[last], factors.kappa[last]
                    value, _ = _bare_factor(r_jk, eta, shift, kappa)
                    radial = cut * f_j[last] * f_k[last] * value
                out[terms.column[e]] += terms.weight[e] * angle[terms.angle[e]] * radial


@inner_jit
def center_values(tables, i, pairs, species, scratch, kept, row):
    """Write the features of center i to `row`."""
    terms, radial, slopes = tables.radial, scratch.radial[0], scratch.radial[1]
    row[:] = 0.0
    for p in range(pairs.start[i], pairs.start[i + 1]):
        x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
        r = math.sqrt(x * x + y * y + z * z)
        _factors(r, tables.radial_factors, tables.switches, radial, slopes)
        t = species[i] * tables.n_species + species[pairs.neighbor[p]]
        for e in range(terms.start[t], terms.start[t + 1]):
            row[terms.column[e]] += terms.weight[e] * radial[terms.factor[e]]
    n = _gather(i, pairs, species, tables, scratch)
    _add_angular(i, n, species, tables, scratch, row)


@jit
def values(lo, hi, pairs, species, tables, values):
    """Write the features of centers lo ... hi to the same rows of `values`."""
    n = largest(lo, hi, pairs)
    own, kept = arena(scratch_size(tables, n)), np.empty(0)
    work = scratch(tables, n, own)
    for i in range(lo, hi):
        center_values(tables, i, pairs, species, work, kept, values[i])
    release(own)


@inline_jit
def _angle_factors(c, angles, values, slopes):
    """Evaluate all (1 + lambda cos)^zeta and their derivatives at one cosine."""
    for v in range(len(values)):
        x = 1.0 + angles.slope[v] * c
        power = _power(x, angles.power[v], angles.integer[v])
        values[v] = x * power
        slopes[v] = angles.power[v] * angles.slope[v] * power


@inner_jit
def center_pull_back(tables, i, pairs, species, scratch, kept, g, pair_gradient):
    """Add dE_i/dr_ij to the pairs of center i, given g = dE_i/d(features of i)."""
    n_species = tables.n_species
    radial, slopes = scratch.radial[0], scratch.radial[1]
    terms, angular = tables.radial, tables.angular
    third, third_slope = scratch.third[0], scratch.third[1]
    angle, angle_slope = scratch.angle[0], scratch.angle[1]
    for p in range(pairs.start[i], pairs.start[i + 1]):
        x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
        r = math.sqrt(x * x + y * y + z * z)
        _factors(r, tables.radial_factors, tables.switches, radial, slopes)
        t = species[i] * n_species + species[pairs.neighbor[p]]
        total = 0.0
        for e in range(terms.start[t], terms.start[t + 1]):
            total += g[terms.column[e]] * terms.weight[e] * slopes[terms.factor[e]]
        total /= r
        pair_gradient[p, 0] += total * x
        pair_gradient[p, 1] += total * y
        pair_gradient[p, 2] += total * z
    n = _gather(i, pairs, species, tables, scratch)
    for j in range(n):
        first = (species[i] * n_species + scratch.species[j]) * n_species
        r_j, u = scratch.distance[j], scratch.unit[j]
        f_j, s_j = scratch.values[j], scratch.slopes[j]
        move_x, move_y, move_z = 0.0, 0.0, 0.0
        for k in range(j + 1, n):
            w_k = scratch.unit[k]
            c = min(1.0, max(-1.0, u[0] * w_k[0] + u[1] * w_k[1] + u[2] * w_k[2]))
            r_k = scratch.distance[k]
            r_jk = _third_side(r_j, r_k, c)
            t = first + scratch.species[k]
            begin, closed, end = angular.start[t], angular.closed[t], angular.start[t + 1]
            if r_jk >= tables.reach:
                end = closed
            if begin == end:
                continue
            _angle_factors(c, tables.angles, angle, angle_slope)
            if closed < end:
                _factors(r_jk, tables.angular_factors, tables.switches, third, third_slope)
            f_k, s_k = scratch.values[k], scratch.slopes[k]
            d_c, d_j, d_k, d_jk = 0.0, 0.0, 0.0, 0.0
            e = begin
            while e < end:  # a run of terms with the same radial factor at a time
                f, limit = angular.factor[e], closed if e < closed else end
                level, tilt = 0.0, 0.0
                while e < limit and angular.factor[e] == f:
                    w = g[angular.column[e]] * angular.weight[e]
                    level += w * angle[angular.angle[e]]
                    tilt += w * angle_slope[angular.angle[e]]
                    e += 1
                if limit > closed:
                    d_jk += level * f_j[f] * f_k[f] * third_slope[f]
                    level *= third[f]
                    tilt *= third[f]
                d_c += tilt * f_j[f] * f_k[f]
                d_j += level * s_j[f] * f_k[f]
                d_k += level * f_j[f] * s_k[f]
            d_jk /= r_jk
            # Coefficients of the two unit vectors in either neighbor's gradient.
            uu, uv = d_j - d_c * c / r_j + d_jk * r_j, d_c / r_j - d_jk * r_k
            vv, vu = d_k - d_c * c / r_k + d_jk * r_k, d_c / r_k - d_jk * r_j
            move_x += uu * u[0] + uv * w_k[0]
            move_y += uu * u[1] + uv * w_k[1]
            move_z += uu * u[2] + uv * w_k[2]
            other = pair_gradient[scratch.pair[k]]
            other[0] += vv * w_k[0] + vu * u[0]
            other[1] += vv * w_k[1] + vu * u[1]
            other[2] += vv * w_k[2] + vu * u[2]
        mine = pair_gradient[scratch.pair[j]]
        mine[0] += move_x
        mine[1] += move_y
        mine[2] += move_z


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


@inner_jit
def _pair_moves(i, pairs, species, tables, near, moves):
    """Write d(features of i)/d(vector) of each pair of center i to `moves` (n, 3, n_features)."""
    n_species = tables.n_species
    terms, angular = tables.radial, tables.angular
    third, third_slope = near.third[0], near.third[1]
    angle, angle_slope = near.angle[0], near.angle[1]
    radial, slopes = near.radial[0], near.radial[1]
    origin = pairs.start[i]
    for p in range(origin, pairs.start[i + 1]):
        move = moves[p - origin]
        move[:] = 0.0
        x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
        r = math.sqrt(x * x + y * y + z * z)
        _factors(r, tables.radial_factors, tables.switches, radial, slopes)
        t = species[i] * n_species + species[pairs.neighbor[p]]
        for e in range(terms.start[t], terms.start[t + 1]):
            slope = terms.weight[e] * slopes[terms.factor[e]] / r
            move[0, terms.column[e]] += slope * x
            move[1, terms.column[e]] += slope * y
            move[2, terms.column[e]] += slope * z
    n = _gather(i, pairs, species, tables, near)
    for j in range(n):
        first = (species[i] * n_species + near.species[j]) * n_species
        r_j, u = near.distance[j], near.unit[j]
        f_j, s_j = near.values[j], near.slopes[j]
        move_j = moves[near.pair[j] - origin]
        for k in range(j + 1, n):
            r_k, w_k = near.distance[k], near.unit[k]
            c = min(1.0, max(-1.0, u[0] * w_k[0] + u[1] * w_k[1] + u[2] * w_k[2]))
            r_jk = _third_side(r_j, r_k, c)
            t = first + near.species[k]
            begin, closed, end = angular.start[t], angular.closed[t], angular.start[t + 1]
            if r_jk >= tables.reach:
                end = closed
            if begin == end:
                continue
            _angle_factors(c, tables.angles, angle, angle_slope)
            if closed < end:
                _factors(r_jk, tables.angular_factors, tables.switches, third, third_slope)
            f_k, s_k = near.values[k], near.slopes[k]
            move_k = moves[near.pair[k] - origin]
            for e in range(begin, end):
                f, v, column = angular.factor[e], angular.angle[e], angular.column[e]
                w, d_jk = angular.weight[e], 0.0
                a = w * angle[v]
                if e >= closed:
                    d_jk = a * f_j[f] * f_k[f] * third_slope[f] / r_jk
                    a *= third[f]
                    w *= third[f]
                d_c = w * angle_slope[v] * f_j[f] * f_k[f]
                uu = a * s_j[f] * f_k[f] - d_c * c / r_j + d_jk * r_j
                vv = a * f_j[f] * s_k[f] - d_c * c / r_k + d_jk * r_k
                uv, vu = d_c / r_j - d_jk * r_k, d_c / r_k - d_jk * r_j
                for axis in range(3):
                    move_j[axis, column] += uu * u[axis] + uv * w_k[axis]
                    move_k[axis, column] += vv * w_k[axis] + vu * u[axis]


@jit
def jacobian(lo, hi, centers, pairs, species, tables, start, atom, jacobian, strain):
    """Write Jacobian rows of `centers[lo:hi]`; the layout is that of `soap.jacobian`."""
    size = largest_of(centers[lo:hi], pairs)
    own = arena(scratch_size(tables, size))
    near = scratch(tables, size, own)
    moves = np.empty((size, 3, tables.n_columns))
    slot = np.full(len(species), -1, dtype=np.int64)
    for row in range(lo, hi):
        i = centers[row]
        _pair_moves(i, pairs, species, tables, near, moves)
        used = open_rows(i, pairs, start[row], slot, atom, jacobian, strain[row])
        for p in range(pairs.start[i], pairs.start[i + 1]):
            move, j = moves[p - pairs.start[i]], pairs.neighbor[p]
            add_move(move, pairs.vector[p], jacobian[slot[j]], jacobian[start[row]], strain[row])
        close_rows(start[row], used, slot, atom)
    release(own)


def n_features(tables):
    """Return the number of columns."""
    return tables.n_columns
