"""The two halves of a pipeline that a query asks: its features and its regressor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..compose import CalibratedPotential, Committee, DeltaRegressor
from ..data import AtomicFeatures
from ..exceptions import InputTypeError

if TYPE_CHECKING:
    from typing import Any

    from sklearn.base import BaseEstimator

    from skpot.data import Targets

_AROUND = CalibratedPotential, DeltaRegressor, FrozenEstimator, Committee


class Subject:
    """What a query asks: how features are made, and what the regressor knows of them.

    Parameters
    ----------
    model : estimator
        A pipeline of descriptor and regressor, maybe inside a `CalibratedPotential`,
        `DeltaRegressor` or `Committee`; a regressor alone where features are asked about. It is
        not changed.
    """

    def __init__(self, model: Any) -> None:
        check_model(model)
        self.fitted = is_fitted(model)
        inner = _inside(model, self.fitted)
        steps = inner.steps if isinstance(inner, Pipeline) else [("regressor", inner)]
        self._steps = [step for _, step in steps[:-1] if step not in (None, "passthrough")]
        self.regressor: BaseEstimator = _inside(steps[-1][1], self.fitted)
        if not hasattr(self.regressor, "predict"):
            raise InputTypeError(
                "the model must be a pipeline that ends in a regressor, as in make_pipeline("
                f"skpot.SOAP(), skpot.SparseGPR()); this one ends in "
                f"{type(self.regressor).__name__}."
            )

    def require_descriptor(self) -> None:
        """Refuse a regressor alone, which structures tell nothing."""
        if not self._steps:
            raise InputTypeError(
                f"{type(self.regressor).__name__} has no descriptor before it: pass a pipeline "
                "that begins with one, or ask about AtomicFeatures."
            )

    def learn_features(self, X: Any) -> None:
        """Fit the steps before the regressor of a pipeline that is not fitted; no labels needed."""
        steps = []
        for step in self._steps:
            steps.append(clone(step).fit(X))
            X = steps[-1].transform(X)
        self._steps = steps

    def learn_labels(self, X: Any, y: Targets) -> None:
        """Fit a copy of the regressor, which then knows its kernel and noise."""
        self.regressor = clone(self.regressor).fit(self._transformed(X), y)

    def features(self, X: Any) -> AtomicFeatures:
        """Return what the regressor compares, of structures or of features."""
        X = self._transformed(X)
        if hasattr(self.regressor, "learned_features") and is_fitted(self.regressor):
            return self.regressor.learned_features(X)
        return _without(X, getattr(self.regressor, "baseline", None))

    def _transformed(self, X):
        if not isinstance(X, AtomicFeatures):
            self.require_descriptor()
            for step in self._steps:
                X = step.transform(X)
        return X


def check_model(model: Any) -> None:
    """Refuse what is no estimator, such as the name of a preset."""
    if isinstance(model, type) or not hasattr(model, "fit") or not hasattr(model, "get_params"):
        got = repr(model) if isinstance(model, str | None) else type(model).__name__
        got = f"the class {model.__name__}" if isinstance(model, type) else got
        raise InputTypeError(
            f'the model must be an estimator, such as skpot.make_potential("fast"), got {got}.'
        )


def is_fitted(model: Any) -> bool:
    """Return whether a model can predict."""
    last = model[-1] if isinstance(model, Pipeline) else model
    try:
        check_is_fitted(last)
    except NotFittedError:
        return False
    return True


def _inside(model, fitted):
    """Return the model inside of others, which do not change what a label tells."""
    while isinstance(model, _AROUND):
        fitted_one = getattr(model, "estimator_", model.estimator)
        model = fitted_one if fitted else model.estimator
    return model


def _without(features, baseline):
    """Return features without the columns of a baseline, by the name of its block."""
    if baseline is None or baseline not in features.blocks:
        return features
    own = range(*features.blocks[baseline].indices(features.shape[1]))
    return features.select([c for c in range(features.shape[1]) if c not in own])
