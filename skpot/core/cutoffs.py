"""Functions that bring a neighbour's contribution smoothly to zero."""

import numpy as np


def cosine_cutoff(r, cutoff, width):
    r"""Return the cosine switch, 1 inside and 0 beyond the cutoff.

    .. math:: f_c(r) = \tfrac12 [1 + \cos(\pi (r - r_c + w)/w)], \quad r_c - w < r < r_c

    Parameters
    ----------
    r : ndarray
        Distances in Å.
    cutoff : float
        Cutoff :math:`r_c` in Å.
    width : float
        Width :math:`w` of the switch in Å; `width = cutoff` switches over the whole range, which
        is the form of Behler, J. Chem. Phys. 134, 074106 (2011).
    """
    phase = np.clip((r - cutoff + width) / width, 0.0, 1.0)
    return 0.5 * (1.0 + np.cos(np.pi * phase))


def radial_scaling(r, r0, exponent):
    r"""Return the weight :math:`u(r) = 1/(1 + (r/r_0)^m)` that plays down far neighbours.

    Willatt, Musil, Ceriotti, Phys. Chem. Chem. Phys. 20, 29661 (2018), eq. 29 with c = 1.
    """
    return 1.0 / (1.0 + (r / r0) ** exponent)
