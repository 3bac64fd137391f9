"""Cross-validation for the commands."""

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.metrics import get_scorer
from sklearn.model_selection import ParameterGrid

from skpot.data import taken_of
from skpot.exceptions import warn_once
from skpot.progress import followed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skpot.data import Targets
    from skpot.typing import FloatArray, Structures


class Found(NamedTuple):
    """Result of a search."""

    params: list[dict[str, Any]]
    scores: "FloatArray"  # (n_candidates, n_folds): minus the errors
    kind: str  # of the labels whose errors these are

    @property
    def best_params(self) -> dict[str, Any]:
        """The first of the candidates with the best mean."""
        return self.params[int(np.argmax(self.scores.mean(axis=1)))]


def searched(
    model: Any, candidates: Any, X: "Structures", y: "Targets", splits: Any, jobs: int = 1
) -> Found:
    """Return the errors of forces, or of energies if there are none, of all candidates.

    They are those of GridSearchCV, which can neither show a bar nor hand on the warnings of its
    processes.
    """
    kind = "forces" if y.has_forces.any() else "energy"
    params = list(ParameterGrid(candidates))
    tasks = [
        (clone(model).set_params(**one), f"neg_{kind}_rmse", X, y, *split)
        for one in params
        for split in splits
    ]
    scores = np.array(list(_done(_score, tasks, jobs, "search")))
    return Found(params, scores.reshape(len(params), len(splits)), kind)


def cross_validated(
    model: Any, X: "Structures", y: "Targets", splits: Any, jobs: int = 1
) -> "tuple[Structures, Targets, Any]":
    """Return what was held out, and predictions by models that have not learned from it."""
    tasks = [(clone(model), X, y, *split) for split in splits]
    predicted = list(_done(_predicted, tasks, jobs, "cross-validation"))
    held_out = np.concatenate([test for _, test in splits])
    return taken_of(X, held_out), y[held_out], np.concatenate(predicted)


def _done(function: Any, tasks: list[Any], jobs: int, what: str) -> "Iterator[Any]":
    """Yield the results of tasks in their order, show the progress, and hand on warnings."""
    results = Parallel(jobs, return_as="generator")(
        delayed(_recorded)(function, *task) for task in tasks
    )
    for result, told in followed(results, len(tasks), what, "fit"):
        for warning in told:
            text = str(warning)
            warn_once(getattr(warning, "cause", "") or text, text, _category(warning))
        yield result


def _category(warning):
    """Return a class that takes a text alone, as those of other packages may not."""
    known = ("builtins", "skpot.exceptions")
    return next(kind for kind in type(warning).__mro__ if kind.__module__ in known)


def _recorded(function, *args):
    """Return a result and the warnings on the way, which a process of its own would print."""
    with warnings.catch_warnings(record=True) as told:
        result = function(*args)
    return result, [entry.message for entry in told]


def _score(model, metric, X, y, train, test):
    fitted = _fitted(model, X, y, train)
    return get_scorer(metric)(fitted, taken_of(X, test), y[test])


def _predicted(model, X, y, train, test):
    return _fitted(model, X, y, train).predict(taken_of(X, test))


def _fitted(model, X, y, train):
    return model.fit(taken_of(X, train), y[train])
