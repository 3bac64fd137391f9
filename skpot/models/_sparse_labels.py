"""What sparse models do with labels once they are fitted: learn further ones, leave some out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..processes.leave_out import less
from ..processes.sparse import SparseState

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FeaturesLike, FloatArray, RandomState, TargetsLike, Weights


def learn_further(model: Any, X: FeaturesLike, y: TargetsLike, sample_weight: Weights) -> Any:
    """Return a model that has learned from further structures; the first call is a fit."""
    if not hasattr(model, "posterior_factor_"):
        return model.fit(X, y, sample_weight)
    model._validate_params()
    training = _scaled(model, model._prepare(X, y, sample_weight, reset=False))
    state = model._kept(SparseState).fold(training, model.max_memory, model.verbose)
    return model._become(state.expansion, state)


def predict_left_out(
    model: Any, X: FeaturesLike, y: TargetsLike, sample_weight: Weights
) -> TargetsLike:
    """Return predictions of each training structure by the model that all others make."""
    check_is_fitted(model)
    training = _scaled(model, model._more(X, y, sample_weight))
    errors = model._kept(SparseState).errors_left_out(training, model.max_memory, model.verbose)
    predicted = less(y, *errors)
    return predicted if model.returns_targets_ else predicted.energy


def draw_deviations(model: Any, n_samples: int, random_state: RandomState) -> FloatArray:
    """Return draws of what the posterior leaves open of the coefficients."""
    check_is_fitted(model)
    return model._kept(SparseState).draw(n_samples, check_random_state(random_state))


def _scaled(model, training):
    """Return the training set with the noise as the fit has scaled it."""
    return training.with_noise_scaled(getattr(model, "noise_scale_", {}))
