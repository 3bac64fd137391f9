"""A check that the parts of a fitted model agree with each other, before it is used."""

from __future__ import annotations

import numbers
import re
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator

from ..data.elements import SYMBOLS
from ..exceptions import ModelFileError
from ._relations import RELATIONS
from ._shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_DIMENSION = re.compile(r"([A-Z])(\+1)?")
_KEYS = (str, int, float, np.integer, np.floating)  # types of keys that files preserve
# Attributes that only report on a fit. They may hold NaN for what is not known.
_REPORTS = re.compile(r"cv_results_|learning_curves_|statistics_|.*_score_|log_marginal.*")


def check_model(model: Any, where: str) -> None:
    """Refuse a model whose parts do not agree with each other.

    Parameters
    ----------
    model : object
        The model that `load` has read or `dump` is to write.
    where : str
        Name of the file, for messages.

    Raises
    ------
    ModelFileError
        If shapes disagree, values are out of range or NaN, or a mapping has keys that no file can
        hold.
    """
    _Walk(where).visit(model, "model")


class _Walk:
    """Visits all objects in a model, each of them once."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.seen = {}

    def visit(self, value: Any, name: str) -> None:
        if id(value) in self.seen or isinstance(value, str | numbers.Number | type(None)):
            return
        self.seen[id(value)] = value
        if isinstance(value, dict):
            self._visit_dict(value, name)
        elif isinstance(value, tuple) and hasattr(value, "_fields"):
            self._check(value, value._asdict(), name)
            self._visit_items(value._asdict(), name)
        elif isinstance(value, list | tuple | set):
            self._visit_items(dict(enumerate(value)), name, "[{}]")
        elif isinstance(value, np.ndarray) and value.dtype.hasobject:
            self._visit_items(dict(enumerate(value.ravel())), name, "[{}]")
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            self._check(value, vars(value), name)
            # Estimators may write attributes in another form than they have in memory.
            written = value.__getstate__() if isinstance(value, BaseEstimator) else vars(value)
            self._visit_items(written, name)

    def _visit_dict(self, value, name):
        wrong = [key for key in value if not isinstance(key, _KEYS) or isinstance(key, bool)]
        if wrong:
            self._refuse(name, f"has the key {wrong[0]!r}, but keys must be numbers or text")
        self._visit_items(value, name, "[{!r}]")

    def _visit_items(self, items, name, pattern=".{}"):
        for key, value in items.items():
            self.visit(value, name + pattern.format(key))

    def _check(self, value, fields, name):
        try:
            self._check_object(value, fields, name)
        except ModelFileError:
            raise
        except Exception as error:  # a part may be anything instead of what it should be
            self._refuse(name, f"cannot be used: {error}", error)

    def _check_object(self, value, fields, name):
        if sp.issparse(value):
            value.check_format(full_check=True)  # SciPy checks only sizes by default
            return
        kinds = [kind.__name__ for kind in type(value).__mro__]
        shapes = next((SHAPES[kind] for kind in kinds if kind in SHAPES), {})
        dimensions = {}
        fitted = not isinstance(value, BaseEstimator) or _is_fitted(fields)
        for field, shape in shapes.items() if fitted else ():
            if fields.get(field) is not None:
                _Shape(shape, dimensions).check(fields[field], f"{name}.{field}", self._refuse)
        if isinstance(value, BaseEstimator) and fitted:
            self._check_estimator(value, fields, name)
        for relation in (RELATIONS[k] for k in kinds if fitted and k in RELATIONS):
            if not relation(value, dimensions):
                self._refuse(name, f"is a {kinds[0]} whose parts do not agree with each other")
        if fitted and hasattr(value, "_tables"):
            self.visit(value.tables(), f"{name}.tables()")
            self.visit(getattr(value, "_penalties", dict)(), f"{name}.penalty_")

    def _check_estimator(self, value, fields, name):
        if type(value).__module__.startswith("skpot."):
            value._validate_params()
        for field, array in fields.items():
            if field.endswith("_") and not _REPORTS.fullmatch(field) and _has_nan(array):
                self._refuse(f"{name}.{field}", "is not finite")

    def _refuse(self, name, problem, cause=None):
        raise ModelFileError(
            f"{self.where}: {name} {problem.rstrip('.')}. The model is damaged, or its attributes "
            "were changed after fit; fit it again."
        ) from cause


class _Shape:
    """A description of a value as in `_shapes`, with the dimensions that are known so far."""

    def __init__(self, text: str, dimensions: dict[str, int]) -> None:
        self.of_dict = text.startswith("dict ")
        self.kind, *self.dims = text.removeprefix("dict ").split()
        self.dimensions = dimensions

    def check(self, value: Any, name: str, refuse: Callable[..., Any]) -> None:
        """Call `refuse` with the problem, if there is one."""
        if self.kind == "any":
            return
        if self.kind == "count":
            if not _is_integer(value) or value < 0 or not self._agrees(self.dims[0], int(value)):
                refuse(name, f"is {value!r}, which does not agree with the shapes of arrays")
            return
        for part in value.values() if self.of_dict else [value]:
            absent = self.of_dict and self.dims and part is None  # not all kinds have an array
            problem = None if absent else self._problem(part)
            if problem:
                refuse(name, problem)

    def _problem(self, value):
        if self.kind == "flag":
            return None if isinstance(value, bool | np.bool_) else f"is {value!r}, no truth value"
        array = np.asarray(value)
        kind, _, limit = self.kind.partition("<")
        integer = kind not in ("float", "real", "finite")
        types = "iu" if integer else ("f" if isinstance(value, np.ndarray) else "fiu")
        exact = kind == "float" or integer  # compiled functions need exactly this type
        narrow = exact and isinstance(value, np.ndarray) and array.dtype.itemsize != 8
        if array.dtype.kind not in types or narrow or not array.dtype.isnative:
            return f"has values of type {array.dtype}, which is not possible here"
        if kind == "finite":
            return None if np.isfinite(array).all() else "is not finite"
        if array.ndim != len(self.dims) or not all(map(self._agrees, self.dims, array.shape)):
            return f"has the shape {array.shape}, which does not agree with that of others"
        if not integer:
            return None if np.isfinite(array).all() else "is not finite"
        return None if self._in_range(kind, limit, array) else "has integers out of their range"

    def _agrees(self, dimension, size):
        match = _DIMENSION.fullmatch(dimension)
        if match is None:
            return dimension == "*" or int(dimension) == size
        size -= 1 if match[2] else 0
        return self.dimensions.setdefault(match[1], size) == size

    def _in_range(self, kind, limit, array):
        if kind == "edges":
            rises = len(array) > 0 and array[0] == 0 and (np.diff(array) >= 0).all()
            return rises and self._agrees(limit, int(array[-1]))
        if kind in ("species", "elements"):
            steps = np.diff(array)
            in_order = (steps >= (0 if kind == "species" else 1)).all()
            return in_order and _between(array, 0, len(SYMBOLS))
        if kind == "index":
            size = self.dimensions.get(limit)
            return size is None or _between(array, 0, size)
        return True


def _is_fitted(fields):
    return any(name.endswith("_") and not name.startswith("_") for name in fields)


def _is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _between(array, low, high):
    return array.size == 0 or bool(array.min() >= low and array.max() < high)


def _has_nan(value):
    is_array = isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)
    return is_array and value.dtype.kind == "f" and not np.isfinite(value).all()
