r"""Radial functions of the neighbor density, tabulated as cubic splines.

A neighbor at distance r is a Gaussian of width :math:`\sigma`. Its projection on radial basis
function :math:`g_{nl}` and on :math:`Y_{lm}` is :math:`R_{nl}(r) Y_{lm}(\hat r)` with

.. math::

    R_{nl}(r) = 4\pi \int_0^\infty dr'\, r'^2 g_{nl}(r')\,
        e^{-(r^2 + r'^2)/2\sigma^2}\, i_l(r r'/\sigma^2)

where :math:`i_l` is the modified spherical Bessel function of the first kind (Bartók, Kondor,
Csányi, Phys. Rev. B 87, 184115 (2013), eq. 33). The integral is done once, by Gauss-Legendre
quadrature, at the knots of the spline.
"""

import math

import numpy as np

_N_QUADRATURE = 200


def bessel_scaled(l_max, x):
    r"""Return :math:`e^{-x} i_l(x)` for l = 0 ... l_max and x >= 0, shape (l_max + 1, *x.shape).

    Downward (Miller) recurrence :math:`i_{l-1} = i_{l+1} + (2l+1)/x\; i_l`, scaled to
    :math:`e^{-x} i_0 = (1 - e^{-2x})/2x`; the leading power of the series below x = 1e-3.
    """
    x = np.asarray(x, dtype=float)
    out = np.empty((l_max + 1, *x.shape))
    small = x < 1e-3
    safe = np.where(small, 1.0, x)
    first = -np.expm1(-2.0 * safe) / (2.0 * safe)
    # The start must exceed both l_max and the range where i_l is of the size of i_0.
    start = l_max + 20 + int(math.sqrt(60.0 * max(1.0, float(x.max(initial=0.0)))))
    above, here = np.zeros_like(safe), np.full_like(safe, 1e-280)
    for l in range(start, -1, -1):
        if l <= l_max:
            out[l] = here
        above, here = here, above + (2 * l + 1) / safe * here
        # Rescale before overflow, together with what has been stored already.
        big = here > 1e200
        if big.any():
            factor = np.where(big, 1e-200, 1.0)
            above, here = above * factor, here * factor
            if l <= l_max:
                out[l:] *= factor
    out *= first / out[0]
    double_factorial = 1.0
    for l in range(l_max + 1):
        double_factorial *= 2 * l + 1
        series = x**l / double_factorial * (1.0 + x * x / (2 * (2 * l + 3))) * np.exp(-x)
        out[l] = np.where(small, series, out[l])
    return out


def gto_basis(r, n_max, l_max, cutoff):
    r"""Return orthonormal Gaussian-type functions :math:`g_n(r)`, shape (l_max + 1, n_max, len(r)).

    :math:`\phi_n(r) = N_n r^n e^{-r^2/2 s_n^2}` with
    :math:`s_n = r_c \max(\sqrt n, 1)/n_{max}`, n = 0 ... n_max - 1, orthonormalized
    symmetrically (:math:`S^{-1/2}`) with weight :math:`r^2` on the half line: the basis of
    Musil et al., J. Chem. Phys. 154, 114109 (2021), appendix A.
    """
    n = np.arange(n_max)
    b = 0.5 / (cutoff * np.maximum(np.sqrt(n), 1.0) / n_max) ** 2
    log_gamma = np.vectorize(math.lgamma)
    # int r^(2 + n + n') exp(-(b + b') r^2) dr = Gamma((n + n' + 3)/2) / 2 (b + b')^((n+n'+3)/2)
    power = 0.5 * (n[:, None] + n[None, :] + 3)
    log_overlap = log_gamma(power) - math.log(2.0) - power * np.log(b[:, None] + b[None, :])
    log_norm = -0.5 * np.diag(log_overlap)
    overlap = np.exp(log_overlap + log_norm[:, None] + log_norm[None, :])
    values, vectors = np.linalg.eigh(overlap)
    inverse_root = (vectors / np.sqrt(values)) @ vectors.T
    powers = np.power(r[None, :], n[:, None])
    primitive = np.exp(log_norm[:, None] - b[:, None] * r**2) * powers
    return np.broadcast_to(inverse_root @ primitive, (l_max + 1, n_max, len(r)))


def bessel_basis(r, n_max, l_max, cutoff):
    r"""Return the Laplacian's eigenstates in a sphere, shape (l_max + 1, n_max, len(r)).

    :math:`g_{nl}(r) = \sqrt{2/r_c^3}\, j_l(z_{nl} r/r_c)/|j_{l+1}(z_{nl})|` with the zeros z of
    the spherical Bessel functions. Bigi, Huguenin-Dumittan, Ceriotti, Manolopoulos, J. Chem. Phys.
    157, 234101 (2022). Beyond the cutoff, where the switch is zero, they simply go on: a spline
    could not follow a kink.
    """
    zeros = bessel_zeros(l_max, n_max)
    out = np.empty((l_max + 1, n_max, len(r)))
    for l in range(l_max + 1):
        for n in range(n_max):
            values = spherical_bessel(l, zeros[l, n] * r / cutoff)[l]
            slope = spherical_bessel(l + 1, zeros[l, n : n + 1])[l + 1, 0]
            out[l, n] = values * math.sqrt(2.0 / cutoff**3) / abs(slope)
    return out


