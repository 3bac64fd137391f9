"""The scorers "neg_energy_mae" ... "neg_stress_rmse", known by name everywhere in scikit-learn.

They have to exist wherever `Targets` do, in files and processes that use nothing else of skpot;
therefore they are registered when this package is imported.
"""

from __future__ import annotations

import sys

from sklearn.metrics import make_scorer

from skpot._sklearn import _SCORERS, StrOptions
from skpot.data.label_errors import (
    energy_mae,
    energy_rmse,
    forces_mae,
    forces_rmse,
    stress_mae,
    stress_rmse,
)

_METRICS = (energy_mae, energy_rmse, forces_mae, forces_rmse, stress_mae, stress_rmse)


def register_scorers() -> None:
    """Make "neg_" + metric a valid `scoring` everywhere in scikit-learn.

    Classes and functions that take `scoring` froze the set of allowed names when their module was
    imported, which may have happened before us: those sets are extended too.
    """
    scorers = {
        f"neg_{metric.__name__}": make_scorer(metric, greater_is_better=False)
        for metric in _METRICS
    }
    for name, scorer in scorers.items():
        _SCORERS.setdefault(name, scorer)
    for allowed in _frozen_names():
        allowed.update(scorers)


def _frozen_names():
    """Yield the sets of names that imported parts of scikit-learn allow as `scoring`."""
    modules = [m for name, m in sys.modules.items() if name.startswith("sklearn.")]
    for value in [v for m in modules for v in vars(m).values() if callable(v)]:
        for attribute in ("_parameter_constraints", "_skl_parameter_constraints"):
            constraints = getattr(value, attribute, None)
            if isinstance(constraints, dict):
                for option in constraints.get("scoring", ()):
                    if isinstance(option, StrOptions) and "r2" in option.options:
                        yield option.options
