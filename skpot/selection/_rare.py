"""Preference of rare structures where only some are chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike

    from skpot.data import AtomicFeatures
    from skpot.typing import IntArray


def structure_kinds(features: AtomicFeatures, groups: ArrayLike | None = None) -> IntArray:
    """Return a number for each structure; it is equal if group and composition are.

    Parameters
    ----------
    features : AtomicFeatures
        Structures.
    groups : array-like of shape (n_structures,), optional
        Their groups.

    Returns
    -------
    ndarray of int of shape (n_structures,)
        The numbers do not depend on the order of structures.
    """
    counts = composition_counts(features.numbers, features.atom_offsets)
    kinds = [np.unique(counts, axis=0, return_inverse=True)[1].ravel()]
    if groups is not None:
        kinds.append(np.unique(np.asarray(groups), return_inverse=True)[1].ravel())
    return np.unique(np.stack(kinds), axis=1, return_inverse=True)[1].ravel()


def composition_counts(numbers: IntArray, offsets: IntArray) -> IntArray:
    """Return the number of atoms of each species, shape (n_structures, n_species)."""
    kinds, kind = np.unique(numbers, return_inverse=True)
    structure = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    flat = np.bincount(structure * len(kinds) + kind, minlength=(len(offsets) - 1) * len(kinds))
    return flat.reshape(-1, len(kinds))


def rare_first(order: IntArray, kinds: IntArray, most: Any) -> IntArray:
    """Return an order that begins with the first item of each kind.

    Parameters
    ----------
    order : ndarray of int of shape (n,)
        Items, in the order of preference.
    kinds : ndarray of int
        The kind of each item.
    most : int
        Largest number of kinds that are preferred: those with the fewest items.

    Returns
    -------
    ndarray of int of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> rare_first(np.arange(5), np.array([0, 0, 0, 1, 0]), 2).tolist()
    [0, 3, 1, 2, 4]
    """
    _, first, counts = np.unique(kinds[order], return_index=True, return_counts=True)
    ahead = np.sort(first[np.lexsort([first, counts])][:most])
    return np.concatenate([order[ahead], np.delete(order, ahead)])
