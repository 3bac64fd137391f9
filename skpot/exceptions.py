"""Errors and warnings of skpot, so that they can be caught and filtered by what they are about.

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
    """What was passed cannot be used."""


class InputTypeError(SkpotError, TypeError):
    """What was passed is of a kind that cannot be used."""


class StructureError(InputError):
    """A structure cannot be used; the message names it by its index."""


class LabelError(InputError):
    """A label or its noise level cannot be used; the message names the structure."""


class ParameterError(InputError):
    """A parameter, or several together, have values that make no sense."""


class ModelFileError(InputError):
    """A model file is damaged, is no model file, or holds what must not be loaded."""


class ModelFileNotFoundError(FileNotFoundError, ModelFileError):
    """There is no model file of that name."""


class NumericalError(SkpotError, ValueError):
    """A computation has no finite result, whatever is passed as input."""


class NotCompilableError(InputTypeError):
    """A model has no compiled form, so that it cannot be exported to other programs."""


class EngineError(SkpotError, RuntimeError):
    """A simulation, or the program that runs it, cannot go on."""


class ServerError(SkpotError, ConnectionError):
    """The program that asks for forces, or is asked for them, cannot be reached."""


class FileError(SkpotError, OSError):
    """A file or a program cannot be read, written or found."""


class MissingDependencyError(SkpotError, ImportError):
    """An optional package is not installed; the message says how to install it."""


class SkpotWarning(UserWarning):
    """Base of all warnings that skpot gives."""


class StructureWarning(SkpotWarning):
    """Structures look wrong, but can be used."""


class LabelWarning(SkpotWarning):
    """Labels look wrong, or some that are there are not used."""


class NumericalWarning(SkpotWarning):
    """A result is less exact, or took more regularization, than was asked for."""


class EngineWarning(SkpotWarning):
    """A simulation goes on, but something about it should be known."""


class CacheWarning(SkpotWarning):
    """Something could not be kept for later, so that it will be computed again."""


def warn_once(cause: str, message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's code that is running, once for each cause.

    Python shows a warning once for each line and message. In a cross-validation that fails twice:
    indices and figures make each fold's message another one, and scikit-learn enters
    `warnings.catch_warnings`, after which Python has forgotten what it has shown. Here the line is
    that of whoever called skpot, scikit-learn or joblib, and the cause counts instead of the
    message. Filters work as ever: "always" shows one for each call of the user's, "error" raises.

    Parameters
    ----------
    cause : str
        What is warned of.
    message : str
        With all figures.
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
        # Who records warnings (`catch_warnings(record=True)`) begins with an empty record.
        shown = cause, category, where, getattr(warnings, "_showwarnmsg_impl", None)
        # What is noted among the variables of a call is forgotten when it ends.
        record = call.f_locals.setdefault(_NOTE, set()) if action == "always" else registry.shown
        if shown in record:
            return
        record.add(shown)
    warnings.warn_explicit(message, category, *where, module, registry)


class _Registry(dict):
    """Python's record of warnings shown by a module; Python empties it, but not what is `shown`."""

    def __init__(self, entries: dict[str, Any]) -> None:
        super().__init__(entries)
        self.shown = set()


_NOTE = "_shown_by_skpot"  # a variable of the frame of a call
_LIBRARIES = ("skpot", "sklearn", "joblib", "concurrent", "multiprocessing", "threading")
_LIBRARIES += ("contextlib", "functools")


def _user_frame(frame):
    """Return the innermost frame of other code than these libraries', and that of its call of one.

    The last twice if there is none.
    """
    call = frame
    while frame.f_back is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in _LIBRARIES:
            break
        call, frame = frame, frame.f_back
    return frame, call


def _action(text, category, module, line):
    """Return what Python's filters do with a warning."""
    for action, message, kind, origin, where in warnings.filters:
        if issubclass(category, kind) and where in (0, line):
            if _matches(message, text) and _matches(origin, module):
                return action
    return warnings.defaultaction


def _matches(pattern, text):
    return pattern is None or (pattern == text if isinstance(pattern, str) else pattern.match(text))
