"""Several networks trained side by side: each from a start of its own, on the same labels."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from joblib import effective_n_jobs

from ..progress import progress
from ..solvers import serial_blas
from .network_training import Schedule, Trained, train

if TYPE_CHECKING:
    from typing import Any

    from skpot.processes.network_loss import NetworkLoss
    from skpot.typing import FloatArray, IntArray


class Patience(NamedTuple):
    """When training stops because scores of structures that are held out do not rise."""

    tol: float  # by how much they must rise
    n_epochs: int  # within how many epochs

    def goes_on(self, scores: list[float]) -> bool:
        """Return whether there is hope."""
        before, recent = scores[: -self.n_epochs], scores[-self.n_epochs :]
        return not before or max(recent) > max(before) + self.tol


class Lesson(NamedTuple):
    """What networks learn from, and how."""

    loss: NetworkLoss
    structures: IntArray  # to learn from, by their place in the inputs
    schedule: Schedule
    held_out: IntArray | None = None  # structures to try weights on after each epoch
    patience: Patience | None = None  # None goes on to the end


def train_members(
    lesson: Lesson, starts: list[FloatArray], seeds: list[Any], n_jobs: int | None, verbose: int
) -> tuple[list[Trained], bool]:
    """Return networks that have learned, in the order of their starts, and if they were stopped.

    Each has a thread of its own, with serial BLAS, so that results do not depend on their number.
    An interrupt (Ctrl-C) ends training: networks are returned as far as they have come, those that
    have not begun are left out, and only if none has begun it goes on.

    Parameters
    ----------
    lesson : Lesson
        What they learn from, and how.
    starts : list of ndarray of shape (n_weights,)
        Where they start.
    seeds : list of RandomState
        Of the batches of each.
    n_jobs : int or None
        Number of threads, as in joblib.
    verbose : int
        1 shows a progress bar.
    """
    stop = threading.Event()
    threads = min(effective_n_jobs(n_jobs), len(starts))
    errors = np.geterr()
    total = len(starts) * lesson.schedule.n_epochs
    with (
        serial_blas(),
        progress(total, "training", verbose, "epoch") as bar,
        ThreadPoolExecutor(threads, initializer=lambda: np.seterr(**errors)) as pool,
    ):

        def goes_on(scores):
            bar.update(1)
            patient = lesson.patience is None or lesson.patience.goes_on(scores)
            return patient and not stop.is_set()

        def learn(start, seed):
            if stop.is_set():
                return None
            parts = lesson.loss, start, lesson.structures, lesson.schedule
            return train(*parts, seed, goes_on, lesson.held_out)

        waiting = [pool.submit(learn, *pair) for pair in zip(starts, seeds, strict=True)]
        found = _results(waiting, stop)
    return [member for member in found if member is not None], stop.is_set()


def _results(waiting, stop):
    """Return the results of all threads; after an interrupt or error, as soon as these can stop."""
    try:
        return [future.result() for future in waiting]
    except KeyboardInterrupt:
        stop.set()
        found = [future.result() for future in waiting]
        if all(member is None for member in found):
            raise
        return found
    except BaseException:
        stop.set()
        raise
