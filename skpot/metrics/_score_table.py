"""Scores of cross-validation and searches as tables of errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..data import LABEL_KINDS
from ..data.label_errors import METRICS, UNITS
from ..data.tables import require_pandas
from ..exceptions import InputTypeError

if TYPE_CHECKING:
    from typing import Any

    from pandas import DataFrame

_SCORE = re.compile(r"(?:(mean|std|rank)_)?(test|train)_(.+)")
_ERRORS = {f"neg_{metric.__name__}": metric.__name__ for metric in METRICS}
_PROGRESS = ("iter", "n_resources")  # of halving searches


def score_table(results: Any, scoring: str | None = None) -> DataFrame:
    """Return the scores of a cross-validation or search as a table of pandas.

    Scores of skpot, such as "neg_forces_rmse", become errors: positive, in the units of `summary`,
    which the name of the column has. Other scores stay as they are.

    Parameters
    ----------
    results : dict or fitted search
        What `cross_validate` returned, or a search such as `GridSearchCV`, or its `cv_results_`.
    scoring : str, optional
        The name of the score, if there is a single one and `results` is a dict: scikit-learn calls
        it "score" there. By default it is known of searches only.

    Returns
    -------
    DataFrame of shape (n_folds or n_candidates, n_columns)
        For a cross-validation one row for each fold. For a search one row for each candidate, the
        best first, with its parameters, and for each score the mean over folds, its standard
        deviation ("std") and the rank. Then come times of fits and scores in seconds. Where forces
        are not scored, the results do not tell whether energies count per atom, and the unit is
        "meV or meV/atom": per atom if the labels have forces.

    Raises
    ------
    ImportError
        If pandas is not installed.
    TypeError
        If `results` is none of these, for example a search that is not fitted.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.model_selection import cross_validate
    >>> from skpot.metrics import score_table
    >>> data = skpot.datasets.load_silicon()
    >>> model = skpot.make_potential("fast")
    >>> scoring = ["neg_energy_rmse", "neg_forces_rmse"]
    >>> results = cross_validate(model, data.X[:20], data.y[:20], scoring=scoring, cv=2)
    >>> table = score_table(results)
    >>> list(table.columns[:2])
    ['energy_rmse (meV/atom)', 'forces_rmse (eV/Å)']
    >>> len(table)
    2
    """
    pandas = require_pandas()
    refit: Any = None
    if hasattr(results, "cv_results_"):
        refit, single = results.refit, results.scoring
        scoring = single if scoring is None and isinstance(single, str) else scoring
        results = results.cv_results_
    scores = _scores(results)
    if not scores:
        raise InputTypeError(
            "results must be what cross_validate returned, a fitted search or its cv_results_, got "
            f"{type(results).__name__}."
        )
    columns = {name: results[name] for name in _PROGRESS if name in results}
    columns |= {name[6:]: results[name] for name in results if name.startswith("param_")}
    per_atom = any("forces" in name for *_, name in scores.values())
    for key, (statistic, part, name) in scores.items():
        title, factor = _title(statistic, part, scoring if name == "score" else name, per_atom)
        columns[title] = factor * np.asarray(results[key])
    for name in ("fit_time", "score_time"):
        columns[f"{name} (s)"] = results[f"mean_{name}" if "params" in results else name]
    table = pandas.DataFrame(columns)
    table.index.name = "candidate" if "params" in results else "fold"
    ranks = [key for key, (statistic, *_) in scores.items() if statistic == "rank"]
    if not ranks:
        return table
    best = f"rank_test_{refit}" if f"rank_test_{refit}" in ranks else ranks[0]
    return table.iloc[np.argsort(results[best], kind="stable")]


def _scores(results):
    """Return (statistic, part, scorer) of each key that has a score of a fold or of all."""
    matches = map(_SCORE.fullmatch, results if isinstance(results, Mapping) else ())
    return {match[0]: match.groups() for match in matches if match is not None}


def _title(statistic, part, name, per_atom):
    """Return the name of a column, and the factor of its numbers."""
    train = "train " if part == "train" else ""
    kind = {"std": " std", "rank": " rank"}.get(statistic, "")
    metric = _ERRORS.get(name)
    if metric is None or statistic == "rank":
        return f"{train}{metric or name or 'score'}{kind}", 1
    label = next(label for label in LABEL_KINDS if metric.startswith(label))
    unit, factor = UNITS[label]
    if label == "energy" and not per_atom:
        unit = f"meV or {unit}"
    return f"{train}{metric}{kind} ({unit})", factor if statistic == "std" else -factor
