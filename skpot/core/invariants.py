r"""Rotational invariants of expansion coefficients, their gradients and their moves with a pair.

Of the coefficients :math:`c_{lm,k}` of one centre in channels k (see `skpot.core.density`):

`Linear` (body order 2)
    :math:`p_k = c_{00,k}`;
`Triangle` (body order 3), the power spectrum
    :math:`p_{kk'l} = (2l+1)^{-1/2} \sum_m c_{lm,k} c_{lm,k'}`, :math:`k \le k'`, times
    :math:`\sqrt 2` off the diagonal, so that dot products equal those of the full array (Bartók,
    Kondor, Csányi, Phys. Rev. B 87, 184115 (2013));
`Rectangle`
    the same for k among the first channels and k' among the others, the totals (Darby, Kermode,
    Csányi, npj Comput. Mater. 8, 166 (2022));
`Diagonal`
    the same for k = k' alone (Darby et al., Phys. Rev. Lett. 131, 028001 (2023));
`Bispectrum` (body order 4)
    cubic polynomials, see `skpot.core.bispectrum`.

Features run over l, then k, then k'. Which one is meant is decided by the type of the first
argument, at compilation.

A pair's contribution moves the coefficients by
:math:`\nabla c_{lm,k} = R'_{kl} \hat r Y_{lm} + R_{kl} \nabla Y_{lm}`. In products of two it has
rank one per degree: with :math:`A_{kl} = \sum_m Y_{lm} c_{lm,k}` and
:math:`B_{kl} = \sum_m \nabla Y_{lm}\, c_{lm,k}`,

.. math::

    \sum_m \nabla c_{lm,k}\, c_{lm,k'} = R'_{kl}\, \hat r A_{k'l} + R_{kl} B_{k'l}

which makes a row of the Jacobian cost about as much as writing it.
"""

import math
from typing import NamedTuple

import numpy as np

from ._jit import inline_jit, inner_jit, variants

_SQRT2 = math.sqrt(2.0)


class Linear(NamedTuple):
    """Body order 2: the l = 0 coefficients."""

    n_channels: int
    l_max: int


class Triangle(NamedTuple):
    """Body order 3: all pairs of channels."""

    n_channels: int
    l_max: int


class Rectangle(NamedTuple):
    """Body order 3: the first `n_left` channels with the others."""

    n_channels: int
    l_max: int
    n_left: int


class Diagonal(NamedTuple):
    """Body order 3: each channel with itself."""

    n_channels: int
    l_max: int


class Bispectrum(NamedTuple):
    """Body order 4: feature f sums `weight` times products of three coefficients."""

    n_channels: int
    l_max: int
    first: np.ndarray  # (n_features + 1,) first term of each feature
    index: np.ndarray  # (n_terms, 3) indices lm * n_channels + k
    weight: np.ndarray  # (n_terms,)


class PairMove(NamedTuple):
    """How one pair moves the coefficients of channels `offset` ... `offset + n`."""

    offset: int
    n: int
    direction: np.ndarray  # (3,)
    radial: np.ndarray  # ((l_max + 1) * n,)
    slopes: np.ndarray  # ((l_max + 1) * n,)
    y_lm: np.ndarray  # ((l_max + 1)^2,)
    normal: np.ndarray  # (3, (l_max + 1)^2) gradient of the harmonics, 1/Å


def n_features(product):
    """Return the number of columns."""
    n, degrees = product.n_channels, product.l_max + 1
    if isinstance(product, Linear):
        return n
    if isinstance(product, Triangle):
        return degrees * n * (n + 1) // 2
    if isinstance(product, Rectangle):
        return degrees * product.n_left * (n - product.n_left)
    if isinstance(product, Diagonal):
        return degrees * n
    return len(product.first) - 1


@inner_jit
def _transpose(c, out):
    for lm in range(c.shape[0]):
        for k in range(c.shape[1]):
            out[k, lm] = c[lm, k]


