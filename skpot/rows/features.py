"""What regressors accept as X."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import validate_data

from .._sklearn import InstanceWith
from ..data import AtomicFeatures
from ..data.origin import learn_origin, refuse_other_origin
from ..exceptions import InputError, InputTypeError
from .finite import refuse_features

if TYPE_CHECKING:
    from typing import Any

    from sklearn.base import BaseEstimator


class IsKernel(InstanceWith):
    """Constraint of parameters that take a kernel, by the methods that the estimator calls."""

    def __str__(self):
        return "a kernel of skpot.kernels, such as skpot.kernels.RBF()"


def as_features(
    estimator: BaseEstimator, X: Any, y: Any = None, *, reset: bool = False
) -> tuple[AtomicFeatures, Any]:
    """Return X as `AtomicFeatures`, and y.

    An array of shape (n_samples, n_features) becomes one environment for each row, without
    derivatives and of no species (atomic number 0), so that regressors also serve ordinary tables.
    """
    if not isinstance(X, AtomicFeatures):
        refuse_structures(estimator, X)
        if y is None:
            X = validate_data(estimator, X, dtype=np.float64, reset=reset)
        else:
            X, y = validate_data(estimator, X, y, dtype=np.float64, reset=reset, y_numeric=True)
        n = len(X)
        X = AtomicFeatures(X, np.arange(n + 1), np.zeros(n, dtype=np.int64))
    if reset:
        estimator.n_features_in_ = X.shape[1]
        learn_origin(estimator, X)
    return X, y


def refuse_others(estimator: BaseEstimator, features: AtomicFeatures) -> None:
    """Raise `ValueError` for features that are not finite, or not like those of the fit."""
    if features.shape[1] != estimator.n_features_in_:
        raise InputError(
            f"X has {features.shape[1]} features but {type(estimator).__name__} was fitted with "
            f"{estimator.n_features_in_}; use the same descriptor."
        )
    refuse_other_origin(estimator, features)
    refuse_features(features)


def refuse_structures(estimator: BaseEstimator, X: Any) -> None:
    """Raise `InputTypeError` if X is a structure, or any sequence of structures."""
    first = X
    if isinstance(X, list | tuple) or getattr(X, "dtype", None) is np.dtype(object):
        first = next(iter(X), None)
    if hasattr(first, "get_positions"):
        raise InputTypeError(
            f"{type(estimator).__name__} learns from features, not from structures: put a "
            "descriptor before it, as in make_pipeline(skpot.SOAP(), skpot.SparseGPR())."
        )
