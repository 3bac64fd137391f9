"""Threads at one level only: either in BLAS or around it."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import ThreadpoolController

from ..core import n_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Any


@contextmanager
def tile_threads(n_tiles: int) -> Iterator[Callable[..., Any]]:
    """Yield a `map` over independent tiles of work, each with serial BLAS.

    It uses as many threads as Numba, but not more than there are tiles. Threads inside BLAS would
    synchronize at every small product and compete with those of compiled functions. Every sum keeps
    its order, so results do not depend on the number of threads.

    Parameters
    ----------
    n_tiles : int
        Largest number of tiles.
    """
    available = n_threads()
    if available == 1:
        yield map
        return
    with serial_blas():
        if n_tiles < 2:
            yield map
            return
        # Threads treat numerical errors as their caller does.
        begin = functools.partial(np.seterr, **np.geterr())
        with ThreadPoolExecutor(min(available, n_tiles), initializer=begin) as pool:
            yield pool.map


def serial_blas() -> AbstractContextManager[Any]:
    """Return a context in which BLAS has one thread, so that its sums have one order."""
    return _controller().limit(limits=1, user_api="blas")


@functools.cache
def _controller():
    return ThreadpoolController()  # takes milliseconds, as it searches the libraries of the process