@inline_jit
def _dots(a, others, lo, hi, out, factor):
    """Write factor times the dot products of a[lo:hi] with the same part of `others` to out."""
    size = hi - lo
    x = a[lo:hi]
    q = 0
    while q + 4 <= others.shape[0]:  # four sums share the load of x
        y0, y1 = others[q, lo:hi], others[q + 1, lo:hi]
        y2, y3 = others[q + 2, lo:hi], others[q + 3, lo:hi]
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for m in range(size):
            s0 += x[m] * y0[m]
            s1 += x[m] * y1[m]
            s2 += x[m] * y2[m]
            s3 += x[m] * y3[m]
        out[q], out[q + 1] = factor * s0, factor * s1
        out[q + 2], out[q + 3] = factor * s2, factor * s3
        q += 4
    while q < others.shape[0]:
        y0 = others[q, lo:hi]
        s0 = 0.0
        for m in range(size):
            s0 += x[m] * y0[m]
        out[q] = factor * s0
        q += 1


# Values: (product, c, out, work), `work` being scratch of shape (n_channels, (l_max + 1)^2).


@inner_jit
def _linear_values(product, c, out, work):
    for k in range(product.n_channels):
        out[k] = c[0, k]


@inner_jit
def _triangle_values(product, c, out, work):
    n = product.n_channels
    _transpose(c, work)
    begin = 0
    for l in range(product.l_max + 1):
        scale = 1.0 / math.sqrt(2.0 * l + 1.0)
        for k in range(n):
            row = out[begin : begin + n - k]
            _dots(work[k], work[k:], l * l, (l + 1) * (l + 1), row, _SQRT2 * scale)
            row[0] /= _SQRT2
            begin += n - k


@inner_jit
def _rectangle_values(product, c, out, work):
    n, n_left = product.n_channels, product.n_left
    _transpose(c, work)
    begin = 0
    for l in range(product.l_max + 1):
        scale = 1.0 / math.sqrt(2.0 * l + 1.0)
        for k in range(n_left):
            row = out[begin : begin + n - n_left]
            _dots(work[k], work[n_left:], l * l, (l + 1) * (l + 1), row, scale)
            begin += n - n_left


@inner_jit
def _diagonal_values(product, c, out, work):
    n = product.n_channels
    for l in range(product.l_max + 1):
        scale = 1.0 / math.sqrt(2.0 * l + 1.0)
        row = out[l * n : (l + 1) * n]
        row[:] = 0.0
        for lm in range(l * l, (l + 1) * (l + 1)):
            for k in range(n):
                row[k] += scale * c[lm, k] * c[lm, k]


@inner_jit
def _bispectrum_values(product, c, out, work):
    flat = c.reshape(-1)
    index = product.index
    for f in range(len(product.first) - 1):
        total = 0.0
        for t in range(product.first[f], product.first[f + 1]):
            product_of_two = flat[index[t, 0]] * flat[index[t, 1]]
            total += product.weight[t] * product_of_two * flat[index[t, 2]]
        out[f] = total


# Gradients: (product, c, g, dc, square) writes dE/dc, given g = dE/d(invariants); `square` is
# scratch of shape (n_channels, n_channels).


@inner_jit
def _linear_gradient(product, c, g, dc, square):
    dc[:] = 0.0
    for k in range(product.n_channels):
        dc[0, k] = g[k]


@inner_jit
def _triangle_gradient(product, c, g, dc, square):
    n = product.n_channels
    begin = 0
    for l in range(product.l_max + 1):
        scale = _SQRT2 / math.sqrt(2.0 * l + 1.0)
        for k in range(n):
            # Slices: an index that may be negative is not vectorised.
            source, row, column = g[begin : begin + n - k], square[k, k:], square[k:, k]
            for q in range(n - k):
                row[q] = scale * source[q]
                column[q] = scale * source[q]
            row[0] *= _SQRT2
            begin += n - k
        for lm in range(l * l, (l + 1) * (l + 1)):
            _dots(c[lm], square, 0, n, dc[lm], 1.0)


@inner_jit
def _rectangle_gradient(product, c, g, dc, square):
    n, n_left = product.n_channels, product.n_left
    dc[:] = 0.0
    begin = 0
    for l in range(product.l_max + 1):
        scale = 1.0 / math.sqrt(2.0 * l + 1.0)
        for k in range(n_left):
            row = g[begin : begin + n - n_left]
            for lm in range(l * l, (l + 1) * (l + 1)):
                source, target = c[lm, n_left:], dc[lm, n_left:]
                total, factor = 0.0, scale * c[lm, k]
                for q in range(row.shape[0]):
                    total += row[q] * source[q]
                for q in range(row.shape[0]):
                    target[q] += factor * row[q]
                dc[lm, k] = scale * total
            begin += n - n_left


