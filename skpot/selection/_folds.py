"""Folds that depend on the content of structures, not on their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, check_cv

from ..exceptions import ParameterError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike

    from skpot.typing import FloatArray, IntArray


def content_splits(
    n_folds: int | None, default: int, order: IntArray, groups: ArrayLike | None
) -> list[tuple[IntArray, IntArray]]:
    """Return the training and test structures of each fold.

    Parameters
    ----------
    n_folds : int or None
        Number of folds; None means `default`, or the number of groups if that is less.
    default : int
        Number of folds if `n_folds` is None.
    order : ndarray of int of shape (n_structures,)
        The canonical order of structures, which is like a random one. Folds are consecutive parts
        of it.
    groups : array-like of shape (n_structures,) or None
        Structures of one group stay together. If `n_folds` is None and all structures are in one
        group, groups are ignored.

    Returns
    -------
    list of (ndarray of int, ndarray of int)

    Raises
    ------
    ValueError
        If there are more folds than structures or groups.
    """
    n, what = len(order), "structures"
    if groups is not None:
        groups = np.asarray(groups)
        n_groups = len(np.unique(groups))
        if n_folds is None and n_groups == 1:
            groups = None
        else:
            n, what = n_groups, "groups"
    if n_folds is None:
        n_folds = max(2, min(default, n) if groups is not None else default)
    if n_folds > n:
        raise ParameterError(
            f"{n_folds} folds need as many {what}, but there are {n} (n_samples={len(order)}): "
            "use a smaller cv" + (", or other groups." if what == "groups" else ".")
        )
    if groups is None:
        splits = KFold(n_folds).split(order)
    else:
        splits = GroupKFold(n_folds).split(order, groups=groups[order])
    return [(order[train], order[test]) for train, test in splits]


def given_splits(
    cv: Any, n: int, y: FloatArray, groups: ArrayLike | None
) -> list[tuple[IntArray, IntArray]]:
    """Return the folds of a splitter, or of a sequence, that a user has passed.

    Parameters
    ----------
    cv : splitter or iterable
        As in scikit-learn.
    n : int
        Number of structures.
    y : ndarray of shape (n,)
        Energies.
    groups : array-like of shape (n,) or None
        As in `content_splits`, which says what is returned, too.

    Raises
    ------
    ValueError
        If `cv` is not a splitter, or cannot split these structures.
    """
    index = np.arange(n)
    try:
        splits = check_cv(cv).split(np.zeros((n, 1)), y, groups)
        return [(index[train], index[test]) for train, test in splits]
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ParameterError(f"cv={cv!r} gives no folds of {n} structures: {error}") from error
