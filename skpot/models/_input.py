"""What regressors accept as X."""

import numpy as np
from sklearn.utils.validation import validate_data

from ..data import AtomicFeatures
from ..exceptions import InputError, InputTypeError


def as_features(estimator, X, y=None, *, reset=False):
    """Return X as `AtomicFeatures`, and y.

    An array of shape (n_samples, n_features) becomes one environment for each row, without
    derivatives and of no species (atomic number 0), so that regressors also serve ordinary tables.
    """
    if isinstance(X, AtomicFeatures):
        if reset:
            estimator.n_features_in_ = X.shape[1]
        elif X.shape[1] != estimator.n_features_in_:
            raise InputError(
                f"X has {X.shape[1]} features but {type(estimator).__name__} was fitted with "
                f"{estimator.n_features_in_}; use the same descriptor."
            )
        return X, y
    if isinstance(X, list | tuple) and len(X) and hasattr(X[0], "get_positions"):
        raise InputTypeError(
            f"{type(estimator).__name__} learns from features, not from structures: put a "
            "descriptor before it, as in make_pipeline(skpot.SOAP(), skpot.SparseGPR())."
        )
    if y is None:
        X = validate_data(estimator, X, dtype=np.float64, reset=reset)
    else:
        X, y = validate_data(estimator, X, y, dtype=np.float64, reset=reset, y_numeric=True)
    n = len(X)
    return AtomicFeatures(X, np.arange(n + 1), np.zeros(n, dtype=np.int64)), y
