r"""SOAP power spectrum: values, pull-back and Jacobian blocks.

.. math::

    c_{klm} = \sum_{j \in a,\, r_{ij} < r_c} R_{nl}(r_{ij}) Y_{lm}(\hat r_{ij}), \qquad
    p_{kk'l} = \frac{1}{\sqrt{2l+1}} \sum_m c_{klm} c_{k'lm}

with the joint channel :math:`k = (a, n)` of neighbour species and radial function; only
:math:`k \le k'` is stored, times :math:`\sqrt 2` off the diagonal, so that dot products equal
those of the full array (Bartók, Kondor, Csányi, Phys. Rev. B 87, 184115 (2013)). Features run over
l, then over the upper triangle row by row.

The derivative of a pair's contribution has rank one per degree: with
:math:`A_{k'l} = \sum_m Y_{lm} c_{k'lm}` and :math:`B_{k'l} = \sum_m \nabla Y_{lm}\, c_{k'lm}`,

.. math::

    \sum_m \nabla c_{klm}\, c_{k'lm} = R'_{nl}\, \hat r A_{k'l} + R_{nl} B_{k'l}

which makes a Jacobian row cost about as much as writing it.
"""

import math
from typing import NamedTuple

import numpy as np

from ._jit import inline_jit, jit, parallel_jit, prange, run_twins
from .cutoffs import cosine_switch
from .harmonics import spherical_harmonics, spherical_harmonics_gradient
from .pairs import add_move, close_rows, open_rows

_CHUNK = 16  # centres a task; fixed, so that results do not depend on the number of threads
_SQRT2 = math.sqrt(2.0)


class SoapTables(NamedTuple):
    """What the kernels need to know of the basis; n_features = (l_max + 1) K (K + 1) / 2."""

    radial: np.ndarray  # (n_tables, n_knots, 2, (l_max + 1) * n_max), see radial.spline_table
    of_pair: np.ndarray  # (n_species, n_species) which table serves centre, neighbour
    spacing: float
    cutoff: float
    cutoff_width: float
    centre: np.ndarray  # (n_max,) what the central atom adds to its own l = 0 channels
    legendre: np.ndarray  # harmonics.legendre_coefficients
    n_max: int
    l_max: int
    n_species: int
    normalize: bool


@inline_jit
def _radial(table, tables, r, values, slopes):
    """Evaluate spline times cutoff function and its derivative at one distance."""
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
    switch, switch_slope = cosine_switch(r, tables.cutoff, tables.cutoff_width)
    f0, m0, f1, m1 = table[k, 0], table[k, 1], table[k + 1, 0], table[k + 1, 1]
    for q in range(values.shape[0]):
        value = h00 * f0[q] + h10 * m0[q] + h01 * f1[q] + h11 * m1[q]
        slope = d00 * (f0[q] - f1[q]) + d10 * m0[q] + d11 * m1[q]
        values[q] = switch * value
        slopes[q] = switch * slope + switch_slope * value


@jit
def _density(i, pairs, species, tables, radial, slopes, legendre, y_lm, c):
    """Write the expansion coefficients of centre i to c ((l_max + 1)^2, K)."""
    n_max = tables.n_max
    c[:] = 0.0
    own = species[i] * n_max
    for n in range(n_max):
        c[0, own + n] = tables.centre[n] * tables.legendre[2, 0, 0]
    for p in range(pairs.start[i], pairs.start[i + 1]):
        x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
        r = math.sqrt(x * x + y * y + z * z)
        b = species[pairs.neighbor[p]]
        _radial(tables.radial[tables.of_pair[species[i], b]], tables, r, radial, slopes)
        spherical_harmonics(x / r, y / r, z / r, tables.legendre, tables.l_max, legendre, y_lm)
        offset = b * n_max
        for l in range(tables.l_max + 1):
            row = radial[l * n_max : (l + 1) * n_max]
            for lm in range(l * l, (l + 1) * (l + 1)):
                target = c[lm, offset : offset + n_max]
                for n in range(n_max):
                    target[n] += y_lm[lm] * row[n]


