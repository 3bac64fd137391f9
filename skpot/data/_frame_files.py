"""Files from which single frames can be read: extended XYZ, trajectories and databases of ASE."""

from __future__ import annotations

import errno
import glob
import io
import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._paths import file_names
from ..exceptions import FileError, InputError, SkpotError
from ._ase import database_ids, named_frames, read_rows
from ._extxyz import parse_header, tell_of_nameless

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skpot.typing import Atoms, IntArray

_BYTES = 1 << 20  # of a file that are read at a time while it is scanned
_KINDS = {"extxyz": "extended XYZ", "xyz": "XYZ", "traj": "trajectory", "db": "database"}


class FrameFile(NamedTuple):
    """A file as it was when its frames were found."""

    path: str
    kind: str  # the format, as ASE calls it
    size: int
    modified: int  # ns since the epoch

    @classmethod
    def of(cls, path: str) -> FrameFile:
        """Return the present state of a file; refuse one without access to single frames."""
        from ase.io.formats import UnknownFileTypeError, filetype, get_compression

        status = os.stat(path)
        if not status.st_size:
            raise InputError(f"{path} is empty: there are no structures in it.")
        if get_compression(path)[1]:
            raise InputError(
                f"{path} is compressed, so that single frames cannot be read from it: decompress "
                "it first, or read all of it with skpot.read."
            )
        try:
            kind = filetype(path)
        except UnknownFileTypeError:
            kind = "of a format that ASE does not know"
        if kind not in _KINDS:
            raise InputError(
                f"{path} is {kind}, but single frames are read from extended XYZ (.xyz, .extxyz), "
                "trajectories (.traj) and databases (.db) of ASE only. `ase convert` makes one of "
                "these, or skpot.read reads all of it."
            )
        return cls(os.path.abspath(path), kind, status.st_size, status.st_mtime_ns)

    def frames(self) -> IntArray:
        """Return where each frame begins and ends, (n_frames, 2); numbers of frames for databases.

        Raises
        ------
        InputError
            If the file is damaged; the message says in which frame.
        """
        if self.kind in ("extxyz", "xyz"):
            try:
                tell_of_nameless(self.path)
            except UnicodeDecodeError as error:
                raise self.unreadable("", error) from error
            return _scan(self.path)
        if self.kind == "traj":
            numbers = np.arange(self._readable(_length_of_trajectory))
        else:
            numbers = np.array(self._readable(database_ids), dtype=np.int64)
        return np.column_stack([numbers, numbers])

    def _readable(self, function):
        try:
            return function(self.path)
        except Exception as error:  # readers of ASE raise errors of their own
            raise self.unreadable("", error) from error

    def require_unchanged(self) -> None:
        """Raise `InputError` if the file is no longer the one whose frames were found."""
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise InputError(f"{self.path} can no longer be read: {error.strerror}.") from error
        if (status.st_size, status.st_mtime_ns) != (self.size, self.modified):
            raise InputError(
                f"{self.path} has changed since its frames were found, so that they may be "
                "elsewhere in it now: make skpot.Frames again, and fit again."
            )

    def read(self, places: IntArray, numbers: IntArray) -> list[Atoms]:
        """Return frames with the results that the file has of them.

        Parameters
        ----------
        places : ndarray of int of shape (n, 2)
            Rows of `frames`.
        numbers : ndarray of int of shape (n,)
            Which frames of the file these are, for messages.
        """
        self.require_unchanged()
        found: list[Atoms] = []
        try:
            for atoms in self._each(places):
                found.append(atoms)
        except Exception as error:
            raise self.unreadable(f", frame {numbers[len(found)]}", error) from error
        return found

    def _each(self, places):
        if self.kind == "db":
            return read_rows(self.path, places[:, 0].tolist())
        if self.kind == "traj":
            return _of_trajectory(self.path, places[:, 0].tolist())
        return _of_xyz(self.path, places.tolist())

    def unreadable(self, where: str, error: Exception) -> InputError:
        """Return the error of a reader as one that names file and frame."""
        text = str(error) if isinstance(error, SkpotError) else f"{type(error).__name__}: {error}"
        return InputError(f"{self.path}{where} cannot be read: {text}")


