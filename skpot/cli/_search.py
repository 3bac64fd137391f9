"""Cross-validation for the commands."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, ParameterGrid
from tqdm import tqdm

if TYPE_CHECKING:
    from skpot.data import Targets
    from skpot.typing import Structures


class _Counted:
    """A scorer that advances a progress bar at each call."""

    def __init__(self, scorer: Callable[..., Any], bar: Any) -> None:
        self.scorer, self.bar = scorer, bar

    def __call__(self, estimator, X, y):
        score = self.scorer(estimator, X, y)
        self.bar.update(1)
        return score


def searched(
    model: Any,
    candidates: Any,
    X: "Structures",
    y: "Targets",
    splits: Any,
    jobs: int = 1,
    quiet: bool = False,
) -> Any:
    """Return a grid search by the error of forces, or of energies if there are none."""
    metric = "neg_forces_rmse" if y.has_forces.any() else "neg_energy_rmse"
    scorer = get_scorer(metric)
    total = len(ParameterGrid(candidates)) * len(splits)
    serial = jobs == 1
    with tqdm(total=total, desc="search", unit="fit", disable=quiet or not serial) as bar:
        search = GridSearchCV(
            model,
            candidates,
            scoring=_Counted(scorer, bar) if serial else scorer,
            cv=splits,
            n_jobs=jobs,
            refit=False,
            error_score="raise",
            verbose=0 if quiet or serial else 1,
        )
        search.fit(X, y)
    return search


def cross_validated(
    model: Any, X: "Structures", y: "Targets", splits: Any, jobs: int = 1
) -> "tuple[Structures, Targets, Any]":
    """Return what was held out, and predictions by models that have not learned from it."""
    predicted = Parallel(jobs)(
        delayed(_predicted)(clone(model), X, y, train, test) for train, test in splits
    )
    held_out = np.concatenate([test for _, test in splits])
    return [X[i] for i in held_out], y[held_out], np.concatenate(predicted)


def _predicted(model, X, y, train, test):
    return model.fit([X[i] for i in train], y[train]).predict([X[i] for i in test])
