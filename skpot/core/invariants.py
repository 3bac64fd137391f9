r"""Rotational invariants of expansion coefficients, their gradients and changes.

Of the coefficients :math:`c_{lm,k}` of one center in channels k (see `skpot.core.density`):

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

Features run over l, then k, then k'. The type of the first argument decides, at compilation, which
invariants a function computes.
"""

import math
from typing import NamedTuple

import numpy as np

from ._arena import shaped
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
    flat = shaped(c, (c.size,))
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
            # Slices start at 0: indices that may be negative would not be vectorized.
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
    flat, out = shaped(c, (c.size,)), shaped(dc, (dc.size,))
    out[:] = 0.0
    for f in range(len(product.first) - 1):
        for t in range(product.first[f], product.first[f + 1]):
            i, j, k = product.index[t, 0], product.index[t, 1], product.index[t, 2]
            w = g[f] * product.weight[t]
            out[i] += w * flat[j] * flat[k]
            out[j] += w * flat[i] * flat[k]
            out[k] += w * flat[i] * flat[j]


# Changes: (product, c, dc, out, work) writes the change of the invariants with that of c; `work` is
# scratch of shape (2, n_channels, 2 (l_max + 1)^2).


@inner_jit
def _interleave(l_max, c, dc, work):
    """Write, per degree, c then dc to work[0], dc then c to work[1]: one dot gives both terms."""
    for l in range(l_max + 1):
        for lm in range(l * l, (l + 1) * (l + 1)):
            first, second = lm + l * l, lm + (l + 1) * (l + 1)
            for k in range(c.shape[1]):
                work[0, k, first], work[0, k, second] = c[lm, k], dc[lm, k]
                work[1, k, first], work[1, k, second] = dc[lm, k], c[lm, k]


@inner_jit
def _linear_change(product, c, dc, out, work):
    for k in range(product.n_channels):
        out[k] = dc[0, k]


@inner_jit
def _triangle_change(product, c, dc, out, work):
    n = product.n_channels
    _interleave(product.l_max, c, dc, work)
    begin = 0
    for l in range(product.l_max + 1):
        scale = 1.0 / math.sqrt(2.0 * l + 1.0)
        lo, hi = 2 * l * l, 2 * (l + 1) * (l + 1)
        for k in range(n):
            row = out[begin : begin + n - k]
            _dots(work[0, k], work[1, k:], lo, hi, row, _SQRT2 * scale)
            row[0] /= _SQRT2
            begin += n - k


@inner_jit
def _rectangle_change(product, c, dc, out, work):
    n, n_left = product.n_channels, product.n_left
    _interleave(product.l_max, c, dc, work)
    begin = 0
    for l in range(product.l_max + 1):
        scale = 1.0 / math.sqrt(2.0 * l + 1.0)
        lo, hi = 2 * l * l, 2 * (l + 1) * (l + 1)
        for k in range(n_left):
            row = out[begin : begin + n - n_left]
            _dots(work[0, k], work[1, n_left:], lo, hi, row, scale)
            begin += n - n_left


@inner_jit
def _diagonal_change(product, c, dc, out, work):
    n = product.n_channels
    for l in range(product.l_max + 1):
        scale = 2.0 / math.sqrt(2.0 * l + 1.0)
        row = out[l * n : (l + 1) * n]
        row[:] = 0.0
        for lm in range(l * l, (l + 1) * (l + 1)):
            for k in range(n):
                row[k] += scale * c[lm, k] * dc[lm, k]


@inner_jit
def _bispectrum_change(product, c, dc, out, work):
    flat, change = shaped(c, (c.size,)), shaped(dc, (dc.size,))
    for f in range(len(product.first) - 1):
        total = 0.0
        for t in range(product.first[f], product.first[f + 1]):
            i, j, k = product.index[t, 0], product.index[t, 1], product.index[t, 2]
            two = change[i] * flat[j] * flat[k] + flat[i] * change[j] * flat[k]
            total += product.weight[t] * (two + flat[i] * flat[j] * change[k])
        out[f] = total


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
    """Write the invariants of one center to out (n_features,)."""


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
        Linear: _linear_change,
        Triangle: _triangle_change,
        Rectangle: _rectangle_change,
        Diagonal: _diagonal_change,
        Bispectrum: _bispectrum_change,
    }
)
def invariants_change(product, c, dc, out, work):
    """Write the change of the invariants when the coefficients change by dc."""
