"""Files that are written completely or not at all, and the removal of incomplete ones."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re
import secrets
import socket
import stat
import time
from typing import TYPE_CHECKING

from .._paths import file_name
from ..exceptions import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from skpot.typing import PathLike

_UNSURE = 3600.0  # age in s at which a file counts as abandoned if its process is not known


@contextlib.contextmanager
def whole_file(path: PathLike) -> Iterator[BinaryIO]:
    """Open a file for writing that gets its name when the block ends without an error.

    Until then it is in the same folder under a temporary name, which includes the number of the
    process, and it is locked. By both, a file that was left by a killed process is recognized; the
    next process that writes or reads the same file removes it. An existing file is replaced in one
    step, and its permissions are kept. If the name is a link, the file it points to is replaced.

    Parameters
    ----------
    path : str or Path
        The file.

    Yields
    ------
    file : binary file
        The file to write to.

    Raises
    ------
    OSError
        If the file cannot be written. An existing file then remains as it was.
    """
    target = os.path.realpath(file_name(path))  # follow links instead of replacing them
    sweep(target)
    folder, name = os.path.split(target)
    mine = f".{name}.{_host()}-{os.getpid()}-{secrets.token_hex(8)}.tmp"
    temporary = os.path.join(folder, mine)
    try:
        with open(temporary, "xb") as file:
            _lock(file)
            _keep_permissions(file, target)
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileError(error.errno, f"the file cannot be written: {reason}", str(path)) from error
    finally:
        with contextlib.suppress(OSError):  # usually it has its final name by now
            os.unlink(temporary)


def sweep(path: str) -> None:
    """Remove temporary files of processes that ended before they had written a file.

    Parameters
    ----------
    path : str or Path
        The file that they were writing.
    """
    folder, name = os.path.split(os.path.realpath(path))
    owner = re.compile(re.escape(f".{name}.") + r"(.+)-(\d+)-[0-9a-f]{16}\.tmp")
    for found in glob.iglob(f".{glob.escape(name)}.*.tmp", root_dir=folder):
        match = owner.fullmatch(found)
        leftover = os.path.join(folder, found)
        with contextlib.suppress(OSError):  # it is gone, or belongs to another user
            if match and _is_abandoned(leftover, match[1], int(match[2])):
                os.unlink(leftover)


def _host():
    return re.sub(r"\W", "_", socket.gethostname())


def _lock(file):
    """Lock a file; return False if another process has locked it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_abandoned(path, host, process):
    """Return whether the process that wrote a file has ended, or the file is very old."""
    with open(path, "rb") as file:
        if not _lock(file):
            return False
        if host == _host() and not _is_running(process):
            return True
        return time.time() - os.fstat(file.fileno()).st_mtime > _UNSURE


def _is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # the process belongs to another user
        return True
    return True


def _keep_permissions(file, target):
    with contextlib.suppress(FileNotFoundError):
        os.fchmod(file.fileno(), stat.S_IMODE(os.stat(target).st_mode))
