"""Derivatives of row-wise transformers."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np
from sklearn.preprocessing import Normalizer

from ..exceptions import InputTypeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.data.contracts import RowJacobian
    from skpot.typing import FloatArray


@singledispatch
def jacobian_of(transformer: Any) -> RowJacobian | None:
    """Return the derivative object registered for a fitted transformer, or None."""
    return None


def register_jacobian(transformer_type: type, factory: Callable[..., Any]) -> None:
    """Teach `PerAtom` the derivative of a nonlinear transformer.

    Transformers that are linear may also be compiled, see `skpot.lowering.register_step`.

    Parameters
    ----------
    transformer_type : type
        Class of the transformer.
    factory : callable
        Takes the fitted transformer and returns a picklable object with `vjp(rows, g)`, the product
        of g (n_rows, n_out) with each row's Jacobian, shape (n_rows, n_in); and `jvp(rows, v)`, the
        Jacobian times v (n_rows, k, n_in), shape (n_rows, k, n_out). If it has an attribute
        `jumps_at_zero` that is true, features that vanish for atoms without neighbors are refused.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from skpot.compose import register_jacobian
    >>> class SquareRoot:
    ...     def __init__(self, transformer):
    ...         pass
    ...     def vjp(self, rows, g):
    ...         return g * 0.5 / np.sqrt(rows)
    ...     def jvp(self, rows, v):
    ...         return v * (0.5 / np.sqrt(rows))[:, None]
    >>> class Roots(FunctionTransformer):
    ...     def __init__(self):
    ...         super().__init__(np.sqrt)
    >>> register_jacobian(Roots, SquareRoot)
    """
    jacobian_of.register(transformer_type, factory)


class UnitLength:
    """Derivative of scaling rows to unit length: (1 - u u^T) / |x|.

    Parameters
    ----------
    transformer : Normalizer
        With `norm="l2"`.
    """

    jumps_at_zero = True

    def __init__(self, transformer: Normalizer) -> None:
        if transformer.norm != "l2":
            raise InputTypeError(
                f'Normalizer(norm="{transformer.norm}") has kinks, so forces would jump; use '
                'norm="l2".'
            )

    @staticmethod
    def _unit(rows):
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        length[length == 0.0] = 1.0
        return rows / length, length

    def vjp(self, rows: FloatArray, g: FloatArray) -> FloatArray:
        """Return g times the Jacobian of each row."""
        unit, length = self._unit(rows)
        return (g - np.einsum("ij,ij->i", g, unit)[:, None] * unit) / length

    def jvp(self, rows: FloatArray, v: FloatArray) -> FloatArray:
        """Return each row's Jacobian times v."""
        unit, length = self._unit(rows)
        along = np.einsum("ikj,ij->ik", v, unit)
        return (v - along[:, :, None] * unit[:, None]) / length[:, None]


register_jacobian(Normalizer, UnitLength)
