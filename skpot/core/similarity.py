"""Elementwise parts of the kernels between environments, and assembly of training rows."""

import numpy as np

from ._jit import jit


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
