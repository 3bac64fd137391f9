"""Dump and load fitted models with skops."""

import functools
import importlib
import inspect
import json
import os
import pkgutil
import uuid
import warnings
import zipfile

import sklearn.model_selection

import skpot
from skpot._sklearn import InconsistentVersionWarning
from skpot.exceptions import InputTypeError, ModelFileError

FORMAT = 1  # of the files; a new one when an older skpot could not read them

# Subpackages whose classes may be part of a fitted model.
_PARTS = (
    "compose",
    "core",  # the tables of derivative chains
    "data",
    "descriptors",
    "kernels",
    "models",
    "selection",
    "solvers",
)

# What searches and pipelines of scikit-learn hold besides the types skops trusts by itself.
_FOREIGN = (
    "numpy.ma.MaskedArray",
    "numpy.ma.core.MaskedArray",
    "sklearn.metrics._scorer._MultimetricScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "skpot._sklearn.NamedMetric",
)


def dump(model, path):
    """Write a fitted model to a file.

    The file holds data only, so reading it executes no code from it. It appears under its name when
    it is complete: an error or a crash leaves an older file of that name as it was.

    Parameters
    ----------
    model : estimator
        A fitted estimator, pipeline or search.
    path : str or Path
        The file, by custom with the suffix ".skops". An existing one is replaced.

    Raises
    ------
    TypeError
        If the model holds what such a file cannot, such as a calculator of ASE.

    See Also
    --------
    load : The way back.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from sklearn.linear_model import Ridge
    >>> import skpot
    >>> model = Ridge().fit([[0.0], [1.0]], [0.0, 2.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.skops")
    ...     skpot.dump(model, path)
    ...     loaded = skpot.load(path)
    >>> bool(loaded.predict([[2.0]]) == model.predict([[2.0]]))
    True
    """
    import skops.io

    target = os.path.realpath(path)  # replacing a link would leave its file behind
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")
    envelope = {"format": FORMAT, "skpot_version": skpot.__version__, "model": model}
    try:
        with open(temporary, "xb") as file:
            skops.io.dump(envelope, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except RecursionError:
        raise InputTypeError(
            f"{type(model).__name__} holds an object that refers to itself, which no model file "
            "can: as a rule a calculator of ASE. Give DeltaRegressor a class or function that "
            "makes the calculator instead."
        ) from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def load(path, trusted=()):
    """Read a model that `dump` has written.

    Parameters
    ----------
    path : str or Path
        The file.
    trusted : sequence of str or type, default=()
        Types to accept in the file besides those of skpot, scikit-learn, NumPy and SciPy
        (`skpot.persistence.TRUSTED_TYPES`), for models that hold classes of your own.

    Returns
    -------
    model : estimator
        The fitted model.

    Raises
    ------
    ValueError
        If the file is damaged, no skpot model, or of a newer format.
    TypeError
        If the file asks for types that are not trusted.

    Warns
    -----
    InconsistentVersionWarning
        If another minor version of skpot wrote the file.

    See Also
    --------
    dump : The way there, with an example.

    Examples
    --------
    >>> import skpot
    >>> skpot.load("nothing.skops")
    Traceback (most recent call last):
    ...
    FileNotFoundError: [Errno 2] No such file or directory: 'nothing.skops'
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    path = os.fspath(path)
    file_format, version = _peek(path)
    _check_envelope(path, file_format, version)
    accepted = [*trusted_types(), *trusted]
    with warnings.catch_warnings():
        # The envelope has spoken for all of our estimators; scikit-learn's own still speak.
        warnings.filterwarnings("ignore", ".* of skpot from version", InconsistentVersionWarning)
        try:
            envelope = skops.io.load(path, trusted=accepted)
        except UntrustedTypesFoundException as error:
            asked = skops.io.get_untrusted_types(file=path)
            unknown = sorted(set(asked) - {_type_name(t) for t in accepted})
            raise InputTypeError(
                f"{path}, written by skpot {version}, holds types that skpot "
                f"{skpot.__version__} does not trust: {unknown}. If they are yours, or you know "
                f"where the file comes from, load it with trusted={unknown}."
            ) from error
        except (zipfile.BadZipFile, EOFError) as error:
            raise ModelFileError(f"{path} is damaged: {error}") from error
    return envelope["model"]


def _type_name(value):
    return value if isinstance(value, str) else f"{value.__module__}.{value.__qualname__}"


def _peek(path):
    """Return format and version of a file without building anything from it."""
    what = f"{path} is no model written by skpot.dump"
    try:
        with zipfile.ZipFile(path) as archive:
            schema = json.loads(archive.read("schema.json"))
    except zipfile.BadZipFile as error:
        raise ModelFileError(f"{what}, or it is truncated.") from error
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"{what}: {error}") from error
    try:
        content = schema["content"]
        file_format = int(content["format"]["content"])
        version = json.loads(content["skpot_version"]["content"])
        return file_format, str(version)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{what}; it may be a plain skops file (skops.io.load).") from error


def _check_envelope(path, file_format, version):
    if file_format > FORMAT:
        raise ModelFileError(
            f"{path} has format {file_format}, written by skpot {version}; this is skpot "
            f"{skpot.__version__}, which reads formats up to {FORMAT}. Install skpot>={version}."
        )
    if version.split(".")[:2] != skpot.__version__.split(".")[:2]:
        warnings.warn(
            InconsistentVersionWarning(
                estimator_name=f"{os.path.basename(path)} of skpot",
                current_sklearn_version=skpot.__version__,
                original_sklearn_version=version,
            ),
            stacklevel=3,
        )


@functools.cache
def trusted_types():
    """List the types a model file may hold: every class of skpot that models are made of.

    Types that skops trusts by itself (scikit-learn's estimators, NumPy's and SciPy's data) are not
    repeated.

    Returns
    -------
    names : tuple of str
        Full names, sorted.
    """
    names = {*_FOREIGN}
    for value in vars(sklearn.model_selection).values():  # a search holds the splitter it was given
        if inspect.isclass(value):
            names.add(f"{value.__module__}.{value.__qualname__}")
    for part in _PARTS:
        package = importlib.import_module(f"skpot.{part}")
        modules = [package]
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            modules.append(importlib.import_module(info.name))
        for module in modules:
            for _, value in inspect.getmembers(module, inspect.isclass):
                if value.__module__ == module.__name__ and not issubclass(value, BaseException):
                    names.add(f"{value.__module__}.{value.__qualname__}")
    return tuple(sorted(names))
