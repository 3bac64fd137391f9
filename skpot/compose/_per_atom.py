"""Row-wise transformers on atomic environments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sklearn.utils.validation import check_is_fitted

from .._sklearn import InstanceWith, _fit_context
from ..exceptions import InputTypeError
from ._rows import RowTransformer

if TYPE_CHECKING:
    from typing import Any, Self

    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from skpot.data import AtomicFeatures
    from skpot.typing import FeatureNames

# What scikit-learn says if y is missing; tags do not tell (SelectKBest has none).
_WANTS_LABELS = re.compile(r"requires y\b|target y is None|required .*argument: 'y'")


class PerAtom(RowTransformer):
    """Apply a scikit-learn transformer to the rows of atomic environments.

    Derivatives go through it: of transformers whose Jacobian is registered (see
    `skpot.compose.register_jacobian`), that select columns (`get_support`), or that are affine,
    which is found out by applying them to unit vectors and then checked on the data.

    Parameters
    ----------
    transformer : transformer
        Works on arrays of shape (n_environments, n_features), for instance `StandardScaler()`,
        `PCA(32)`, `Normalizer()` or a feature selector that needs no labels.

    Attributes
    ----------
    transformer_ : transformer
        The fitted copy.
    matrix_ : ndarray of shape (n_features_in, n_features_out) or (n_features_in,), or None
        Its linear part, or the factors if it only scales columns; None where a registered Jacobian
        or a selection takes its place.
    columns_ : ndarray of int of shape (n_features_out,), or None
        What a selector keeps.
    n_features_in_, n_features_out_ : int
        Number of features before and after.
    origin_ : tuple of (str, bool), or None
        Digest of the step and of what made its features, if that is known, and whether rows of
        atoms without neighbors are zero. Features of another origin are refused.

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

    _parameter_constraints = {"transformer": [InstanceWith(["fit", "transform"])]}

    def __init__(self, transformer: BaseEstimator) -> None:
        self.transformer = transformer

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: AtomicFeatures, y: Any = None) -> Self:
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
            If the transformer is neither affine nor registered, or needs labels.
        """
        self._begin(X)
        try:
            self._fit_rows(X.values, X.origin)
        except (TypeError, ValueError) as error:
            if not _WANTS_LABELS.search(str(error)):
                raise
            name = type(self.transformer).__name__
            raise InputTypeError(
                f"{name} needs a label for each row, but labels belong to structures, not to "
                "atoms. Choose a step that needs none, such as VarianceThreshold or PCA, or one "
                f"row for each structure: skpot.PerStructure({name}(...))."
            ) from error
        content, zero_stays = self._content()
        self._set_origin(X, *content, zero_stays=zero_stays)
        return self

    def transform(self, X: AtomicFeatures) -> AtomicFeatures:
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
        self._accept(X)
        return self._transformed(X)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> FeatureNames:
        """Return the transformer's names, or numbered ones if it gives none.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the features that come in.
        """
        check_is_fitted(self, "transformer_")
        return self._names(input_features)
