"""The energies of fitted regressors: one form each for kernel models, linear ones and networks.

Only `lower_regressor` decides by the type of a regressor; `register_regressor` adds types to it.
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from ..exceptions import InputTypeError, NotCompilableError
from ..models import Expansion, LinearForms, Networks, Potential

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


@singledispatch
def lower_regressor(regressor: Any) -> Expansion | LinearForms | Networks:
    """Return the `Expansion`, `LinearForms` or `Networks` of a fitted regressor.

    Raises
    ------
    NotCompilableError
        If the regressor has no compiled form.
    """
    raise NotCompilableError(
        f"{type(regressor).__name__} has no compiled form. These regressors have one: SparseGPR, "
        "SparseGPRCV, GPR, SymmetricGPR, AutoGPR, LinearRidge, AtomicMLP, and those registered by "
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
        Class of a regressor of `AtomicFeatures`. It must have an attribute `e0_`, a dict with the
        energy of a free atom (eV) by atomic number, and a method `evaluate(features)` like
        regressors of skpot. The method returns energies of environments with those of free atoms,
        shape (n_environments,) in eV, forces, shape (n_atoms, 3) in eV/Å, and virials, shape
        (n_structures, 6) in eV; `features.pull_back` makes the last two of the derivatives of
        energies by features. Subclasses are included.
    lower : callable
        A function of the fitted regressor that returns the energies of environments, without those
        of free atoms, as a `skpot.models.Expansion` of a kernel of `skpot.kernels` or as
        `skpot.models.LinearForms`. If it cannot express the regressor, it raises
        `skpot.exceptions.NotCompilableError`, and the calculator then runs the pipeline itself.

    Raises
    ------
    TypeError
        Not here but by `skpot.compile`, if `lower` returns something else or `e0_` is missing.

    Examples
    --------
    >>> from skpot.lowering import register_regressor
    >>> from skpot.models import LinearForms
    >>> class OneSpecies:
    ...     pass
    >>> register_regressor(OneSpecies, lambda model: LinearForms(3, {14: model.coef_}, None))
    """

    def lower_checked(regressor):
        form, name = lower(regressor), type(regressor).__name__
        if not isinstance(form, Expansion | LinearForms):
            raise InputTypeError(
                f"the function registered for {name} by skpot.lowering.register_regressor returned "
                f"{type(form).__name__}: it must return a skpot.models.Expansion or LinearForms."
            )
        if not isinstance(getattr(regressor, "e0_", None), dict):
            raise InputTypeError(
                f"{name} has no dict e0_: give it the energy of a free atom (eV) of each species "
                "by atomic number, 0 if there is none."
            )
        return form

    lower_regressor.register(regressor_type, lower_checked)