def named_files(path: Any, index: Any = ":") -> list[tuple[str, Any]]:
    """Return the files that names and patterns mean, in their order, with the frames they name.

    Parameters
    ----------
    path : str, Path or sequence of these
        Names, or patterns such as "train/*.xyz", whose files are sorted by name. A name that is
        that of a file is no pattern.
    index : int, str or slice, default=":"
        The frames where a name does not say which.
    """
    found: list[tuple[str, Any]] = []
    for one in file_names(path):
        name, chosen = named_frames(one, index)
        names = [name]
        if glob.has_magic(name) and not os.path.exists(name):
            names = sorted(glob.glob(name, recursive=True))
            if not names:
                raise InputError(f"there is no file {name}.")
        found += [(each, chosen) for each in names]
    return found


def found_files(path: Any, index: Any = ":") -> list[tuple[FrameFile, Any]]:
    """Return the same files as `named_files`, of which single frames can be read."""
    found: list[tuple[FrameFile, Any]] = []
    for name, chosen in named_files(path, index):
        if not os.path.exists(name):
            raise FileError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        found.append((FrameFile.of(name), chosen))
    return found


def can_be_streamed(path: Any) -> bool:
    """Return whether single frames can be read from a file, or whether it is not there at all."""
    name, _ = named_frames(path)
    try:
        FrameFile.of(name)
    except InputError:
        return False
    except OSError:  # whoever reads it says what is wrong
        pass
    return True


def chosen_frames(n: int, index: Any, path: str) -> IntArray:
    """Return which of n frames an index of ASE means, such as "::10"."""
    from ase.io.formats import string2index

    try:
        key = string2index(index) if isinstance(index, str) else index
        chosen = np.atleast_1d(np.arange(n)[slice(None) if key is None else key])
    except (IndexError, ValueError, TypeError):
        chosen = np.arange(0)
    if not len(chosen):
        raise InputError(f"{path} has no structures there (index {index!r}).")
    return chosen


def _scan(path):
    """Return the first byte and the end of each frame of an extended XYZ file."""
    begins, end = [], 0
    with open(path, "rb", buffering=_BYTES) as file:
        while head := file.readline():
            if not head.strip() and not file.read(1 << 16).strip():
                break  # empty lines at the end
            try:
                n_lines = int(head) + 1
            except ValueError:
                raise InputError(
                    f"{path}, frame {len(begins)}: expected the number of atoms at byte {end}, "
                    f"got {head[:60]!r}. The file is damaged there, or the frame before it has "
                    "another number of lines than it says."
                ) from None
            last = head
            for _ in range(n_lines):
                last = file.readline()
            if not last or n_lines < 1:
                raise InputError(
                    f"{path}, frame {len(begins)} is incomplete: the file ends within its "
                    f"{n_lines - 1} atoms."
                )
            begins.append(end)
            end = file.tell()
    if not begins:
        raise InputError(f"{path} has no structures: there are only empty lines in it.")
    return np.column_stack([begins, [*begins[1:], end]]).reshape(-1, 2).astype(np.int64)


def _of_xyz(path: str, places: Sequence[Sequence[int]]):
    from ase.io.extxyz import read_xyz

    with open(path, "rb") as file:
        for begin, end in places:
            file.seek(begin)
            text = io.StringIO(file.read(end - begin).decode())
            yield from read_xyz(text, slice(0, 1), properties_parser=parse_header)


def _length_of_trajectory(path):
    from ase.io import Trajectory

    with Trajectory(path) as trajectory:
        return len(trajectory)


def _of_trajectory(path, numbers):
    from ase.io import Trajectory

    with Trajectory(path) as trajectory:
        for k in numbers:
            yield trajectory[k]
