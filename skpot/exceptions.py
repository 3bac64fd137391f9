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


class _OneCause(str):
    """A message that equals every other message of the same cause."""

    def __new__(cls, cause, text):
        self = super().__new__(cls, text)
        self.cause = cause
        return self

    def __eq__(self, other):
        return self.cause == other.cause if isinstance(other, _OneCause) else NotImplemented

    def __hash__(self):
        return hash(self.cause)

    def __getnewargs__(self):
        return self.cause, str(self)


def one_cause(cause, text):
    """Return the message of a warning that is to be shown once, whatever numbers are in it.

    Python shows a warning once for each place and message. Indices and figures make the message
    another one in every fold of a cross-validation, though the cause is one; with this, the first
    is shown and the others count as the same. Filters work as ever: "always" shows all, "error"
    raises, and patterns see the whole text.

    Parameters
    ----------
    cause : str
        What is warned of.
    text : str
        The message.

    Returns
    -------
    message : str
        To be passed to `warnings.warn`.
    """
    return _OneCause(cause, text)


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
