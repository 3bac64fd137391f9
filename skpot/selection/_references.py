"""Which environments represent the data, species by species."""

import hashlib

import numpy as np
from scipy.linalg import eigh

from ..core.selection import nearest_squared
from ..exceptions import ParameterError

_SKETCH = 500  # columns of the random projection


def farthest_points(rows, n, rng):
    """Return indices of `n` rows, each farthest from those before it.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Candidates.
    n : int
        How many; the search ends early when only duplicates remain.
    rng : numpy.random.Generator
        Draws the first row.

    Returns
    -------
    ndarray of int
        In the order chosen.

    References
    ----------
    Y. Eldar et al., IEEE Trans. Image Process. 6, 1305 (1997).
    """
    norms = np.einsum("ij,ij->i", rows, rows)
    nearest = np.full(len(rows), np.inf)
    # Rounding of norms - 2 overlap makes duplicates look this far apart.
    duplicate = 1e-12 * max(float(norms.max(initial=0.0)), 1e-300)
    chosen = [int(rng.integers(len(rows)))]
    while len(chosen) < n:
        last = chosen[-1]
        winner = int(nearest_squared(norms, rows @ rows[last], norms[last], nearest))
        if nearest[winner] <= duplicate:
            break
        chosen.append(winner)
    return np.array(chosen)


def leverage_sample(rows, n, rng):
    """Return indices of `n` rows drawn by statistical leverage, without replacement.

    The leverage of a row is its squared length in the basis of the left singular vectors, those
    above 1e-5 of the largest singular value. This is the row choice of a CUR decomposition
    (M. W. Mahoney, P. Drineas, PNAS 106, 697 (2009)). Of more than 500 features the leading range
    is used, found by a random projection (N. Halko et al., SIAM Rev. 53, 217 (2011)).

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Candidates.
    n : int
        How many.
    rng : numpy.random.Generator
        Draws the sample.

    Returns
    -------
    ndarray of int
        Ascending.
    """
    if rows.shape[1] > _SKETCH:
        rows = rows @ rng.normal(size=(rows.shape[1], _SKETCH))
    values, vectors = eigh(rows.T @ rows)
    keep = values > 1e-10 * values[-1]
    basis = rows @ (vectors[:, keep] / np.sqrt(values[keep]))
    leverage = np.einsum("ij,ij->i", basis, basis)
    # Efraimidis & Spirakis: the largest u^(1/w) are a weighted sample without replacement.
    keys = np.log(rng.random(len(rows))) / np.maximum(leverage, 1e-300)
    return np.sort(np.argpartition(-keys, n - 1)[:n])


_METHODS = {
    "fps": farthest_points,
    "cur": leverage_sample,
    "random": lambda rows, n, rng: np.sort(rng.choice(len(rows), n, replace=False)),
}


def select_references(values, species, n_sparse, method, rng):
    """Return indices of the reference environments, grouped by ascending species.

    Parameters
    ----------
    values : ndarray of shape (n_environments, n_features)
        Features.
    species : ndarray of shape (n_environments,)
        Atomic numbers.
    n_sparse : int or dict of int to int
        Number for each species, or in total: then all species get the same share, and what a
        species with few distinct environments cannot use goes to the others.
    method : {"fps", "cur", "random"}
        How to choose.
    rng : numpy.random.Generator
        Source of randomness.
    """
    kinds = np.unique(species)
    candidates = {z: _distinct(values, np.flatnonzero(species == z)) for z in kinds}
    share = _shares({z: len(rows) for z, rows in candidates.items()}, n_sparse)
    chosen = []
    for z in kinds:
        rows = candidates[z]
        if share[z] < len(rows):
            rows = rows[_METHODS[method](values[rows], share[z], rng)]
        chosen.append(rows)
    return np.concatenate(chosen)


def given_references(indices, species):
    """Return given indices of reference environments, grouped by ascending species.

    Parameters
    ----------
    indices : array-like of int
        Environments, as rows of the features of all structures.
    species : ndarray of shape (n_environments,)
        Atomic numbers.

    Raises
    ------
    ValueError
        If they are no distinct indices of environments.
    """
    indices, n = np.asarray(indices), len(species)
    if indices.ndim != 1 or indices.dtype.kind not in "iu" or not indices.size:
        raise ParameterError(
            "selection must name a method or be a list of indices of environments; got an array "
            f"of shape {indices.shape} and type {indices.dtype}."
        )
    wrong = indices[(indices < 0) | (indices >= n)]
    if len(wrong):
        raise ParameterError(f"selection has the index {wrong[0]} but there are {n} environments.")
    chosen, counts = np.unique(indices, return_counts=True)
    if counts.max() > 1:
        raise ParameterError(f"selection has the index {chosen[counts.argmax()]} more than once.")
    return chosen[np.argsort(species[chosen], kind="stable")]


def _distinct(values, rows):
    """Return the first of each set of rows that are equal to ten digits, in order."""
    seen, first = set(), []
    for row in rows:
        # + 0.0 makes one of the two zeros; digests keep memory independent of n_features.
        digest = hashlib.blake2b((values[row].round(10) + 0.0).tobytes(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            first.append(row)
    return np.array(first, dtype=np.int64)


def _shares(available, n_sparse):
    if isinstance(n_sparse, dict):
        return {z: min(n, n_sparse.get(int(z), 0)) for z, n in available.items()}
    share, left = {}, int(n_sparse)
    for rank, (z, n) in enumerate(sorted(available.items(), key=lambda item: (item[1], item[0]))):
        share[z] = min(n, left // (len(available) - rank))
        left -= share[z]
    return share
