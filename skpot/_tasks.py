"""Tasks of joblib whose results come in order, a few at a time, on every back end."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import joblib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

_AT_A_TIME = 4  # tasks for each worker, where all of them must end before results are there


def results_of(tasks: Iterable[Any]) -> Iterator[Any]:
    """Yield the results of tasks on the workers of `joblib.parallel_config`, in their order.

    Back ends that return lists only, such as that of Ray, get some tasks at a time, so that not all
    results are held.

    Parameters
    ----------
    tasks : iterable
        From `joblib.delayed`.
    """
    try:
        run = joblib.Parallel(return_as="generator")
    except ValueError:
        waiting, n = iter(tasks), _AT_A_TIME * joblib.effective_n_jobs(None)
        while some := list(itertools.islice(waiting, n)):
            yield from joblib.Parallel()(some)
    else:
        yield from run(tasks)
