"""Fitted models as engines of molecular dynamics."""

from ._batch_calculator import BatchCalculator
from ._calculator import Calculator
from ._compiled import CompiledPotential, Errors, compile
from ._feature_trees import NotCompilableError
from ._guard import Guard, LimitPassed

__all__ = [
    "BatchCalculator",
    "Calculator",
    "CompiledPotential",
    "Errors",
    "Guard",
    "LimitPassed",
    "NotCompilableError",
    "compile",
]
