"""Energies of atoms and their derivatives along all pairs: the one path to forces.

The compiled form of a fitted pipeline goes from pairs to energies and pair gradients, block of
centers after block. A block is so small that its features, and what the descriptor keeps for the
pull-back, stay in cache. Nothing here allocates, raises or calls a library, so that the same
function serves Python and exported libraries, which run without Python.
"""

from typing import NamedTuple

import numpy as np

from . import expansion, feature_rows
from ._arena import arena, floats, integers, matrix, padded, release
from ._jit import array_jit, inner_jit, jit
from .pairs import largest
from .products import ROWS, rounded

BLOCK = 64  # centers at a time


class Potential(NamedTuple):
    """A model as compiled functions take it."""

    features: tuple  # tree of core.feature_rows
    expansion: tuple  # of core.expansion
    width: int  # number of columns
    e0: np.ndarray  # (n_species,) energies of free atoms, eV
    baseline: np.ndarray  # columns of the features that are energies, which are added as they are


class Scratch(NamedTuple):
    """Arrays for one block of centers."""

    features: tuple
    expansion: tuple
    rows: np.ndarray  # (BLOCK, width) features
    gradient: np.ndarray  # (BLOCK, width) dE/d(features)
    energies: np.ndarray  # (BLOCK,)
    members: np.ndarray  # (BLOCK,)


@jit
def work_size(n_neighbors, n_centers, potential):
    """Return how many numbers of its arena `evaluate` takes for so many centers and neighbors.

    n_neighbors is the largest number of pairs of a center.
    """
    n_rows = block_rows(n_centers)
    size = feature_rows.scratch_size(potential.features, n_neighbors, n_rows)
    size += expansion.scratch_size(potential.expansion, n_rows)
    return size + 2 * padded(n_rows * potential.width) + 2 * padded(n_rows)


@jit
def block_rows(n_centers):
    """Return how many centers of n_centers are worked on at a time."""
    return min(BLOCK, rounded(n_centers, ROWS))


@array_jit
def _scratch(n_neighbors, n_rows, potential, arena):
    width = potential.width
    return Scratch(
        feature_rows.scratch(potential.features, n_neighbors, n_rows, arena),
        expansion.scratch(potential.expansion, n_rows, arena),
        matrix(n_rows, width, arena),
        matrix(n_rows, width, arena),
        floats(n_rows, arena),
        integers(n_rows, arena),
    )


@jit
def evaluate(lo, hi, pairs, species, potential, arena, energies, gradient):
    """Write the energies of centers lo to hi - 1, and dE_i/dr_ij of their pairs.

    Parameters
    ----------
    lo, hi : int
        Range of centers.
    pairs : Pairs
        All pairs within the largest cutoff; pairs beyond it add nothing.
    species : ndarray of shape (n_atoms,)
        Index of the species of each atom that occurs in `pairs`.
    potential : Potential
        The model.
    arena : Arena
        With at least `work_size` free numbers.
    energies : ndarray of shape (n_centers,)
        In eV.
    gradient : ndarray of shape (n_pairs, 3)
        In eV/Å; r_ij goes from the center to the neighbor.
    """
    n_rows = block_rows(hi - lo)
    scratch = _scratch(largest(lo, hi, pairs), n_rows, potential, arena)
    n_species = potential.e0.shape[0]
    for begin in range(lo, hi, n_rows):
        end = min(begin + n_rows, hi)
        for p in range(pairs.start[begin], pairs.start[end]):
            for axis in range(3):
                gradient[p, axis] = 0.0
        for z in range(n_species):
            size = take_members(z, begin, end, species, scratch.members)
            if size > 0:
                members = scratch.members[:size]
                _evaluate_block(z, members, pairs, species, potential, scratch, energies, gradient)


@inner_jit
def take_members(z, begin, end, species, members):
    """Write which of centers begin to end - 1 are of species z; return how many these are."""
    size = 0
    for i in range(begin, end):
        if species[i] == z:
            members[size] = i
            size += 1
    return size


@inner_jit
def _evaluate_block(z, members, pairs, species, potential, scratch, energies, gradient):
    """Evaluate some centers of one species."""
    size, rows, g = members.shape[0], scratch.rows, scratch.gradient
    feature_rows.fill(potential.features, z, members, pairs, species, scratch.features, rows, 0)
    for b in range(size):
        scratch.energies[b] = potential.e0[z]
        slopes = g[b]
        for d in range(slopes.shape[0]):
            slopes[d] = 0.0
        for column in potential.baseline:
            scratch.energies[b] += rows[b, column]
            slopes[column] = 1.0
    expansion.expand(potential.expansion, z, rows, size, scratch.expansion, scratch.energies, g)
    for b in range(size):
        energies[members[b]] = scratch.energies[b]
    feature_rows.pull_back(
        potential.features, z, members, pairs, species, scratch.features, g, 0, gradient
    )


@jit
def evaluate_range(lo, hi, pairs, species, potential, energies, gradient):
    """Call `evaluate` with work space that is allocated here; for `run_blocks`."""
    own = arena(work_size(largest(lo, hi, pairs), hi - lo, potential))
    evaluate(lo, hi, pairs, species, potential, own, energies, gradient)
    release(own)
