"""Commands that run in a folder of their own, and are ended when they take too long."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..exceptions import InputError, SkpotWarning, warn_once

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHELL = {"&&", "||", "|", ";", ">", ">>", "<", "2>", "&"}  # words that only a shell understands
_GRACE = 5.0  # s between the request to end and the end
_PAUSE = 0.2  # s between two looks at a command that another process has begun
_TAIL = 4096  # bytes at the end of the output in which its last line is looked for
_OUTPUT, _RUNNING = "output.txt", ".running"


def command_words(command: str, own: Sequence[str]) -> list[str]:
    """Return the words of a command that runs in another folder than this one.

    Parameters
    ----------
    command : str
        The command.
    own : list of str
        Names of files in the folder where it runs: these words stay as they are, others that name
        files here are made absolute.

    Raises
    ------
    InputError
        If the program is not found, or if only a shell could run the command.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"the command {command!r} cannot be read: {error}.") from error
    if not words:
        raise InputError("the command is empty.")
    shell = sorted(_SHELL & set(words))
    if shell:
        raise InputError(
            f'the command has "{shell[0]}", but no shell runs it: put it into a script, or into '
            "bash -c '...'."
        )
    here = [
        os.path.abspath(word) if word not in own and os.path.isfile(word) else word
        for word in words
    ]
    if shutil.which(here[0]) is None:
        told = "is no program that may be run" if os.path.exists(here[0]) else "is not found"
        raise InputError(f"{words[0]}, the program of the command, {told}.")
    return here


def run_in_folder(words: Sequence[str], folder: Path, patience: float | None) -> str:
    """Run a command in a folder and return what is wrong with how it ended, or nothing.

    What it prints is in `output.txt` there. It runs in a group of processes of its own, which is
    ended if it takes too long, or if this process is interrupted. While any of them runs, a file
    is locked.

    Parameters
    ----------
    words : list of str
        The command.
    folder : Path
        The folder, which exists.
    patience : float or None
        Seconds after which it is ended; None for never.
    """
    running = folder / _RUNNING
    running.unlink(missing_ok=True)  # what an earlier command has left may lock it for ever
    with open(running, "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with open(folder / _OUTPUT, "wb") as output:
            process = subprocess.Popen(
                words, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, pass_fds=[lock.fileno()],
            )  # fmt: skip
        lock.write(f"{process.pid} {platform.node()}")
        lock.flush()
        try:
            code = process.wait(patience)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"was ended since it took more than {patience:g} s"
        except BaseException:
            _end(process)
            raise
    if not code:
        return ""
    told = f"ended with exit code {code}"
    if code < 0:
        told = f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return ": ".join([told, *_last_line(folder / _OUTPUT)])


def await_earlier(folder: Path, patience: float | None) -> str:
    """Wait until the command that an earlier process has begun in a folder has ended, or end it.

    What has left its group of processes, such as a server, is not awaited. A command of another
    computer cannot be looked at: it is awaited until its file is unlocked or removed.

    Parameters
    ----------
    folder : Path
        The folder, which need not exist.
    patience : float or None
        Seconds after which it is ended; None for never.

    Returns
    -------
    told : str
        Why another command cannot be begun, or nothing.
    """
    path, began = folder / _RUNNING, time.monotonic()
    while (owner := _owner(path)) is not None:
        group, _, host = owner.partition(" ")
        here = host == platform.node()
        waited = time.monotonic() - began
        if here and not _lives(int(group)):
            time.sleep(_PAUSE)  # the process that began it may be about to unlock the file
            if _owner(path) != owner:
                continue
            warn_once(
                f"left behind in {folder}",
                f"the command in {folder} has ended, but something that it started still runs. It "
                "is not awaited.",
                SkpotWarning,
            )
            return ""
        if patience is not None and waited > patience:
            if not here:
                return f"is still at work on {host or 'another computer'} after {patience:g} s"
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(int(group), signal.SIGKILL)
            return ""
        if not here and waited > _GRACE:
            warn_once(
                f"elsewhere in {folder}",
                f"a command of an earlier run is at work in {folder} on "
                f"{host or 'another computer'}, and is awaited. If it is not, remove {path}.",
                SkpotWarning,
            )
        time.sleep(_PAUSE)
    return ""


def _owner(path):
    """Return what a locked file says of the command that locks it, or None if nothing does."""
    try:
        file = open(path, "r+", encoding="utf-8")  # noqa: SIM115
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read()  # of this file, which may be removed or replaced by now
    return None


def _lives(group):
    """Return whether a group of processes has any that runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _end(process):
    """End a command and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        os.killpg(process.pid, signal.SIGKILL)  # what is left of its group
    process.wait()


def _last_line(path):
    """Return the last line of a text that holds more than blanks, if there is one."""
    with open(path, "rb") as file:
        file.seek(max(os.path.getsize(path) - _TAIL, 0))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
    printed = ["".join(c if c.isprintable() else " " for c in line).strip() for line in lines]
    return [line for line in printed if line][-1:]