@jit
def _power_spectrum(c, l_max, out):
    """Write the unnormalised power spectrum of one centre to out; return its norm."""
    n_channels = c.shape[1]
    begin = 0
    norm = 0.0
    for l in range(l_max + 1):
        scale = 1.0 / math.sqrt(2.0 * l + 1.0)
        for k in range(n_channels):
            row = out[begin : begin + n_channels - k]
            row[:] = 0.0
            for lm in range(l * l, (l + 1) * (l + 1)):
                c_k = c[lm, k] * scale
                other = c[lm, k:]
                for q in range(n_channels - k):
                    row[q] += c_k * other[q]
            norm += row[0] * row[0]
            for q in range(1, n_channels - k):
                row[q] *= _SQRT2
                norm += row[q] * row[q]
            begin += n_channels - k
    return math.sqrt(norm)


@jit
def _scratch(tables):
    n_lm = (tables.l_max + 1) ** 2
    n_radial = (tables.l_max + 1) * tables.n_max
    return (
        np.empty(n_radial),
        np.empty(n_radial),
        np.empty((tables.l_max + 1, tables.l_max + 1)),
        np.empty(n_lm),
        np.empty((3, n_lm)),
        np.empty((n_lm, tables.n_species * tables.n_max)),
    )


@jit
def values_serial(lo, hi, pairs, species, tables, values):
    """Write the features of centres lo ... hi to the same rows of `values`."""
    radial, slopes, legendre, y_lm, _, c = _scratch(tables)
    for i in range(lo, hi):
        _density(i, pairs, species, tables, radial, slopes, legendre, y_lm, c)
        norm = _power_spectrum(c, tables.l_max, values[i])
        if tables.normalize and norm > 0.0:
            values[i] /= norm


@parallel_jit
def values_parallel(pairs, species, tables, values):
    """Run `values_serial` on all centres, threads taking chunks."""
    n = values.shape[0]
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        values_serial(chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK), pairs, species, tables, values)


@jit
def _spectrum_gradient(c, g, l_max, square, out):
    """Write dE/dc to out, given g = dE/dp of one centre; `square` is (K, K) scratch."""
    n_channels = c.shape[1]
    begin = 0
    for l in range(l_max + 1):
        scale = 1.0 / math.sqrt(2.0 * l + 1.0)
        for k in range(n_channels):
            square[k, k] = 2.0 * scale * g[begin]
            for q in range(1, n_channels - k):
                value = _SQRT2 * scale * g[begin + q]
                square[k, k + q] = value
                square[k + q, k] = value
            begin += n_channels - k
        for lm in range(l * l, (l + 1) * (l + 1)):
            target = out[lm]
            target[:] = 0.0
            for k in range(n_channels):
                c_k = c[lm, k]
                row = square[k]
                for q in range(n_channels):
                    target[q] += c_k * row[q]


