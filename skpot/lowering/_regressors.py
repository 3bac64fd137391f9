"""What fitted regressors add up: one form for kernel models, one for linear ones."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..exceptions import NotCompilableError
from ..models import KernelPotential, LinearRidge

if TYPE_CHECKING:
    from typing import Any

    from skpot.models import Expansion


class LinearForms(NamedTuple):
    r"""Energies of environments linear or quadratic in their features.

    .. math:: \epsilon(x) = b_z \cdot x + x^T A_z x

    with coefficients for each species z of the center.
    """

    n_features: int
    linear: dict  # (n_features,) b by atomic number; zero for species that are not there
    quadratic: dict | None  # (n_features, n_features) A, symmetric; None for linear models


@singledispatch
def lower_regressor(regressor: Any) -> Expansion | LinearForms:
    """Return the `Expansion` or `LinearForms` of a fitted regressor.

    Raises
    ------
    NotCompilableError
        If the regressor has no compiled form.
    """
    raise NotCompilableError(
        f"{type(regressor).__name__} has no compiled form. SparseGPR, SparseGPRCV, GPR, "
        "KernelRidge, AutoGPR and LinearRidge have."
    )


@lower_regressor.register
def _(regressor: KernelPotential):
    return regressor.expansion_


@lower_regressor.register
def _(regressor: LinearRidge):
    n = regressor.n_columns_in_
    squares = regressor.degree_ == 2
    pairs = np.triu_indices(n)
    linear, quadratic, begin = {}, {}, 0
    for z, columns in regressor.coef_columns_.items():
        full = np.zeros(n + (len(pairs[0]) if squares else 0))
        end = begin + len(columns)
        full[columns] = regressor.coef_[begin:end]
        linear[z], begin = full[:n], end
        if squares:
            half = np.zeros((n, n))
            half[pairs] = 0.5 * full[n:]
            quadratic[z] = half + half.T
    return LinearForms(n, linear, quadratic if squares else None)
