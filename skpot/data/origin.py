"""The record of which fitted steps made some features, so that others are refused."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sklearn.base import BaseEstimator

    from skpot.data._features import AtomicFeatures


class Origin(NamedTuple):
    """The descriptor and the steps that made features, as they were fitted."""

    key: str  # digest of all that determines the features of a structure
    vanishing: bool  # whether the row of an atom without neighbors is zero


def content_digest(*content: Any) -> str:
    """Return a short digest of arrays, numbers, strings and (named) tuples and dicts of these."""
    digest = hashlib.blake2b(digest_size=12)
    _feed(digest, content)
    return digest.hexdigest()


def _feed(digest, value):
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data.cast("B") if value.size else b"")
    elif isinstance(value, list | tuple | np.ndarray):
        name = type(value).__name__ if hasattr(value, "_fields") else ""
        digest.update(f"{name}({len(value)}".encode())
        for item in value:
            _feed(digest, item)
    elif isinstance(value, dict):
        _feed(digest, sorted(value.items()))
    else:
        plain = value.item() if isinstance(value, np.generic) else value
        digest.update(f"{plain!r};".encode())


def joined(
    step: str, origins: Sequence[Origin | None], *content: Any, zero_stays: bool = True
) -> Origin | None:
    """Return the `Origin` of the features that a step makes of others.

    Parameters
    ----------
    step : str
        Name of the step.
    origins : sequence of Origin or None
        Origins of what it is applied to. If one is not known, neither is the result.
    content
        What determines the result of the step; see `content_digest`.
    zero_stays : bool, default=True
        Whether the step maps rows of zeros to rows of zeros.
    """
    if any(origin is None for origin in origins):
        return None
    vanishing = bool(zero_stays) and all(origin.vanishing for origin in origins)
    return Origin(content_digest(step, [origin.key for origin in origins], *content), vanishing)


def learn_origin(estimator: BaseEstimator, features: AtomicFeatures) -> None:
    """Record the origin of the features that an estimator is fitted on in `features_origin_`."""
    estimator.features_origin_ = None if features.origin is None else features.origin.key


def refuse_other_origin(estimator: BaseEstimator, features: AtomicFeatures) -> None:
    """Raise `InputError` if features have another origin than those that an estimator learned from.

    An estimator that learned from features of unknown origin takes any.
    """
    learned = getattr(estimator, "features_origin_", None)
    if learned is None or (features.origin is not None and features.origin.key == learned):
        return
    name = type(estimator).__name__
    if features.origin is None:
        raise InputError(
            f"these features do not tell what made them, but this {name} was fitted on "
            "features of a descriptor, and others of the same width would give wrong numbers. "
            "Compute them by the same descriptor, as in model.predict(structures) with a pipeline."
        )
    raise InputError(
        f"these features come from a descriptor, or steps after it, that differ from those that "
        f"this {name} was fitted on: they have other parameters, or were fitted again later (as "
        "happens if a fit of the pipeline is interrupted). Fit the whole pipeline again."
    )
