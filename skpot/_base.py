"""What every estimator inherits: fits that succeed or change nothing, and a version stamp."""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skpot import __version__
from skpot._sklearn import InconsistentVersionWarning, Interval
from skpot.exceptions import NumericalError, ParameterError, SkpotWarning, warn_once

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from sklearn.base import BaseEstimator

    from skpot.typing import FeatureNames

_COPY = "_is_copy"  # attribute that marks the copy on which a method works
_OUTPUTS = (None, "default", "pandas", "polars")
_NO_TABLES = (
    "set_output leaves AtomicFeatures as they are: the next step needs their derivatives, and a "
    "table has none. To look at features, call their to_pandas(). Ordinary transformers after "
    "skpot.PerStructure() do return tables; a FeatureUnion of descriptors needs "
    'set_output(transform="default").'
)
_OF_INPUT = ("n_features_in_", "feature_names_in_")  # may be set before `fit` of a base class


def all_or_nothing(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that changes its estimator in one step, and only if it succeeds.

    The method works on a copy, whose attributes the estimator takes over at the end. After any
    error or interrupt the estimator is as before, and other threads never see an incomplete fit.
    The copy is shallow, so methods must replace attributes and not write into them. A `fit` does
    not see fitted attributes of an earlier fit, unless it is to go on from them (`warm_start`).
    Results that are not finite are an error, so that arithmetic on the way need not warn.
    """
    starts_anew = method.__name__ != "partial_fit"

    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        copy, inner = object.__new__(type(self)), _COPY in vars(self)
        refuse_truth_values(self)
        # In a method called by `fit` of a subclass (inner), attributes set by that fit are kept.
        anew = starts_anew and not inner and not getattr(self, "warm_start", False)
        copy.__dict__ = _unfitted(self) if anew else dict(vars(self))
        vars(copy)[_COPY] = True
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            try:
                result = method(copy, *args, **kwargs)
            except np.linalg.LinAlgError as error:
                raise NumericalError(f"{type(self).__name__} cannot be fitted: {error}.") from error
        _refuse_not_finite(copy)
        if not inner:
            del vars(copy)[_COPY]
        self.__dict__ = copy.__dict__
        return self if result is copy else result

    return wrapper


def refuse_truth_values(estimator: BaseEstimator) -> None:
    """Raise `ParameterError` if a parameter that must be a number is True or False."""
    for name, constraints in getattr(estimator, "_parameter_constraints", {}).items():
        value = getattr(estimator, name, None)
        truth = isinstance(value, bool | np.bool_)
        if truth and any(isinstance(c, Interval) for c in constraints):
            raise ParameterError(f"{name} must be a number, got {value}.")


def _unfitted(estimator):
    """Return the attributes of an estimator without those that a fit sets."""
    parameters = estimator.get_params(deep=False)
    return {
        name: value
        for name, value in vars(estimator).items()
        if name in parameters or name in _OF_INPUT or not name.endswith("_")
    }


def _refuse_not_finite(estimator):
    """Raise `NumericalError` if a fit ended with a result that is not finite."""
    for name, value in vars(estimator).items():
        if name.endswith("_") and name not in estimator._may_be_missing and not _finite(value):
            raise NumericalError(
                f"the fit of {type(estimator).__name__} gave {name} that is not finite: labels, "
                "features, noise levels or other parameters are too large or too small."
            )


def _finite(value):
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, float | np.ndarray) and np.asarray(value).dtype.kind == "f":
        return bool(np.isfinite(value).all())
    return True


class VersionedEstimator:
    """Write the version of skpot into pickles, and warn when another version reads them.

    scikit-learn does so for its own estimators only. Methods that fit are all or nothing, see
    `all_or_nothing`. This class must stand left of `BaseEstimator` among the bases.
    """

    _may_be_missing = ()  # fitted attributes that may be NaN, for what is not known

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in ("fit", "partial_fit", "fit_transform"):
            if name in vars(cls):
                setattr(cls, name, all_or_nothing(vars(cls)[name]))

    def __getstate__(self):
        return {**super().__getstate__(), "_skpot_version": __version__}

    def __setstate__(self, state):
        state = dict(state)
        saved = state.pop("_skpot_version", "unknown")
        if saved != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=f"{type(self).__name__} of skpot",
                    current_sklearn_version=__version__,
                    original_sklearn_version=saved,
                ),
                stacklevel=2,
            )
        super().__setstate__(state)


class ContainerOutput(TransformerMixin):
    """A transformer whose output is always `AtomicFeatures`, and never a table.

    `set_output` exists, because `Pipeline.set_output` calls it on every step, but changes nothing;
    nor does the global configuration. The next step needs the derivatives of the features, which a
    table does not have. This class must stand left of `BaseEstimator` among the bases.
    """

    def __init_subclass__(cls, auto_wrap_output_keys=None, **kwargs):
        super().__init_subclass__(auto_wrap_output_keys=auto_wrap_output_keys, **kwargs)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = True
        return tags

    def set_output(self, *, transform: str | None = None) -> Self:
        """Return self; the output is always `AtomicFeatures`, and a warning says so.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            The kind of table that scikit-learn's transformers would return.

        Returns
        -------
        self : estimator

        Warns
        -----
        SkpotWarning
            If a table is asked for. `AtomicFeatures.to_pandas` makes one.

        Raises
        ------
        ValueError
            If there is no such kind.
        """
        if transform not in _OUTPUTS:
            raise ParameterError(
                f"transform={transform!r} is not one of {', '.join(map(repr, _OUTPUTS[1:]))}."
            )
        if transform in _OUTPUTS[2:]:
            warn_once("set_output", _NO_TABLES, SkpotWarning)
        return self


class NamedFeatures:
    """Transformer whose output columns have names.

    A subclass returns them as a list from `_feature_names`, and sets `n_features_out_` in `fit`.
    """

    def _feature_names(self):
        raise NotImplementedError

    def get_feature_names_out(self, input_features: Any = None) -> FeatureNames:
        """Return the names of the features, in the order of the columns.

        Parameters
        ----------
        input_features : ignored
            For the scikit-learn interface.

        Returns
        -------
        names : ndarray of str objects of shape (n_features_out_,)
        """
        check_is_fitted(self, "n_features_out_")
        return np.array(self._feature_names(), dtype=object)
