"""The choice of environments that represent the data, species by species."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh

from ..core.selection import nearest_squared
from ..data import digest
from ..data.elements import SYMBOLS
from ..data.order import keyed_uniform
from ..exceptions import ParameterError
from ..solvers import Products, rows_times, serial_blas
from ._rare import rare_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from numpy.typing import ArrayLike

    from skpot.typing import FloatArray, IntArray, UInt64Array

_SKETCH = 500  # columns of the random projection of many features


def farthest_points(rows: FloatArray, n: int, rng: np.random.Generator) -> IntArray:
    """Return indices of `n` rows, each farthest from those before it.

    Of rows that are equally far up to rounding the first is taken.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
        Candidates.
    n : int
        Number of rows; the search ends earlier if only duplicates remain.
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
    return _farthest(rows, n, int(rng.integers(len(rows))))


def _farthest(rows, n, first):
    norms = np.einsum("ij,ij->i", rows, rows)
    nearest = np.full(len(rows), np.inf)
    # By rounding of norms - 2 overlap, duplicates can seem to be this far apart.
    duplicate = 1e-12 * max(float(norms.max(initial=0.0)), 1e-300)
    chosen = [first]
    while len(chosen) < n:
        last = chosen[-1]
        overlap = rows @ rows[last]
        winner = int(nearest_squared(norms, overlap, norms[last], nearest, 1e-2 * duplicate))
        if nearest[winner] <= duplicate:
            break
        chosen.append(winner)
    return np.array(chosen)


