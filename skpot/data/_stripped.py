"""A warning if a regressor of scikit-learn converts `Targets` to an array, which loses forces."""

from __future__ import annotations

import sys

from skpot.exceptions import LabelWarning, warn_once

_HAND_ON = ("steps", "refit")  # pipelines and searches have these; they pass y on unchanged


def tell_of_stripping() -> None:
    """Warn if a regressor of scikit-learn converts `Targets` to an array of energies.

    Many functions convert y, to look at its type or to score it, which does no harm. But the `fit`
    of a regressor that does so learns energies only, and a meta-estimator passes on only these.
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
    """Return the innermost estimator whose `fit` is running, or None."""
    while frame is not None:
        if frame.f_code.co_name == "fit" and "self" in frame.f_code.co_varnames:
            return frame.f_locals.get("self")
        frame = frame.f_back
    return None
