"""Notice meta-estimators that make a plain array of `Targets`, so that forces are lost inside."""

import sys

from skpot.exceptions import LabelWarning, warn_once

_INSIDE = ("estimator", "estimators", "regressor")  # what a meta-estimator calls what it fits


def tell_of_stripping():
    """Warn if the energies are being taken out of `Targets` by a meta-estimator of scikit-learn.

    Many functions make an array of y, to look at its type or to score it, and take nothing away
    from anybody. The `fit` of a meta-estimator that does so has only the energies to pass on.
    """
    owner = _fitting(sys._getframe(1))
    if owner is None or hasattr(owner, "refit") or not type(owner).__module__.startswith("sklearn"):
        return  # searches pass y on as it is
    name = type(owner).__name__
    if any(hasattr(owner, inside) for inside in _INSIDE):
        warn_once(
            f"labels stripped by {name}",
            f"{name} passes on the energies of y only: its forces, stress, groups and noise are "
            "not learnt. Fit without it, or use skpot.Committee for an ensemble.",
            LabelWarning,
        )


def _fitting(frame):
    """Return the estimator whose `fit` is running, innermost, or None."""
    while frame is not None:
        if frame.f_code.co_name == "fit" and "self" in frame.f_code.co_varnames:
            return frame.f_locals.get("self")
        frame = frame.f_back
    return None
