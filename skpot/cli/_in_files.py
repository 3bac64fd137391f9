"""Structures that stay in their files, and workers that fit parts of them: `fit --max-memory`."""

import contextlib
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from skpot.data import Frames
from skpot.data.order import content_keys, keyed_uniform

from ._console import CommandError

if TYPE_CHECKING:
    from skpot.typing import IntArray

_POWERS = ("", "K", "M", "G", "T")
_SIZE = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([kKMGT]?)(i?)[bB]?\s*")
_MOST_ATOMS = 200_000  # of training structures whose errors are looked at
_TIMEOUT = "20s"  # for the scheduler to answer


def memory_size(text: str) -> float:
    """Return the bytes that a text such as "600MB", "1.5 GiB" or "8e8" means."""
    size = 0.0
    if found := _SIZE.fullmatch(text):
        base = 1024.0 if found[3] else 1000.0
        size = float(found[1]) * base ** _POWERS.index(found[2].upper())
    if not 0.0 < size < math.inf:
        raise CommandError(f"--max-memory {text!r}: expected a size such as 600MB or 2GB.")
    return size


def drawn(X: Frames, seed: int) -> "IntArray":
    """Return structures of some 200 000 atoms, drawn at random by their content."""
    order = np.argsort(keyed_uniform(content_keys(X), seed), kind="stable")
    n_atoms = np.diff(X.survey.offsets)
    n = max(1, int(np.searchsorted(np.cumsum(n_atoms[order]), _MOST_ATOMS, side="right")))
    return np.sort(order[:n])


@contextlib.contextmanager
def workers(scheduler: str | None, jobs: int) -> Iterator[None]:
    """Give the parts of fits to a cluster of dask, to processes, or to nobody else."""
    import joblib

    if scheduler is None:
        with joblib.parallel_config("loky", n_jobs=jobs) if jobs > 1 else contextlib.nullcontext():
            yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise CommandError('--scheduler needs dask: pip install "skpot[distributed]".') from None
    try:
        client = Client(scheduler, timeout=_TIMEOUT, set_as_default=True)
    except (OSError, ValueError) as error:
        raise CommandError(f"--scheduler {scheduler}: nobody answers there: {error}") from None
    with client, joblib.parallel_config("dask"):
        yield
