"""Files of frames that remain readable after a crash."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import tempfile
from typing import TYPE_CHECKING

from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import Trajectory, write

from .._paths import file_name
from ..exceptions import FileError, InputError
from ._predicted import leave_traces

if TYPE_CHECKING:
    from skpot.md.dynamics import Trace
    from skpot.typing import Atoms, PathLike, Structures

# Errors of file systems that have no locks, on which a second writer cannot be noticed.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_SUFFIXES = (".xyz", ".extxyz")
_TAIL = 1 << 16  # number of bytes at the end by which a file of frames is recognized


def require_xyz(path: PathLike) -> None:
    """Refuse a name that other programs would take for another format than extended XYZ."""
    suffix = os.path.splitext(file_name(path))[1]
    if suffix.lower() not in _SUFFIXES:
        raise InputError(
            f"{path} would be read as another format: frames are written as extended XYZ, to a "
            f"file {' or '.join(_SUFFIXES)}. `ase convert run.xyz run.traj` converts it later."
        )


def require_format(path: PathLike) -> str:
    """Return the format that ASE writes to a file of this name; refuse names it does not know."""
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    name = file_name(path)
    try:
        found = filetype(name, read=False)
        writable = ioformats[found].can_write
    except (UnknownFileTypeError, KeyError):
        writable = False
    if not writable:
        raise InputError(
            f"{name}: ASE writes no files of this name; use a suffix such as .xyz or .traj."
        )
    return found


def write_frames(path: PathLike, frames: Structures) -> None:
    """Write structures to a file, all or none, in the format that its name stands for.

    Parameters
    ----------
    path : str or Path
        The file. Extended XYZ, with the suffix ".xyz" or ".extxyz", holds all results, info and
        arrays; other formats hold less.
    frames : list[Atoms]
        Structures with calculators.
    """
    found = require_format(path)
    target = os.path.realpath(file_name(path))
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target), prefix=".") as folder:
        temporary = os.path.join(folder, os.path.basename(target))
        try:
            write(temporary, list(frames), format=found)
        except Exception as error:  # writers of some formats raise errors of their own
            if isinstance(error, OSError):
                reason = error.strerror or str(error)
                text = f"the file cannot be written: {reason}"
                raise FileError(error.errno, text, str(path)) from error
            raise InputError(f"{path} cannot be written as {found}: {error}") from error
        os.replace(temporary, target)


class FrameFile:
    """Extended XYZ file to which only complete frames are appended.

    If an earlier process was killed and left an incomplete frame, opening the file removes it. Two
    processes cannot have the file open at the same time.

    Parameters
    ----------
    path : str or Path
        The file, which is created if it does not exist.
    length : int, optional
        Number of bytes to keep; None keeps all complete frames.
    tail : str, optional
        The result of `tail` when the file had `length` bytes. If its first `length` bytes end
        differently now, the file is refused.
    begin : int, default=0
        Number of bytes that are known to be complete frames, if the file has that many.

    Attributes
    ----------
    length : int
        Number of bytes of complete frames.
    """

    def __init__(
        self, path: PathLike, length: int | None = None, tail: str | None = None, begin: int = 0
    ) -> None:
        self.path = os.fspath(path)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self._lock()
            if length is None:
                length = self._whole(begin)
            else:
                require_beginning(self.path, length, tail)
            self.length = length
            os.ftruncate(self._descriptor, self.length)
        except BaseException:
            self.close()
            raise

    def append(self, atoms: Atoms) -> None:
        """Append a frame with the results of its calculator; an error leaves the file as it was."""
        self.append_bytes(as_xyz(atoms))

    def append_bytes(self, frames: bytes) -> None:
        """Append whole frames, from `as_xyz`; an error leaves the file as it was."""
        data = memoryview(frames)
        size = len(data)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except BaseException as error:
            os.ftruncate(self._descriptor, self.length)
            if isinstance(error, OSError):
                raise unwritten(self.path, error) from error
            raise
        self.length += size

    def sync(self) -> None:
        """Wait until the frames are on the disk."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise unwritten(self.path, error) from error

    def tail(self) -> str:
        """Return a digest of the end of the file."""
        return _tail(self.path, self.length)

    def close(self) -> None:
        """Close the file, so that other processes can write it."""
        os.close(self._descriptor)

    def _lock(self):
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"another process is writing {self.path}") from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise

    def _whole(self, begin):
        """Return the number of bytes up to the end of the last complete frame."""
        end = begin if os.fstat(self._descriptor).st_size >= begin else 0
        with open(self.path, "rb") as file:
            file.seek(end)
            while head := file.readline():
                try:
                    n_lines = int(head) + 1
                except ValueError:
                    if not head.endswith(b"\n"):  # "1" of "12"
                        break
                    raise InputError(f"{self.path} is no extended XYZ file: {head!r}") from None
                last = head
                for _ in range(n_lines):
                    last = file.readline()
                if not last.endswith(b"\n"):
                    break
                end = file.tell()
        return end


def as_xyz(frames: Atoms | Structures) -> bytes:
    """Return what a file of extended XYZ holds of one or several structures and their results."""
    text = io.StringIO()
    write(text, frames, format="extxyz")
    return text.getvalue().encode()


