"""One row of features for each structure, and row-wise transformers of such rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._sklearn import InstanceWith, StrOptions
from ..data import AtomicFeatures, Pooled
from ._rows import RowTransformer

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class PerStructure(RowTransformer):
    """Pool the environments of each structure to one row, then apply a scikit-learn transformer.

    Ordinary scikit-learn regressors take one row for each structure and learn energies from it.
    `SparseGPR` takes such rows, too, and learns forces as well, because the derivative of the
    transformer is known: `PerAtom` says which transformers are possible. Features that have one
    row for each structure already, such as those of `CoulombMatrix`, are not pooled.

    Parameters
    ----------
    transformer : transformer, optional
        A transformer of arrays of shape (n_structures, n_features), for instance
        `StandardScaler()`. Its `fit` is given the energies as y if every structure has one.
    pool : {"sum", "mean"}, default="sum"
        Whether rows are summed or averaged. A sum grows with the size of the structure, as the
        energy does.

    Attributes
    ----------
    transformer_ : transformer or None
        The fitted copy.
    matrix_, columns_ : ndarray or None
        The linear part of the transformer, or the columns that a selector keeps; see `PerAtom`.
    mean_ : bool
        Whether rows are averaged.
    n_features_in_, n_features_out_, origin_
        See `PerAtom`.

    Examples
    --------
    >>> import numpy as np
    >>> import skpot
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y, X_test, y_test = skpot.datasets.load_silicon(return_X_y=True)
    >>> soap = skpot.SOAP(n_max=4, l_max=3)
    >>> model = make_pipeline(soap, skpot.PerStructure(StandardScaler()), Ridge(0.01))
    >>> bool(model.fit(X, np.asarray(y)).score(X_test, np.asarray(y_test)) > 0.98)
    True
    """

    _parameter_constraints = {
        "transformer": [InstanceWith(["fit", "transform"]), None],
        "pool": [StrOptions({"sum", "mean"})],
    }

    def __init__(self, transformer: BaseEstimator | None = None, *, pool: str = "sum") -> None:
        self.transformer = transformer
        self.pool = pool

    def _fit(self, features, y):
        self.n_features_out_ = features.shape[1]
        self.mean_ = self.pool == "mean"
        self.transformer_ = self.matrix_ = self.columns_ = None
        content, zero_stays = (), True
        if self.transformer is not None:
            energies = None if y is None else np.asarray(y, dtype=float)
            if energies is not None and not np.isfinite(energies).all():
                energies = None  # most transformers ignore y, and others will complain themselves
            self._fit_rows(self._pooled_rows(features), features.origin, energies)
            content, zero_stays = self._content()
        if self.transformer_ is None and features.per_structure:  # transform changes nothing
            self.origin_ = features.origin and tuple(features.origin)
        else:
            self._set_origin(features, self.mean_, *content, zero_stays=zero_stays)

    def _transform(self, features):
        pooled = self._pooled(features)
        return pooled if self.transformer_ is None else super()._transform(pooled)

    def _pooled_rows(self, features):
        if features.per_structure:
            return features.values
        rows = np.add.reduceat(features.values, features.offsets[:-1])
        return rows / features.n_rows[:, None] if self.mean_ else rows

    def _pooled(self, features):
        if features.per_structure:
            return features
        chain = features.derivatives
        if chain is not None:
            chain = Pooled(chain, features.offsets, self.mean_, features.shape[1])
        return AtomicFeatures.of_structures(
            self._pooled_rows(features),
            features.offsets,
            features.numbers,
            chain,
            features.info,
            features.blocks,
            self._origin(),
        )

    def _feature_names(self, input_features):
        if self.transformer_ is None:
            return self._names_in(input_features)
        return super()._feature_names(input_features)
