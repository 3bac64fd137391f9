"""Functions that bring the contribution of a neighbor smoothly to zero at the cutoff."""

import math

from ._jit import jit
from .elementary import quarter_turn


@jit
def cosine_switch(r, cutoff, width):
    r"""Return the cosine switch and its derivative at one distance.

    .. math:: f_c(r) = \tfrac12 [1 + \cos(\pi (r - r_c + w)/w)], \quad r_c - w < r < r_c

    and 1 inside and 0 beyond. With width :math:`w = r_c` it is the form of Behler, J. Chem. Phys.
    134, 074106 (2011). All lengths in Å.
    """
    x = (r - cutoff + width) / width
    if x <= 0.0:
        return 1.0, 0.0
    if x >= 1.0:
        return 0.0, 0.0
    cosine, sine = quarter_turn(x)
    return cosine * cosine, -math.pi / width * cosine * sine


@jit
def polynomial_switch(r, cutoff, width):
    r"""Return the polynomial switch, twice differentiable, and its derivative at one distance.

    .. math:: f_c(r) = 1 - x^3 (6 x^2 - 15 x + 10), \quad x = (r - r_c + w)/w

    for :math:`0 < x < 1`, 1 inside and 0 beyond. It is "poly2" of n2p2, Singraber, Behler, Dellago,
    J. Chem. Theory Comput. 15, 1827 (2019). All lengths in Å.
    """
    x = (r - cutoff + width) / width
    if x <= 0.0:
        return 1.0, 0.0
    if x >= 1.0:
        return 0.0, 0.0
    y = x * (1.0 - x)
    return 1.0 - x * x * x * (x * (6.0 * x - 15.0) + 10.0), -30.0 * y * y / width


@jit
def tanh_switch(r, cutoff):
    r"""Return the hyperbolic switch, twice differentiable at the cutoff, and its derivative.

    .. math:: f_c(r) = \tanh^3(1 - r/r_c), \quad r < r_c

    and 0 beyond; at distance 0 it is 0.44, not 1. It is eq. 5 of Behler, J. Chem. Phys. 134, 074106
    (2011), and cutoff type 2 of n2p2, which has no inner cutoff either. All lengths in Å.
    """
    if r >= cutoff:
        return 0.0, 0.0
    t = math.tanh(1.0 - r / cutoff)
    return t * t * t, -3.0 / cutoff * t * t * (1.0 - t * t)


def radial_scaling(r, r0, exponent):
    r"""Return the weight :math:`u(r) = 1/(1 + (r/r_0)^m)`, which is less for far neighbors.

    Willatt, Musil, Ceriotti, Phys. Chem. Chem. Phys. 20, 29661 (2018), eq. 29 with c = 1.
    """
    return 1.0 / (1.0 + (r / r0) ** exponent)
