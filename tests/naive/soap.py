"""SOAP, one sum and one integral at a time.

The density of neighbor species a around center i, a sum of Gaussians of width sigma, is expanded
in orthonormal radial functions times real spherical harmonics; the power spectrum contracts the
expansion with itself over m, the bispectrum twice.
"""

import functools
import math

import numpy as np
from scipy.integrate import fixed_quad
from scipy.optimize import brentq
from scipy.special import ive, sph_harm_y, spherical_jn

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


def bessel_zero(l, n):
    """The zero of j_l number n, from 0, by a search along the axis."""
    x, step, count = 0.5 + l, 0.05, 0  # the first zero lies beyond l
    while True:
        if spherical_jn(l, x) * spherical_jn(l, x + step) < 0:
            if count == n:
                return brentq(lambda z: spherical_jn(l, z), x, x + step, xtol=1e-14)
            count += 1
        x += step


def basis_functions(basis, n_max, l_max, cutoff):
    """Functions g[n][l] of an array of distances, orthonormal with weight r^2."""
    if basis == "gto":
        c, a = orthonormal_basis(n_max, cutoff)
        return [
            [lambda s, n=n: sum(c[n, k] * s**k * np.exp(-a[k] * s**2) for k in range(n_max))]
            * (l_max + 1)
            for n in range(n_max)
        ]
    assert basis == "bessel", f"no oracle of {basis}"
    z = [[bessel_zero(l, n) for l in range(l_max + 1)] for n in range(n_max)]
    norm = [
        [math.sqrt(2 / cutoff**3) / abs(spherical_jn(l + 1, z[n][l])) for l in range(l_max + 1)]
        for n in range(n_max)
    ]
    return [
        [
            lambda s, n=n, l=l: norm[n][l] * spherical_jn(l, z[n][l] * s / cutoff) * (s < cutoff)
            for l in range(l_max + 1)
        ]
        for n in range(n_max)
    ]


_functions = functools.cache(basis_functions)


def radial_integrals(r, n_max, l_max, cutoff, sigma, basis="gto"):
    """Overlap of a Gaussian at distance r with the radial functions, (n_max, l_max + 1).

    R_nl(r) = 4 pi int s^2 g_n(s) exp(-(r^2 + s^2)/(2 sigma^2)) i_l(r s/sigma^2) ds.
    """
    functions = _functions(basis, n_max, l_max, cutoff)

    def integrand(s, n, l):
        g = functions[n][l](s)
        x = r * s / sigma**2
        if r == 0:
            bessel = np.ones_like(s) if l == 0 else np.zeros_like(s)
        else:  # exp(-x) i_l(x), the exponential taken into the Gaussian
            bessel = np.sqrt(math.pi / (2 * x)) * ive(l + 0.5, x)
        return 4 * math.pi * s**2 * g * np.exp(-((r - s) ** 2) / (2 * sigma**2)) * bessel

    out = np.zeros((n_max, l_max + 1))
    for n in range(n_max):
        for l in range(l_max + 1):
            end = cutoff + 8 * sigma if basis == "gto" else cutoff
            out[n, l] = fixed_quad(integrand, 0, end, args=(n, l), n=QUADRATURE_POINTS)[0]
    return out


def cutoff_function(r, cutoff, width):
    """1 up to cutoff - width, then half a cosine to 0."""
    if r < cutoff - width:
        return 1.0
    if r >= cutoff:
        return 0.0
    return 0.5 * (1 + math.cos(math.pi * (r - cutoff + width) / width))


def coefficients(
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
    basis="gto",
    radial_scaling=None,
    pair_cutoffs=None,
    central_weight=1.0,
    species_weights=None,
):
    """Expansion coefficients of every atom of one structure, (n_atoms, channels, (l_max + 1)^2).

    `species` lists the atomic numbers that get a channel, sorted; joint channels are
    k = a * n_max + n. `pair_cutoffs` has keys (center, neighbor), `species_weights` are those of
    neighbors of an atomic number.
    """
    n_lm = (l_max + 1) ** 2
    c = np.zeros((len(numbers), len(species) * n_max, n_lm))

    def reach(i, j):
        pairs = pair_cutoffs or {}
        a, b = int(numbers[i]), int(numbers[j])
        return pairs.get((a, b), pairs.get((b, a), cutoff))

    def add(i, j, vector, weight):
        r = math.sqrt(vector @ vector)
        neighbor = int(numbers[j])
        weight *= (species_weights or {}).get(neighbor, 1.0)
        radial = radial_integrals(r, n_max, l_max, reach(i, j), sigma, basis)
        angular = real_harmonics(l_max, vector if r > 0 else (0.0, 0.0, 1.0))
        a = species.index(neighbor)
        for n in range(n_max):
            for l in range(l_max + 1):
                if r == 0 and l > 0:  # a point in the center has no direction
                    continue
                for m in range(-l, l + 1):
                    lm = l * l + l + m
                    c[i, a * n_max + n, lm] += weight * radial[n, l] * angular[lm]

    for i in range(len(numbers)):
        add(i, i, np.zeros(3), central_weight)
    longest = max([cutoff, *(pair_cutoffs or {}).values()])
    for i, j, _, vector in neighbor_list(positions, cell, pbc, longest):
        r = math.sqrt(vector @ vector)
        weight = cutoff_function(r, reach(i, j), cutoff_width)
        if weight == 0.0:
            continue
        if radial_scaling is not None:
            r0, m = radial_scaling
            weight /= 1 + (r / r0) ** m
        add(i, j, vector, weight)
    return c


