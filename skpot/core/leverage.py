r"""Extrapolation grades: the deviation of an environment over that at the edge of the training set.

With the covariances k of an environment with the references of its species, the variance that all
training environments leave of its energy (see `skpot.processes.domain`) is

.. math:: s^2 = k(x, x) - |w|^2 + |R^{-T} w|^2 = k(x, x) - |G k|^2, \qquad w = L^{-1} k, \qquad
          G^T G = L^{-T} (1 - (R^T R)^{-1}) L^{-1}

A reference may stand for a derivative of the kernel along a vector, as in `skpot.core.expansion`.
Of linear models the variance is :math:`|G k|^2` alone, where the kernel makes the columns of the
model. This costs the product of a matrix (references x references) with a vector for each
environment, so simulations compute it only once in several steps.
"""

import math
from typing import NamedTuple

import numpy as np

from . import evaluation, feature_rows
from ._arena import arena, floats, integers, matrix, padded, release, shaped
from ._jit import inner_jit, jit, variants
from .expansion import TILE, Sum, Term, clear, profile_jet, similarities, take_rows
from .expansion import scratch as expansion_scratch
from .expansion import scratch_size as expansion_scratch_size
from .pairs import largest
from .products import ROWS, add_products, rounded


class Leverage(NamedTuple):
    """The variance of energies of environments, as sums of squares for each species."""

    expansion: tuple  # Term or Sum of all references, whose coefficients multiply k
    starts: np.ndarray  # (n_species + 1,) where the references of each species begin
    first: np.ndarray  # (n_species + 1,) where G of each species begins in `matrix`
    counts: np.ndarray  # (n_species,) number of rows of G
    matrix: np.ndarray  # G of each species, (rows rounded up, references)
    factor: np.ndarray  # (n_species,) of the kernel's own variance; 1 without coupled species
    sign: float  # of |G k|^2: -1, or 1 in linear models
    edge: np.ndarray  # (n_species,) standard deviation at the edge of the training set, eV


class Graded(NamedTuple):
    """A potential with what is needed for extrapolation grades."""

    potential: evaluation.Potential
    leverage: Leverage


@jit
def work_size(n_neighbors, n_centers, graded):
    """Return how many numbers of its arena `evaluate` takes; see `evaluation.work_size`."""
    return evaluation.work_size(n_neighbors, n_centers, graded.potential)


@jit
def evaluate(lo, hi, pairs, species, graded, arena, energies, gradient):
    """Write energies and pair gradients; see `evaluation.evaluate`."""
    evaluation.evaluate(lo, hi, pairs, species, graded.potential, arena, energies, gradient)


@inner_jit
def _most(leverage):
    """Return the largest numbers of references and of rows of G that a species has."""
    references, rows = 0, 0
    for z in range(leverage.counts.shape[0]):
        references = max(references, leverage.starts[z + 1] - leverage.starts[z])
        rows = max(rows, rounded(leverage.counts[z], 3))
    return references, rows


@jit
def grade_size(n_neighbors, n_centers, graded):
    """Return how many numbers of its arena `grade` takes; see `evaluation.work_size`."""
    n_rows = evaluation.block_rows(n_centers)
    references, rows = _most(graded.leverage)
    size = feature_rows.scratch_size(graded.potential.features, n_neighbors, n_rows)
    size += expansion_scratch_size(graded.leverage.expansion, n_rows)
    size += padded(n_rows * graded.potential.width) + 2 * padded(n_rows)
    return size + padded(n_rows * references) + padded(n_rows * rows)


@jit
def grade(lo, hi, pairs, species, graded, arena, grades):
    """Write the extrapolation grades of centers lo to hi - 1; arguments are as in `evaluate`."""
    potential, leverage = graded.potential, graded.leverage
    n_rows = evaluation.block_rows(hi - lo)
    near = feature_rows.scratch(potential.features, largest(lo, hi, pairs), n_rows, arena)
    space = expansion_scratch(leverage.expansion, n_rows, arena)
    rows = matrix(n_rows, potential.width, arena)
    members = integers(n_rows, arena)
    references, n_forms = _most(leverage)
    kernel, forms = floats(n_rows * references, arena), floats(n_rows * n_forms, arena)
    variances = floats(n_rows, arena)
    for begin in range(lo, hi, n_rows):
        for z in range(potential.e0.shape[0]):
            end = min(begin + n_rows, hi)
            size = evaluation.take_members(z, begin, end, species, members)
            if size > 0:
                own = members[:size]
                feature_rows.fill(potential.features, z, own, pairs, species, near, rows, 0)
                _grade_block(z, own, rows, leverage, space, kernel, forms, variances, grades)


