"""What files of structures say about the model that made their results."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator

from .. import __version__
from ..lowering import CompiledPotential

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_INNER = ("steps", "transformer_list")  # parameters of pipelines and unions that a fit changes


def identity(model: Any) -> dict[str, Any]:
    """Return which model this is, as ASE writes it to files beside results.

    Parameters
    ----------
    model : estimator or CompiledPotential
        The fitted model.

    Returns
    -------
    dict
        ``model``, the names of its parts; ``model_hash``, which depends on all that the fit found
        but not on the file or the process that the model comes from; ``preset``, if it was made by
        one; and ``skpot_version``, of the code that computes the results.
    """
    found = {"model": " + ".join(_names(model)), "model_hash": content_hash(model)}
    presets = {part.hypers for part in _parts(model) if isinstance(getattr(part, "hypers", 0), str)}
    if presets:
        found["preset"] = " ".join(sorted(presets))
    return found | {"skpot_version": __version__}


def content_hash(model: Any) -> str:
    """Return a text that is the same for models with the same fitted numbers."""
    digest = hashlib.blake2b(digest_size=16)
    for part in _content(model):
        digest.update(part)
    return digest.hexdigest()


def _content(value: Any) -> Iterator[bytes]:
    """Yield the content of fitted attributes, dictionaries, lists, tuples, arrays and scalars."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        yield f"{value.dtype.kind}{value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, bool | int | float | str | bytes | np.generic | None):
        yield repr(value.item() if isinstance(value, np.generic) else value).encode()
    elif isinstance(value, dict):
        for key in sorted(value, key=repr):
            yield repr(key).encode()
            yield from _content(value[key])
    elif isinstance(value, list | tuple | np.ndarray):
        yield f"[{len(value)}".encode()
        for one in value:
            yield from _content(one)
    elif hasattr(value, "get_property"):  # a calculator of ASE, which changes as it is used
        yield type(value).__name__.encode()
    elif hasattr(value, "__dict__") and not hasattr(value, "__qualname__"):  # no function, no class
        yield type(value).__name__.encode()
        yield from _content(_lasting(value))
    else:
        yield getattr(value, "__qualname__", type(value).__name__).encode()


def _lasting(value):
    """Return the attributes of an object that a fit has set, or all parameters without a fit."""
    if isinstance(value, CompiledPotential):
        return {"potential": value.potential, "species": value.species}
    own = {name: part for name, part in vars(value).items() if not name.startswith("_")}
    if not isinstance(value, BaseEstimator):
        return own
    fitted = {name: part for name, part in own.items() if name.endswith("_")}
    inner = {name: own[name] for name in _INNER if name in own}
    return (fitted | inner) or own


def _parts(model):
    """Yield a model and all that it is made of, from the outside to the inside."""
    yield model
    for _, part in (part[:2] for name in _INNER for part in getattr(model, name, ())):
        yield from _parts(part)
    if hasattr(model, "estimator_"):
        yield from _parts(model.estimator_)


def _names(model):
    return [type(part).__name__ for part in _parts(model) if not set(_INNER) & set(vars(part))]
