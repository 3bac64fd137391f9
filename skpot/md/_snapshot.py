"""Fitted models that keep what they know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator

if TYPE_CHECKING:
    from typing import Any


def snapshot(model: BaseEstimator) -> Any:
    """Return a fitted model that does not follow later calls on the original.

    Estimators in it are copied, down to those in lists and dictionaries, their arrays are not:
    `fit`, `partial_fit` and `set_params` put other arrays in the place of those that are there.

    Parameters
    ----------
    model : estimator
        Fitted.
    """
    return _copied(model, {})


def _copied(value, done):
    """Return a copy of an object's estimators; `done` holds those that were met before."""
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
