r"""How invariants move with one neighbor: rows of the Jacobian.

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

from ._jit import array_jit, inline_jit, inner_jit, variants
from .invariants import Bispectrum, Diagonal, Linear, Rectangle, Triangle

_SQRT2 = math.sqrt(2.0)


class PairMove(NamedTuple):
    """How one pair moves the coefficients of channels `offset` ... `offset + n`."""

    offset: int
    n: int
    direction: np.ndarray  # (3,)
    radial: np.ndarray  # ((l_max + 1) * n,)
    slopes: np.ndarray  # ((l_max + 1) * n,)
    y_lm: np.ndarray  # ((l_max + 1)^2,)
    normal: np.ndarray  # (3, (l_max + 1)^2) gradient of the harmonics, 1/Å


# Moves: (product, c, pair, work, out) writes d(invariants)/d(vector of the pair) to out
# (3, n_features); `work` comes from `move_scratch`, after `prepare_moves` of the same center.


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


@array_jit
def _projected_scratch(product, n_columns):
    return np.empty(4 * (product.l_max + 1) * product.n_channels)


@array_jit
def _bispectrum_scratch(product, n_columns):
    return np.empty((product.l_max + 1) ** 2 * product.n_channels * n_columns)


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
    """Compute what `invariants_moves` needs for all pairs of a center."""


@variants({**dict.fromkeys(_SIMPLE, _projected_scratch), Bispectrum: _bispectrum_scratch})
def move_scratch(product, n_columns):
    """Allocate the scratch of `invariants_moves`."""