@inner_jit
def _diagonal_gradient(product, c, g, dc, square):
    n = product.n_channels
    for l in range(product.l_max + 1):
        scale = 2.0 / math.sqrt(2.0 * l + 1.0)
        row = g[l * n : (l + 1) * n]
        for lm in range(l * l, (l + 1) * (l + 1)):
            for k in range(n):
                dc[lm, k] = scale * row[k] * c[lm, k]


@inner_jit
def _bispectrum_gradient(product, c, g, dc, square):
    flat, out = c.reshape(-1), dc.reshape(-1)
    out[:] = 0.0
    for f in range(len(product.first) - 1):
        for t in range(product.first[f], product.first[f + 1]):
            i, j, k = product.index[t, 0], product.index[t, 1], product.index[t, 2]
            w = g[f] * product.weight[t]
            out[i] += w * flat[j] * flat[k]
            out[j] += w * flat[i] * flat[k]
            out[k] += w * flat[i] * flat[j]


# Moves: (product, c, pair, work, out) writes d(invariants)/d(vector of the pair) to out
# (3, n_features); `work` comes from `move_scratch`, after `prepare_moves` of the same centre.


@inline_jit
def _project(c, pair, l_max, projected):
    """Write the sums A and B of the module to `projected` (4, l_max + 1, n_channels)."""
    n_channels = c.shape[1]
    projected[:] = 0.0
    for l in range(l_max + 1):
        scale = 1.0 / math.sqrt(2.0 * l + 1.0)
        a, b_x, b_y, b_z = projected[0, l], projected[1, l], projected[2, l], projected[3, l]
        for lm in range(l * l, (l + 1) * (l + 1)):
            w = scale * pair.y_lm[lm]
            w_x, w_y = scale * pair.normal[0, lm], scale * pair.normal[1, lm]
            w_z = scale * pair.normal[2, lm]
            for k in range(n_channels):
                a[k] += w * c[lm, k]
                b_x[k] += w_x * c[lm, k]
                b_y[k] += w_y * c[lm, k]
                b_z[k] += w_z * c[lm, k]


@inner_jit
def _linear_moves(product, c, pair, work, out):
    out[:] = 0.0
    for axis in range(3):
        for q in range(pair.n):
            out[axis, pair.offset + q] = pair.direction[axis] * pair.y_lm[0] * pair.slopes[q]


@inner_jit
def _triangle_moves(product, c, pair, work, out):
    projected = work.reshape((4, product.l_max + 1, product.n_channels))
    _project(c, pair, product.l_max, projected)
    for axis in range(3):
        _triangle_outer(pair, axis, projected[0], projected[axis + 1], out[axis])


@inner_jit
def _triangle_outer(pair, axis, a, b, out):
    n_channels, offset, end = a.shape[1], pair.offset, pair.offset + pair.n
    direction = pair.direction[axis]
    begin = 0
    for l in range(a.shape[0]):
        first_radial = l * pair.n - offset
        for k in range(n_channels):
            row = out[begin : begin + n_channels - k]
            begin += n_channels - k
            mine = offset <= k < end
            if mine:
                value = _SQRT2 * pair.radial[first_radial + k]
                slope = _SQRT2 * direction * pair.slopes[first_radial + k]
                a_l, b_l = a[l, k:], b[l, k:]
                for q in range(row.shape[0]):
                    row[q] = slope * a_l[q] + value * b_l[q]
            else:
                row[:] = 0.0
            # The other factor of the product moves too, where its channel is among the pair's.
            start = max(k, offset)
            target = row[start - k : end - k]
            radial = pair.radial[first_radial + start : first_radial + end]
            slopes = pair.slopes[first_radial + start : first_radial + end]
            a_k, b_k = _SQRT2 * direction * a[l, k], _SQRT2 * b[l, k]
            for q in range(end - start):
                target[q] += a_k * slopes[q] + b_k * radial[q]
            if mine:
                row[0] *= 1.0 / _SQRT2


@inner_jit
def _rectangle_moves(product, c, pair, work, out):
    projected = work.reshape((4, product.l_max + 1, product.n_channels))
    _project(c, pair, product.l_max, projected)
    n, n_left = product.n_channels, product.n_left
    for axis in range(3):
        direction = pair.direction[axis]
        begin = 0
        for l in range(product.l_max + 1):
            radial, slopes = pair.radial[l * n : (l + 1) * n], pair.slopes[l * n : (l + 1) * n]
            a, b = projected[0, l], projected[axis + 1, l]
            for k in range(n_left):
                row = out[axis, begin : begin + n - n_left]
                a_k, b_k = direction * a[k], b[k]
                slope_k, radial_k = direction * slopes[k], radial[k]
                for q in range(n - n_left):
                    j = n_left + q
                    moves_left = slope_k * a[j] + radial_k * b[j]
                    row[q] = moves_left + a_k * slopes[j] + b_k * radial[j]
                begin += n - n_left


