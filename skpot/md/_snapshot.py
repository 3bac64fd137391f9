"""Copies of fitted models that later fits do not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator

if TYPE_CHECKING:
    from typing import Any


def snapshot(model: BaseEstimator) -> Any:
    """Return a copy of a fitted model that later method calls on the original do not change.

    All estimators in the model are copied, also those in lists and dictionaries. Their arrays are
    not, because `fit`, `partial_fit` and `set_params` replace arrays and never write into them.

    Parameters
    ----------
    model : estimator
        The fitted model.
    """
    return _copied(model, {})


def _copied(value, done):
    """Return a value with copies of its estimators; `done` has the copies made so far, by id."""
    if isinstance(value, BaseEstimator):
        if id(value) not in done:
            copy = done[id(value)] = object.__new__(type(value))
            vars(copy).update({name: _copied(v, done) for name, v in vars(value).items()})
        return done[id(value)]
    if type(value) in (list, tuple):
        return type(value)(_copied(v, done) for v in value)
    if type(value) is dict:
        return {key: _copied(v, done) for key, v in value.items()}
    return value
