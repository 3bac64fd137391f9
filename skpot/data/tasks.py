"""Passes over many structures in groups, which are tasks of joblib where structures are in files.

Groups depend on the content of the structures alone. Their results come in the order of the groups,
so that what is made of them is the same to the last bit wherever the work was done: here or on the
workers of `joblib.parallel_config`, for structures in files or in memory.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import joblib
import numpy as np

from .._tasks import results_of
from ._frames import parts_of
from ._graph import rows_of
from ._packed import Packed
from .contracts import InFiles
from .order import environment_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from skpot.data._features import AtomicFeatures
    from skpot.typing import FloatArray, IntArray

TASK_ATOMS = 10_000  # of a task that needs features alone, which takes a part of a second or more
_ROWS = 2048  # environments whose features a function gets at a time


def task_groups(order: IntArray, n_atoms: IntArray, times: float = 1.0) -> list[IntArray]:
    """Return structures, in an order, in groups of about equal size.

    Each has at least `TASK_ATOMS` atoms times a factor, and less than twice as many.

    Parameters
    ----------
    order : ndarray of int
        Structures, in the order of some canonical rule.
    n_atoms : ndarray of int of shape (n_structures,)
        Their numbers of atoms.
    times : float, default=1.0
        The factor; below one for work that takes longer than features.
    """
    sizes = n_atoms[order]
    n, total = number_of_groups(sizes, times), int(sizes.sum())
    if n == 1:
        return [order]
    return list(parts_of(order, n_atoms, total / n + int(sizes.max())))


def number_of_groups(n_atoms: IntArray, times: float = 1.0) -> int:
    """Return at most how many groups `task_groups` makes of structures."""
    return max(1, int(int(n_atoms.sum()) / (times * TASK_ATOMS)))


def are_tasks(data: Any, groups: Sequence[IntArray]) -> bool:
    """Return whether groups are tasks: of structures in files, where there are several workers."""
    return len(groups) > 1 and isinstance(data, InFiles) and joblib.effective_n_jobs(None) > 1


def results_of_groups(
    function: Callable[..., Any],
    data: Any,
    groups: Sequence[IntArray],
    shared: tuple[Any, ...] = (),
    own: Iterable[tuple[Any, ...]] | None = None,
) -> Iterator[Any]:
    """Yield what a function finds in groups of structures, in their order.

    A task gets places in files instead of structures.

    Parameters
    ----------
    function : callable
        Takes data, the indices of a group in them, what is shared, and what is its own. It must be
        one that other processes can import.
    data : AtomicFeatures, TrainingSet or LabeledParts
        All structures; those in files have the methods of `InFiles`.
    groups : list of ndarray of int
        See `task_groups`.
    shared : tuple
        Arguments that all groups have in common.
    own : iterable of tuple, optional
        Arguments that each group alone has.
    """
    with_own = zip(groups, itertools.repeat(()) if own is None else own, strict=False)
    if not are_tasks(data, groups):
        for some, alone in with_own:
            yield worked(function, data, some, shared, alone)
        return
    common = Packed((function, shared, data.makers()))
    found = results_of(
        joblib.delayed(_task)(common, Packed((data.part(some).detached(), alone)))
        for some, alone in with_own
    )
    for some, packed in zip(groups, found, strict=True):
        result, seen = packed.content()
        for array, values in zip(data.seen, seen, strict=True):
            array[some] = values
        yield result


def _task(common: Packed, packed: Packed) -> Packed:
    """Return what a function finds in structures in files, and what was noted of these."""
    function, shared, makers = common.content()
    detached, own = packed.content()
    data = detached.attached(makers)
    n = len(data)  # they were taken in the order of the group
    return Packed((worked(function, data, np.arange(n), shared, own), data.seen))


def worked(
    function: Callable[..., Any],
    data: Any,
    some: IntArray,
    shared: tuple[Any, ...],
    own: tuple[Any, ...],
) -> Any:
    """Return what a function finds in a group; all that can be a task comes through here."""
    return function(data, some, *shared, *own)


class Blocks(NamedTuple):
    """The environments of a group, in the canonical order, some at a time."""

    features: AtomicFeatures
    some: np.ndarray  # the structures of the group

    def __iter__(self):
        """Yield which rows of the group come, as a slice, and their features."""
        begin = 0
        for members, values in environment_blocks(self.features, _ROWS, self.some):
            yield slice(begin, begin + len(members)), values
            begin += len(members)


def results_of_environments(
    function: Callable[..., Any],
    features: AtomicFeatures,
    shared: tuple[Any, ...] = (),
    own: tuple[FloatArray | IntArray, ...] = (),
) -> Iterator[tuple[IntArray, Any]]:
    """Yield environments, those of a group at a time, and what a function finds in them.

    Parameters
    ----------
    function : callable
        Takes the `Blocks` of a group, what is shared, and the rows of what is its own.
    features : AtomicFeatures
        All structures.
    shared : tuple
        Arguments that all groups have in common.
    own : tuple of ndarray of shape (n_environments, ...)
        Arguments with a row for each environment.

    Yields
    ------
    rows : ndarray of int
        The environments of the group, in the order in which `Blocks` has them.
    result
        What the function returned.
    """
    offsets = features.offsets
    groups = task_groups(np.argsort(features.info.keys, kind="stable"), features.n_atoms)
    alone = ((tuple(array[rows_of(some, offsets)[0]] for array in own),) for some in groups)
    found = results_of_groups(_in_blocks, features, groups, (function, shared), alone)
    for some, result in zip(groups, found, strict=True):
        yield rows_of(some, offsets)[0], result


def _in_blocks(features, some, function, shared, own):
    return function(Blocks(features, some), *shared, *own)