@inner_jit
def _diagonal_moves(product, c, pair, work, out):
    projected = work.reshape((4, product.l_max + 1, product.n_channels))
    _project(c, pair, product.l_max, projected)
    n = product.n_channels
    for axis in range(3):
        direction = pair.direction[axis]
        for l in range(product.l_max + 1):
            a, b = projected[0, l], projected[axis + 1, l]
            for k in range(n):
                slope, value = direction * pair.slopes[l * n + k], pair.radial[l * n + k]
                out[axis, l * n + k] = 2.0 * (slope * a[k] + value * b[k])


@inner_jit
def _bispectrum_moves(product, c, pair, work, out):
    n_columns = out.shape[1]
    derivative = work.reshape((-1, n_columns))
    out[:] = 0.0
    for l in range(product.l_max + 1):
        for lm in range(l * l, (l + 1) * (l + 1)):
            for q in range(pair.n):
                row = derivative[lm * product.n_channels + pair.offset + q]
                along = pair.slopes[l * pair.n + q] * pair.y_lm[lm]
                value = pair.radial[l * pair.n + q]
                for axis in range(3):
                    w = along * pair.direction[axis] + value * pair.normal[axis, lm]
                    target = out[axis]
                    for f in range(n_columns):
                        target[f] += w * row[f]


@inner_jit
def _nothing_to_prepare(product, c, work):
    pass


@inner_jit
def _bispectrum_derivative(product, c, work):
    """Write d(invariants)/dc to work, seen as (n_lm * n_channels, n_features)."""
    flat = c.reshape(-1)
    derivative = work.reshape((flat.shape[0], -1))
    derivative[:] = 0.0
    for f in range(len(product.first) - 1):
        for t in range(product.first[f], product.first[f + 1]):
            i, j, k = product.index[t, 0], product.index[t, 1], product.index[t, 2]
            w = product.weight[t]
            derivative[i, f] += w * flat[j] * flat[k]
            derivative[j, f] += w * flat[i] * flat[k]
            derivative[k, f] += w * flat[i] * flat[j]


@inner_jit
def _projected_scratch(product, n_columns):
    return np.empty(4 * (product.l_max + 1) * product.n_channels)


@inner_jit
def _bispectrum_scratch(product, n_columns):
    return np.empty((product.l_max + 1) ** 2 * product.n_channels * n_columns)


@variants(
    {
        Linear: _linear_values,
        Triangle: _triangle_values,
        Rectangle: _rectangle_values,
        Diagonal: _diagonal_values,
        Bispectrum: _bispectrum_values,
    }
)
def invariants(product, c, out, work):
    """Write the invariants of one centre to out (n_features,)."""


@variants(
    {
        Linear: _linear_gradient,
        Triangle: _triangle_gradient,
        Rectangle: _rectangle_gradient,
        Diagonal: _diagonal_gradient,
        Bispectrum: _bispectrum_gradient,
    }
)
def invariants_gradient(product, c, g, dc, square):
    """Write dE/dc to dc, given g = dE/d(invariants)."""


@variants(
    {
        Linear: _linear_moves,
        Triangle: _triangle_moves,
        Rectangle: _rectangle_moves,
        Diagonal: _diagonal_moves,
        Bispectrum: _bispectrum_moves,
    }
)
def invariants_moves(product, c, pair, work, out):
    """Write d(invariants)/d(vector of a pair) to out (3, n_features)."""


_SIMPLE = (Linear, Triangle, Rectangle, Diagonal)


@variants({**dict.fromkeys(_SIMPLE, _nothing_to_prepare), Bispectrum: _bispectrum_derivative})
def prepare_moves(product, c, work):
    """Do what `invariants_moves` of all pairs of a centre share."""


@variants({**dict.fromkeys(_SIMPLE, _projected_scratch), Bispectrum: _bispectrum_scratch})
def move_scratch(product, n_columns):
    """Allocate the scratch of `invariants_moves`."""
