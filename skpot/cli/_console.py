"""How commands print, and how they fail: with one line, or a traceback on request."""

import contextlib
import functools
import inspect
import logging
import os
import platform
import signal
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..exceptions import InputError, SkpotError
from ._telling import RESULT, complain, telling, told, warning_lines

# Options of all commands, with their defaults.
_COMMON = {
    "quiet": (
        Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")],
        False,
    ),
    "verbose": (
        Annotated[bool, typer.Option("--verbose", "-v", help="Print details, too.")],
        False,
    ),
    "log": (
        Annotated[
            Path | None,
            typer.Option(help="Add all that is printed to the end of this file, too."),
        ],
        None,
    ),
    "debug": (
        Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")],
        False,
    ),
}

# Idle threads of OpenMP and OpenBLAS spin by default, which takes the cores from other threads and
# other programs.
_SLEEP_WHEN_IDLE = {"OMP_WAIT_POLICY": "passive", "OPENBLAS_THREAD_TIMEOUT": "8"}

# Errors that a user can cause or repair. Others are defects of skpot and show their traceback.
_EXPECTED = (SkpotError, ValueError, TypeError, OSError, ImportError, MemoryError)

_logger = logging.getLogger("skpot.cli")


class CommandError(SkpotError):
    """Ends a command with a message and exit code 1."""


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command: add common options, and turn errors and warnings into one line each."""

    @functools.wraps(function)
    def run(*args, quiet=False, verbose=False, log=None, debug=False, **kwargs):
        for name, value in _SLEEP_WHEN_IDLE.items():
            os.environ.setdefault(name, value)  # read when the libraries are loaded
        guarded = _guarded(function, debug)
        try:
            with telling(quiet, verbose, log, kwargs), _costs(verbose):
                return guarded(*args, **kwargs)
        except _EXPECTED as error:  # of the common options
            if debug:
                raise
            _fail(error)

    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in _COMMON.items()
    ]
    run.__signature__ = inspect.Signature(
        [*inspect.signature(function).parameters.values(), *options]
    )
    run.__annotations__ = function.__annotations__ | {o.name: o.annotation for o in options}
    return run


@contextlib.contextmanager
def _costs(verbose):
    """Tell what the command runs on, and in the end what it took."""
    if not verbose:
        yield
        return
    from skpot import __version__
    from skpot.core import environment

    folder, _ = environment.compiled_cache()
    threads = environment.n_threads_available()
    detail(
        f"skpot {__version__}, Python {platform.python_version()}, {threads} threads; compiled "
        f"functions are kept in {folder}"
    )
    began = time.perf_counter()
    try:
        yield
    finally:
        used = sum(os.times()[:4])  # of children, too
        detail(
            f"took {time.perf_counter() - began:.1f} s; {used:.1f} s of CPU time since the start"
        )


def _guarded(function, debug):
    """Return a function that logs errors and warnings, and ends the command after an error."""

    def run(*args, **kwargs):
        with contextlib.nullcontext() if debug else warning_lines():
            try:
                with _terminable():
                    return function(*args, **kwargs)
            except _EXPECTED as error:
                if debug:
                    raise
                _logger.error("error: %s", _told(error))
                raise typer.Exit(1) from None
            except _Terminated:
                _logger.error("terminated")
                raise typer.Exit(143) from None
            except KeyboardInterrupt:
                _logger.error("interrupted")
                raise typer.Exit(130) from None

    return run


class _Terminated(KeyboardInterrupt):
    """The signal by which batch systems end a job."""


@contextlib.contextmanager
def _terminable():
    """Let SIGTERM end a command as Ctrl-C does, so that it leaves its files in order."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not handled there
        return

    def end(*_):
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def failing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate what runs before a command: turn errors into one line, as `command` does."""

    @functools.wraps(function)
    def run(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except _EXPECTED as error:
            _fail(error)

    return run


def _told(error):
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error).strip() or type(error).__name__


def _fail(error):
    complain(f"error: {_told(error)}", "red")
    raise typer.Exit(1) from None


@contextlib.contextmanager
def reading(paths: Any) -> Iterator[None]:
    """Name the files in any error of their reader, and make it an error of skpot."""
    try:
        yield
    except Exception as error:
        if type(error) is InputError or (isinstance(error, OSError) and error.filename):
            raise  # the message names the file already
        if isinstance(error, SkpotError):
            raise type(error)(f"{paths}: {error}") from error
        raise InputError(f"{paths} cannot be read: {error}") from error


def say(text: str = "", level: int = logging.INFO) -> None:
    """Print a line, if the command is not to be quiet."""
    _logger.log(level, "%s", text)


def answer(text: str) -> None:
    """Print what the command was asked for, even if it is to be quiet."""
    say(text, RESULT)


def detail(text: str) -> None:
    """Print a line if the command is to be verbose."""
    say(text, logging.DEBUG)


def warn(cause: str, text: str) -> None:
    """Print a warning, once for each cause."""
    if not told(cause):
        _logger.warning("warning: %s", text)


def title(text: str) -> None:
    """Print a heading."""
    _logger.info("\n%s", text, extra={"style": {"bold": True}})


def wrapped(text: str, head: str, width: int = 79, indent: str | None = None) -> str:
    """Return text after a head, in lines that fit; it is not torn apart at no-break spaces."""
    indent = " " * len(head) if indent is None else indent
    lines = textwrap.fill(text, width, initial_indent=head, subsequent_indent=indent)
    return lines.replace("\xa0", " ")


def refuse_overwriting(path: Path, force: bool, inputs: Sequence[Path | str] = ()) -> None:
    """Raise unless `path` can be written without losing anything, or `force` is set.

    Files that the same command reads are never overwritten.
    """
    if os.path.isdir(path):
        raise CommandError(f"{path} is a folder; name a file in it.")
    refuse_inputs(path, inputs)
    if os.path.exists(path) and not force:
        raise CommandError(f"{path} exists already; add --force to replace it.")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise CommandError(f"the folder {folder} for {os.path.basename(path)} does not exist.")
    if not os.access(folder, os.W_OK):
        raise CommandError(f"the folder {folder} cannot be written to.")


def refuse_inputs(path: Path, inputs: Sequence[Path | str]) -> None:
    """Raise if `path` is one of the files that a command reads, all of it or frames (a.xyz@0)."""
    from skpot.data import named_files

    real = os.path.realpath(path)
    for other, _ in named_files(list(inputs)) if inputs else ():
        if os.path.realpath(other) == real:
            raise CommandError(f"{path} is read by this command; name another file to write.")
