"""What long work tells while it lasts: bars in terminals, lines elsewhere, and lines of the log.

All texts go to the logger "skpot", progress to its child "skpot.progress". Without a handler, they
appear only where `verbose` asks for them, or within `showing`.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Self

_logger = logging.getLogger("skpot")
_progress = logging.getLogger("skpot.progress")
_FIRST = 10.0  # seconds before the first line: short work needs none
_GROWTH = 1.3  # each next line comes later by this factor, so that a long run has not many
_DELAY = 0.5  # seconds before a bar appears

# What all work in a context shows, and whether work is going on that is shown already.
_showing: ContextVar[str] = ContextVar("_showing", default="nothing")
_busy: ContextVar[bool] = ContextVar("_busy", default=False)


@contextmanager
def showing(bars: bool = True) -> Iterator[None]:
    """Show the progress of all work in this context, as if `verbose` was 1; maybe by lines only."""
    token = _showing.set("bar" if bars else "lines")
    try:
        yield
    finally:
        _showing.reset(token)


def tell(text: str, verbose: int) -> None:
    """Log a line, as information if `verbose`, which is printed where no handler listens."""
    level = logging.INFO if verbose else logging.DEBUG
    if _logger.isEnabledFor(level):
        _logger.log(level, text)
    elif verbose:
        print(text)


def step(text: str) -> None:
    """Log what begins now, for work of few and unequal steps."""
    _logger.info(text)


@contextmanager
def progress(
    total: int | None, description: str, verbose: int = 0, unit: str = "structure"
) -> Iterator[Progress]:
    """Yield a `Progress`, which is shown if `verbose`, or within `showing`.

    In a terminal or a notebook that is a bar with the time that is left; elsewhere lines, the first
    after ten seconds. Work within work that is shown already shows nothing.

    Parameters
    ----------
    total : int or None
        Number of units of all work, if it is known.
    description : str
        What the work is, in few words.
    verbose : int, default=0
        1 shows the progress.
    unit : str, default="structure"
        What is counted.

    Examples
    --------
    >>> with progress(3, "fit") as bar:
    ...     for k in range(3):
    ...         bar.update()
    """
    if _busy.get():
        yield Progress(total, description, unit, "nothing")
        return
    how = "bar" if verbose else _showing.get()
    if how == "bar" and not has_bars():
        how = "lines"
    _busy.set(True)
    try:
        with Progress(total, description, unit, how) as shown:
            yield shown
    finally:
        _busy.set(False)  # no token: a generator may be closed in another context


def followed(items: Iterable[Any], total: int, description: str, unit: str) -> Iterator[Any]:
    """Yield items, and show the progress; see `progress`."""
    with progress(total, description, unit=unit) as bar:
        for item in items:
            yield item
            bar.update()


def has_bars() -> bool:
    """Return whether bars can be drawn: in a terminal or a notebook."""
    if sys.stderr.isatty():
        return True
    # Libraries such as dask import ipykernel outside notebooks, too.
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config


class Progress:
    """Counts work that is done.

    Parameters
    ----------
    total, description, unit
        See `progress`.
    how : {"bar", "lines", "nothing"}
        What is shown. Unless it is nothing, lines also go to the log.
    """

    def __init__(self, total: int | None, description: str, unit: str, how: str) -> None:
        self.total, self.description, self.unit, self.how = total, description, unit, how
        self._n, self._began = 0, time.perf_counter()
        self._next, self._told, self._bar = _FIRST, False, None

    def __enter__(self) -> Self:
        if self.how == "bar":
            self._bar = tqdm(
                total=self.total, desc=self.description, unit=self.unit, delay=_DELAY,
                dynamic_ncols=True, leave=_showing.get() == "nothing",
            )  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._told and not any(error):
            self._say(f"{self._n} {self.unit}s, took {_clock(self._seconds())}")

    def update(self, n: int = 1) -> None:
        """Count n more units as done."""
        self._n += n
        if self._bar is not None:
            self._bar.update(n)
        seconds = self._seconds()
        if self.how == "nothing" or seconds < self._next:
            return
        self._next, self._told = _GROWTH * seconds, True
        done = f"{self._n} {self.unit}s"
        if self.total is not None:
            left = seconds * (self.total - self._n) / max(self._n, 1)
            done = f"{self._n} of {self.total} {self.unit}s, {_clock(left)} left"
        self._say(done)

    def set_postfix_str(self, text: str) -> None:
        """Set a remark behind the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def _seconds(self):
        return time.perf_counter() - self._began

    def _say(self, text):
        line = f"{self.description}: {text}"
        if _progress.isEnabledFor(logging.INFO):
            _progress.info(line)
        elif self.how == "lines":
            print(line, file=sys.stderr, flush=True)


def _clock(seconds):
    return str(timedelta(seconds=round(seconds)))
