"""Notice estimators of scikit-learn that make a plain array of `Targets`: forces are lost there."""

from __future__ import annotations

import sys

from skpot.exceptions import LabelWarning, warn_once

_HAND_ON = ("steps", "refit")  # attributes of pipelines and searches, which pass y on as it is


def tell_of_stripping() -> None:
    """Warn if a regressor of scikit-learn is taking the energies out of `Targets`.

    Many functions make an array of y, to look at its type or to score it, and take nothing away
    from anybody. The `fit` of a regressor that does so learns the energies only, and if it is a
    meta-estimator has only them to pass on.
    """
    owner = _fitting(sys._getframe(1))
    if not type(owner).__module__.startswith("sklearn.") or not hasattr(owner, "predict"):
        return
    if not any(hasattr(owner, name) for name in _HAND_ON):
        name = type(owner).__name__
        warn_once(
            f"labels stripped by {name}",
            f"{name} takes the energies of y only: its forces, stress, groups and noise are not "
            "learned. Fit a regressor of skpot without it, or use skpot.Committee for an ensemble.",
            LabelWarning,
        )


def _fitting(frame):
    """Return the estimator whose `fit` is running, innermost, or None."""
    while frame is not None:
        if frame.f_code.co_name == "fit" and "self" in frame.f_code.co_varnames:
            return frame.f_locals.get("self")
        frame = frame.f_back
    return None
