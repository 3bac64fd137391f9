"""Elementwise parts of the kernels between environments, and assembly of training rows."""

import numpy as np

from ._jit import jit
from .elementary import fast_exp


@jit
def power_with_slope(overlap, exponent, factor, kernel, slope):
    """Write factor * overlap^exponent and its derivative; arrays of one shape."""
    flat, k, s = overlap.ravel(), kernel.ravel(), slope.ravel()
    for q in range(flat.shape[0]):
        below = factor
        for _ in range(exponent - 1):
            below *= flat[q]
        k[q] = below * flat[q]
        s[q] = exponent * below


@jit
def gauss_with_slope(overlap, norms, reference_norms, length_scale, factor, kernel, slope):
    """Write factor * exp(-|x - q|^2 / 2 l^2) and its slope, kernel / l^2; overlap is x . q."""
    inverse = 1.0 / (length_scale * length_scale)
    for i in range(overlap.shape[0]):
        for m in range(overlap.shape[1]):
            distance = max(norms[i] + reference_norms[m] - 2.0 * overlap[i, m], 0.0)
            kernel[i, m] = factor * np.exp(-0.5 * inverse * distance)
            slope[i, m] = inverse * kernel[i, m]


@jit
def power_curvature(overlap, exponent, factor, kernel, slope, curvature):
    """Write factor * overlap^exponent and its first and second derivative; arrays of one shape."""
    flat, k = overlap.ravel(), kernel.ravel()
    s, c = slope.ravel(), curvature.ravel()
    for q in range(flat.shape[0]):
        below, second = factor, 0.0
        for _ in range(exponent - 1):
            second = below
            below *= flat[q]
        k[q] = below * flat[q]
        s[q] = exponent * below
        c[q] = exponent * (exponent - 1) * second


@jit
def gauss_curvature(overlap, norms, reference_norms, length_scale, factor, kernel, slope, bend):
    """Write the Gaussian and its derivatives with respect to -|x - q|^2 / 2."""
    inverse = 1.0 / (length_scale * length_scale)
    for i in range(overlap.shape[0]):
        for m in range(overlap.shape[1]):
            w = min(overlap[i, m] - 0.5 * (norms[i] + reference_norms[m]), 0.0)
            kernel[i, m] = factor * fast_exp(inverse * w)
            slope[i, m] = inverse * kernel[i, m]
            bend[i, m] = inverse * slope[i, m]


@jit
def expand(kernel, slope, curvature, along, offset, coefficients, energy, pull):
    """Turn one tile of a kernel into energies and into weights of their gradient.

    With the derivatives f' and f'' of the kernel f(w), coefficients a and the motion
    t_im = `along` - `offset` of w along a reference's vector, adds sum_m f a_m + f' t_im to
    `energy` (n,) and writes f' a_m + f'' t_im over `curvature`; its sums are added to `pull` (n,).
    """
    for i in range(kernel.shape[0]):
        total, weight = 0.0, 0.0
        for m in range(kernel.shape[1]):
            t = along[i, m] - offset[m]
            total += kernel[i, m] * coefficients[m] + slope[i, m] * t
            c = slope[i, m] * coefficients[m] + curvature[i, m] * t
            weight += c
            curvature[i, m] = c
        energy[i] += total
        pull[i] += weight


@jit
def add_force_rows(slope, shift, moved, start, atom, product, along, out):
    """Add -dk/dr of some centres to the force rows `out`.

    Parameters
    ----------
    slope, shift : ndarray of shape (n_centres, n_references)
        dk/dx = slope q + shift x, with environment x and reference q.
    moved : bool
        Whether `shift` counts; it is not read otherwise.
    start, atom : ndarray
        Rows of the Jacobian block that belong to each centre, and the atom each one moves.
    product : ndarray of shape (3 * n_rows, n_references)
        Jacobian times references.
    along : ndarray of shape (3 * n_rows,)
        Jacobian times the centre's own features.
    out : ndarray of shape (3 * n_atoms, n_references)
        Rows to add to.
    """
    for c in range(len(start) - 1):
        for e in range(start[c], start[c + 1]):
            for axis in range(3):
                source, target = product[3 * e + axis], out[3 * atom[e] + axis]
                for m in range(source.shape[0]):
                    target[m] -= slope[c, m] * source[m]
                if moved:
                    step = along[3 * e + axis]
                    for m in range(source.shape[0]):
                        target[m] -= shift[c, m] * step


@jit
def add_strain_rows(slope, shift, moved, structure, product, along, out):
    """Add dk/d(strain) of some centres to `out` (6 * n_structures, n_references).

    `structure` (n_centres,) says where each centre goes; `product` is (6 * n_centres, ...).
    """
    for c in range(len(structure)):
        for v in range(6):
            source, target = product[6 * c + v], out[6 * structure[c] + v]
            for m in range(source.shape[0]):
                target[m] += slope[c, m] * source[m]
                if moved:
                    target[m] += shift[c, m] * along[6 * c + v]


@jit
def add_segments(values, segment, out):
    """Add row i of `values` to row `segment[i]` of `out`."""
    for i in range(values.shape[0]):
        target = out[segment[i]]
        for m in range(values.shape[1]):
            target[m] += values[i, m]
