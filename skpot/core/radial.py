r"""Radial functions of the smeared neighbour density, tabulated as cubic splines.

A neighbour at distance r is a Gaussian of width :math:`\sigma`. Its projection on radial basis
function :math:`g_n` and on :math:`Y_{lm}` is :math:`R_{nl}(r) Y_{lm}(\hat r)` with

.. math::

    R_{nl}(r) = 4\pi \int_0^\infty dr'\, r'^2 g_n(r')\,
        e^{-(r^2 + r'^2)/2\sigma^2}\, i_l(r r'/\sigma^2)

where :math:`i_l` is the modified spherical Bessel function of the first kind (Bartók, Kondor,
Csányi, Phys. Rev. B 87, 184115 (2013), eq. 33). The integral is done once, by Gauss-Legendre
quadrature, at the knots of the spline.
"""

import math

import numpy as np

from .cutoffs import radial_scaling

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


def gto_basis(r, n_max, cutoff):
    r"""Return orthonormal Gaussian-type radial functions :math:`g_n(r)`, shape (n_max, len(r)).

    :math:`\phi_n(r) = N_n r^n e^{-r^2/2 s_n^2}` with
    :math:`s_n = r_c \max(\sqrt n, 1)/n_{max}`, n = 0 ... n_max - 1, orthonormalised
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
    with np.errstate(divide="ignore"):
        log_r = np.log(r)
    exponent = log_norm[:, None] - b[:, None] * r**2
    primitive = np.exp(exponent + np.where(n[:, None] > 0, n[:, None] * log_r, 0.0))
    return inverse_root @ primitive


def density_integrals(r, basis, cutoff, n_max, l_max, sigma):
    """Return R_nl(r) without cutoff function, shape (len(r), l_max + 1, n_max)."""
    nodes, weights = np.polynomial.legendre.leggauss(_N_QUADRATURE)
    r_end = cutoff + 8.0 * sigma
    nodes, weights = 0.5 * r_end * (nodes + 1.0), 0.5 * r_end * weights
    weighted = 4.0 * math.pi * basis(nodes, n_max, cutoff) * weights * nodes**2
    out = np.empty((len(r), l_max + 1, n_max))
    for block in range(0, len(r), 64):  # bounds the (l, r, r') array to some megabytes
        part = slice(block, block + 64)
        bessel = bessel_scaled(l_max, np.outer(r[part], nodes) / sigma**2)
        gauss = np.exp(-((r[part, None] - nodes) ** 2) / (2.0 * sigma**2))
        out[part] = np.einsum("lrq,nq->rln", bessel * gauss, weighted, optimize=True)
    return out


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


def gto_density_table(n_max, l_max, cutoff, sigma, scaling=None):
    """Tabulate R_nl(r) times radial scaling for a Gaussian density; the cutoff function stays out.

    Parameters
    ----------
    n_max, l_max : int
        Number of radial functions; highest degree of the spherical harmonics.
    cutoff, sigma : float
        Cutoff and width of the Gaussians, in Å.
    scaling : tuple of (float, float), optional
        r0 (Å) and exponent of `cutoffs.radial_scaling`.

    Returns
    -------
    table : ndarray of shape (n_knots, 2, (l_max + 1) * n_max)
        See `spline_table`; the last axis runs over (l, n).
    spacing : float
        Distance of the knots in Å.
    centre : ndarray of shape (n_max,)
        R_n0(0): what an atom at the centre itself contributes.
    """
    # sigma/25 leaves a relative interpolation error near 1e-8. What the wrong curvature at the last
    # knot spoils decays by a factor of 4 a knot, so the table goes on beyond the cutoff.
    spacing = sigma / 25.0
    r = spacing * np.arange(math.ceil(cutoff / spacing) + 12)
    values = density_integrals(r, gto_basis, cutoff, n_max, l_max, sigma)
    centre = values[0, 0].copy()
    if scaling is not None:
        values *= radial_scaling(r, *scaling)[:, None, None]
    return spline_table(values, spacing), spacing, centre
