"""What labels for a run: in its process, or in one of its own that can be ended."""

from __future__ import annotations

import os
import pickle
import re
import warnings
from concurrent.futures import BrokenExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

from joblib.externals import loky
from joblib.externals.loky.backend.reduction import dumps

from ..exceptions import InputError, InputTypeError
from ._labelers import (
    CalculatorLabeler,
    CommandLabeler,
    FolderLabeler,
    FunctionLabeler,
    LabelFailed,
    checked_patience,
)

if TYPE_CHECKING:
    from skpot.active._labelers import Label, Labeler
    from skpot.typing import Atoms

_sent = b""  # of a process that labels: what labels there


class ApartLabeler:
    """A labeler in a process of its own, which is ended when it takes too long.

    A calculator that hangs in compiled code, or whose process dies, then costs a label and not the
    run. The process serves all labels as long as they come; one that loky replaces, as it does with
    processes that have grown by 300 MB, receives the labeler anew.

    Parameters
    ----------
    inner : Labeler
        What labels there.
    patience : float
        Seconds for each label, after which it counts as failed.

    Raises
    ------
    InputTypeError
        If the labeler cannot be sent to another process.
    """

    def __init__(self, inner: Labeler, patience: float) -> None:
        self.inner, self.patience = inner, patience
        try:
            self._sent = bytes(dumps(inner))
        except Exception as error:
            raise InputTypeError(
                f"with patience labels are computed in a process of their own, to which this "
                f"labeler cannot be sent ({error}). Label by a command, or without patience."
            ) from error
        self._executor: Any = None

    def __call__(self, atoms: Atoms, number: int) -> Label:
        """Return the labels of a structure."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A worker stopped", UserWarning)  # another one labels
            return self._awaited(atoms, number)

    def _awaited(self, atoms, number):
        try:
            if self._executor is None:
                self._executor = loky.ProcessPoolExecutor(
                    1, initializer=_receive, initargs=(self._sent,)
                )
            self._executor.submit(_begin).result()  # imports take some time
            asked = self._executor.submit(_label, atoms, number)
            try:
                return asked.result(self.patience)
            except TimeoutError:
                if asked.done():  # an error of the labeler itself
                    raise
        except BrokenExecutor as error:
            self._end()
            raise LabelFailed(f"the process that labels has died: {_cause(error)}") from error
        except (KeyboardInterrupt, SystemExit):
            self._end()
            raise
        self._end()
        raise LabelFailed(f"no label after {self.patience:g} s; its process was ended")

    def _end(self):
        """End the process and all that it has started; the next label begins another one."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(kill_workers=True)


def as_labeler(given: Any, patience: float | None = None) -> Labeler:
    """Return the labeler that a user's object is: a calculator of ASE, a function, a labeler.

    Parameters
    ----------
    given : ASE calculator, callable, str, Path, CommandLabeler or FolderLabeler
        The object.
    patience : float, optional
        Seconds after which a label counts as failed. Labelers of commands and folders have their
        own.
    """
    patience = checked_patience(patience)
    if isinstance(given, CommandLabeler | FolderLabeler):
        if patience is not None:
            raise InputError(f"set the patience of the {type(given).__name__} itself.")
        return given
    if isinstance(given, str | os.PathLike):
        return FolderLabeler(given, patience)
    if hasattr(given, "get_property"):
        return _with_patience(CalculatorLabeler(given), patience)
    if callable(given):
        return _with_patience(FunctionLabeler(given), patience)
    raise InputTypeError(
        "labels come from a calculator of ASE, a function of Atoms, or a folder, not from "
        f"{type(given).__name__}."
    )


def _with_patience(labeler, patience):
    return labeler if patience is None else ApartLabeler(labeler, patience)


def _receive(sent):
    """Keep what labels, in the process that labels."""
    global _sent
    _sent = sent


@cache
def _labeler():
    """Return what labels, in the process that labels."""
    return pickle.loads(_sent)


def _begin():
    """Let there be what labels, in the process that labels."""
    _labeler()


def _label(atoms, number):
    """Return labels, in the process that labels."""
    return _labeler()(atoms, number)


def _cause(error):
    """Return the signal or exit code in what loky says of a process that died."""
    text = str(error)
    found = re.search(r"{(.*?)}", text)
    return found[1] if found else text.partition("\n")[0]
