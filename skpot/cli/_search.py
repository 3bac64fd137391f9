"""Cross-validation for the commands."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    ParameterGrid,
    cross_val_predict,
)
from tqdm import tqdm

from ..data.order import content_keys, keyed_uniform
from ..exceptions import InputError

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


def folds(X: "Structures", n: int, group_key: str | None, seed: int) -> tuple[Any, Any]:
    """Return a splitter and the group of each structure.

    Without a key, groups are random folds, which depend on the seed and on the structures but not
    on their order.
    """
    if group_key is None:
        if len(X) < n:
            raise InputError(f"{n} folds need as many structures, but there are {len(X)}.")
        order = np.argsort(keyed_uniform(content_keys(X), seed), kind="stable")
        fold = np.empty(len(X), dtype=np.int64)
        fold[order] = np.arange(len(X)) % n
        return GroupKFold(n), fold
    missing = [i for i, atoms in enumerate(X) if group_key not in atoms.info]
    if missing:
        known = sorted({key for atoms in X for key in atoms.info}) or "nothing"
        raise InputError(
            f"{len(missing)} structures (first: {missing[0]}) have no info key {group_key!r}; "
            f"the structures have {known}."
        )
    groups = np.array([str(atoms.info[group_key]) for atoms in X])
    found = len(np.unique(groups))
    if found < 2:
        raise InputError(
            f"all structures belong to one group, since their {group_key!r} is {groups[0]!r}."
        )
    return GroupKFold(min(n, found)), groups


def searched(
    model: Any,
    candidates: Any,
    X: "Structures",
    y: "Targets",
    splitter: Any,
    groups: Any,
    jobs: int = 1,
) -> Any:
    """Return a grid search by the error of forces, or of energies if there are none."""
    metric = "neg_forces_rmse" if y.has_forces.any() else "neg_energy_rmse"
    scorer = get_scorer(metric)
    total = len(ParameterGrid(candidates)) * splitter.n_splits
    serial = jobs == 1
    with tqdm(total=total, desc="search", unit="fit", disable=not serial) as bar:
        search = GridSearchCV(
            model,
            candidates,
            scoring=_Counted(scorer, bar) if serial else scorer,
            cv=splitter,
            n_jobs=jobs,
            refit=False,
            error_score="raise",
            verbose=0 if serial else 1,
        )
        search.fit(X, y, groups=groups)
    return search


def cross_validated(
    model: Any, X: "Structures", y: "Targets", splitter: Any, groups: Any, jobs: int = 1
) -> Any:
    """Return the prediction for each structure by a model that has not learned from it."""
    return cross_val_predict(model, X, y, groups=groups, cv=splitter, n_jobs=jobs)
