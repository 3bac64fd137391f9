"""What fitted regressors add up: one form for kernel models, one for linear ones.

`lower_regressor` is the one place that decides by the type of a regressor; `register_regressor`
adds to it.
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
        f"{type(regressor).__name__} has no compiled form. SparseGPR, SparseGPRCV, GPR, AutoGPR, "
        "LinearRidge and regressors that skpot.lowering.register_regressor knows have."
    )


@lower_regressor.register
def _(regressor: Potential):
    return regressor.expansion_


def register_regressor(regressor_type: type, lower: Callable[..., Any]) -> None:
    """Teach `skpot.compile` a regressor of another package.

    Parameters
    ----------
    regressor_type : type
        Class of a regressor of `AtomicFeatures` that has a method `evaluate`, as those of skpot
        do, and an attribute `e0_`: the energy of a free atom (eV) by atomic number. Subclasses are
        meant too.
    lower : callable
        Takes the fitted regressor and returns the energies of environments without those of free
        atoms: a `skpot.models.Expansion` of a kernel of `skpot.kernels`, or
        `skpot.models.LinearForms`. It raises `skpot.exceptions.NotCompilableError` for a regressor
        that it cannot express; the calculator then runs the pipeline itself.

    Examples
    --------
    >>> from skpot.lowering import register_regressor
    >>> from skpot.models import LinearForms
    >>> class OneSpecies:
    ...     pass
    >>> register_regressor(OneSpecies, lambda model: LinearForms(3, {14: model.coef_}, None))
    """
    lower_regressor.register(regressor_type, lower)
