"""How commands print, and how they fail: with one line, or a traceback on request."""

import contextlib
import functools
import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

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


def _fail(error):
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    typer.secho(f"error: {text}", fg="red", err=True)
    raise typer.Exit(1) from None


def _show_warning(message, category, filename, lineno, file=None, line=None):
    if not issubclass(category, DeprecationWarning | PendingDeprecationWarning):
        typer.secho(f"warning: {' '.join(str(message).split())}", fg="yellow", err=True)


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
    """Print a line."""
    typer.echo(text)


def title(text: str) -> None:
    """Print a heading."""
    typer.secho(f"\n{text}", bold=True)


def refuse_overwriting(path: "Path", force: bool, inputs: "Sequence[Path]" = ()) -> None:
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


def refuse_inputs(path: "Path", inputs: "Sequence[Path]") -> None:
    """Raise if `path` is one of the files that a command reads."""
    real = os.path.realpath(path)
    for other in inputs:
        if os.path.realpath(other) == real:
            raise CommandError(f"{path} is read by this command; name another file to write.")
