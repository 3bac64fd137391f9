"""Dump and load fitted models with skops."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import io
import os
import pkgutil
import warnings
import zipfile
from typing import TYPE_CHECKING

import sklearn.model_selection

import skpot
from skpot._paths import file_name
from skpot._sklearn import InconsistentVersionWarning
from skpot.exceptions import InputTypeError, ModelFileError, ModelFileNotFoundError

from ._archive import (
    add_card,
    card_of,
    check_content,
    check_directory,
    read_seal,
    reading,
    seal,
)
from ._fitted import check_model
from ._whole_files import sweep, whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sklearn.base import BaseEstimator

    from skpot.typing import PathLike

FORMAT = 4  # grows when older versions of skpot cannot read the files

# Subpackages whose classes may be part of a fitted model.
_PARTS = (
    "compose",
    "core",  # the tables of derivative chains
    "data",
    "descriptors",
    "kernels",
    "models",
    "processes",
    "rows",
    "selection",
    "solvers",
)

# Types in searches and pipelines of scikit-learn that skops does not trust by itself.
_FOREIGN = (
    "numpy.ma.MaskedArray",
    "numpy.ma.core.MaskedArray",
    "scipy.sparse._csr.csr_array",  # penalties of features that exact models keep
    "sklearn.metrics._scorer._MultimetricScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "skpot.data.label_errors.energy_mae",
    "skpot.data.label_errors.energy_rmse",
    "skpot.data.label_errors.forces_mae",
    "skpot.data.label_errors.forces_rmse",
    "skpot.data.label_errors.stress_mae",
    "skpot.data.label_errors.stress_rmse",
)


def dump(model: BaseEstimator, path: PathLike, card: Mapping[str, Any] | None = None) -> None:
    """Write a fitted model to a file.

    The file holds only data, so that no code in it is executed when it is read. It gets its name
    when it is complete: an error or a crash leaves an older file of that name as it was.

    Parameters
    ----------
    model : estimator
        A fitted estimator, pipeline or search.
    path : str or Path
        The file, usually with the suffix ".skops". An existing one is replaced, but keeps its
        permissions.
    card : dict, optional
        What the file says about the model: text, numbers, lists and dictionaries of these, which
        are stored as JSON. `skpot fit` writes one, `skpot info` prints it, and
        `skpot.persistence.read_card` returns it.

    Raises
    ------
    TypeError
        If the model holds something that cannot be written, such as a calculator of ASE, or the
        card something that is not in JSON.
    ValueError
        If parts of the model do not agree with each other, for which `load` would refuse it.
    OSError
        If the file cannot be written.

    See Also
    --------
    load : Read the file.

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
    check_model(model, type(model).__name__)
    content = _archive_of(model, card)
    with whole_file(path) as file:
        file.write(content)


def _archive_of(model, card):
    """Return the content of a file with the model and its card."""
    import skops.io
    from skops.io.exceptions import UnsupportedTypeException

    buffer = io.BytesIO()
    envelope = {"format": FORMAT, "skpot_version": skpot.__version__, "model": model}
    try:
        skops.io.dump(envelope, buffer)
    except RecursionError:
        raise InputTypeError(
            f"{type(model).__name__} holds an object that refers to itself, which cannot be "
            "written; usually it is a calculator of ASE. Give DeltaRegressor a class or function "
            "that makes the calculator instead."
        ) from None
    except UnsupportedTypeException as error:
        raise InputTypeError(
            f"{type(model).__name__} holds an object that cannot be written: {error}"
        ) from error
    if card is not None:
        add_card(buffer, card)
    seal(buffer, FORMAT, skpot.__version__)
    return buffer.getbuffer()


