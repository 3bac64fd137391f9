"""Steps from features to features: a scikit-learn transformer on rows, and its derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING

import joblib
import numpy as np
from sklearn.base import BaseEstimator, clone

from .._base import ContainerOutput, VersionedEstimator
from .._sklearn import InvalidParameterError
from ..data import AtomicFeatures, LinearMap, RowMap, ScaleColumns, SelectColumns
from ..data.origin import Origin, joined, learn_origin
from ..exceptions import InputError, InputTypeError, SkpotError
from ..models import refuse_features, refuse_others
from ._jacobians import jacobian_of

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FloatArray

_AFFINE_TOLERANCE, _SINGLE_TOLERANCE = 1e-8, 1e-5  # the latter if single precision comes out
_BLOCK_BYTES = 8e6  # rows put through a transformer at a time while its derivative is found out


class FeatureStep(ContainerOutput, VersionedEstimator, BaseEstimator):
    """What steps from features to features share: they know the features they were fitted on."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = True
        return tags

    def _begin(self, X):
        """Refuse what are no finite features; note their width and origin."""
        require_features(self, X)
        refuse_features(X)
        self.n_features_in_ = X.shape[1]
        learn_origin(self, X)

    def _accept(self, X):
        """Refuse what are not features such as those of `fit`."""
        require_features(self, X)
        refuse_others(self, X)

    def _set_origin(self, X, *content, zero_stays=True):
        """Set the origin of what comes out, given what determines the fitted step."""
        name = type(self).__name__
        origin = joined(name, [X.origin], *content, zero_stays=zero_stays)
        self.origin_ = None if origin is None else tuple(origin)

    def _origin(self):
        return None if self.origin_ is None else Origin(*self.origin_)


class RowTransformer(FeatureStep):
    """What `PerAtom` and `PerStructure` share: fit a transformer on rows, apply it as a link.

    A subclass has the parameter `transformer`.
    """

    def _fit_rows(self, rows, origin, *labels):
        """Fit a copy of the transformer and find its derivative."""
        rows = np.asarray(rows, dtype=float)  # single precision hides what is affine
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
            with np.errstate(all="ignore"):  # probes may leave what a function is defined for
                self.matrix_ = self._affine_part(rows)

    def _transformed(self, features):
        """Return the features after the transformer."""
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
        """Return what determines the map of rows, and whether it takes a row of zeros to itself."""
        zero = np.zeros((1, self.n_features_in_))
        if self.columns_ is not None:
            return (self.columns_,), True
        if self.matrix_ is not None:
            constant = self.apply_to_rows(zero)
            return (self.matrix_, constant), not constant.any()
        try:
            return (joblib.hash(self.transformer_),), not self.apply_to_rows(zero).any()
        except ValueError:  # a row of zeros is not in its range
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

    def _names(self, input_features):
        """Return the transformer's feature names, or numbered ones."""
        if hasattr(self.transformer_, "get_feature_names_out"):
            return self.transformer_.get_feature_names_out(input_features)
        name = type(self.transformer_).__name__.lower()
        return np.array([f"{name}{k}" for k in range(self.n_features_out_)], dtype=object)

    def _selection(self, rows):
        """Return the columns that a selector keeps, None if the transformer is none."""
        if not hasattr(self.transformer_, "get_support"):
            return None
        columns = np.flatnonzero(self.transformer_.get_support())
        sample = rows[:100]
        same = np.array_equal(self.apply_to_rows(sample), sample[:, columns])
        return columns if same else None

    def _affine_part(self, rows):
        """Return a factor for each column, or else a matrix; refuse what is not affine."""
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
        except ValueError:  # a probe outside of what the transformer takes
            pass
        name = type(self.transformer_).__name__
        parts = _blocks(len(rows), 8 * rows.shape[1])
        if not all(np.isfinite(self.apply_to_rows(rows[part])).all() for part in parts):
            raise InputError(f"{name} makes NaN or infinite numbers of these features.")
        raise InputTypeError(
            f"{name} is not an affine map of the rows, so its derivative is unknown. Register "
            f"it: skpot.compose.register_jacobian({name}, ...); or choose an affine step "
            "(StandardScaler, PCA, ...)."
        )

    def _agrees(self, rows, origin, scale, constant, linear):
        """Return whether constant + linear(x - origin) is the transformer, on the data and off."""
        # Two points in no special direction: data may span too little to tell a wrong map.
        single = self._raw(rows[:1]).dtype == np.float32
        tolerance = _SINGLE_TOLERANCE if single else _AFFINE_TOLERANCE
        random = np.random.default_rng(0).uniform(-scale, scale, (2, len(origin)))
        blocks = [origin + random]
        blocks += [rows[part] for part in _blocks(len(rows), 8 * max(len(origin), len(constant)))]
        size = 1.0  # of the values, but tolerances are not finer than those of unit scale
        for block in blocks:
            expected = constant + linear(block - origin)
            error = np.abs(self.apply_to_rows(block) - expected).max()  # NaN must not be lost
            size = max(size, float(np.abs(expected).max()))
            if not error <= tolerance * size:
                return False
        return True


def _refuse_jump(step, derivative):
    """Raise if a map of rows jumps at rows of zeros, which occur."""
    if getattr(derivative, "jumps_at_zero", False):
        name = type(step.transformer).__name__
        raise InputError(
            f"{type(step).__name__}({name}()) would make energies jump where the last neighbor of "
            "an atom leaves the cutoff: the features of an atom without neighbors are zero, and "
            "these have no direction. Take a step that is smooth there, such as StandardScaler(), "
            "or features that do not vanish: SOAP with central_weight > 0."
        )


def _blocks(n, row_bytes):
    """Yield slices of n rows that take at most `_BLOCK_BYTES`, or of single rows."""
    step = max(1, int(_BLOCK_BYTES / row_bytes))
    for begin in range(0, n, step):
        yield slice(begin, min(n, begin + step))


def require_features(estimator: BaseEstimator, X: Any) -> None:
    """Raise `TypeError` unless X is `AtomicFeatures`."""
    if not isinstance(X, AtomicFeatures):
        raise InputTypeError(
            f"{type(estimator).__name__} takes AtomicFeatures, as descriptors return them, but got "
            f"{type(X).__name__}; put a descriptor such as skpot.SOAP() before it."
        )
