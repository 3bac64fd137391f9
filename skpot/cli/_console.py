"""How commands print, and how they fail: with one line, or a traceback on request."""

import contextlib
import functools
import inspect
import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from ..exceptions import InputError, SkpotError

if TYPE_CHECKING:
    from pathlib import Path

_DEBUG = inspect.Parameter(
    "debug",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")],
)

# Idle threads of OpenMP and OpenBLAS spin by default, which takes the cores from other threads and
# other programs.
_SLEEP_WHEN_IDLE = {"OMP_WAIT_POLICY": "passive", "OPENBLAS_THREAD_TIMEOUT": "8"}

# Errors that a user can cause or repair. Others are defects of skpot and show their traceback.
_EXPECTED = (SkpotError, ValueError, TypeError, OSError, ImportError, MemoryError)


class _Lines:
    """Where printed lines go: the terminal, unless it is to be quiet, and maybe a file."""

    quiet = False
    log: TextIO | None = None

    def write(self, text: str, **style: Any) -> None:
        """Print a line."""
        if not self.quiet:
            typer.secho(text, **style)
        self.record(text)

    def record(self, text: str) -> None:
        """Write a line to the file alone."""
        if self.log is not None:
            self.log.write(f"{text}\n")
            self.log.flush()


_lines = _Lines()


@contextlib.contextmanager
def printing(quiet: bool, log: "Path | None") -> Iterator[None]:
    """Print no lines if `quiet`, and write all lines, warnings and errors to `log` if given."""
    with contextlib.ExitStack() as stack:
        _lines.quiet = quiet
        if log is not None:
            _lines.log = stack.enter_context(open(log, "w", encoding="utf-8"))
        try:
            yield
        except _EXPECTED as error:
            _lines.record(f"error: {_told(error)}")
            raise
        finally:
            _lines.quiet, _lines.log = False, None


class CommandError(SkpotError):
    """Ends a command with a message and exit code 1."""


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command: add `--debug` and turn errors and warnings into one line each."""

    @functools.wraps(function)
    def run(*args, debug=False, **kwargs):
        for name, value in _SLEEP_WHEN_IDLE.items():
            os.environ.setdefault(name, value)  # read when the libraries are loaded
        with warnings.catch_warnings():
            if not debug:
                warnings.showwarning = _show_warning
            try:
                return function(*args, **kwargs)
            except _EXPECTED as error:
                if debug:
                    raise
                _fail(error)
            except KeyboardInterrupt:
                typer.secho("interrupted", fg="red", err=True)
                raise typer.Exit(130) from None

    parameters = [*inspect.signature(function).parameters.values(), _DEBUG]
    run.__signature__ = inspect.Signature(parameters)
    run.__annotations__ = {**function.__annotations__, "debug": _DEBUG.annotation}
    return run


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
    return " ".join(str(error).split()) or type(error).__name__


def _complain(text, color):
    """Print to stderr: wrapped in a terminal, elsewhere on one line, which programs can search."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        text = textwrap.fill(
            text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    typer.secho(text, fg=color, err=True)


def _fail(error):
    _complain(f"error: {_told(error)}", "red")
    raise typer.Exit(1) from None


def _show_warning(message, category, filename, lineno, file=None, line=None):
    if not issubclass(category, DeprecationWarning | PendingDeprecationWarning):
        text = f"warning: {' '.join(str(message).split())}"
        _complain(text, "yellow")
        _lines.record(text)


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


def say(text: str = "") -> None:
    """Print a line; end the command quietly where nobody reads on, as with `| head`."""
    try:
        _lines.write(text)
    except BrokenPipeError:
        # Python would complain once more when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


def title(text: str) -> None:
    """Print a heading."""
    _lines.write(f"\n{text}", bold=True)


def wrapped(text: str, head: str, width: int = 79, indent: str | None = None) -> str:
    """Return text after a head, in lines that fit; it is not torn apart at no-break spaces."""
    indent = " " * len(head) if indent is None else indent
    lines = textwrap.fill(text, width, initial_indent=head, subsequent_indent=indent)
    return lines.replace("\xa0", " ")


def refuse_overwriting(path: "Path", force: bool, inputs: "Sequence[Path | str]" = ()) -> None:
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


def refuse_inputs(path: "Path", inputs: "Sequence[Path | str]") -> None:
    """Raise if `path` is one of the files that a command reads, all of it or frames (a.xyz@0)."""
    from skpot.data import named_frames

    real = os.path.realpath(path)
    for other in inputs:
        if os.path.realpath(named_frames(other)[0]) == real:
            raise CommandError(f"{path} is read by this command; name another file to write.")
