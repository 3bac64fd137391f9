"""Derivatives of transformers that work row by row."""

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
    """Return the registered derivative of a fitted transformer, or None if there is none."""
    return None


def register_jacobian(transformer_type: type, factory: Callable[..., Any]) -> None:
    """Teach `PerAtom` the derivative of a nonlinear transformer.

    `skpot.lowering.register_step` says how to have a linear transformer compiled as well.

    Parameters
    ----------
    transformer_type : type
        Class of the transformer.
    factory : callable
        A function of the fitted transformer that returns a picklable object with two methods.
        `vjp(rows, g)` returns the product of g, shape (n_rows, n_out), with the Jacobian of each
        row, shape (n_rows, n_in). `jvp(rows, v)` returns the Jacobian of each row times v, shape
        (n_rows, k, n_in), which has shape (n_rows, k, n_out). If the object has a true attribute
        `jumps_at_zero`, features that are zero for atoms without neighbors are refused.

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
                f'Normalizer(norm="{transformer.norm}") has kinks, at which forces would jump; '
                'use norm="l2".'
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
