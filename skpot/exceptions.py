"""Errors and warnings of skpot, by which they can be caught and filtered.

Every error that skpot raises is a `SkpotError` and also the builtin error that scikit-learn and ASE
users expect at that place, such as `ValueError`. Every warning is a `SkpotWarning`.

Examples
--------
Stop at the first warning about labels, and show no others:

>>> import warnings
>>> from skpot.exceptions import LabelWarning, SkpotWarning
>>> with warnings.catch_warnings():
...     warnings.simplefilter("ignore", SkpotWarning)
...     warnings.simplefilter("error", LabelWarning)
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "CacheWarning",
    "EngineError",
    "EngineWarning",
    "FileError",
    "InputError",
    "InputTypeError",
    "LabelError",
    "LabelWarning",
    "MissingDependencyError",
    "ModelFileError",
    "ModelFileNotFoundError",
    "NotCompilableError",
    "NumericalError",
    "NumericalWarning",
    "ParameterError",
    "ServerError",
    "SkpotError",
    "SkpotWarning",
    "StructureError",
    "StructureWarning",
]


class SkpotError(Exception):
    """Base of all errors that skpot raises."""


class InputError(SkpotError, ValueError):
    """An argument cannot be used."""


class InputTypeError(SkpotError, TypeError):
    """An argument is of a type that cannot be used."""


class StructureError(InputError):
    """A structure cannot be used; the message has its index."""


class LabelError(InputError):
    """A label or its noise level cannot be used; the message has the index of the structure."""


class ParameterError(InputError):
    """A parameter has a value that makes no sense, alone or together with others."""


class ModelFileError(InputError):
    """A file is damaged, is not a model file, or holds objects that must not be loaded."""


class ModelFileNotFoundError(FileNotFoundError, ModelFileError):
    """There is no model file of that name."""


class NumericalError(SkpotError, ValueError):
    """A computation failed because its numbers are too large, too small or inaccurate."""


class NotCompilableError(InputTypeError):
    """A model has no compiled form, so it cannot be exported to other programs."""


class EngineError(SkpotError, RuntimeError):
    """A simulation, or the program that runs it, cannot go on."""


class ServerError(SkpotError, ConnectionError):
    """The program at the other end of a connection for forces cannot be reached."""


class FileError(SkpotError, OSError):
    """A file or a program cannot be read, written or found."""


class MissingDependencyError(SkpotError, ImportError):
    """An optional package is not installed; the message says how to install it."""


class SkpotWarning(UserWarning):
    """Base of all warnings that skpot gives.

    Attributes
    ----------
    cause : str
        What the warning is about, the same for all warnings of one cause; see `warn_once`.
    """

    cause: str = ""


class StructureWarning(SkpotWarning):
    """Structures look wrong, but can be used."""


class LabelWarning(SkpotWarning):
    """Labels look wrong, or some of them are not used."""


class NumericalWarning(SkpotWarning):
    """A result is less accurate, or needed more regularization, than was asked for."""


class EngineWarning(SkpotWarning):
    """A simulation goes on, but the user should know something about it."""


class CacheWarning(SkpotWarning):
    """A result could not be stored, so it will be computed again."""


def warn_once(cause: str, message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's code that is running, once for each cause.

    Python shows a warning once for each line and message. In a cross-validation this does not work,
    for two reasons: the message of each fold has other indices and figures, and scikit-learn enters
    `warnings.catch_warnings`, after which Python forgets what it has shown. Here the line is that
    of the code that called skpot, scikit-learn or joblib, and the cause is compared instead of the
    message. Filters work as usual: "always" shows one warning for each call by the user, "error"
    raises.

    Parameters
    ----------
    cause : str
        What the warning is about; warnings of the same cause are shown once.
    message : str
        The text of the warning.
    category : type
        A subclass of `SkpotWarning`.
    """
    frame, call = _user_frame(sys._getframe(1))
    where = frame.f_code.co_filename, frame.f_lineno
    module = frame.f_globals.get("__name__", "<unknown>")
    registry = frame.f_globals.get("__warningregistry__")
    if not isinstance(registry, _Registry):
        registry = frame.f_globals["__warningregistry__"] = _Registry(registry or {})
    action = _action(message, category, module, where[1])
    if action in ("always", "default", "module", "once"):
        # Code that records warnings (`catch_warnings(record=True)`) gets each cause once more.
        shown = cause, category, where, getattr(warnings, "_showwarnmsg_impl", None)
        # With "always" the record is a variable of the calling frame: it ends with that call.
        record = call.f_locals.setdefault(_NOTE, set()) if action == "always" else registry.shown
        if shown in record:
            return
        record.add(shown)
    warning = category(message)
    warning.cause = cause  # for those who record warnings and show each cause once
    warnings.warn_explicit(warning, category, *where, module, registry)


class _Registry(dict):
    """Python's record of the warnings that a module has shown. Python does not clear `shown`."""

    def __init__(self, entries: dict[str, Any]) -> None:
        super().__init__(entries)
        self.shown = set()


_NOTE = "_shown_by_skpot"  # name of a variable in the frame of a call
_LIBRARIES = ("skpot", "sklearn", "joblib", "concurrent", "multiprocessing", "threading")
_LIBRARIES += ("contextlib", "functools")


def _user_frame(frame):
    """Return the innermost frame outside of `_LIBRARIES`, and that of the call from there.

    If there is none, both are the outermost frame.
    """
    call = frame
    while frame.f_back is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in _LIBRARIES:
            break
        call, frame = frame, frame.f_back
    return frame, call


def _action(text, category, module, line):
    """Return the action that Python's filters have for a warning."""
    for action, message, kind, origin, where in warnings.filters:
        if issubclass(category, kind) and where in (0, line):
            if _matches(message, text) and _matches(origin, module):
                return action
    return warnings.defaultaction


def _matches(pattern, text):
    return pattern is None or (pattern == text if isinstance(pattern, str) else pattern.match(text))
