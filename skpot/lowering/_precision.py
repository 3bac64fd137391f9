"""Which numbers of a compiled model are in single precision, and whether that costs too much."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from ..core.feature_rows import Mapped
from ..exceptions import NumericalWarning, warn_once

if TYPE_CHECKING:
    from typing import Any

_ROUNDING = 0.1  # share of the noise that single precision may add without a warning


def reference_type(dtype: str, form: Any) -> np.dtype:
    """Return the type of references of a model if the user wants `dtype`.

    References with vectors remain in double precision, because their large contributions cancel
    each other.
    """
    return np.dtype(np.float64 if getattr(form, "vectors", None) is not None else dtype)


def in_single_precision(node: Any) -> Any:
    """Return a node of a tree of features with its matrices in single precision."""
    if isinstance(node, Mapped):
        node = node._replace(matrix=node.matrix.astype(np.float32))
    inside = [name for name in ("inner", "left", "right") if hasattr(node, name)]
    return node._replace(**{name: in_single_precision(getattr(node, name)) for name in inside})


def precision_of(parts: tuple[Any, ...]) -> str:
    """Return "float32" if nested tuples have an array in single precision, else "float64"."""
    left = list(parts)
    while left:
        part = left.pop()
        if isinstance(part, tuple):
            left.extend(part)
        elif getattr(part, "dtype", None) == np.float32:
            return "float32"
    return "float64"


def tell_of_rounding(errors: Any, regressor: Any) -> None:
    """Warn if single precision adds more than a tenth of the noise that the labels have."""
    for kind, unit in (("energy", "eV/atom"), ("forces", "eV/Å")):
        # What a preset has chosen, or what was given, for some regressors by group.
        name = f"sigma_{kind}"
        noise = getattr(regressor, f"{name}_", getattr(regressor, name, None))
        noise = min(noise.values(), default=None) if isinstance(noise, dict) else noise
        error = getattr(errors, kind)
        if isinstance(noise, Real) and error > _ROUNDING * noise:
            warn_once(
                f"single precision of {kind}",
                f"single precision changes {kind} by up to {error:.2g} {unit}, more than a tenth "
                f"of the noise of their labels, {noise:.2g} {unit}; prefer "
                'dtype="float64".',
                NumericalWarning,
            )
