"""Training rows folded into factors: here, or in groups that are tasks of joblib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.tasks import TASK_ATOMS, are_tasks, number_of_groups, results_of_groups, task_groups
from ..progress import progress
from ..solvers import TriangularFactor
from .blocks import whitened_blocks
from .factors import FitFactor, empty_factor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skpot.rows.contracts import TrainingColumns
    from skpot.rows.memory import BlockPlan
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray

# What rows took of one core of 2020, with which tasks are cut; models do not depend on it.
_PER_ATOM = 120e-6  # s, of neighbors, densities and their derivatives
_PER_PAIR = 4e-10  # s, for each atom and pair of columns: whitened and folded rows
_PER_PRODUCT = 3e-9  # s, for each atom, column and feature: derivatives of kernels
_MERGING = 1.5e-10  # s, for each triple of columns: the factors of all kinds of labels
_SHORTEST = 16.0  # s, of a task
_MERGES = 40  # how much longer than merging its factors a task should be


def row_groups(training: TrainingSet, m: int) -> list[IntArray]:
    """Return the structures of a training set in groups whose rows are folded together.

    Rows of a group take some ten seconds, or longer where many columns make factors that are large.

    Parameters
    ----------
    training : TrainingSet
        The structures.
    m : int
        Number of columns.
    """
    features = training.features
    return task_groups(training.order(), features.n_atoms, row_times(m, features.shape[1]))


def row_times(m: int, n_features: int) -> float:
    """Return how many times as many atoms the rows of a task have as features alone.

    Parameters
    ----------
    m : int
        Number of columns.
    n_features : int
        Number of features.
    """
    per_atom = _PER_ATOM + _PER_PAIR * m**2 + _PER_PRODUCT * m * n_features
    return max(_SHORTEST, _MERGES * _MERGING * m**3) / per_atom / TASK_ATOMS


def fold_rows(
    fit: FitFactor,
    columns: TrainingColumns,
    factor: Any,
    training: TrainingSet,
    plan: BlockPlan,
    verbose: int,
) -> None:
    """Fold the rows of a training set into factors.

    Groups of structures have factors of their own, which are merged in pairs, in their order. A
    task returns a trapezoid for each kind of label. So the factor is the same to the last bit
    wherever the tasks ran and whichever ended first.

    Parameters
    ----------
    fit : FitFactor
        Takes the rows.
    columns, factor, training, plan, verbose
        See `whitened_blocks`.
    """
    groups = row_groups(training, len(columns))
    with progress(len(training), "fit", verbose) as bar:
        if len(groups) == 1:
            _fold(fit, training, groups[0], columns, factor, plan, bar.update)
            return
        if are_tasks(training, groups):
            shared = columns, factor, plan
            found = results_of_groups(_folded, training, groups, shared)
            found = _counted(found, groups, bar)
        else:
            found = (_folded(training, some, columns, factor, plan, bar.update) for some in groups)
        for kind, trapezoid in merged(found).items():
            fit.merge(kind, trapezoid)


def n_held(training: TrainingSet, m: int) -> int:
    """Return how many results of tasks are held at a time, at most, for m columns."""
    features = training.features
    n = number_of_groups(features.n_atoms, row_times(m, features.shape[1]))
    return 0 if n == 1 else 2 + int(np.log2(n))


def _counted(found, groups, bar):
    for one, some in zip(found, groups, strict=True):
        bar.update(len(some))
        yield one


def _fold(fit, training, some, columns, factor, plan, tell):
    for part, kinds in whitened_blocks(columns, factor, training, plan, 0, order=some):
        for kind, rows in kinds:
            fit.fold(kind, rows)
        tell(len(part))


def _folded(training, some, columns, factor, plan, tell=lambda n: None):
    """Return the trapezoids of a group of structures."""
    fit = FitFactor(empty_factor(len(columns)), None)
    _fold(fit, training, some, columns, factor, plan, tell)
    return fit.trapezoids()


def merged(found: Iterable[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    """Return the trapezoids that stand for all rows of those that come, merged in pairs.

    Two results of one level of the tree are merged when both are there, so that few are held.
    """
    stack: list[tuple[int, dict[str, FloatArray]]] = []
    for result in found:
        level = 0
        while stack and stack[-1][0] == level:
            result = _pair(stack.pop()[1], result)
            level += 1
        stack.append((level, result))
    while len(stack) > 1:
        last = stack.pop()[1]
        stack.append((stack[-1][0], _pair(stack.pop()[1], last)))
    return stack[0][1]


def _pair(one, other):
    out = dict(one)
    for kind, trapezoid in other.items():
        if kind in out:
            n = trapezoid.shape[1] - 1
            factor = TriangularFactor(np.zeros((n, n)))
            for rows in (out[kind], trapezoid):
                factor.merge(rows)
            trapezoid = factor.trapezoid
        out[kind] = trapezoid
    return out
