r"""Real spherical harmonics on the unit sphere, with Cartesian gradients.

.. math::

    Y_{l,\pm m}(x, y, z) = \bar P_l^m(z) \cdot \{\mathrm{Re}, \mathrm{Im}\}\,(x + iy)^m, \qquad
    \bar P_l^m(z) = N_{lm} \frac{d^m P_l(z)}{dz^m}

with :math:`N_{lm} = \sqrt{(2 - \delta_{m0}) (2l+1)/4\pi \cdot (l-m)!/(l+m)!}`; the harmonics are
orthonormal, without the Condon-Shortley sign, and stored at index :math:`l^2 + l + m` (cosine
terms at +m, sine terms at -m). As polynomials in the unit vector they have no singular pole. The
normalized Legendre recurrences are those of Holmes & Featherstone, J. Geodesy 76, 279 (2002),
with the factor :math:`\sin^m\theta` taken out.
"""

from functools import cache
from math import pi, sqrt

import numpy as np

from ._jit import inline_jit, inner_jit, jit


@cache
def legendre_coefficients(l_max):
    r"""Return the coefficients of the recurrence of :math:`\bar P_l^m`.

    Returns
    -------
    ndarray of shape (4, l_max + 1, l_max + 1)
        `[0, l, m]` and `[1, l, m]`: factors a, b of
        :math:`\bar P_l^m = a z \bar P_{l-1}^m - b \bar P_{l-2}^m`; `[2, m, m]`: the constants
        :math:`\bar P_m^m`; `[3, l, m]`: factor of
        :math:`d\bar P_l^m/dz = d_{lm} \bar P_l^{m+1}`.
    """
    table = np.zeros((4, l_max + 1, l_max + 1))
    diagonal = sqrt(1.0 / (4.0 * pi))
    for m in range(l_max + 1):
        if m > 0:
            diagonal *= sqrt((2.0 * m + 1.0) / (2.0 * m)) * (sqrt(2.0) if m == 1 else 1.0)
        table[2, m, m] = diagonal
    for l in range(l_max + 1):
        for m in range(l):
            table[0, l, m] = sqrt((4.0 * l * l - 1.0) / (l * l - m * m))
            if l - m >= 2:
                table[1, l, m] = sqrt(
                    (2.0 * l + 1.0) * ((l - 1.0) ** 2 - m * m) / ((2.0 * l - 3.0) * (l * l - m * m))
                )
            table[3, l, m] = sqrt((l - m) * (l + m + 1.0) / (2.0 if m == 0 else 1.0))
    return table


@inline_jit
def many_harmonics(unit, size, table, l_max, legendre, cosine, sine, y_lm):
    r"""Write the harmonics of the unit vectors `unit[:, :size]`; vectors are on the last axis.

    Parameters
    ----------
    unit : ndarray of shape (3, n)
        Unit vectors.
    size : int
        Number of vectors.
    table : ndarray
        See `legendre_coefficients`.
    l_max : int
        Highest degree.
    legendre : ndarray of shape ((l_max + 1) (l_max + 2) / 2, n)
        Output: :math:`\bar P_l^m` at index l (l + 1) / 2 + m.
    cosine, sine : ndarray of shape (l_max + 1, n)
        Output: real and imaginary part of :math:`(x + iy)^m`.
    y_lm : ndarray of shape ((l_max + 1)^2, n)
        Output.
    """
    x, y, z = unit[0], unit[1], unit[2]
    for m in range(l_max + 1):
        _next_power(x, y, size, m, cosine, sine)
        c, s = cosine[m], sine[m]
        for l in range(m, l_max + 1):
            p = legendre[l * (l + 1) // 2 + m]
            if l == m:
                for t in range(size):
                    p[t] = table[2, m, m]
            elif l == m + 1:
                factor = table[0, l, m] * table[2, m, m]
                for t in range(size):
                    p[t] = factor * z[t]
            else:
                a, b = table[0, l, m], table[1, l, m]
                down, down_2 = legendre[l * (l - 1) // 2 + m], legendre[(l - 1) * (l - 2) // 2 + m]
                for t in range(size):
                    p[t] = a * z[t] * down[t] - b * down_2[t]
            plus, minus = y_lm[l * l + l + m], y_lm[l * l + l - m]
            for t in range(size):
                plus[t] = p[t] * c[t]
            if m > 0:
                for t in range(size):
                    minus[t] = p[t] * s[t]


@inline_jit
def _next_power(x, y, size, m, cosine, sine):
    """Write real and imaginary part of :math:`(x + iy)^m`, given those of m - 1."""
    c, s = cosine[m], sine[m]
    if m == 0:
        for t in range(size):
            c[t], s[t] = 1.0, 0.0
    else:
        c_down, s_down = cosine[m - 1], sine[m - 1]
        for t in range(size):
            c[t] = x[t] * c_down[t] - y[t] * s_down[t]
        for t in range(size):
            s[t] = x[t] * s_down[t] + y[t] * c_down[t]


@jit
def spherical_harmonics_gradient(x, y, z, table, l_max, legendre, y_lm, grad):
    """Write the harmonics to `y_lm` and their gradients to `grad` (3, ...), for one unit vector.

    The gradient is that of the polynomials in x, y and z. Projected onto the plane normal to
    (x, y, z) and divided by r, it is the derivative with respect to the position.
    """
    _legendre(z, table, l_max, legendre)
    cosine, sine = 1.0, 0.0
    cosine_down, sine_down = 0.0, 0.0  # those of m - 1
    for m in range(l_max + 1):
        for l in range(m, l_max + 1):
            p = legendre[m, l]
            slope = table[3, l, m] * legendre[m + 1, l] if m < l else 0.0
            plus = l * l + l + m
            y_lm[plus] = p * cosine
            grad[0, plus] = m * p * cosine_down
            grad[1, plus] = -m * p * sine_down
            grad[2, plus] = slope * cosine
            if m > 0:
                minus = plus - 2 * m
                y_lm[minus] = p * sine
                grad[0, minus] = m * p * sine_down
                grad[1, minus] = m * p * cosine_down
                grad[2, minus] = slope * sine
        cosine_down, sine_down = cosine, sine
        cosine, sine = x * cosine - y * sine, x * sine + y * cosine


@inner_jit
def _legendre(z, table, l_max, legendre):
    for m in range(l_max + 1):
        legendre[m, m] = table[2, m, m]
        if m < l_max:
            legendre[m, m + 1] = table[0, m + 1, m] * z * legendre[m, m]
        for l in range(m + 2, l_max + 1):
            legendre[m, l] = (
                table[0, l, m] * z * legendre[m, l - 1] - table[1, l, m] * legendre[m, l - 2]
            )
