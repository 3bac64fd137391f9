"""A check that all steps of a pipeline were fitted together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from sklearn.pipeline import FeatureUnion, Pipeline

from ..data.origin import Origin, joined, refuse_other_origin
from ._wrappers import unwrapped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_UNKNOWN = object()  # the origin of features that steps of other packages make


def refuse_steps_fitted_apart(steps: Sequence[Any]) -> None:
    """Refuse steps of which one was fitted to other features than the steps before it make now.

    Parameters
    ----------
    steps : list of estimator
        Fitted steps, from the descriptor to the regressor.
    """
    _origin_of(steps, None)


def _origin_of(steps, origin):
    """Return the `Origin` of the features after some steps, given that of the features before."""
    for step in steps:
        step = unwrapped(step)
        if step in (None, "passthrough"):
            continue
        if origin is not _UNKNOWN:
            refuse_other_origin(step, SimpleNamespace(origin=origin))
        origin = _made_by(step, origin)
    return origin


def _made_by(step, origin):
    if isinstance(step, Pipeline):
        return _origin_of([s for _, s in step.steps], origin)
    if isinstance(step, FeatureUnion):
        parts = [s for _, s in step.transformer_list if s not in (None, "drop", "passthrough")]
        made = [_origin_of([part], origin) for part in parts]
        return _UNKNOWN if _UNKNOWN in made else joined("beside", made)
    made = getattr(step, "origin_", _UNKNOWN)
    return made if made in (None, _UNKNOWN) else Origin(*made)
