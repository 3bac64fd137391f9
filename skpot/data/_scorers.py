"""The scorers "neg_energy_mae" ... "neg_stress_rmse", known by name everywhere in scikit-learn.

They must exist in every process that has `Targets`, even one that uses nothing else of skpot, such
as a worker of joblib. Therefore they are registered when `skpot.data` is imported.
"""

from __future__ import annotations

import sys

from sklearn.metrics import make_scorer

from skpot._sklearn import _SCORERS, StrOptions
from skpot.data.label_errors import METRICS


def register_scorers() -> None:
    """Make "neg_" + metric a valid `scoring` everywhere in scikit-learn.

    Modules of scikit-learn whose classes and functions take `scoring` copy the set of allowed names
    when they are imported. Some may have been imported before skpot: their sets are extended, too.
    """
    scorers = {
        f"neg_{metric.__name__}": make_scorer(metric, greater_is_better=False) for metric in METRICS
    }
    for name, scorer in scorers.items():
        _SCORERS.setdefault(name, scorer)
    for allowed in _copied_names():
        allowed.update(scorers)


def _copied_names():
    """Yield the sets of names that modules of scikit-learn allow as `scoring`."""
    modules = [m for name, m in sys.modules.items() if name.startswith("sklearn.")]
    for value in [v for m in modules for v in vars(m).values() if callable(v)]:
        for attribute in ("_parameter_constraints", "_skl_parameter_constraints"):
            constraints = getattr(value, attribute, None)
            if isinstance(constraints, dict):
                for option in constraints.get("scoring", ()):
                    if isinstance(option, StrOptions) and "r2" in option.options:
                        yield option.options