@jit
def pull_back_serial(lo, hi, pairs, species, tables, g, pair_gradient):
    """Write dE_i/dr_ij of the pairs of centres lo ... hi, given g = dE_i/d(features of i)."""
    radial, slopes, legendre, y_lm, grad, c = _scratch(tables)
    n_max = tables.n_max
    n_features = g.shape[1]
    spectrum, g_centre = np.empty(n_features), np.empty(n_features)
    square = np.empty((c.shape[1], c.shape[1]))
    dc = np.empty_like(c)
    for i in range(lo, hi):
        _density(i, pairs, species, tables, radial, slopes, legendre, y_lm, c)
        g_centre[:] = g[i]
        if tables.normalize:
            norm = _power_spectrum(c, tables.l_max, spectrum)
            if norm > 0.0:
                overlap = 0.0
                for d in range(n_features):
                    overlap += g_centre[d] * spectrum[d]
                overlap /= norm * norm
                for d in range(n_features):
                    g_centre[d] = (g_centre[d] - overlap * spectrum[d]) / norm
        _spectrum_gradient(c, g_centre, tables.l_max, square, dc)
        for p in range(pairs.start[i], pairs.start[i + 1]):
            x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
            r = math.sqrt(x * x + y * y + z * z)
            x, y, z = x / r, y / r, z / r
            b = species[pairs.neighbor[p]]
            _radial(tables.radial[tables.of_pair[species[i], b]], tables, r, radial, slopes)
            spherical_harmonics_gradient(
                x, y, z, tables.legendre, tables.l_max, legendre, y_lm, grad
            )
            along, g_x, g_y, g_z = 0.0, 0.0, 0.0, 0.0
            for l in range(tables.l_max + 1):
                value_row = radial[l * n_max : (l + 1) * n_max]
                slope_row = slopes[l * n_max : (l + 1) * n_max]
                for lm in range(l * l, (l + 1) * (l + 1)):
                    source = dc[lm, b * n_max : (b + 1) * n_max]
                    turn, stretch = 0.0, 0.0
                    for n in range(n_max):
                        turn += source[n] * value_row[n]
                        stretch += source[n] * slope_row[n]
                    along += stretch * y_lm[lm]
                    g_x += turn * grad[0, lm]
                    g_y += turn * grad[1, lm]
                    g_z += turn * grad[2, lm]
            # Only the part of the harmonics' gradient normal to the pair turns it.
            along -= (g_x * x + g_y * y + g_z * z) / r
            pair_gradient[p, 0] = g_x / r + along * x
            pair_gradient[p, 1] = g_y / r + along * y
            pair_gradient[p, 2] = g_z / r + along * z


@parallel_jit
def pull_back_parallel(pairs, species, tables, g, pair_gradient):
    """Run `pull_back_serial` on all centres, threads taking chunks."""
    n = g.shape[0]
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        pull_back_serial(
            chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK), pairs, species, tables, g, pair_gradient
        )


@jit
def jacobian_serial(lo, hi, centres, pairs, species, tables, start, atom, jacobian, strain):
    """Write Jacobian rows of `centres[lo:hi]`.

    For row `e` in `start[row]:start[row + 1]`, `atom[e]` is the atom that moves (the centre first,
    images of one atom merged) and `jacobian[e]` (3, n_features) the derivative of the centre's
    features with respect to its position; `strain[row]` (6, n_features) is the derivative with
    respect to a symmetric strain, Voigt order xx yy zz yz xz xy.
    """
    radial, slopes, legendre, y_lm, grad, c = _scratch(tables)
    n_features = jacobian.shape[2]
    n_channels = c.shape[1]
    spectrum = np.empty(n_features)
    move = np.empty((3, n_features))
    projected = np.empty((4, tables.l_max + 1, n_channels))
    slot = np.full(len(species), -1, dtype=np.int64)
    for row in range(lo, hi):
        i = centres[row]
        _density(i, pairs, species, tables, radial, slopes, legendre, y_lm, c)
        norm = _power_spectrum(c, tables.l_max, spectrum)
        scale = 1.0
        if tables.normalize and norm > 0.0:
            scale = 1.0 / norm
            spectrum *= scale
        used = open_rows(i, pairs, start[row], slot, atom, jacobian, strain[row])
        for p in range(pairs.start[i], pairs.start[i + 1]):
            _pair_jacobian(
                p, i, pairs, species, tables, radial, slopes, legendre, y_lm, grad, c,
                projected, scale, spectrum, move,
            )  # fmt: skip
            add_move(
                move,
                pairs.vector[p],
                jacobian[slot[pairs.neighbor[p]]],
                jacobian[start[row]],
                strain[row],
            )
        close_rows(start[row], used, slot, atom)


@parallel_jit
def jacobian_parallel(centres, pairs, species, tables, start, atom, jacobian, strain):
    """Run `jacobian_serial` on all `centres`, threads taking chunks."""
    n = len(centres)
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        lo, hi = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        jacobian_serial(lo, hi, centres, pairs, species, tables, start, atom, jacobian, strain)


