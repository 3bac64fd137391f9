"""Where the Jacobians of a training set are: in memory, or in temporary files."""

from __future__ import annotations

import contextlib
import math
import mmap
import shutil
import tempfile
from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import NumericalWarning, warn_once
from ..rows.memory import size_text

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

_LARGEST = 2e9  # bytes that are held in memory where max_memory does not say
_SPARE = 1.1  # of the disk that files may fill


class NoRoom(Exception):
    """Nothing can hold Jacobians; the text says why."""


class Store:
    """Rows of numbers that are written block after block, and then read.

    Parameters
    ----------
    shape : tuple of int
        The first number is the most rows that there may be.
    kind : dtype
        Of the numbers that are kept.
    in_memory : bool
        Else they go to a file without a name in the folder for temporary files, which ends with
        this object.
    """

    def __init__(self, shape: tuple[int, ...], kind: Any, in_memory: bool) -> None:
        self._n_rows = 0
        self._file: Any = None
        self._mapping: Any = None
        if in_memory:
            self.values: NDArray[Any] = np.empty(shape, dtype=kind)  # unwritten rows take no memory
        else:
            self.values = np.empty((0, *shape[1:]), dtype=kind)
            with _or_no_room():
                self._file = tempfile.TemporaryFile()  # noqa: SIM115

    def append(self, block: NDArray[Any]) -> None:
        """Write a block behind the others."""
        begin, self._n_rows = self._n_rows, self._n_rows + len(block)
        if self._file is None:
            self.values[begin : self._n_rows] = block
        else:
            with _or_no_room():
                self._file.write(np.ascontiguousarray(block, dtype=self.values.dtype))

    def finish(self) -> None:
        """Let `values` be all rows; nothing can be appended any more."""
        if self._file is None:
            self.values = self.values[: self._n_rows]
            return
        with _or_no_room(), self._file as file:
            file.flush()
            if self._n_rows:
                self._mapping = mmap.mmap(file.fileno(), 0)
        if self._mapping is not None:
            flat = np.frombuffer(self._mapping, dtype=self.values.dtype)
            self.values = flat.reshape(self._n_rows, *self.values.shape[1:])

    def release(self) -> None:
        """Give back the memory into which parts of a file were read.

        The system keeps what it has room for, so that parts that are read again come from its
        cache; but it is not memory of this process any more.
        """
        if self._mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._mapping.madvise(mmap.MADV_DONTNEED)


@contextlib.contextmanager
def _or_no_room():
    """Take errors of the disk for want of room: it may fill up, and quotas are not known before."""
    try:
        yield
    except OSError as error:
        raise NoRoom(f"a temporary file cannot be written ({error})") from error


def stores(arrays: list[tuple[tuple[int, ...], Any]], max_memory: float | None) -> list[Store]:
    """Return places for arrays of these shapes and types.

    They are in memory if together they take at most `max_memory`, or 2 GB if that is None, and else
    in files.

    Raises
    ------
    NoRoom
        If the disk has no room for them.
    """
    need = _n_bytes(arrays)
    in_memory = need <= (_LARGEST if max_memory is None else max_memory)
    if not in_memory:
        with _or_no_room():
            folder = tempfile.gettempdir()
            free = shutil.disk_usage(folder).free
        if _SPARE * need > free:
            raise NoRoom(f"{folder} has {size_text(free)} left")
    return [Store(shape, kind, in_memory) for shape, kind in arrays]


def warn_of_no_room(arrays: list[tuple[tuple[int, ...], Any]], reason: NoRoom) -> None:
    """Say by a `NumericalWarning` that these arrays are nowhere, what follows, and what to do."""
    warn_once(
        "Jacobians on disk",
        f"derivatives of the features take {size_text(_n_bytes(arrays))}, which max_memory does "
        f"not allow, and {reason}: they are computed again at each step, which takes five to ten "
        "times as long. Raise max_memory, or set the environment variable TMPDIR to a folder with "
        "more room.",
        NumericalWarning,
    )


def _n_bytes(arrays):
    return float(sum(np.dtype(kind).itemsize * math.prod(shape) for shape, kind in arrays))