def load(path: PathLike, trusted: Sequence[str | type] = ()) -> BaseEstimator:
    """Read a model that `dump` has written.

    Parameters
    ----------
    path : str or Path
        The file.
    trusted : sequence of str or type, default=()
        Types to accept in the file besides those of skpot, scikit-learn, NumPy and SciPy
        (`skpot.persistence.TRUSTED_TYPES`), for example classes of your own.

    Returns
    -------
    model : estimator
        The fitted model.

    Raises
    ------
    ModelFileError
        If the file is damaged, was changed, is no skpot model, or has another format. The error is
        a ValueError, and if there is no file also a FileNotFoundError.
    TypeError
        If the file needs types that are not trusted.

    Warns
    -----
    InconsistentVersionWarning
        If another minor version of skpot wrote the file.

    See Also
    --------
    dump : Write the file; it has an example.

    Examples
    --------
    >>> import skpot
    >>> skpot.load("nothing.skops")
    Traceback (most recent call last):
    ...
    skpot.exceptions.ModelFileNotFoundError: [Errno 2] No such file or directory: 'nothing.skops'
    """
    path = file_name(path)
    with _checked(path) as (file, _, found):
        model = _build(path, file, found, trusted)
        check_model(model, path)
    return model


def read_card(path: PathLike) -> dict[str, Any]:
    """Return the card of a model file, without building the model.

    Parameters
    ----------
    path : str or Path
        A file that `dump` has written.

    Returns
    -------
    card : dict
        What was given to `dump`; empty if the file has no card.

    Raises
    ------
    ModelFileError
        As in `load`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from sklearn.linear_model import Ridge
    >>> import skpot
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.skpot")
    ...     skpot.dump(Ridge(), path, card={"data": "silicon", "frames": 168})
    ...     skpot.persistence.read_card(path)
    {'data': 'silicon', 'frames': 168}
    """
    path = file_name(path)
    with _checked(path) as (_, archive, _):
        return card_of(path, archive)


@contextlib.contextmanager
def _checked(path):
    """Open a model file whose content agrees with its seal: the file, its archive, the seal."""
    sweep(path)
    with reading(path), _opened(path) as file:
        check_directory(path, file)
        with zipfile.ZipFile(file) as archive:
            found = read_seal(path, archive)
            _check_origin(path, found)
            check_content(path, archive, found)
            yield file, archive, found


def _opened(path):
    try:
        return open(path, "rb")
    except FileNotFoundError as error:
        raise ModelFileNotFoundError(error.errno, error.strerror, path) from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error


def _build(path, file, found, trusted):
    """Return the model of a file that has been checked."""
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    accepted = [*trusted_types(), *trusted]
    with warnings.catch_warnings():
        # The seal has been checked for all estimators of skpot; those of scikit-learn still warn.
        warnings.filterwarnings("ignore", ".* of skpot from version", InconsistentVersionWarning)
        try:
            return skops.io.load(file, trusted=accepted)["model"]
        except UntrustedTypesFoundException as error:
            asked = skops.io.get_untrusted_types(file=file)
            unknown = sorted(set(asked) - {_type_name(t) for t in accepted})
            raise InputTypeError(
                f"{path}, written by skpot {found.skpot_version}, holds types that skpot "
                f"{skpot.__version__} does not trust: {unknown}. If they are yours, or you know "
                f"where the file comes from, load it with trusted={unknown}."
            ) from error


def _type_name(value):
    return value if isinstance(value, str) else f"{value.__module__}.{value.__qualname__}"


class OtherVersionWarning(InconsistentVersionWarning):
    """scikit-learn's warning, with a text about model files."""

    def __str__(self) -> str:
        return (
            f"{self.estimator_name} was written by skpot {self.original_sklearn_version}, and this "
            f"is skpot {self.current_sklearn_version}. Predictions may differ: compare them with "
            "labels (skpot evaluate), or fit the model again."
        )


def _check_origin(path, found):
    """Refuse files of another format, and warn about files of another version."""
    version = found.skpot_version
    if found.format != FORMAT:
        advice = f"Install skpot>={version}" if found.format > FORMAT else "Fit the model again"
        raise ModelFileError(
            f"{path} has format {found.format}, written by skpot {version}; this is skpot "
            f"{skpot.__version__}, which reads format {FORMAT}. {advice}."
        )
    if version.split(".")[:2] != skpot.__version__.split(".")[:2]:
        warnings.warn(
            OtherVersionWarning(
                estimator_name=os.path.basename(path),
                current_sklearn_version=skpot.__version__,
                original_sklearn_version=version,
            ),
            stacklevel=5,
        )


@functools.cache
def trusted_types() -> tuple[str, ...]:
    """List the types that a model file may hold: all classes of skpot of which models consist.

    Types that skops trusts by itself, which are estimators of scikit-learn and data of NumPy and
    SciPy, are not in the list.

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
