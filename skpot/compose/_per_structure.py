"""One row for each structure, and row-wise transformers on these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._sklearn import InstanceWith, StrOptions, _fit_context
from ..data import AtomicFeatures, Pooled
from ._rows import RowTransformer

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from skpot.data.contracts import TargetsLike
    from skpot.typing import FeatureNames


class PerStructure(RowTransformer):
    """Pool the environments of each structure to one row, then apply a scikit-learn transformer.

    The result holds one row for each structure, so ordinary scikit-learn regressors take it and
    learn energies; `SparseGPR` takes it as well and learns forces too, because derivatives go
    through as through `PerAtom`. Features that have one row for each structure, such as those of
    `CoulombMatrix`, are not pooled.

    Parameters
    ----------
    transformer : transformer, optional
        Works on arrays of shape (n_structures, n_features), for instance `StandardScaler()`. Where
        every structure has an energy, these go to its `fit` as y, for supervised ones.
    pool : {"sum", "mean"}, default="sum"
        How rows are pooled. Sums grow with the structure, as the energy does.

    Attributes
    ----------
    transformer_ : transformer or None
        The fitted copy.
    matrix_, columns_ : ndarray or None
        Its linear part, or what a selector keeps; see `PerAtom`.
    mean_ : bool
        Whether rows are averaged.
    n_features_in_, n_features_out_ : int
        Number of features before and after.
    origin_ : tuple of (str, bool), or None
        Digest of the step and of what made its features, if that is known, and whether rows of
        atoms without neighbors are zero. Features of another origin are refused.

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

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: AtomicFeatures, y: TargetsLike | None = None) -> Self:
        """Fit the transformer on the pooled rows.

        Parameters
        ----------
        X : AtomicFeatures
            Features.
        y : Targets or array of shape (n_structures,), optional
            Energies, for transformers that use them.

        Returns
        -------
        self : PerStructure

        Raises
        ------
        TypeError
            If the transformer is neither affine nor registered.
        """
        self._begin(X)
        self.n_features_out_ = X.shape[1]
        self.mean_ = self.pool == "mean"
        self.transformer_ = self.matrix_ = self.columns_ = None
        content, zero_stays = (), True
        if self.transformer is not None:
            energies = None if y is None else np.asarray(y, dtype=float)
            if energies is not None and not np.isfinite(energies).all():
                energies = None  # most steps have no use for them, the others will say so
            self._fit_rows(self._pooled_rows(X), X.origin, energies)
            content, zero_stays = self._content()
        if self.transformer_ is None and X.per_structure:  # these pass through
            self.origin_ = X.origin and tuple(X.origin)
        else:
            self._set_origin(X, self.mean_, *content, zero_stays=zero_stays)
        return self

    def transform(self, X: AtomicFeatures) -> AtomicFeatures:
        """Pool and apply the transformer.

        Parameters
        ----------
        X : AtomicFeatures
            Features.

        Returns
        -------
        AtomicFeatures
            With one row for each structure and the derivative chain extended.
        """
        check_is_fitted(self, "n_features_in_")
        self._accept(X)
        pooled = self._pooled(X)
        return pooled if self.transformer_ is None else self._transformed(pooled)

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

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> FeatureNames:
        """Return the transformer's names; without a transformer, those that come in.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the features that come in.
        """
        check_is_fitted(self, "n_features_in_")
        if self.transformer_ is not None:
            return self._names(input_features)
        if input_features is None:
            return np.array([f"x{k}" for k in range(self.n_features_in_)], dtype=object)
        return np.asarray(input_features, dtype=object)