def spherical_bessel(l_max, x):
    """Return j_l(x) for l = 0 ... l_max and x >= 0, shape (l_max + 1, len(x)).

    Downward (Miller) recurrence, scaled to the larger of j_0 and j_1, which have no zero in common.
    """
    out = np.empty((l_max + 1, len(x)))
    small = x < 1e-3
    safe = np.where(small, 1.0, x)
    above, here = np.zeros_like(safe), np.full_like(safe, 1e-280)
    low = np.empty((2, len(x)))
    for l in range(max(l_max, int(safe.max(initial=0.0))) + 40, -1, -1):
        if l <= l_max:
            out[l] = here
        if l < 2:
            low[l] = here
        above, here = here, (2 * l + 1) / safe * here - above
        big = np.abs(here) > 1e200
        factor = np.where(big, 1e-200, 1.0)
        above, here = above * factor, here * factor
        out[min(l, l_max + 1) :] *= factor
        low[min(l, 2) :] *= factor
    j_0 = np.sin(safe) / safe
    j_1 = (j_0 - np.cos(safe)) / safe
    larger = (np.abs(j_0) < np.abs(j_1)).astype(int)
    out *= np.where(larger, j_1, j_0) / np.take_along_axis(low, larger[None], axis=0)[0]
    double_factorial = 1.0
    for l in range(l_max + 1):
        double_factorial *= 2 * l + 1
        out[l] = np.where(small, x**l / double_factorial * (1 - x * x / (2 * (2 * l + 3))), out[l])
    return out


def bessel_zeros(l_max, n_max):
    """Return the first positive zeros of j_l, shape (l_max + 1, n_max), by bisection.

    Between two neighboring zeros of j_l lies exactly one of j_(l+1) (DLMF 10.21).
    """
    zeros = math.pi * np.arange(1.0, n_max + l_max + 1)
    out = np.empty((l_max + 1, n_max))
    out[0] = zeros[:n_max]
    for l in range(1, l_max + 1):
        low, high = zeros[:-1].copy(), zeros[1:].copy()
        sign = np.sign(spherical_bessel(l, low)[l])
        for _ in range(60):
            middle = 0.5 * (low + high)
            left = np.sign(spherical_bessel(l, middle)[l]) == sign
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        zeros = 0.5 * (low + high)
        out[l] = zeros[:n_max]
    return out


def density_integrals(r, nodes, weighted, sigma):
    """Return sum_q 4 pi weighted[l, n, q] exp(...) i_l(...) of the module, (len(r), l_max + 1, n).

    `nodes` (Å) are the points r' and `weighted` (l_max + 1, n, n_nodes) the functions there, times
    r'^2 and the quadrature weight.
    """
    out = np.empty((len(r), *weighted.shape[:2]))
    l_max = len(weighted) - 1
    for block in range(0, len(r), 64):  # bounds the (l, r, r') array to some megabytes
        part = slice(block, block + 64)
        bessel = bessel_scaled(l_max, np.outer(r[part], nodes) / sigma**2)
        gauss = np.exp(-((r[part, None] - nodes) ** 2) / (2.0 * sigma**2))
        out[part] = 4.0 * math.pi * np.einsum("lrq,lnq->rln", bessel * gauss, weighted)
    return out


def quadrature(r_end, n_nodes):
    """Return the nodes and weights of Gauss-Legendre quadrature on [0, r_end]."""
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    return 0.5 * r_end * (nodes + 1.0), 0.5 * r_end * weights


def spline_table(values, spacing):
    """Return the natural cubic spline through `values` on a grid.

    Parameters
    ----------
    values : ndarray of shape (n_knots, ...)
        Values on the grid 0, spacing, 2 spacing ...

    Returns
    -------
    ndarray of shape (n_knots, 2, prod(...))
        Value and spacing times derivative at each knot. The spline has continuous second
        derivatives.
    """
    n = len(values)
    flat = values.reshape(n, -1)
    system = np.diag(np.full(n, 4.0)) + np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    right = np.empty_like(flat)
    right[1:-1] = 3.0 * (flat[2:] - flat[:-2])
    system[0, 0] = 2.0
    right[0] = 3.0 * (flat[1] - flat[0])
    system[-1, -1] = 2.0
    right[-1] = 3.0 * (flat[-1] - flat[-2])
    return np.stack([flat, np.linalg.solve(system, right)], axis=1)


BASES = {"gto": gto_basis, "bessel": bessel_basis}


def radial_functions(r, basis, n_max, l_max, cutoff, sigma):
    """Return R_nl(r), without cutoff function, shape (len(r), l_max + 1, n_max).

    Parameters
    ----------
    r : ndarray
        Distances in Å.
    basis : str
        A key of `BASES`.
    n_max, l_max : int
        Number of radial functions; highest degree of the spherical harmonics.
    cutoff : float
        In Å.
    sigma : float
        Width of the Gaussians in Å.
    """
    r_end = cutoff + 8.0 * sigma if basis == "gto" else cutoff  # the others end at the cutoff
    nodes, weights = quadrature(r_end, _N_QUADRATURE)
    weighted = BASES[basis](nodes, n_max, l_max, cutoff) * weights * nodes**2
    return density_integrals(r, nodes, weighted, sigma)


def grid_functions(r, n_nodes, l_max, cutoff, sigma):
    r"""Return a Gaussian neighbor's projections on a radial grid, (len(r), l_max + 1, n_nodes).

    The functions :math:`\delta(r' - s_q)/(s_q \sqrt{w_q})` on the nodes and weights of a quadrature
    are orthonormal as far as the quadrature is exact: the raw material of optimal bases.
    """
    nodes, weights = quadrature(cutoff + 2.0 * sigma, n_nodes)
    weighted = np.broadcast_to(np.diag(nodes * np.sqrt(weights)), (l_max + 1, n_nodes, n_nodes))
    return density_integrals(r, nodes, weighted, sigma)


def knots(spacing, cutoff):
    """Return the knots of a spline that serves distances up to the cutoff (Å)."""
    # The spline is wrong at its last knot; the error decays by a factor of 4 from knot to knot.
    return spacing * np.arange(math.ceil(cutoff / spacing) + 12)
