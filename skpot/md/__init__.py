"""Fitted models as engines of molecular dynamics.

Names are loaded when they are first used, because LAMMPS imports a module of this package whenever
it starts.
"""

from .._lazy import lazy_names

_MODULES = {
    "BatchCalculator": "._batch_calculator",
    "Calculator": "._calculator",
    "CompiledPotential": "skpot.lowering",
    "Errors": "skpot.lowering",
    "Guard": "._guard",
    "HeatFlux": "._heat_flux",
    "LimitPassed": "._guard",
    "NotCompilableError": "skpot.exceptions",
    "compile": "skpot.lowering",
    "default_limits": "._trust",
    "evaluate": "._evaluate",
    "heat_flux": "._heat_flux",
    "predicted": "._predicted",
}

__getattr__, __all__ = lazy_names(__name__, _MODULES, ("ipi", "lammps"))
