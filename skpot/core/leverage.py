r"""Extrapolation grades: the deviation of an environment's energy over the largest in training.

With the covariances k of an environment with the references of its species, the variance that
remains after training (see `skpot.processes.variance.SparseProcess`) is

.. math:: s^2 = k(x, x) - |L^{-1} k|^2 + |R^{-T} L^{-1} k|^2
              = k(x, x) + \sum_r \pm (G_r \cdot k)^2

where the rows of G are those of :math:`L^{-1}`, with the sign minus, and of :math:`R^{-T} L^{-1}`,
with the sign plus. This costs two products of a matrix (references x references) with a vector for
each environment, so simulations compute it only once in many steps.
"""

import math
from typing import NamedTuple

import numpy as np

from . import evaluation, feature_rows
from ._arena import arena, floats, integers, matrix, padded, release, shaped
from ._jit import inner_jit, jit
from .expansion import TILE, Term, clear, profile_jet, similarities, take_rows
from .expansion import scratch as term_scratch
from .expansion import scratch_size as term_scratch_size
from .pairs import largest
from .products import ROWS, add_products, rounded


class Leverage(NamedTuple):
    """The variance of energies of environments, as sums of squares for each species."""

    term: Term  # all references; the coefficients are not used
    first: np.ndarray  # (n_species + 1,) where G of each species begins in `matrix`
    counts: np.ndarray  # (n_species, 2) number of rows of G that are subtracted, then added
    matrix: np.ndarray  # G of each species, (rows rounded up, references); subtracted rows first
    edge: np.ndarray  # (n_species,) largest standard deviation in the training set, eV


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
        references = max(references, leverage.term.first[z + 1] - leverage.term.first[z])
        rows = max(rows, rounded(leverage.counts[z, 0] + leverage.counts[z, 1], 3))
    return references, rows


@jit
def grade_size(n_neighbors, n_centers, graded):
    """Return how many numbers of its arena `grade` takes; see `evaluation.work_size`."""
    n_rows = evaluation.block_rows(n_centers)
    references, rows = _most(graded.leverage)
    size = feature_rows.scratch_size(graded.potential.features, n_neighbors, n_rows)
    size += term_scratch_size(graded.leverage.term, n_rows)
    size += padded(n_rows * graded.potential.width) + padded(n_rows)
    return size + padded(n_rows * references) + padded(n_rows * rows)


@jit
def grade(lo, hi, pairs, species, graded, arena, grades):
    """Write the extrapolation grades of centers lo to hi - 1; arguments are as in `evaluate`."""
    potential, leverage = graded.potential, graded.leverage
    n_rows = evaluation.block_rows(hi - lo)
    near = feature_rows.scratch(potential.features, largest(lo, hi, pairs), n_rows, arena)
    space = term_scratch(leverage.term, n_rows, arena)
    rows = matrix(n_rows, potential.width, arena)
    members = integers(n_rows, arena)
    references, n_forms = _most(leverage)
    kernel, forms = floats(n_rows * references, arena), floats(n_rows * n_forms, arena)
    for begin in range(lo, hi, n_rows):
        for z in range(potential.e0.shape[0]):
            end = min(begin + n_rows, hi)
            size = evaluation.take_members(z, begin, end, species, members)
            if size > 0:
                own = members[:size]
                feature_rows.fill(potential.features, z, own, pairs, species, near, rows, 0)
                _grade_block(z, own, rows, leverage, space, kernel, forms, grades)


@inner_jit
def _grade_block(z, members, rows, leverage, space, kernel, forms, grades):
    """Write the grades of some centers of one species."""
    term, size = leverage.term, members.shape[0]
    n_rows = rounded(size, ROWS)
    lo, hi = term.first[z], term.first[z + 1]
    minus, plus = leverage.counts[z, 0], leverage.counts[z, 1]
    n_forms = rounded(minus + plus, 3)
    k = shaped(kernel, (n_rows, hi - lo))
    f = shaped(forms, (n_rows, n_forms))
    y = shaped(space.y, (n_rows, term.scale.shape[0]))
    take_rows(term, z, rows, size, space, y)
    for m in range(lo, hi, TILE):
        _covariances(term, m, min(m + TILE, hi), y, space, k[:, m - lo :])
    clear(f)
    begin = leverage.first[z]
    g = shaped(leverage.matrix[begin : begin + n_forms * (hi - lo)], (n_forms, hi - lo))
    add_products(k, g, f)
    similarity, jet = shaped(space.similarity, (1, 1)), shaped(space.jet, (1, 1, 1))
    origin = term.origin[z]
    for b in range(size):
        similarity[0, 0] = 0.0
        if not term.centered:
            for d in range(origin.shape[0]):
                similarity[0, 0] += (y[b, d] + origin[d]) ** 2
        profile_jet(term.profile, similarity, jet)
        variance, row = jet[0, 0, 0], f[b]
        for j in range(minus):
            variance -= row[j] * row[j]
        for j in range(minus, minus + plus):
            variance += row[j] * row[j]
        edge = leverage.edge[z]
        grades[members[b]] = math.sqrt(max(variance, 0.0)) / edge if edge > 0.0 else np.inf


@inner_jit
def _covariances(term, lo, hi, y, space, out):
    """Write covariances of all rows with references lo to hi - 1 to the first columns of out."""
    n_rows, n = y.shape
    tile = hi - lo
    w = shaped(space.w, (n_rows, tile))
    clear(w)
    add_products(y, shaped(term.rows[lo * n : hi * n], (tile, n)), w)
    similarity = shaped(space.similarity, (1, tile))
    jet = shaped(space.jet, (1, 1, tile))
    for r in range(n_rows):
        similarities(term, lo, w[r], space.constant[r], similarity)
        profile_jet(term.profile, similarity, jet)
        for m in range(tile):
            out[r, m] = jet[0, 0, m]


@jit
def grade_range(lo, hi, pairs, species, graded, grades):
    """Call `grade` with work space that is allocated here; for `run_blocks`."""
    own = arena(grade_size(largest(lo, hi, pairs), hi - lo, graded))
    grade(lo, hi, pairs, species, graded, own, grades)
    release(own)
