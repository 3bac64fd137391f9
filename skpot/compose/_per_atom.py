"""Row-wise transformers on atomic environments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._sklearn import InstanceWith
from ..exceptions import InputTypeError
from ._rows import RowTransformer

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

# Messages of scikit-learn about a missing y. Tags do not tell: SelectKBest does not set them.
_WANTS_LABELS = re.compile(r"requires y\b|target y is None|required .*argument: 'y'")


class PerAtom(RowTransformer):
    """Apply a scikit-learn transformer to the rows of atomic environments.

    The derivative of the transformer must be known. It is if the transformer selects columns
    (`get_support`), if it is an affine map, which `fit` finds out by applying it to unit vectors
    and then checks on the data, or if its Jacobian is registered (see
    `skpot.compose.register_jacobian`). Others are refused, and so are those that need a label for
    each row, since labels belong to structures.

    Parameters
    ----------
    transformer : transformer
        A transformer of arrays of shape (n_environments, n_features), for instance
        `StandardScaler()`, `PCA(32)`, `Normalizer()` or a feature selector that needs no labels.

    Attributes
    ----------
    transformer_ : transformer
        The fitted copy.
    matrix_ : ndarray of shape (n_features_in, n_features_out) or (n_features_in,), or None
        The linear part of the transformer, or one factor for each column if it only scales them.
        None for selectors and for transformers with a registered Jacobian.
    columns_ : ndarray of int of shape (n_features_out,), or None
        The columns that a selector keeps.
    n_features_in_, n_features_out_ : int
        Number of features before and after the step.
    origin_ : tuple of (str, bool), or None
        A digest of all that made the new features, and whether rows of atoms without neighbors are
        zero; None if it is not known what made the incoming features. Steps and regressors that
        were fitted to these features refuse features with another digest.

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

    def _fit(self, features, y):
        try:
            self._fit_rows(features.values, features.origin)
        except (TypeError, ValueError) as error:
            if not _WANTS_LABELS.search(str(error)):
                raise
            name = type(self.transformer).__name__
            raise InputTypeError(
                f"{name} needs a label for each row, but labels belong to structures, not to "
                "atoms. Choose a step that needs no labels, such as VarianceThreshold or PCA, or "
                f"one row for each structure: skpot.PerStructure({name}(...))."
            ) from error
        content, zero_stays = self._content()
        self._set_origin(features, *content, zero_stays=zero_stays)
