"""Mixins of every estimator: fits that succeed or change nothing, a version stamp, containers."""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skpot import __version__
from skpot._sklearn import InconsistentVersionWarning, Interval
from skpot.exceptions import NumericalError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from sklearn.base import BaseEstimator

    from skpot.typing import FeatureNames

_COPY = "_is_copy"  # marks what a method works on
_OF_INPUT = ("n_features_in_", "feature_names_in_")  # set by whoever checks the input first


def all_or_nothing(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method so that it changes its estimator at once, when it has succeeded.

    The method works on a copy, whose attributes the estimator then takes over in one step. After
    any error or interrupt the estimator is what it was before, and other threads never see half of
    a fit. The copy is shallow: methods replace attributes and do not write into them. A `fit` finds
    no fitted attributes of an earlier one. Results that are not finite are an error: the arithmetic
    on the way does not warn.
    """
    anew = method.__name__ != "partial_fit"

    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        copy, inner = object.__new__(type(self)), _COPY in vars(self)
        refuse_truth_values(self)
        # A subclass may have set something before it calls the fit of its base.
        copy.__dict__ = _unfitted(self) if anew and not inner else dict(vars(self))
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
    """Raise `ParameterError` where a parameter that counts or measures is True or False."""
    for name, constraints in getattr(estimator, "_parameter_constraints", {}).items():
        value = getattr(estimator, name, None)
        truth = isinstance(value, bool | np.bool_)
        if truth and any(isinstance(c, Interval) for c in constraints):
            raise ParameterError(f"{name}={value} must be a number.")


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
                f"the fit of {type(estimator).__name__} has no finite result ({name}): labels, "
                "features, noise levels or other parameters are too large or too small."
            )


def _finite(value):
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, float | np.ndarray) and np.asarray(value).dtype.kind == "f":
        return bool(np.isfinite(value).all())
    return True


class VersionedEstimator:
    """Stamp pickles with the version of skpot and warn when another version reads them.

    scikit-learn does this for its own estimators only. Methods that fit are all or nothing; see
    `all_or_nothing`. To be placed left of `BaseEstimator`.
    """

    _may_be_missing = ()  # fitted attributes in which NaN stands for what is not known

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
    """Transformer whose output is a container that no DataFrame can replace.

    `set_output` exists, because `Pipeline.set_output` calls it on every step, and does nothing;
    neither does the global configuration. To be placed left of `BaseEstimator`.
    """

    def __init_subclass__(cls, auto_wrap_output_keys=None, **kwargs):
        super().__init_subclass__(auto_wrap_output_keys=auto_wrap_output_keys, **kwargs)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = True
        return tags

    def set_output(self, *, transform: str | None = None) -> Self:
        """Return self; the output is always the container.

        Parameters
        ----------
        transform : str or None, default=None
            Ignored.

        Returns
        -------
        self : estimator
        """
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
