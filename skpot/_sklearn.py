"""The only door to scikit-learn's private names, and where our scorers get theirs.

Private names may move between releases of scikit-learn; then this file changes and no other.
"""

import importlib
import sys

# Parameter validation with scikit-learn's own messages (`_parameter_constraints`).
from sklearn.base import _fit_context

# Public, kept here so that every version stamp warns with the same class.
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.metrics import make_scorer

# The table behind `scoring="..."`; there is no public way to add a name to it.
from sklearn.metrics._scorer import _SCORERS

# Rows of any X (list, array, container) exactly as cross-validation selects them.
from sklearn.utils import _safe_indexing

# The vocabulary of `_parameter_constraints`.
from sklearn.utils._param_validation import (
    HasMethods,
    Hidden,
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_params,
)

# Length of any X, and weights checked with scikit-learn's own messages.
from sklearn.utils.validation import _check_sample_weight, _num_samples

from .exceptions import InputError

__all__ = [
    "HasMethods",
    "Hidden",
    "InconsistentVersionWarning",
    "InstanceWith",
    "Interval",
    "InvalidParameterError",
    "ItemizedAttributes",
    "METRICS",
    "NamedMetric",
    "Options",
    "StrOptions",
    "_check_sample_weight",
    "_fit_context",
    "_num_samples",
    "_safe_indexing",
    "array_namespace",
    "register_scorers",
    "validate_params",
]

METRICS = (
    "energy_mae",
    "energy_rmse",
    "forces_mae",
    "forces_rmse",
    "stress_mae",
    "stress_rmse",
)


class InstanceWith(HasMethods):
    """Constraint of parameters that take an object with some methods, and not its class."""

    def is_satisfied_by(self, val):
        """Return whether it has the methods and is no class."""
        return not isinstance(val, type) and super().is_satisfied_by(val)

    def __str__(self):
        return f"an instance, not a class, {super().__str__().removeprefix('an object ')}"


class NamedMetric:
    """A function of `skpot.metrics` known by its name and imported when it is called.

    The scorers must exist as soon as any estimator or `Targets` does, that is in layers below
    `skpot.metrics`.

    Parameters
    ----------
    name : str
        One of `METRICS`.
    """

    def __init__(self, name):
        self.__name__ = name  # what the repr of a scorer shows

    def __call__(self, y_true, y_pred, *, n_atoms=None, sample_weight=None):
        """Return the error of `y_pred`; see the function of the same name in `skpot.metrics`."""
        if self.__name__ not in METRICS:  # also guards names that come from a file
            raise InputError(f"{self.__name__!r} is not one of the metrics {METRICS}")
        function = getattr(importlib.import_module("skpot.metrics"), self.__name__)
        options = {} if n_atoms is None else {"n_atoms": n_atoms}
        return function(y_true, y_pred, sample_weight=sample_weight, **options)


class ItemizedAttributes:
    """Show the items of one fitted dictionary row by row in the HTML diagram, not cut short.

    To be placed left of `BaseEstimator`. scikit-learn before 1.9 shows no fitted attributes.
    """

    _itemized = None  # name of the dictionary

    def _get_fitted_attr_html(self, doc_link=""):
        shown = super()._get_fitted_attr_html(doc_link)
        if self._itemized in shown:
            items = shown.pop(self._itemized)["value"].items()
            rows = {
                f'{self._itemized}["{name}"]': {"type_name": type(value).__name__, "value": value}
                for name, value in items
            }
            shown.data = rows | shown.data  # first, ahead of tables nobody reads
        return shown


def register_scorers():
    """Make "neg_" + metric a valid `scoring` everywhere in scikit-learn.

    Classes and functions that take `scoring` froze the set of allowed names when their module was
    imported, which may have happened before us: those sets are extended too.
    """
    names = {f"neg_{metric}": metric for metric in METRICS}
    for scorer, metric in names.items():
        _SCORERS.setdefault(scorer, make_scorer(NamedMetric(metric), greater_is_better=False))
    modules = [m for name, m in sys.modules.items() if name.startswith("sklearn.")]
    for value in [v for m in modules for v in vars(m).values() if callable(v)]:
        for attribute in ("_parameter_constraints", "_skl_parameter_constraints"):
            constraints = getattr(value, attribute, None)
            if isinstance(constraints, dict):
                for option in constraints.get("scoring", ()):
                    if isinstance(option, StrOptions) and "r2" in option.options:
                        option.options.update(names)


def array_namespace():
    """Return the array API namespace that scikit-learn gives to NumPy arrays."""
    # Another module object, even numpy itself, would count as a mix of two array libraries.
    return importlib.import_module("sklearn.externals.array_api_compat.numpy")


register_scorers()
