"""Fitted models as engines of molecular dynamics.

Names load on first use: LAMMPS imports a module of this package whenever it starts.
"""

import importlib

_PUBLIC = {
    "BatchCalculator": "._batch_calculator",
    "Calculator": "._calculator",
    "CompiledPotential": "skpot.lowering",
    "Errors": "skpot.lowering",
    "Guard": "._guard",
    "LimitPassed": "._guard",
    "NotCompilableError": "skpot.exceptions",
    "compile": "skpot.lowering",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
