"""SOAP power spectrum, one sum and one integral at a time.

The density of neighbour species a around centre i, a sum of Gaussians of width sigma, is expanded
in orthonormal Gaussian-type radial functions times real spherical harmonics; the power spectrum
contracts the expansion with itself over m.
"""

import math

import numpy as np
from scipy.integrate import fixed_quad
from scipy.special import ive, sph_harm_y

from tests.naive.neighbors import neighbor_list

QUADRATURE_POINTS = 300


def real_harmonics(l_max, vector):
    """Real orthonormal Y_lm of the direction of `vector`, index l*l + l + m."""
    x, y, z = vector
    theta = math.atan2(math.hypot(x, y), z)
    phi = math.atan2(y, x)
    out = []
    for l in range(l_max + 1):
        for m in range(-l, l + 1):
            value = complex(sph_harm_y(l, abs(m), theta, phi))
            if m == 0:
                out.append(value.real)
            else:
                part = value.real if m > 0 else value.imag
                out.append(math.sqrt(2) * (-1) ** m * part)
    return np.array(out)


def orthonormal_basis(n_max, cutoff):
    """Return the coefficients and exponents of g_n = sum_n' coef[n, n'] r^n' exp(-a[n'] r^2)."""
    a = [0.5 / (cutoff * max(math.sqrt(n), 1.0) / n_max) ** 2 for n in range(n_max)]

    def moment(n, k):  # integral of r^2 (r^n e^{-a_n r^2}) (r^k e^{-a_k r^2}) over r > 0
        half = 0.5 * (n + k + 3)
        return 0.5 * math.gamma(half) / (a[n] + a[k]) ** half

    norm = [1 / math.sqrt(moment(n, n)) for n in range(n_max)]
    overlap = [[norm[n] * norm[k] * moment(n, k) for k in range(n_max)] for n in range(n_max)]
    eigenvalues, vectors = np.linalg.eigh(np.array(overlap))
    inverse_root = vectors @ np.diag(eigenvalues**-0.5) @ vectors.T
    return inverse_root * np.array(norm), np.array(a)


def radial_integrals(r, n_max, l_max, cutoff, sigma):
    """Overlap of a Gaussian at distance r with the radial functions, (n_max, l_max + 1).

    R_nl(r) = 4 pi int s^2 g_n(s) exp(-(r^2 + s^2)/(2 sigma^2)) i_l(r s/sigma^2) ds.
    """
    coefficients, exponents = orthonormal_basis(n_max, cutoff)

    def integrand(s, n, l):
        g = sum(coefficients[n, k] * s**k * np.exp(-exponents[k] * s**2) for k in range(n_max))
        x = r * s / sigma**2
        if r == 0:
            bessel = np.ones_like(s) if l == 0 else np.zeros_like(s)
        else:  # exp(-x) i_l(x), the exponential taken into the Gaussian
            bessel = np.sqrt(math.pi / (2 * x)) * ive(l + 0.5, x)
        return 4 * math.pi * s**2 * g * np.exp(-((r - s) ** 2) / (2 * sigma**2)) * bessel

    out = np.zeros((n_max, l_max + 1))
    for n in range(n_max):
        for l in range(l_max + 1):
            end = cutoff + 8 * sigma
            out[n, l] = fixed_quad(integrand, 0, end, args=(n, l), n=QUADRATURE_POINTS)[0]
    return out


def cutoff_function(r, cutoff, width):
    """1 up to cutoff - width, then half a cosine to 0."""
    if r < cutoff - width:
        return 1.0
    if r >= cutoff:
        return 0.0
    return 0.5 * (1 + math.cos(math.pi * (r - cutoff + width) / width))


def power_spectrum(
    numbers,
    positions,
    cell,
    pbc,
    *,
    species,
    cutoff,
    n_max,
    l_max,
    sigma,
    cutoff_width,
    radial_scaling=None,
    central_weight=1.0,
    normalize=True,
):
    """SOAP vector of every atom of one structure, (n_atoms, n_features).

    `species` lists the atomic numbers that get a channel, sorted. Features run over l, then over
    the upper triangle of joint channels k = a * n_max + n, off-diagonal elements times sqrt(2).
    """
    n_lm = (l_max + 1) ** 2
    n_channels = len(species) * n_max
    c = np.zeros((len(numbers), n_channels, n_lm))

    def add(i, neighbor, vector, weight):
        r = math.sqrt(vector @ vector)
        radial = radial_integrals(r, n_max, l_max, cutoff, sigma)
        angular = real_harmonics(l_max, vector if r > 0 else (0.0, 0.0, 1.0))
        a = species.index(neighbor)
        for n in range(n_max):
            for l in range(l_max + 1):
                for m in range(-l, l + 1):
                    lm = l * l + l + m
                    c[i, a * n_max + n, lm] += weight * radial[n, l] * angular[lm]

    for i, number in enumerate(numbers):
        add(i, int(number), np.zeros(3), central_weight)
    for i, j, _, vector in neighbor_list(positions, cell, pbc, cutoff):
        r = math.sqrt(vector @ vector)
        weight = cutoff_function(r, cutoff, cutoff_width)
        if radial_scaling is not None:
            r0, m = radial_scaling
            weight /= 1 + (r / r0) ** m
        add(i, int(numbers[j]), vector, weight)

    out = []
    for i in range(len(numbers)):
        p = []
        for l in range(l_max + 1):
            for k in range(n_channels):
                for kk in range(k, n_channels):
                    s = sum(
                        c[i, k, l * l + l + m] * c[i, kk, l * l + l + m] for m in range(-l, l + 1)
                    )
                    p.append(s / math.sqrt(2 * l + 1) * (1.0 if k == kk else math.sqrt(2)))
        p = np.array(p)
        out.append(p / math.sqrt(p @ p) if normalize else p)
    return np.array(out)
