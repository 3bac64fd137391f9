"""Elementwise parts of kernels between environments, and the assembly of training rows."""

import math

from ._jit import jit
from .elementary import fast_exp


@jit
def center(overlap, norms, reference_norms):
    """Change dot products x . q to minus half the squared distances, in place."""
    for i in range(overlap.shape[0]):
        for m in range(overlap.shape[1]):
            overlap[i, m] = min(overlap[i, m] - 0.5 * (norms[i] + reference_norms[m]), 0.0)


@jit
def power_profile(w, exponent, factor, out):
    """Write factor * w^exponent and its derivatives to `out` (n_orders, *w.shape)."""
    flat, low = w.ravel(), min(out.shape[0] - 1, exponent)
    out[low + 1 :] = 0.0
    for k in range(low):
        factor *= exponent - k
    lowest = out[low].ravel()
    for q in range(flat.shape[0]):
        lowest[q] = factor
    for _ in range(exponent - low):  # the outer loop, since so short a loop is not vectorized
        for q in range(flat.shape[0]):
            lowest[q] *= flat[q]
    for k in range(low - 1, -1, -1):
        mine, above = out[k].ravel(), out[k + 1].ravel()
        inverse = 1.0 / (exponent - k)
        for q in range(flat.shape[0]):
            mine[q] = inverse * above[q] * flat[q]


@jit
def gauss_profile(w, inverse, factor, out):
    """Write factor * exp(w * inverse) and its derivatives to `out` (n_orders, *w.shape)."""
    flat, lowest = w.ravel(), out[0].ravel()
    for q in range(flat.shape[0]):
        lowest[q] = factor * fast_exp(inverse * flat[q])
    for k in range(1, out.shape[0]):
        mine, below = out[k].ravel(), out[k - 1].ravel()
        for q in range(flat.shape[0]):
            mine[q] = inverse * below[q]


@jit
def matern_profile(w, n, inverse, factor, out):
    r"""Write the Matern function of half-integer order and its derivatives to `out`.

    With s^2 = -2 (2n + 1) w * inverse and the reverse Bessel polynomials

        theta_{j+1} = (2j + 1) theta_j + s^2 theta_{j-1},   theta_0 = 1,   theta_{-1} = 1 / s,

    the function is factor * theta_n(s) e^-s / theta_n(0), of order nu = n + 1/2. Each derivative
    with respect to w lowers the index of theta by one and adds a factor (2n + 1) * inverse.

    Parameters
    ----------
    w : ndarray of shape (n_rows, n_references)
        Minus half the squared distances.
    n : int
        2 or 3.
    inverse : float
        1 / length_scale^2.
    factor : float
        Value at w = 0.
    out : ndarray of shape (n_orders, n_rows, n_references)
        Written; n_orders is at most n + 2.
    """
    orders, rate = out.shape[0], (2 * n + 1) * inverse
    for j in range(1, n + 1):
        factor /= 2 * j - 1
    for i in range(w.shape[0]):
        for m in range(w.shape[1]):
            square = -2.0 * rate * w[i, m]
            s = math.sqrt(square)
            decay = factor * fast_exp(-s)
            # The last derivative is infinite at s = 0, but it only occurs multiplied by w.
            below, theta = 1.0 / max(s, 1e-100), 1.0
            if orders == n + 2:
                out[n + 1, i, m] = decay * rate ** (n + 1) * below
            for j in range(n + 1):
                if n - j < orders:
                    out[n - j, i, m] = decay * rate ** (n - j) * theta
                below, theta = theta, (2 * j + 1) * theta + square * below


@jit
def expand(slope, curvature, along, offset, coefficients, weights, energy):
    """Compute energies, and weights of their gradient, from one tile of a kernel.

    `slope` and `curvature` hold f' and f'' of the kernel f(w), `coefficients` a, and
    t_im = `along` - `offset` is the change of w along the vector of a reference. Adds sum_m f' t_im
    to `energy` (n,), overwrites `along` with t and writes f' a_m + f'' t_im to `weights`.
    """
    for i in range(slope.shape[0]):
        total = 0.0
        for m in range(slope.shape[1]):
            t = along[i, m] - offset[m]
            along[i, m] = t
            total += slope[i, m] * t
            weights[i, m] = slope[i, m] * coefficients[m] + curvature[i, m] * t
        energy[i] += total


@jit
def add_rows(slope, centered, start, triple, product, along, out):
    """Add the derivatives of the kernels of some centers along motions, three at a time.

    Parameters
    ----------
    slope : ndarray of shape (n_centers, n_references)
        The derivative is dk/dx = slope (q - x), or slope q, with environment x and reference q.
    centered : bool
        Whether the derivative has the term with x; if not, `along` is not read.
    start, triple : ndarray
        First triple of motions of each center, and the rows that each triple is added to.
    product : ndarray of shape (3 * n_triples, n_references)
        Jacobian times references.
    along : ndarray of shape (3 * n_triples,)
        Jacobian times the center's own features.
    out : ndarray of shape (n_out, n_references)
        Rows to add to; those of triple t begin at row 3 t.
    """
    for c in range(len(start) - 1):
        for e in range(start[c], start[c + 1]):
            for axis in range(3):
                source, target = product[3 * e + axis], out[3 * triple[e] + axis]
                step = along[3 * e + axis] if centered else 0.0
                for m in range(source.shape[0]):
                    target[m] += slope[c, m] * (source[m] - step)


@jit
def add_direction_rows(slope, bend, first, centered, start, triple, product, along, out):
    """Add derivatives along motions, of kernels that are derivatives along directions themselves.

    Parameters
    ----------
    slope : ndarray of shape (n_centers, n_references)
        As in `add_rows`.
    bend : ndarray of shape (n_centers, n_directions)
        Derivatives of `slope` along the directions.
    first : ndarray of shape (n_references + 1,)
        First direction of each reference.
    centered, start, triple, along
        As in `add_rows`.
    product : ndarray of shape (3 * n_triples, n_references + n_directions)
        Jacobian times references, then times directions.
    out : ndarray of shape (n_out, n_directions)
        Rows to add to.
    """
    n = slope.shape[1]
    for c in range(len(start) - 1):
        for e in range(start[c], start[c + 1]):
            for axis in range(3):
                source, target = product[3 * e + axis], out[3 * triple[e] + axis]
                step = along[3 * e + axis] if centered else 0.0
                for m in range(n):
                    reference, weight = source[m] - step, slope[c, m]
                    for k in range(first[m], first[m + 1]):
                        target[k] += weight * source[n + k] + bend[c, k] * reference


@jit
def add_segments(values, segment, out):
    """Add row i of `values` to row `segment[i]` of `out`."""
    for i in range(values.shape[0]):
        target = out[segment[i]]
        for m in range(values.shape[1]):
            target[m] += values[i, m]
