"""The energies of fitted regressors: one form for kernel models, and one for linear models.

Only `lower_regressor` decides by the type of a regressor; `register_regressor` adds types to it.
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from ..exceptions import NotCompilableError
from ..models import Potential

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.models import Expansion, LinearForms


@singledispatch
def lower_regressor(regressor: Any) -> Expansion | LinearForms:
    """Return the `Expansion` or `LinearForms` of a fitted regressor.

    Raises
    ------
    NotCompilableError
        If the regressor has no compiled form.
    """
    raise NotCompilableError(
        f"{type(regressor).__name__} has no compiled form. These regressors have one: SparseGPR, "
        "SparseGPRCV, GPR, SymmetricGPR, AutoGPR, LinearRidge, and those registered by "
        "skpot.lowering.register_regressor."
    )


@lower_regressor.register
def _(regressor: Potential):
    return regressor.expansion_


def register_regressor(regressor_type: type, lower: Callable[..., Any]) -> None:
    """Teach `skpot.compile` a regressor of another package.

    Parameters
    ----------
    regressor_type : type
        Class of a regressor of `AtomicFeatures`. It must have a method `evaluate` like regressors
        of skpot, and an attribute `e0_` with the energy of a free atom (eV) by atomic number.
        Subclasses are included.
    lower : callable
        A function of the fitted regressor that returns the energies of environments, without those
        of free atoms, as a `skpot.models.Expansion` of a kernel of `skpot.kernels` or as
        `skpot.models.LinearForms`. If it cannot express the regressor, it raises
        `skpot.exceptions.NotCompilableError`, and the calculator then runs the pipeline itself.

    Examples
    --------
    >>> from skpot.lowering import register_regressor
    >>> from skpot.models import LinearForms
    >>> class OneSpecies:
    ...     pass
    >>> register_regressor(OneSpecies, lambda model: LinearForms(3, {14: model.coef_}, None))
    """
    lower_regressor.register(regressor_type, lower)
