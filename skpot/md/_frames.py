"""Files of frames that a crash cannot corrupt."""

import contextlib
import errno
import fcntl
import io
import os

from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ..exceptions import InputError

# What file systems without locks say; there a second writer goes unnoticed.
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class FrameFile:
    """Extended XYZ to which whole frames are appended, or nothing.

    Opening cuts off what an earlier process left of a frame when it was killed. A second process
    is refused.

    Parameters
    ----------
    path : str or Path
        The file; it is made if it does not exist.
    length : int, optional
        Bytes to keep; None keeps all whole frames.

    Attributes
    ----------
    length : int
        Bytes of whole frames.
    """

    def __init__(self, path, length=None):
        self.path = os.fspath(path)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self._lock()
            self.length = self._whole() if length is None else self._at_least(length)
            os.ftruncate(self._descriptor, self.length)
        except BaseException:
            self.close()
            raise

    def append(self, atoms):
        """Append a frame with what its calculator holds; after an error the file is as before."""
        text = io.StringIO()
        write(text, atoms, format="extxyz")
        data = memoryview(text.getvalue().encode())
        size = len(data)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except BaseException:
            os.ftruncate(self._descriptor, self.length)
            raise
        self.length += size

    def sync(self):
        """Have the frames written to the disk itself."""
        os.fsync(self._descriptor)

    def close(self):
        """Close the file, which lets others write it."""
        os.close(self._descriptor)

    def _lock(self):
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"another process is writing {self.path}") from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise

    def _whole(self):
        """Return the bytes up to the end of the last whole frame."""
        end = 0
        with open(self.path, "rb") as file:
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

    def _at_least(self, length):
        size = os.fstat(self._descriptor).st_size
        if size < length:
            raise InputError(
                f"{self.path} has {size} bytes, {length} are expected: was it changed?"
            )
        return length


class TrajectoryFile:
    """Extended XYZ that appears under its name when it is closed, whatever ended the run.

    Until then frames are in ``<path>.part``.

    Parameters
    ----------
    path : str or Path
        The file; an existing one is replaced when this is closed.
    length : int, optional
        Bytes of an earlier run to keep and continue; None begins anew.

    Attributes
    ----------
    n_frames : int
        Frames written, without those of an earlier run.
    """

    def __init__(self, path, length=None):
        self.path = os.fspath(path)
        self._part = f"{self.path}.part"
        if length is not None and not os.path.exists(self._part):
            os.replace(self.path, self._part)  # that run ended in order
        self._file = FrameFile(self._part, 0 if length is None else length)
        self.n_frames = 0

    def write(self, atoms, trace):
        """Append a frame with energy, forces, stress, velocities and uncertainty."""
        frame = atoms.copy()
        frame.info = {"time_ps": trace.time[-1]}  # what the start structure was called is over
        kept = {k: v for k, v in atoms.calc.results.items() if k in ("energy", "forces", "stress")}
        frame.calc = SinglePointCalculator(frame, **kept)
        if "energy_std" in atoms.calc.results:
            frame.info["energy_std"] = atoms.calc.results["energy_std"]
        self._file.append(frame)
        self.n_frames += 1

    def sync(self):
        """Have the frames written to the disk itself; return how many bytes they are."""
        self._file.sync()
        return self._file.length

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


def replace_file(path, data):
    """Write bytes to a file, whole or not at all."""
    temporary = f"{os.fspath(path)}.tmp"
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems sync no folders
            os.fsync(folder)
    finally:
        os.close(folder)
