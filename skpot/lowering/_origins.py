"""What made the features that fitted steps pass on, so that steps fitted apart are refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from ..data.origin import Origin, joined, refuse_other_origin

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_UNTOLD = object()  # what steps of other packages make, which do not note the origin


def refuse_steps_fitted_apart(steps: Sequence[Any]) -> None:
    """Raise `InputError` if a step learned from features that those before it make no more.

    Parameters
    ----------
    steps : list of estimator
        Fitted, from the descriptor to the regressor.
    """
    _origin_of(steps, None)


def _origin_of(steps, origin):
    """Return the `Origin` of what steps make of features, None if it is not known."""
    for step in steps:
        step = step.estimator if isinstance(step, FrozenEstimator) else step
        if step in (None, "passthrough"):
            continue
        if origin is not _UNTOLD:
            refuse_other_origin(step, SimpleNamespace(origin=origin))
        origin = _made_by(step, origin)
    return origin


def _made_by(step, origin):
    if isinstance(step, Pipeline):
        return _origin_of([s for _, s in step.steps], origin)
    if isinstance(step, FeatureUnion):
        parts = [s for _, s in step.transformer_list if s not in (None, "drop", "passthrough")]
        made = [_origin_of([part], origin) for part in parts]
        return _UNTOLD if _UNTOLD in made else joined("beside", made)
    made = getattr(step, "origin_", _UNTOLD)
    return made if made in (None, _UNTOLD) else Origin(*made)
