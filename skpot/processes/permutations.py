"""Which exchanges of like atoms turn geometries of a molecule into each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FloatArray, IntArray

_MOST_GEOMETRIES = 150  # whose pairs are matched
_MOST_CANDIDATES = 200  # distinct exchanges, the most frequent ones, that all pairs are tried with
_MOST_PERMUTATIONS = 200  # in the group: each is as costly as all references


def find_permutations(
    matrices: FloatArray, numbers: IntArray, rng: np.random.Generator
) -> IntArray:
    """Return the group of permutations that geometries of a molecule suggest.

    Pairs of geometries are matched: the atoms of one are ordered such that the matrices of both are
    most alike, by an assignment of their eigenvectors. A minimum spanning tree over the pairs, by
    how far apart the matched ones still are, keeps the matches that are sure, and the group they
    generate is what is returned.

    Parameters
    ----------
    matrices : ndarray of shape (n_geometries, n_atoms, n_atoms)
        Inverse distances, zeros on the diagonal.
    numbers : ndarray of shape (n_atoms,)
        Atomic numbers; only like atoms are exchanged.
    rng : numpy.random.Generator
        Chooses geometries if there are many.

    Returns
    -------
    ndarray of int of shape (n_permutations, n_atoms)
        Sorted, the identity first: row P orders the atoms as P does.
    """
    if len(matrices) > _MOST_GEOMETRIES:
        matrices = matrices[np.sort(rng.choice(len(matrices), _MOST_GEOMETRIES, replace=False))]
    candidates = _candidates(matrices, numbers)
    costs, chosen = _best_matches(matrices, candidates)
    tree = minimum_spanning_tree(csr_array(costs)).tocoo()
    order = np.argsort(tree.data, kind="stable")  # what would make the group too large comes last
    edges = zip(tree.row[order], tree.col[order], strict=True)
    return generated_group([candidates[chosen[i, j]] for i, j in edges], len(numbers))


def _candidates(matrices, numbers):
    """Return distinct permutations that make some pair more alike, the identity first."""
    n = len(numbers)
    # The spectral assignment of Umeyama: absolute values, as signs of eigenvectors are arbitrary.
    vectors = np.abs(np.linalg.eigh(matrices)[1])[:, :, ::-1]
    unlike = np.where(numbers[:, None] == numbers, 0.0, 2.0 * n)
    counts = {}
    for i in range(len(matrices)):
        for j in range(i):
            _, order = linear_sum_assignment(unlike - vectors[i] @ vectors[j].T)
            if np.array_equal(order, np.arange(n)):
                continue
            turned = matrices[j][np.ix_(order, order)]
            before = np.sum((matrices[i] - matrices[j]) ** 2)
            if np.sum((matrices[i] - turned) ** 2) < before:
                counts[tuple(order.tolist())] = counts.get(tuple(order.tolist()), 0) + 1
    frequent = sorted(counts, key=lambda order: (-counts[order], order))[:_MOST_CANDIDATES]
    return np.array([tuple(range(n)), *frequent], dtype=np.int64)


def _best_matches(matrices, candidates):
    """Return distances (n, n) of pairs after the best candidate, and which one that is."""
    rows = of_pairs(matrices)
    orders = pair_orders(candidates)
    least, chosen = np.full((len(rows), len(rows)), np.inf), np.zeros((len(rows), len(rows)), int)
    for k, order in enumerate(orders):
        distances = cdist(rows, rows[:, order])
        better = distances < least
        least[better], chosen[better] = distances[better], k
    # A tree of the sparse matrix leaves out zeros, which stand for no edge.
    return np.maximum(least, 1e-300), chosen


def generated_group(generators: Any, n: int) -> IntArray:
    """Return the group that permutations of n things generate, sorted.

    A generator that would make the group too large is left out, and those after it are tried.
    """
    group = [tuple(range(n))]
    accepted = []
    for generator in dict.fromkeys(tuple(int(i) for i in g) for g in generators):
        if generator not in group:
            larger = _closure([*accepted, generator], n)
            if larger is not None:
                group, accepted = larger, [*accepted, generator]
    return np.array(sorted(group), dtype=np.int64)


def _closure(generators, n):
    """Return all products of permutations, None if they are too many."""
    known = {tuple(range(n))}
    newest = list(known)
    while newest:
        products = {tuple(p[i] for i in g) for p in newest for g in generators}
        newest = sorted(products - known)
        known.update(newest)
        if len(known) > _MOST_PERMUTATIONS:
            return None
    return sorted(known)


def of_pairs(matrices: FloatArray) -> FloatArray:
    """Return the entries above the diagonal, row after row."""
    i, j = np.triu_indices(matrices.shape[-1], 1)
    return matrices[..., i, j]


def to_matrices(rows: FloatArray, n: int) -> FloatArray:
    """Return symmetric matrices of n atoms whose entries above the diagonal are given."""
    i, j = np.triu_indices(n, 1)
    matrices = np.zeros((len(rows), n, n))
    matrices[:, i, j] = matrices[:, j, i] = rows
    return matrices


def pair_orders(permutations: IntArray) -> IntArray:
    """Return how pairs of atoms are ordered where atoms are, shape (n_permutations, n_pairs)."""
    n = permutations.shape[1]
    number = to_matrices(np.arange(n * (n - 1) // 2)[None], n)[0].astype(np.int64)
    return np.array([of_pairs(number[np.ix_(order, order)]) for order in permutations])
