"""Where the Jacobians of a training set are: in memory, or in temporary files."""

from __future__ import annotations

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
            self._file = tempfile.TemporaryFile()  # noqa: SIM115

    def append(self, block: NDArray[Any]) -> None:
        """Write a block behind the others."""
        begin, self._n_rows = self._n_rows, self._n_rows + len(block)
        if self._file is None:
            self.values[begin : self._n_rows] = block
        else:
            self._file.write(np.ascontiguousarray(block, dtype=self.values.dtype))

    def finish(self) -> None:
        """Let `values` be all rows; nothing can be appended any more."""
        if self._file is None:
            self.values = self.values[: self._n_rows]
        elif self._n_rows:
            with self._file as file:
                file.flush()
                self._mapping = mmap.mmap(file.fileno(), 0)
            flat = np.frombuffer(self._mapping, dtype=self.values.dtype)
            self.values = flat.reshape(self._n_rows, *self.values.shape[1:])

    def release(self) -> None:
        """Give back the memory into which parts of a file were read.

        The system keeps what it has room for, so that parts that are read again come from its
        cache; but it is not memory of this process any more.
        """
        if self._mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._mapping.madvise(mmap.MADV_DONTNEED)


def stores(
    arrays: list[tuple[tuple[int, ...], Any]], max_memory: float | None
) -> list[Store] | None:
    """Return places for arrays of these shapes and types, or None if there is no room for them.

    They are in memory if together they take at most `max_memory`, or 2 GB if that is None, and else
    in files. Only if the disk has no room there are none, of which a `NumericalWarning` speaks.
    """
    need = float(sum(np.dtype(kind).itemsize * math.prod(shape) for shape, kind in arrays))
    in_memory = need <= (_LARGEST if max_memory is None else max_memory)
    folder = tempfile.gettempdir()
    free = math.inf if in_memory else shutil.disk_usage(folder).free
    if _SPARE * need > free:
        warn_once(
            "Jacobians on disk",
            f"derivatives of the features take {size_text(need)}, which max_memory does not allow, "
            f"and {folder} has {size_text(free)} left: they are computed again at each step, which "
            "takes five to ten times as long. Raise max_memory, or set the environment variable "
            "TMPDIR to a folder with more room.",
            NumericalWarning,
        )
        return None
    return [Store(shape, kind, in_memory) for shape, kind in arrays]
