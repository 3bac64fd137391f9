"""What steps from features to features share, and scikit-learn transformers on their rows."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import joblib
import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from .._base import ContainerOutput, VersionedEstimator
from .._sklearn import InvalidParameterError, _fit_context
from ..data import AtomicFeatures, LinearMap, RowMap, ScaleColumns, SelectColumns, StreamedFeatures
from ..data.origin import Origin, joined, learn_origin
from ..exceptions import InputError, InputTypeError, SkpotError
from ..models import refuse_features, refuse_others
from ._jacobians import jacobian_of

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike

    from skpot.data.contracts import TargetsLike
    from skpot.typing import FeatureNames, FloatArray

_AFFINE_TOLERANCE = 1e-8  # largest relative error of a map that counts as affine
_SINGLE_TOLERANCE = 1e-5  # the same for transformers that return single precision
_BLOCK_BYTES = 8e6  # size of the blocks of rows on which a transformer is tried


class FeatureStep(ContainerOutput, VersionedEstimator, BaseEstimator):
    """Base of steps from features to features, which refuse features unlike those of the fit.

    A subclass defines `_fit(features, y)`, which sets `n_features_out_` and calls `_set_origin`,
    `_transform(features)` and `_feature_names(input_features)`.
    """

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: AtomicFeatures, y: TargetsLike | None = None) -> Self:
        """Fit the step.

        Parameters
        ----------
        X : AtomicFeatures
            Features.
        y : Targets or array of shape (n_structures,), optional
            Energies for transformers in `PerStructure` that use them; other steps ignore them.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError, TypeError
            If X holds no finite features, or the step cannot be fitted to them.
        """
        self._require_features(X)
        refuse_features(X)
        self.n_features_in_ = X.shape[1]
        learn_origin(self, X)
        self._fit(X, y)
        return self

    def transform(self, X: AtomicFeatures) -> AtomicFeatures:
        """Apply the fitted step.

        Parameters
        ----------
        X : AtomicFeatures
            Features that were made like those of the fit.

        Returns
        -------
        AtomicFeatures
            New features, whose derivative chain ends with this step.

        Raises
        ------
        ValueError, TypeError
            If X holds no finite features, or features that were not made like those of the fit.
        """
        check_is_fitted(self, "n_features_out_")
        self._require_features(X)
        refuse_others(self, X)
        if isinstance(X, StreamedFeatures):
            return X.then(copy.copy(self)._transform)  # a later fit changes `self`
        return self._transform(X)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> FeatureNames:
        """Return the names of the features that `transform` makes.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names of the features that `transform` takes.
        """
        check_is_fitted(self, "n_features_out_")
        return np.asarray(self._feature_names(input_features), dtype=object)

    def _names_in(self, input_features):
        """Return the names of incoming features, numbered ones if they have none."""
        if input_features is None:
            return [f"x{k}" for k in range(self.n_features_in_)]
        return input_features

    def _require_features(self, X):
        """Refuse an X that no fit of this step could take."""
        if not isinstance(X, AtomicFeatures):
            raise InputTypeError(
                f"{type(self).__name__} takes AtomicFeatures, which descriptors return, but got "
                f"{type(X).__name__}; put a descriptor such as skpot.SOAP() before it."
            )

    def _set_origin(self, X, *content, zero_stays=True):
        """Set the origin of the new features.

        `content` is what determines the fitted step; `zero_stays` says whether it leaves rows of
        zeros as they are.
        """
        name = type(self).__name__
        origin = joined(name, [X.origin], *content, zero_stays=zero_stays)
        self.origin_ = None if origin is None else tuple(origin)

    def _origin(self):
        return None if self.origin_ is None else Origin(*self.origin_)


class RowTransformer(FeatureStep):
    """Base of `PerAtom` and `PerStructure`, which apply a scikit-learn transformer to rows.

    A subclass has the parameter `transformer`.
    """

    def _fit_rows(self, rows, origin, *labels):
        """Fit a copy of the transformer and find its derivative."""
        rows = np.asarray(
            rows, dtype=float
        )  # rounding to single precision would hide that a map is affine
        self.transformer_ = self._fit_transformer(rows, *labels)
        self.n_features_out_ = self.apply_to_rows(rows[:1]).shape[1]
        self.matrix_ = self.columns_ = None
        derivative = jacobian_of(self.transformer_)
        if derivative is not None:
            if origin is not None and origin.vanishing:
                _refuse_jump(self, derivative)
            return
        self.columns_ = self._selection(rows)
        if self.columns_ is None:
            with np.errstate(all="ignore"):  # trial rows may lie where the map is not defined
                self.matrix_ = self._affine_part(rows)

    def _transform(self, features):
        rows, chain = features.values, features.derivatives
        values = np.ascontiguousarray(self.apply_to_rows(rows))
        if chain is None:
            pass
        elif self.columns_ is not None:
            chain = SelectColumns(chain, self.columns_, rows.shape[1])
        elif self.matrix_ is None:
            rows = np.asarray(rows, dtype=float)
            chain = RowMap(chain, rows, features.offsets, jacobian_of(self.transformer_))
        else:
            link = ScaleColumns if self.matrix_.ndim == 1 else LinearMap
            chain = link(chain, self.matrix_)
        return features.mapped(values, chain, origin=self._origin())

    def _fit_transformer(self, rows, *labels):
        try:
            return clone(self.transformer).fit(rows, *labels)
        except (SkpotError, InvalidParameterError):
            raise
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{type(self).__name__} cannot fit its {type(self.transformer).__name__} to these "
                f"{len(rows)} rows of {rows.shape[1]} features: {error}"
            ) from error

    def _content(self):
        """Return what determines the map of rows, and whether it leaves a row of zeros as it is."""
        zero = np.zeros((1, self.n_features_in_))
        if self.columns_ is not None:
            return (self.columns_,), True
        if self.matrix_ is not None:
            constant = self.apply_to_rows(zero)
            return (self.matrix_, constant), not constant.any()
        try:
            return (joblib.hash(self.transformer_),), not self.apply_to_rows(zero).any()
        except ValueError:  # the transformer does not take a row of zeros
            return (joblib.hash(self.transformer_),), False

    def apply_to_rows(self, rows: FloatArray) -> FloatArray:
        """Return what the fitted transformer makes of rows, an array (n_rows, n_features_out)."""
        return np.asarray(self._raw(rows), dtype=float)

    def _raw(self, rows):
        values = self.transformer_.transform(np.asarray(rows, dtype=float))
        values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
        if np.iscomplexobj(values):
            raise InputTypeError(f"{type(self.transformer_).__name__} makes complex numbers.")
        return values

    def _feature_names(self, input_features):
        if hasattr(self.transformer_, "get_feature_names_out"):
            return self.transformer_.get_feature_names_out(input_features)
        name = type(self.transformer_).__name__.lower()
        return [f"{name}{k}" for k in range(self.n_features_out_)]

    def _selection(self, rows):
        """Return the columns that a selector keeps, or None for other transformers."""
        if not hasattr(self.transformer_, "get_support"):
            return None
        columns = np.flatnonzero(self.transformer_.get_support())
        sample = rows[:100]
        same = np.array_equal(self.apply_to_rows(sample), sample[:, columns])
        return columns if same else None

    def _affine_part(self, rows):
        """Return the factor of each column, or else the matrix, of an affine map; refuse others."""
        origin = rows.mean(axis=0)
        scale = float(np.abs(rows - origin).max()) or 1.0
        try:
            constant = self.apply_to_rows(origin[None])[0]
            if len(constant) == len(origin):
                factors = (self.apply_to_rows(origin[None] + scale)[0] - constant) / scale
                if self._agrees(rows, origin, scale, constant, lambda x: x * factors):
                    return factors
            matrix = np.empty((len(origin), len(constant)))
            for part in _blocks(len(origin), 8 * max(matrix.shape)):
                probes = np.tile(origin, (part.stop - part.start, 1))
                probes[np.arange(len(probes)), np.arange(part.start, part.stop)] += scale
                matrix[part] = (self.apply_to_rows(probes) - constant) / scale
            if self._agrees(rows, origin, scale, constant, lambda x: x @ matrix):
                return matrix
        except ValueError:  # the transformer does not take a trial row
            pass
        self._refuse_not_affine(rows)

    def _refuse_not_affine(self, rows):
        name = type(self.transformer_).__name__
        parts = _blocks(len(rows), 8 * rows.shape[1])
        if not all(np.isfinite(self.apply_to_rows(rows[part])).all() for part in parts):
            raise InputError(
                f"{name} makes NaN or infinite numbers of these features. Choose another "
                "transformer, or scale the features before it."
            )
        raise InputTypeError(
            f"{name} is not an affine map of the rows, so that its derivative is unknown. Register "
            f"the derivative with skpot.compose.register_jacobian({name}, ...), or choose an "
            "affine step such as StandardScaler() or PCA()."
        )

    def _agrees(self, rows, origin, scale, constant, linear):
        """Return whether the transformer is x -> constant + linear(x - origin)."""
        # The data alone may span too few directions to reveal a wrong map: try two random rows.
        single = self._raw(rows[:1]).dtype == np.float32
        tolerance = _SINGLE_TOLERANCE if single else _AFFINE_TOLERANCE
        random = np.random.default_rng(0).uniform(-scale, scale, (2, len(origin)))
        blocks = [origin + random]
        blocks += [rows[part] for part in _blocks(len(rows), 8 * max(len(origin), len(constant)))]
        size = 1.0  # largest value so far, but at least 1, so that tiny values may be rounded
        for block in blocks:
            expected = constant + linear(block - origin)
            error = np.abs(self.apply_to_rows(block) - expected).max()
            size = max(size, float(np.abs(expected).max()))
            if not error <= tolerance * size:  # so that an error of NaN is no agreement
                return False
        return True


def _refuse_jump(step, derivative):
    """Refuse a map of rows that jumps at rows of zeros, which isolated atoms have."""
    if getattr(derivative, "jumps_at_zero", False):
        name = type(step.transformer).__name__
        raise InputError(
            f"{type(step).__name__}({name}()) would make energies jump where the last neighbor of "
            "an atom leaves the cutoff: the features of an atom without neighbors are zero, and "
            "a row of zeros has no direction. Choose a step that is smooth there, such as "
            "StandardScaler(), or features that do not vanish: SOAP with central_weight > 0."
        )


def _blocks(n, row_bytes):
    """Yield slices of n rows, each as large as `_BLOCK_BYTES` allows but at least one row."""
    step = max(1, int(_BLOCK_BYTES / row_bytes))
    for begin in range(0, n, step):
        yield slice(begin, min(n, begin + step))
