"""Fewer labels for the same errors: which labeled structures carry a fit."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.base import clone

from .._parameters import number
from ..data import Targets, check_structures
from ..data.order import content_keys, drawn_seed, keyed_uniform
from ..exceptions import InputError, SkpotWarning
from ..metrics import energy_rmse, forces_rmse
from ._queries import DOptimal
from ._subject import check_model

if TYPE_CHECKING:
    from skpot.typing import RandomState, Structures

_SHARES = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of the structures, tried in turn
_HELD_OUT = 0.2
_FEWEST = 10  # structures below which nothing can be left out


class Pruned(NamedTuple):
    """Structures that carry a fit, and what that was found by."""

    indices: np.ndarray  # (n,) of the kept structures, the most informative first
    tried: list  # of (number learned from, errors); the last has all that were not held out
    n_held_out: int


def prune(
    model: Any, X: Structures, y: Targets, tolerance: float = 0.05, *, random_state: RandomState = 0
) -> Pruned:
    """Find labeled structures from which a fit is as good as from all.

    A fifth of the structures, drawn at random, is held out. `DOptimal` puts the others in an order,
    and the model is fitted to more and more of them from its beginning, until its errors of
    energies and forces on what was held out exceed those of a fit to all others by no more than
    `tolerance`. As large a share of all structures is kept then, in the order of `DOptimal` again.
    Free atoms are always kept, and of near-duplicates one.

    Parameters
    ----------
    model : Pipeline
        What will be fitted; it is not changed.
    X : list[Atoms]
        Structures.
    y : Targets
        Their labels.
    tolerance : float, default=0.05
        By which share errors may be larger than those of all structures.
    random_state : int, RandomState or None, default=0
        Seed of what is held out.

    Returns
    -------
    pruned : Pruned
        The `indices` of structures to keep, and what was `tried`: numbers of structures and errors,
        as dictionaries with "energy" (eV per atom) and "forces" (eV/Å).

    Examples
    --------
    >>> import skpot
    >>> from skpot.active import prune
    >>> X, y, _, _ = skpot.datasets.load_silicon(return_X_y=True)
    >>> pruned = prune(skpot.make_potential("fast"), X[:30], y[:30], tolerance=0.5)
    >>> len(pruned.indices) < 30
    True
    """
    check_model(model)
    number("tolerance", tolerance, low=0.0)
    X = check_structures(X)
    lone = np.array([len(atoms) == 1 and not np.any(atoms.pbc) for atoms in X])
    if (n := int((~lone).sum())) < _FEWEST:
        raise InputError(
            f"{n} structures, free atoms not counted, are too few to leave any out; give {_FEWEST}."
        )
    seed = drawn_seed(random_state)
    order = np.argsort(keyed_uniform(content_keys(X), seed), kind="stable")
    order = order[~lone[order]]
    n_test = max(1, round(_HELD_OUT * len(order)))
    test, rest = np.sort(order[:n_test]), np.sort(order[n_test:])
    always = np.flatnonzero(lone)
    ranked = rest[_ranked(model, [X[i] for i in rest])]

    def errors(chosen):
        some = [*always, *chosen]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkpotWarning)  # few structures tell little of e0
            fitted = clone(model).fit([X[i] for i in some], y[some])
            return _errors(y[test], fitted.predict([X[i] for i in test]))

    if not (y[test].has_energy | y[test].has_forces).any():
        raise InputError("the structures that were held out have neither energies nor forces.")
    whole = errors(rest)
    limit = {kind: (1.0 + tolerance) * error for kind, error in whole.items()}
    tried, share = [], 1.0
    for share in _SHARES:
        n = max(1, round(share * len(ranked)))
        found = errors(ranked[:n])
        tried.append((n, found))
        if all(found[kind] <= limit[kind] for kind in limit):
            break
    else:
        share = 1.0
    tried.append((len(rest), whole))
    everything = np.flatnonzero(~lone)
    n = max(1, round(share * len(everything)))
    kept = everything[_ranked(model, [X[i] for i in everything])[:n]] if share < 1 else everything
    return Pruned(np.concatenate([always, kept]).astype(np.int64), tried, n_test)


def _ranked(model, X):
    """Return the order of structures by how much each adds to those before it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkpotWarning)  # that near-duplicates are left out
        return DOptimal(clone(model)).query(None, candidates=X, batch_size=len(X))


def _errors(y, predicted) -> dict[str, float]:
    errors = {}
    if y.has_energy.any():
        errors["energy"] = energy_rmse(y, predicted)
    if y.has_forces.any():
        errors["forces"] = forces_rmse(y, predicted)
    return errors
