r"""Cubic B-splines on a uniform grid.

With :math:`u = (r - r_{min})/h`, spline n is nonzero for n - 3 < u < n + 1; four splines are
nonzero at any r. Of the splines n = 0 ... K - 1 and :math:`h = (r_c - r_{min})/K` the last ends at
the cutoff :math:`r_c` with two vanishing derivatives.

Below :math:`r_{min}` a sum :math:`\sum_n c_n B_n` is continued with coefficients that are
extrapolated linearly, :math:`c_{-k} = c_0 + k (c_0 - c_1)`. It is twice differentiable there, too,
and a straight line for u < -1. Only splines 0 and 1 are changed by this.
"""

import math

from ._jit import inline_jit


@inline_jit
def cubic_splines(r, r_min, spacing):
    """Evaluate the splines that are not zero at one distance.

    Parameters
    ----------
    r, r_min, spacing : float
        In Å.

    Returns
    -------
    first : int
        Index of the first of the four splines; at the cutoff it may be n_splines or more.
    values, slopes : tuple of 4 floats
        Splines `first` ... `first + 3`, and their derivatives in 1/Å.
    """
    u = (r - r_min) / spacing
    first = int(math.floor(u))
    x = u - first
    y = 1.0 - x
    xx, yy = x * x, y * y
    sixth, half = 1.0 / 6.0, 0.5 / spacing
    b0, b3 = sixth * yy * y, sixth * xx * x
    b1, b2 = 2.0 / 3.0 - xx * (1.0 - 0.5 * x), 2.0 / 3.0 - yy * (1.0 - 0.5 * y)
    d0, d3 = -half * yy, half * xx
    d1, d2 = half * x * (3.0 * x - 4.0), -half * y * (3.0 * y - 4.0)
    if first >= 0:
        return first, (b0, b1, b2, b3), (d0, d1, d2, d3)
    if first == -1:
        return 0, (b1 + 2.0 * b0, b2 - b0, b3, 0.0), (d1 + 2.0 * d0, d2 - d0, d3, 0.0)
    return 0, (-u, 1.0 + u, 0.0, 0.0), (-1.0 / spacing, 1.0 / spacing, 0.0, 0.0)