@jit
def _pair_jacobian(
    p, i, pairs, species, tables, radial, slopes, legendre, y_lm, grad, c,
    projected, scale, spectrum, move,
):  # fmt: skip
    """Write d(features of i)/d(vector of pair p) to `move` (3, n_features)."""
    n_max, n_channels = tables.n_max, c.shape[1]
    x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
    r = math.sqrt(x * x + y * y + z * z)
    x, y, z = x / r, y / r, z / r
    b = species[pairs.neighbor[p]]
    _radial(tables.radial[tables.of_pair[species[i], b]], tables, r, radial, slopes)
    spherical_harmonics_gradient(x, y, z, tables.legendre, tables.l_max, legendre, y_lm, grad)
    projected[:] = 0.0
    for l in range(tables.l_max + 1):
        weight = scale / math.sqrt(2.0 * l + 1.0)
        a, b_x, b_y, b_z = projected[0, l], projected[1, l], projected[2, l], projected[3, l]
        for lm in range(l * l, (l + 1) * (l + 1)):
            # Remove the radial part of the polynomial's gradient.
            radial_part = grad[0, lm] * x + grad[1, lm] * y + grad[2, lm] * z
            w = weight * y_lm[lm]
            w_x = weight * (grad[0, lm] - radial_part * x) / r
            w_y = weight * (grad[1, lm] - radial_part * y) / r
            w_z = weight * (grad[2, lm] - radial_part * z) / r
            for k in range(n_channels):
                a[k] += w * c[lm, k]
                b_x[k] += w_x * c[lm, k]
                b_y[k] += w_y * c[lm, k]
                b_z[k] += w_z * c[lm, k]
    for axis in range(3):
        direction = x if axis == 0 else (y if axis == 1 else z)
        out = move[axis]
        _outer(direction, radial, slopes, projected[0], projected[axis + 1], b * n_max, n_max, out)
        overlap = 0.0
        if tables.normalize:
            for d in range(out.shape[0]):
                overlap += out[d] * spectrum[d]
            for d in range(out.shape[0]):
                out[d] -= overlap * spectrum[d]


@jit
def _outer(direction, radial, slopes, a, b, offset, n_max, out):
    """Write the triangle of u a + R b, plus its transpose, for one Cartesian direction."""
    n_channels = a.shape[1]
    begin = 0
    for l in range(a.shape[0]):
        for k in range(n_channels):
            row = out[begin : begin + n_channels - k]
            begin += n_channels - k
            mine = offset <= k < offset + n_max
            if mine:
                value = radial[l * n_max + k - offset]
                slope = direction * slopes[l * n_max + k - offset]
                for q in range(row.shape[0]):
                    row[q] = _SQRT2 * (slope * a[l, k + q] + value * b[l, k + q])
            else:
                row[:] = 0.0
            # The other factor of the product moves too, where its channel is the neighbour's.
            first = max(k, offset)
            a_k, b_k = direction * a[l, k], b[l, k]
            for q in range(first, offset + n_max):
                n = l * n_max + q - offset
                row[q - k] += _SQRT2 * (a_k * slopes[n] + b_k * radial[n])
            if mine:
                row[0] *= 1.0 / _SQRT2


def n_features(tables):
    """Return the number of columns."""
    channels = tables.n_species * tables.n_max
    return (tables.l_max + 1) * channels * (channels + 1) // 2


def power_spectrum(pairs, species, tables, values):
    """Write the features of all atoms to `values` (n_atoms, n_features)."""
    run_twins(values_serial, values_parallel, len(values), pairs, species, tables, values)


def pull_back(pairs, species, tables, g, pair_gradient):
    """Write dE_i/dr_ij of all pairs to `pair_gradient` (n_pairs, 3), from g = dE_i/dp_i."""
    run_twins(
        pull_back_serial, pull_back_parallel, len(g), pairs, species, tables, g, pair_gradient
    )


def jacobian(centres, pairs, species, tables, start, atom, values, strain):
    """Write the Jacobian rows of `centres`; see `jacobian_serial`."""
    run_twins(
        jacobian_serial, jacobian_parallel, len(centres),
        centres, pairs, species, tables, start, atom, values, strain,
    )  # fmt: skip