def mixed(c, matrix):
    """Channels k as mixtures sum_q matrix[l, k, q] c_q."""
    out = np.zeros((len(c), matrix.shape[1], c.shape[2]))
    for i in range(len(c)):
        for lm in range(c.shape[2]):
            out[i, :, lm] = matrix[math.isqrt(lm)] @ c[i, :, lm]
    return out


def product_of_two(c, k, kk, l):
    """One element of the power spectrum."""
    s = sum(c[k, l * l + l + m] * c[kk, l * l + l + m] for m in range(-l, l + 1))
    return s / math.sqrt(2 * l + 1)


def triangle(c, l_max):
    """All products of one atom: l, then the upper triangle, off-diagonal ones times sqrt(2)."""
    n = len(c)
    return [
        product_of_two(c, k, kk, l) * (1.0 if k == kk else math.sqrt(2))
        for l in range(l_max + 1)
        for k in range(n)
        for kk in range(k, n)
    ]


def totals(c, l_max, n_max):
    """Products of each channel with the sums over species."""
    n = len(c)
    both = np.concatenate([c, sum(c[a : a + n_max] for a in range(0, n, n_max))])
    return [
        product_of_two(both, k, n + q, l)
        for l in range(l_max + 1)
        for k in range(n)
        for q in range(n_max)
    ]


def diagonal(c, l_max):
    """Products of each channel with itself."""
    return [product_of_two(c, k, k, l) for l in range(l_max + 1) for k in range(len(c))]


def clebsch_gordan(l1, m1, l2, m2, l3, m3):
    """<l1 m1 l2 m2 | l3 m3> by Racah's formula."""
    if m1 + m2 != m3 or not abs(l1 - l2) <= l3 <= l1 + l2:
        return 0.0
    f = math.factorial
    root = math.sqrt(
        (2 * l3 + 1) * f(l1 + l2 - l3) * f(l1 - l2 + l3) * f(l2 - l1 + l3) / f(l1 + l2 + l3 + 1)
    ) * math.sqrt(f(l1 + m1) * f(l1 - m1) * f(l2 + m2) * f(l2 - m2) * f(l3 + m3) * f(l3 - m3))
    total = 0.0
    for k in range(l1 + l2 + l3 + 1):
        parts = [
            k, l1 + l2 - l3 - k, l1 - m1 - k, l2 + m2 - k, l3 - l2 + m1 + k, l3 - l1 - m2 + k,
        ]  # fmt: skip
        if min(parts) >= 0:
            total += (-1) ** k / math.prod(f(p) for p in parts)
    return root * total


def complex_coefficients(c, l):
    """Coefficients of complex harmonics with the Condon-Shortley sign, {m: value}, of one l."""
    out = {0: complex(c[l * l + l])}
    for m in range(1, l + 1):
        cosine, sine = c[l * l + l + m], c[l * l + l - m]
        out[m] = (-1) ** m * (cosine - 1j * sine) / math.sqrt(2)
        out[-m] = (cosine + 1j * sine) / math.sqrt(2)
    return out


def bispectrum(c, l_max):
    """Products of three of one atom, in every order of the factors that is not repeated.

    B = sum_m (-1)^m3 <l1 m1 l2 m2 | l3 -m3> / sqrt(2 l3 + 1) c_l1m1 c_l2m2 c_l3m3, which is the
    3j symbol, of factors (l, k) in ascending order, times the root of the number of their orders;
    the overall sign is that of <l1 0 l2 0 | l3 0>.
    """
    factors = [(l, k) for l in range(l_max + 1) for k in range(len(c))]
    out = []
    for a, (l1, k1) in enumerate(factors):
        for b in range(a, len(factors)):
            for d in range(b, len(factors)):
                (l2, k2), (l3, k3) = factors[b], factors[d]
                if (l1 + l2 + l3) % 2 or not abs(l1 - l2) <= l3 <= l1 + l2:
                    continue
                x, y, z = (complex_coefficients(c[k], l) for l, k in [(l1, k1), (l2, k2), (l3, k3)])
                total = 0.0
                for m1 in x:
                    for m2 in y:
                        if abs(m1 + m2) <= l3:
                            coupling = clebsch_gordan(l1, m1, l2, m2, l3, m1 + m2)
                            total += (-1) ** (m1 + m2) * coupling * x[m1] * y[m2] * z[-m1 - m2]
                sign = math.copysign(1.0, clebsch_gordan(l1, 0, l2, 0, l3, 0))
                same = [factors[a], factors[b], factors[d]]
                orders = 6 / math.prod(math.factorial(same.count(f)) for f in set(same))
                out.append(sign * total.real / math.sqrt(2 * l3 + 1) * math.sqrt(orders))
    return out


def scaled(rows, normalize):
    """Rows as an array, of unit length if so wanted and if they are not zero."""
    rows = np.array(rows)
    lengths = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return rows / np.where(lengths > 0, lengths, 1.0) if normalize else rows


def power_spectrum(numbers, positions, cell, pbc, *, normalize=True, **options):
    """SOAP vector of every atom of one structure, (n_atoms, n_features); see `coefficients`."""
    c = coefficients(numbers, positions, cell, pbc, **options)
    return scaled([triangle(one, options["l_max"]) for one in c], normalize)
