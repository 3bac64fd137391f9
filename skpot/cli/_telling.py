"""Where what is told goes: to the terminal, and to the file of `--log`.

Commands and library write to the logger "skpot". Results go to stdout; warnings, errors, progress
and details to stderr.
"""

import contextlib
import logging
import os
import shutil
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from ..exceptions import InputError

RESULT = 60  # level of what a command was asked to print, even if it is to be quiet

_library = logging.getLogger("skpot")
_logger = logging.getLogger("skpot.cli")
_HEAD = "# skpot"  # how a file of --log begins
_COLORS = {logging.WARNING: "yellow", logging.ERROR: "red"}
# What other packages say to their developers.
_FOR_DEVELOPERS = (
    DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning, RuntimeWarning,
)  # fmt: skip


@contextlib.contextmanager
def telling(
    quiet: bool, verbose: bool, log: Path | None, options: Mapping[str, Any]
) -> Iterator[None]:
    """Send what is logged to the terminal, and to the file `log` if given.

    Parameters
    ----------
    quiet : bool
        Whether only warnings, errors and what was asked for go to the terminal; the file has all.
    verbose : bool
        Whether details are told, too.
    log : Path or None
        A file, which is added to.
    options : dict
        The options of the command, among them files that cannot be the log.
    """
    from skpot.progress import showing

    if quiet and verbose:
        raise InputError("--quiet and --verbose are both given; give one.")
    least = logging.DEBUG if verbose else logging.INFO
    terminal = _Terminal(logging.WARNING if quiet else least)
    handlers = [terminal] if log is None else [terminal, _file(log, options)]
    before = _library.level
    _library.setLevel(least)
    for handler in handlers:
        _library.addHandler(handler)
    try:
        with showing(bars=not quiet):
            yield
    finally:
        _library.setLevel(before)
        for handler in handlers:
            _library.removeHandler(handler)
            handler.close()


def _file(path, options):
    """Return the handler of a log, with a line that says what was typed."""
    used = [name for value in options.values() for name in _files(value)]
    if os.path.realpath(path) in used:
        raise InputError(f"--log {path} is read or written by this command; name another file.")
    if path.is_dir():
        raise InputError(f"--log {path} is a folder; name a file in it.")
    if path.exists() and not _is_log(path):
        raise InputError(f"--log {path} exists, and is no log of skpot; name another file.")
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    words = " ".join([_HEAD, *sys.argv[1:]])
    handler.emit(_library.makeRecord(
        _library.name, logging.INFO, "", 0, f"{words}  ({time.strftime('%Y-%m-%d %H:%M:%S')})",
        (), None,
    ))  # fmt: skip
    return handler


def _files(value):
    from skpot.data import named_frames

    if isinstance(value, list | tuple):
        return [name for part in value for name in _files(part)]
    return [os.path.realpath(named_frames(value)[0])] if isinstance(value, str | Path) else []


def _is_log(path):
    with open(path, "rb") as file:
        return file.read(len(_HEAD)) in (b"", _HEAD.encode())


class _Terminal(logging.Handler):
    """Prints, above bars if there are any."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record; end the command quietly where nobody reads on, as with `| head`."""
        try:
            with _above_bars():
                self._print(record)
        except BrokenPipeError:
            # Python would complain once more when it closes the pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None

    def _print(self, record):
        from skpot.progress import has_bars

        text = record.getMessage()
        is_progress = record.name == "skpot.progress"
        if is_progress and has_bars():
            return  # the bar says it
        if record.levelno in _COLORS:
            complain(text, _COLORS[record.levelno])
        else:
            aside = is_progress or record.levelno == logging.DEBUG
            if (sys.stderr if aside else sys.stdout).isatty():
                text = fitted(text)
            typer.secho(text, err=aside, **getattr(record, "style", {}))


def _above_bars():
    """Return a context in which bars make room."""
    if not sys.stderr.isatty():
        return contextlib.nullcontext()
    from tqdm import tqdm

    return tqdm.external_write_mode()


def complain(text: str, color: str) -> None:
    """Print to stderr: wrapped in a terminal, elsewhere on one line, which programs can search."""
    typer.secho(fitted(text) if sys.stderr.isatty() else _on_one_line(text), fg=color, err=True)


def fitted(text: str, taken: int = 0) -> str:
    """Return text in lines that fit the terminal, of which the first has `taken` columns less."""
    width = shutil.get_terminal_size().columns - 1
    lines = textwrap.TextWrapper(
        width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    first, *others = (text or " ").splitlines()
    first = lines.fill("." * taken + first)[taken:]
    return "\n".join([first, *(lines.fill(line) for line in others)])


def _on_one_line(text):
    """Join lines, by semicolons where no other mark ends them."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    lines = [line if line.endswith((".", ":", ";", ",")) else f"{line};" for line in lines if line]
    return " ".join(lines).removesuffix(";")


_causes: set[str] = set()  # of the warnings that the command has shown


@contextlib.contextmanager
def warning_lines() -> Iterator[None]:
    """Make warnings lines of the log, one for each cause."""
    _causes.clear()
    with warnings.catch_warnings():
        warnings.showwarning = _show
        yield


def _show(message, category, *where):
    if not told(_cause(message)):
        level = logging.DEBUG if issubclass(category, _FOR_DEVELOPERS) else logging.WARNING
        _logger.log(level, "warning: %s", str(message).strip())


def _cause(message):
    return getattr(message, "cause", "") or str(message)


def told(cause: str) -> bool:
    """Return whether there was a warning of this cause, and count it as shown from now on."""
    known = cause in _causes
    _causes.add(cause)
    return known