@inner_jit
def _grade_block(z, members, rows, leverage, space, kernel, forms, variances, grades):
    """Write the grades of some centers of one species."""
    size = members.shape[0]
    n_rows = rounded(size, ROWS)
    width = leverage.starts[z + 1] - leverage.starts[z]
    n_forms = rounded(leverage.counts[z], 3)
    k = shaped(kernel, (n_rows, width))
    f = shaped(forms, (n_rows, n_forms))
    clear(k)
    for b in range(size):
        variances[b] = 0.0
    covariances(leverage.expansion, z, rows, size, space, k, variances)
    clear(f)
    begin = leverage.first[z]
    g = shaped(leverage.matrix[begin : begin + n_forms * width], (n_forms, width))
    add_products(k, g, f)
    edge = leverage.edge[z]
    for b in range(size):
        variance, row = leverage.factor[z] * variances[b], f[b]
        for j in range(leverage.counts[z]):
            variance += leverage.sign * row[j] * row[j]
        grades[members[b]] = math.sqrt(max(variance, 0.0)) / edge if edge > 0.0 else np.inf


@inner_jit
def _term_covariances(term, z, rows, size, space, k, variances):
    n_rows, lo, hi = k.shape[0], term.first[z], term.first[z + 1]
    y = shaped(space.y, (n_rows, term.scale.shape[0]))
    take_rows(term, z, rows, size, space, y)
    for m in range(lo, hi, TILE):
        _add_tile(term, m, min(m + TILE, hi), y, space, k[:, m - lo :])
    similarity, jet = shaped(space.similarity, (1, 1)), shaped(space.jet, (1, 1, 1))
    origin = term.origin[z]
    for b in range(size):
        similarity[0, 0] = 0.0
        if not term.centered:
            for d in range(origin.shape[0]):
                similarity[0, 0] += (y[b, d] + origin[d]) ** 2
        profile_jet(term.profile, similarity, jet)
        variances[b] += jet[0, 0, 0]


@inner_jit
def _sum_covariances(both, z, rows, size, space, k, variances):
    covariances(both.left, z, rows, size, space.left, k, variances)
    covariances(both.right, z, rows, size, space.right, k, variances)


@variants({Term: _term_covariances, Sum: _sum_covariances})
def covariances(expansion, z, rows, size, space, k, variances):
    """Add covariances of rows of one species with its references to k, and variances of rows."""


@inner_jit
def _add_tile(term, lo, hi, y, space, out):
    """Add covariances of all rows with references lo to hi - 1 to the first columns of out."""
    n_rows, n = y.shape
    tile = hi - lo
    w = shaped(space.w, (n_rows, tile))
    clear(w)
    add_products(y, shaped(term.rows[lo * n : hi * n], (tile, n)), w)
    vectors = term.vector_rows.shape[0] > 0
    t = shaped(space.t, (n_rows, tile))
    if vectors:
        clear(t)
        add_products(y, shaped(term.vector_rows[lo * n : hi * n], (tile, n)), t)
    similarity = shaped(space.similarity, (1, tile))
    jet = shaped(space.jet, (2 if vectors else 1, 1, tile))
    alpha, offset = term.alpha[lo:hi], term.offset[lo:hi]
    for r in range(n_rows):
        similarities(term, lo, w[r], space.constant[r], similarity)
        profile_jet(term.profile, similarity, jet)
        for m in range(tile):
            out[r, m] += alpha[m] * jet[0, 0, m]
        if vectors:
            for m in range(tile):
                out[r, m] += jet[1, 0, m] * (t[r, m] + offset[m])


@jit
def grade_range(lo, hi, pairs, species, graded, grades):
    """Call `grade` with work space that is allocated here; for `run_blocks`."""
    own = arena(grade_size(largest(lo, hi, pairs), hi - lo, graded))
    grade(lo, hi, pairs, species, graded, own, grades)
    release(own)
