"""Models that wrap another one without a change to what it predicts."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from ..compose import CalibratedPotential

if TYPE_CHECKING:
    from typing import Any


@singledispatch
def unwrapped(model: Any) -> Any:
    """Return the model inside its wrappers, any other as it is."""
    return model


@unwrapped.register
def _(model: CalibratedPotential):
    check_is_fitted(model)
    return unwrapped(model.estimator_)


@unwrapped.register
def _(model: FrozenEstimator):
    return unwrapped(model.estimator)
