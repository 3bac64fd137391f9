"""Exponential, sine and cosine without function calls, so that loops over them are vectorized.

All are power series, accurate to rounding: 1e-15 relative and 5e-16 absolute.
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


@inline_jit
def cosine_and_sine(x):
    """Return cos(x) and sin(x), with an absolute error of 1e-15 per turn from zero."""
    n = math.floor(x * 0.6366197723675814 + 0.5)  # x = n pi/2 + r with |r| < pi/4
    r = (x - n * 1.5707963267341256) - n * 6.077100506506192e-11
    s = r * r
    odd = 1.0 + s * (
        -0.16666666666666666
        + s
        * (
            0.008333333333333333
            + s
            * (
                -0.0001984126984126984
                + s
                * (
                    2.7557319223985893e-06
                    + s
                    * (
                        -2.505210838544172e-08
                        + s * (1.6059043836821613e-10 + s * -7.647163731819816e-13)
                    )
                )
            )
        )
    )
    even = 1.0 + s * (
        -0.5
        + s
        * (
            0.041666666666666664
            + s
            * (
                -0.001388888888888889
                + s
                * (
                    2.48015873015873e-05
                    + s
                    * (
                        -2.755731922398589e-07
                        + s
                        * (
                            2.08767569878681e-09
                            + s * (-1.1470745597729725e-11 + s * 4.779477332387385e-14)
                        )
                    )
                )
            )
        )
    )
    odd *= r
    quarter = n - 4.0 * math.floor(0.25 * n)
    turned = quarter == 1.0 or quarter == 3.0
    cosine = odd if turned else even
    sine = even if turned else odd
    cosine = -cosine if quarter == 1.0 or quarter == 2.0 else cosine
    sine = -sine if quarter >= 2.0 else sine
    return cosine, sine