def leverage_sample(rows: FloatArray, n: int, rng: np.random.Generator) -> IntArray:
    """Return indices of `n` rows drawn by statistical leverage, without replacement.

    The leverage of a row is its squared length in the basis of the left singular vectors whose
    singular values are above 1e-5 of the largest. This is the row choice of a CUR decomposition
    (M. W. Mahoney, P. Drineas, PNAS 106, 697 (2009)). If there are more than 500 features, a random
    projection finds the leading 500 directions (N. Halko et al., SIAM Rev. 53, 217 (2011)).

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
    leverage = _leverages(rows, rng)
    return np.sort(_by_weight(leverage, rng.random(len(rows)))[:n])


def _leverages(rows, rng):
    leverage = _Leverage(rows.shape[1], rng)
    leverage.add(rows)
    return leverage.of(rows, leverage.basis(leverage.products()))


class _Leverage:
    """The leverages of rows of one species that come in parts, twice."""

    def __init__(self, n_features: int, rng: np.random.Generator) -> None:
        wide = n_features > _SKETCH
        self._sketch = rng.normal(size=(n_features, _SKETCH)) if wide else None
        self._products = Products(min(n_features, _SKETCH))

    def _sketched(self, rows):
        rows = np.asarray(rows, float)
        return rows if self._sketch is None else rows_times(rows, self._sketch)

    def add(self, rows: FloatArray) -> None:
        """Take in rows."""
        self._products.add(self._sketched(rows))

    def products(self) -> FloatArray:
        """Return the products of all rows that were taken in."""
        return self._products.total()[0]

    @staticmethod
    def basis(products: FloatArray) -> FloatArray:
        """Return the map of rows to their components, given the products of all of them."""
        with serial_blas():
            values, vectors = eigh(products)
        keep = values > 1e-10 * values[-1]
        return vectors[:, keep] / np.sqrt(values[keep])

    def of(self, rows: FloatArray, basis: FloatArray) -> FloatArray:
        """Return the leverages of rows."""
        turned = rows_times(self._sketched(rows), basis)
        return np.einsum("ij,ij->i", turned, turned)


def _by_weight(weights, uniform):
    """Return all indices in the order of a weighted sample without replacement.

    By Efraimidis & Spirakis, the largest u^(1/w) are such a sample.
    """
    return np.argsort(-np.log(uniform) / np.maximum(weights, 1e-300), kind="stable")


def _leverages_of(results, drawn, n, seed):
    """Return the leverage of each environment from which references are drawn, else 1."""
    wanted, weights = np.full(n, -1), np.ones(n)
    for k, rows in enumerate(drawn):
        wanted[rows] = k
    products = 0.0
    for _, found in results(_products_of, shared=(len(drawn), seed), own=(wanted,)):
        products = products + found
    bases = [_Leverage.basis(one) for one in products]
    for rows, found in results(_weights_of, shared=(bases, seed), own=(wanted,)):
        weights[rows] = found
    return weights


def _products_of(blocks, n, seed, wanted):
    """Return the products of the rows of each of n species."""
    found = {}
    for some, values in blocks:
        for k in range(n):
            if k not in found:
                found[k] = _Leverage(values.shape[1], np.random.default_rng(seed))
            found[k].add(values[wanted[some] == k])
    return np.array([found[k].products() for k in range(n)])


def _weights_of(blocks, bases, seed, wanted):
    """Return the leverages of environments of some species, and ones."""
    weights, leverage = np.ones(len(wanted)), None
    for some, values in blocks:
        leverage = leverage or _Leverage(values.shape[1], np.random.default_rng(seed))
        for k, basis in enumerate(bases):
            own = wanted[some] == k
            weights[some][own] = leverage.of(values[own], basis)
    return weights


def _gathered(results, chosen, n):
    """Return the rows of some environments."""
    place, out = np.full(n, -1), None
    place[chosen] = np.arange(len(chosen))
    for _, (places, values) in results(_rows_of, own=(place,)):
        if out is None:
            out = np.empty((len(chosen), values.shape[1]), values.dtype)
        out[places] = values
    return out


def _rows_of(blocks, place):
    """Return the rows of environments that have a place, and these places."""
    found = [values[place[some] >= 0] for some, values in blocks]
    return place[place >= 0], np.concatenate(found)


def select_references(
    values: FloatArray,
    species: IntArray,
    n_sparse: int | dict[int, int],
    method: str,
    rng: np.random.Generator,
    keys: UInt64Array | None = None,
    kinds: IntArray | None = None,
) -> IntArray:
    """Return indices of the reference environments, grouped by ascending species.

    With `keys` the choice and its order do not depend on the order of the environments. With
    `kinds`, up to a quarter of a sample is used to have environments of all kinds.

    Parameters
    ----------
    values : ndarray of shape (n_environments, n_features)
        Features.
    species : ndarray of shape (n_environments,)
        Atomic numbers.
    n_sparse : int or dict of int to int
        Number for each species, or in total. A total is shared equally, with at least one for each
        species; what a species with few distinct environments cannot use goes to the others.
    method : {"fps", "cur", "random"}
        How to choose.
    rng : numpy.random.Generator
        Draws the seed.
    keys : ndarray of uint64 of shape (n_environments,), optional
        Numbers that identify the environments; by default they are made from `values`.
    kinds : ndarray of int of shape (n_environments,), optional
        Kind of the structure to which each environment belongs.

    Raises
    ------
    ValueError
        If a dict does not have all species, or its values are not numbers of references.
    """
    if keys is None:
        keys = np.array([digest(row) for row in values + 0.0], dtype=np.uint64)

    def results(function, shared=(), own=()):
        every = slice(0, len(values))
        yield np.arange(len(values)), function([(every, values)], *shared, *own)

    return select_from_parts(results, species, n_sparse, method, rng, keys, kinds)


def select_from_parts(
    results: Callable[..., Iterator[tuple[IntArray, Any]]],
    species: IntArray,
    n_sparse: int | dict[int, int],
    method: str,
    rng: np.random.Generator,
    keys: UInt64Array,
    kinds: IntArray | None = None,
) -> IntArray:
    """Return the same as `select_references` of features that come in parts.

    Parameters
    ----------
    results : callable
        Goes through all features, as `results_of_environments` does: once to find equal
        environments, and twice for leverages. Farthest points need the features of all environments
        of a species at once.
    species, n_sparse, method, rng, keys, kinds
        See `select_references`.
    """
    seed = int(rng.integers(2**31))
    # An environment that occurs in structures of several kinds counts for the first kind.
    order = np.argsort(keys, kind="stable") if kinds is None else np.lexsort([kinds, keys])
    members = {int(z): order[species[order] == z] for z in np.unique(species)}
    _check_numbers(n_sparse, members)
    digests = _digests(results, len(species))
    candidates = {z: _distinct(digests, rows) for z, rows in members.items()}
    del digests
    share = _shares({z: len(rows) for z, rows in candidates.items()}, n_sparse)
    if method == "cur":
        drawn = [rows for z, rows in candidates.items() if share[z] < len(rows)]
        weights = _leverages_of(results, drawn, len(species), seed) if drawn else None
    chosen = []
    for z, rows in candidates.items():
        n = share[z]
        if n < len(rows):
            uniform = keyed_uniform(keys[rows], seed)
            if method == "fps":
                found = _gathered(results, rows, len(species))
                best = _farthest(found, n, int(np.argmin(uniform)))
            else:
                equal = np.ones(len(rows))
                best = _by_weight(weights[rows] if method == "cur" else equal, uniform)
            if kinds is not None and method != "fps":  # "fps" prefers rare environments itself
                best = rare_first(best, kinds[rows], n // 4)
            rows = rows[np.sort(best[:n])]
        chosen.append(rows)
    return np.concatenate(chosen)


def _check_numbers(n_sparse, species):
    """Raise `ValueError` unless there is a number for each species."""
    if not isinstance(n_sparse, dict):
        return
    for z, n in n_sparse.items():
        if isinstance(n, bool) or not (isinstance(n, Integral) and n >= 0):
            raise ParameterError(
                f"n_sparse[{SYMBOLS[z]!r}] must be a number of references, 0 or more, got {n!r}."
            )
    if missing := [SYMBOLS[z] for z in species if z not in n_sparse]:
        raise ParameterError(
            f"n_sparse has no number for {', '.join(missing)}, which the training set has: without "
            "references all environments of a species get the same energy. Add these species, or "
            "give one number for all."
        )


def given_references(indices: ArrayLike, species: IntArray) -> IntArray:
    """Return given indices of reference environments, grouped by ascending species.

    Parameters
    ----------
    indices : array-like of int
        Indices of environments among those of all structures.
    species : ndarray of shape (n_environments,)
        Atomic numbers.

    Raises
    ------
    ValueError
        If they are not distinct indices of environments.
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


def _digests(results, n):
    """Return 64 bits for each environment, equal for features that are equal to ten digits."""
    out = np.empty(n, dtype=np.uint64)
    for rows, found in results(_digests_of):
        out[rows] = found
    return out


def _digests_of(blocks):
    # + 0.0 turns -0.0 into 0.0. Digests take less memory than rows.
    found = [digest(row) for _, values in blocks for row in values.astype(float).round(10) + 0.0]
    return np.array(found, dtype=np.uint64)


def _distinct(digests, rows):
    """Return the rows without repeats, each where it stands first."""
    return rows[np.sort(np.unique(digests[rows], return_index=True)[1])]


def _shares(available, n_sparse):
    if isinstance(n_sparse, dict):
        return {z: min(n, n_sparse[z]) for z, n in available.items()}
    share, left = {}, max(int(n_sparse), len(available))
    for rank, (z, n) in enumerate(sorted(available.items(), key=lambda item: (item[1], item[0]))):
        share[z] = min(n, left // (len(available) - rank))
        left -= share[z]
    return share
