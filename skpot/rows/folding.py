"""Training rows folded into factors: here, or in parts that are tasks of joblib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import joblib
import numpy as np

from .._tasks import results_of
from ..data import Packed, parts_of
from ..progress import progress
from ..solvers import TriangularFactor
from .blocks import whitened_blocks
from .factors import FitFactor, empty_factor
from .streamed_set import StreamedSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skpot.rows.contracts import TrainingColumns
    from skpot.rows.memory import BlockPlan
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray

TASK_ATOMS = 20_000  # whose rows take some ten seconds; shorter tasks cost more than they gain


def fold_rows(
    fit: FitFactor,
    columns: TrainingColumns,
    factor: Any,
    training: TrainingSet,
    plan: BlockPlan,
    verbose: int,
) -> None:
    """Fold the rows of a training set into factors.

    Structures of some 20 000 atoms at a time have factors of their own, which are merged in pairs,
    in their order. Where joblib has several workers (`joblib.parallel_config`) and structures are
    in files, these are tasks: a task gets places in files instead of structures and returns a
    trapezoid for each kind of label. So the factor is the same to the last bit wherever the tasks
    ran and whichever ended first.

    Parameters
    ----------
    fit : FitFactor
        Takes the rows.
    columns, factor, training, plan, verbose
        See `whitened_blocks`.
    """
    order, n_atoms = training.order(), training.features.n_atoms
    groups = list(parts_of(order, n_atoms, TASK_ATOMS))
    with progress(len(training), "fit", verbose) as bar:
        if len(groups) == 1:
            _fold(fit, columns, factor, training, plan, order, bar)
            return
        if isinstance(training, StreamedSet) and joblib.effective_n_jobs(None) > 1:
            shared = Packed((columns, factor, plan, training.makers()))
            found = results_of(
                joblib.delayed(_folded)(shared, Packed(training.part(some).detached()))
                for some in groups
            )
            found = _counted(found, groups, bar)
        else:
            found = (_apart(columns, factor, training, plan, some, bar) for some in groups)
        for kind, trapezoid in merged(found).items():
            fit.merge(kind, trapezoid)


def n_held(n_atoms: int) -> int:
    """Return how many results of tasks are held at a time, at most, of so many atoms."""
    return 0 if n_atoms <= TASK_ATOMS else 2 + int(np.log2(n_atoms / TASK_ATOMS))


def _counted(found, groups, bar):
    for one, some in zip(found, groups, strict=True):
        bar.update(len(some))
        yield one


def _fold(fit, columns, factor, training, plan, order, bar):
    for part, kinds in whitened_blocks(columns, factor, training, plan, 0, order=order):
        for kind, rows in kinds:
            fit.fold(kind, rows)
        bar.update(len(part))


def _apart(columns, factor, training, plan, order, bar):
    """Return the trapezoids of some structures."""
    fit = FitFactor(empty_factor(len(columns)), None)
    _fold(fit, columns, factor, training, plan, order, bar)
    return fit.trapezoids()


def _folded(shared: Packed, packed: Packed) -> dict[str, FloatArray]:
    """Return the trapezoids of structures in files: a task."""
    columns, factor, plan, makers = shared.content()
    training = packed.content().attached(makers)
    order = np.arange(len(training))  # the part was made in the canonical order
    with progress(len(training), "task") as bar:
        return _apart(columns, factor, training, plan, order, bar)


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
                factor.fold(np.array(rows))
            trapezoid = factor.trapezoid
        out[kind] = trapezoid
    return out
