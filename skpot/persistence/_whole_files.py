"""Files that appear whole or not at all, and what killed processes leave of them."""

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

_UNSURE = 3600.0  # seconds until a file counts as left behind that only its age tells of


@contextlib.contextmanager
def whole_file(path: PathLike) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name when the block ends without an error.

    It is written beside its place, under a name that says by which process, and locked meanwhile:
    what a process that was killed has left is known by both, and removed by the next that writes
    or reads the same file. An existing file is replaced at once and its permissions are kept; what
    a link points to is replaced, not the link.

    Parameters
    ----------
    path : str or Path
        The file.

    Yields
    ------
    file : binary file
        To write to.

    Raises
    ------
    OSError
        If the file cannot be written; one of that name is then as it was.
    """
    target = os.path.realpath(file_name(path))  # replacing a link would leave its file behind
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
        with contextlib.suppress(OSError):  # it is not there, or cannot be
            os.unlink(temporary)


def sweep(path: str) -> None:
    """Remove what processes that are no more have left of writing a file.

    Parameters
    ----------
    path : str or Path
        The file that was to be written.
    """
    folder, name = os.path.split(os.path.realpath(path))
    owner = re.compile(re.escape(f".{name}.") + r"(.+)-(\d+)-[0-9a-f]{16}\.tmp")
    for found in glob.iglob(f".{glob.escape(name)}.*.tmp", root_dir=folder):
        match = owner.fullmatch(found)
        leftover = os.path.join(folder, found)
        with contextlib.suppress(OSError):  # gone, or not ours to remove
            if match and _is_abandoned(leftover, match[1], int(match[2])):
                os.unlink(leftover)


def _host():
    return re.sub(r"\W", "_", socket.gethostname())


def _lock(file):
    """Mark a file as being written; return whether nobody else writes it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_abandoned(path, host, process):
    """Return whether the process that wrote a file is gone; age decides where that is not known."""
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
    except OSError:  # of another user
        return True
    return True


def _keep_permissions(file, target):
    with contextlib.suppress(FileNotFoundError):
        os.fchmod(file.fileno(), stat.S_IMODE(os.stat(target).st_mode))