def require_beginning(path: PathLike, length: int, tail: str | None = None) -> None:
    """Refuse a file that does not begin with the frames that were written to it."""
    size = os.path.getsize(path)
    if size < length:
        raise InputError(f"{path} has {size} bytes, but {length} were written: was it changed?")
    if tail is not None and _tail(path, length) != tail:
        raise InputError(
            f"{path} does not hold the frames that were written to it: was it changed?"
        )


def _tail(path, length):
    with open(path, "rb") as file:
        file.seek(max(length - _TAIL, 0))
        return hashlib.blake2b(file.read(min(length, _TAIL)), digest_size=16).hexdigest()


def unwritten(path: PathLike, error: OSError) -> FileError:
    """Return an error that says which file could not be written, and that its content remains."""
    return FileError(error.errno, f"{error.strerror}; what was written before is kept", path)


class TrajectoryFile:
    """Extended XYZ file that gets its name when the run ends, also by an error.

    Until then frames are in ``<path>.part``. It is a context manager, whose exit ends the run.

    Parameters
    ----------
    path : str or Path
        The file; an existing one is replaced at the end of the run.
    length, tail : optional
        Number of bytes of an earlier run to keep, and a digest of their end, see `FrameFile`. None
        starts a new file.

    Attributes
    ----------
    n_frames : int
        Number of frames written, without those of an earlier run.
    """

    def __init__(self, path: PathLike, length: int | None = None, tail: str | None = None) -> None:
        require_xyz(path)
        self.path = os.fspath(path)
        self._part = f"{self.path}.part"
        if length is not None and not os.path.exists(self._part):  # the earlier run has ended
            if not os.path.exists(self.path):
                raise InputError(
                    f"neither {self.path} nor {self._part} exists: the frames so far are lost"
                )
            require_beginning(self.path, length, tail)
            os.replace(self.path, self._part)
        self._file = FrameFile(self._part, 0 if length is None else length, tail)
        self.n_frames = 0

    def write(self, atoms: Atoms, trace: Trace) -> None:
        """Append a frame with energy, forces, stress, velocities and uncertainty."""
        self._file.append(_frame(atoms, trace))
        self.n_frames += 1

    def sync(self) -> int:
        """Wait until the frames are on the disk; return the number of their bytes."""
        self._file.sync()
        return self._file.length

    def tail(self) -> str:
        """Return a digest of the end of the file."""
        return self._file.tail()

    def close(self) -> None:
        """Close ``<path>.part`` and leave it as it is."""
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        try:
            if self._file.length:
                os.replace(self._part, self.path)
            else:
                os.unlink(self._part)
        finally:
            self._file.close()


def _frame(atoms, trace):
    """Return the present frame of a run, with results and the time."""
    frame = atoms.copy()
    frame.info = {"time_ps": trace.time[-1]}  # the info of the start structure is outdated
    results = atoms.calc.results
    kept = {k: v for k, v in results.items() if k in ("energy", "forces", "stress")}
    frame.calc = SinglePointCalculator(frame, **kept)
    leave_traces(frame, atoms.calc)
    return frame


class AseTrajectoryFile:
    """Trajectory in the format of ASE that belongs to its name.

    Until the run ends frames are in ``<name>.part.<suffix>``. A run with it cannot be continued.

    Parameters
    ----------
    path : str or Path
        The file; an existing one is replaced at the end of the run.

    Attributes
    ----------
    n_frames : int
        Number of frames written.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = file_name(path)
        self._format = require_appendable(path)
        stem, suffix = os.path.splitext(self.path)
        self._part = f"{stem}.part{suffix}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._part)
        self._open = Trajectory(self._part, "w") if self._format == "traj" else None
        self.n_frames = 0

    def write(self, atoms: Atoms, trace: Trace) -> None:
        """Append a frame with energy, forces, stress, velocities and uncertainty."""
        frame = _frame(atoms, trace)
        try:
            if self._open is not None:
                self._open.write(frame)
            else:
                write(self._part, frame, format=self._format, append=True)
        except OSError as error:
            raise unwritten(self._part, error) from error
        self.n_frames += 1

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._open is not None:
            self._open.close()
        if self.n_frames:
            os.replace(self._part, self.path)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._part)


def is_xyz(path: PathLike) -> bool:
    """Return whether a file is extended XYZ by its name."""
    return os.path.splitext(file_name(path))[1].lower() in _SUFFIXES


def require_appendable(path: PathLike) -> str:
    """Return the format that ASE writes to a file of this name; refuse those of single frames."""
    from ase.io.formats import ioformats

    found = require_format(path)
    if not is_xyz(path) and found != "traj" and not ioformats[found].can_append:
        raise InputError(
            f"{path}: frames cannot be appended to a file of the format {found}; use a suffix such "
            "as .xyz, .traj or .db."
        )
    return found


def replace_file(path: PathLike, data: bytes) -> None:
    """Write bytes to a file, either all or none."""
    temporary = f"{os.fspath(path)}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise unwritten(os.fspath(path), error) from error
    folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot sync folders
            os.fsync(folder)
    finally:
        os.close(folder)
