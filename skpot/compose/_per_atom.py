"""Row-wise transformers on atomic environments."""

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from .._base import ContainerOutput, VersionedEstimator
from .._sklearn import HasMethods, _fit_context
from ..data import AtomicFeatures, LinearMap, RowMap
from ._jacobians import jacobian_of

_AFFINE_TOLERANCE = 1e-8


class PerAtom(ContainerOutput, VersionedEstimator, BaseEstimator):
    """Apply a scikit-learn transformer to the rows of atomic environments.

    Derivatives go through it: of transformers whose Jacobian is registered (see
    `skpot.compose.register_jacobian`) or that are affine, which is found out by applying them to
    unit vectors and then checked on the data.

    Parameters
    ----------
    transformer : transformer
        Works on arrays of shape (n_environments, n_features), for instance `StandardScaler()`,
        `PCA(32)`, `Normalizer()` or a feature selector.

    Attributes
    ----------
    transformer_ : transformer
        The fitted copy.
    matrix_ : ndarray of shape (n_features_in, n_features_out), or None
        Its linear part; None where a registered Jacobian is used.
    n_features_in_ : int
        Number of features seen in `fit`.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.pipeline import make_pipeline
    >>> from skpot import SOAP, PerAtom
    >>> frames = [bulk("Si", cubic=True) for _ in range(3)]
    >>> for seed, atoms in enumerate(frames):
    ...     atoms.rattle(0.1, seed=seed)
    >>> make_pipeline(SOAP(n_max=4, l_max=3), PerAtom(PCA(5))).fit_transform(frames)
    AtomicFeatures(3 structures, 24 environments, 5 features, with derivatives)
    """

    _parameter_constraints = {"transformer": [HasMethods(["fit", "transform"])]}

    def __init__(self, transformer):
        self.transformer = transformer

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Fit the transformer on the rows of all environments.

        Parameters
        ----------
        X : AtomicFeatures
            Features.
        y : ignored
            Labels belong to structures, not to rows.

        Returns
        -------
        self : PerAtom

        Raises
        ------
        TypeError
            If the transformer is neither affine nor registered.
        """
        rows = _rows(X)
        self.n_features_in_ = rows.shape[1]
        self.transformer_ = clone(self.transformer).fit(rows)
        registered = jacobian_of(self.transformer_) is not None
        self.matrix_ = None if registered else self._affine_part(rows)
        return self

    def transform(self, X):
        """Apply the transformer.

        Parameters
        ----------
        X : AtomicFeatures
            Features.

        Returns
        -------
        AtomicFeatures
            Of the same environments, with the map appended to the derivative chain.
        """
        check_is_fitted(self, "transformer_")
        rows = _rows(X)
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {rows.shape[1]} features but PerAtom was fitted with {self.n_features_in_}."
            )
        chain = X.derivatives
        if chain is not None:
            if self.matrix_ is not None:
                chain = LinearMap(chain, self.matrix_)
            else:
                chain = RowMap(chain, rows, X.offsets, jacobian_of(self.transformer_))
        values = np.ascontiguousarray(self._apply(rows))
        return AtomicFeatures(values, X.offsets, X.species, chain, X.volumes)

    def _apply(self, rows):
        values = self.transformer_.transform(rows)
        if hasattr(values, "toarray"):
            values = values.toarray()
        return np.asarray(values, dtype=float)

    def _affine_part(self, rows):
        """Return the matrix of an affine transformer, probed at the mean of the data."""
        origin = rows.mean(axis=0)
        scale = float(np.abs(rows - origin).max()) or 1.0
        probes = np.vstack([origin, origin + scale * np.eye(len(origin))])
        at = self._apply(probes)
        matrix = (at[1:] - at[0]) / scale
        expected = at[0] + (rows - origin) @ matrix
        error = np.abs(self._apply(rows) - expected).max()
        if not error <= _AFFINE_TOLERANCE * max(1.0, float(np.abs(expected).max())):
            name = type(self.transformer_).__name__
            raise TypeError(
                f"{name} is not an affine map of the rows, so its derivative is unknown. Register "
                f"it: skpot.compose.register_jacobian({name}, ...); or choose an affine step "
                "(StandardScaler, PCA, ...)."
            )
        return np.ascontiguousarray(matrix)

    def get_feature_names_out(self, input_features=None):
        """Return the transformer's names.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the features that come in.
        """
        check_is_fitted(self, "transformer_")
        return self.transformer_.get_feature_names_out(input_features)


def _rows(X):
    if isinstance(X, AtomicFeatures):
        return X.values
    raise TypeError(
        f"PerAtom takes AtomicFeatures, as descriptors return them, but got {type(X).__name__}; "
        "put a descriptor such as skpot.SOAP() before it."
    )
