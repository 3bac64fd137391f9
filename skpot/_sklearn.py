"""The only module that imports private names of scikit-learn.

When a release of scikit-learn moves such a name, only this file has to change.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

# Parameter validation with scikit-learn's own messages (`_parameter_constraints`).
from sklearn.base import _fit_context

# Public; it is here so that all warnings about versions are of the same class.
from sklearn.exceptions import InconsistentVersionWarning

# The table behind `scoring="..."`; there is no public way to add a name to it.
from sklearn.metrics._scorer import _SCORERS

# Selects rows of any X (list, array, container) exactly as cross-validation does.
from sklearn.utils import _safe_indexing

# The constraints that occur in `_parameter_constraints`.
from sklearn.utils._param_validation import (
    HasMethods,
    Hidden,
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_params,
)

# The length of any X, and checks of weights with scikit-learn's own messages.
from sklearn.utils.validation import _check_sample_weight, _num_samples

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

__all__ = [
    "HasMethods",
    "Hidden",
    "InconsistentVersionWarning",
    "InstanceWith",
    "Interval",
    "InvalidParameterError",
    "ItemizedAttributes",
    "Options",
    "StrOptions",
    "_SCORERS",
    "_check_sample_weight",
    "_fit_context",
    "_num_samples",
    "_safe_indexing",
    "array_namespace",
    "validate_params",
]


class InstanceWith(HasMethods):
    """Constraint of parameters that take an object with certain methods, and not its class."""

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether a value has the methods and is not a class."""
        return not isinstance(val, type) and super().is_satisfied_by(val)

    def __str__(self):
        return f"an instance, not a class, {super().__str__().removeprefix('an object ')}"


class ItemizedAttributes:
    """Show each item of a fitted dictionary in a row of its own in the HTML diagram.

    This class must stand left of `BaseEstimator` among the bases. scikit-learn before 1.9 shows no
    fitted attributes.
    """

    _itemized = None  # name of the fitted dictionary

    def _get_fitted_attr_html(self, doc_link=""):
        shown = super()._get_fitted_attr_html(doc_link)
        if self._itemized in shown:
            items = shown.pop(self._itemized)["value"].items()
            rows = {
                f'{self._itemized}["{name}"]': {"type_name": type(value).__name__, "value": value}
                for name, value in items
            }
            shown.data = rows | shown.data  # these rows come first
        return shown


def array_namespace() -> ModuleType:
    """Return the array API namespace that scikit-learn gives to NumPy arrays."""
    # With any other module, even numpy itself, scikit-learn would see two array libraries.
    return importlib.import_module("sklearn.externals.array_api_compat.numpy")
