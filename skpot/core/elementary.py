"""Exponential and cosine without function calls, so that loops over them are vectorized.

Both are power series, accurate to rounding: 1e-15 relative and 5e-16 absolute.
"""

import math

import numpy as np

from ._jit import inline_jit


@inline_jit
def fast_exp(x):
    """Return exp(x) for x up to 700; below -700 it is 0."""
    zero = x <= -700.0  # false for NaN, which therefore stays NaN
    x = -700.0 if zero else x
    n = math.floor(x * 1.4426950408889634 + 0.5)  # exp(x) = 2^n exp(r) with |r| < ln(2)/2
    r = x - n * 0.6931471805599453
    s = r * r
    t = s * s
    a = (1.0 + r) + s * (0.5 + r * 0.16666666666666666)
    b = (0.041666666666666664 + r * 0.008333333333333333) + s * (
        0.001388888888888889 + r * 0.0001984126984126984
    )
    c = (2.48015873015873e-05 + r * 2.7557319223985893e-06) + s * (
        2.755731922398589e-07 + r * 2.505210838544172e-08
    )
    d = 2.08767569878681e-09 + r * 1.6059043836821613e-10
    power = np.int64((np.int64(n) + 1023) << 52).view(np.float64)
    return 0.0 if zero else (a + t * (b + t * (c + t * d))) * power


@inline_jit
def quarter_turn(x):
    """Return cos(pi x/2) and sin(pi x/2) for x from 0 to 1."""
    y = x * x
    z = y * y
    even = 1.0 + z * (
        0.253669507901048
        + z
        * (
            0.0009192602748394263
            + z * (4.710874778818169e-07 + z * (6.565963114979468e-11 + z * 3.4377391790986044e-15))
        )
    )
    odd = -1.2337005501361697 + z * (
        -0.020863480763352957
        + z * (-2.5202042373060596e-05 + z * (-6.386603083791849e-09 + z * -5.294400200734619e-13))
    )
    cosine = even + y * odd
    even = 1.5707963267948966 + z * (
        0.07969262624616703
        + z
        * (
            0.00016044118478735975
            + z * (5.692172921967924e-08 + z * (6.066935731106192e-12 + z * 2.571422892860472e-16))
        )
    )
    odd = -0.6459640975062462 + z * (
        -0.004681754135318687
        + z * (-3.598843235212084e-06 + z * (-6.688035109811464e-10 + z * -4.377065467313739e-14))
    )
    sine = even + y * odd
    return cosine, x * sine
