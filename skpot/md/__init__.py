"""Fitted models as engines of molecular dynamics."""

from ._batch_calculator import BatchCalculator
from ._calculator import Calculator
from ._compiled import CompiledPotential, Errors, compile
from ._feature_trees import NotCompilableError

__all__ = [
    "BatchCalculator",
    "Calculator",
    "CompiledPotential",
    "Errors",
    "NotCompilableError",
    "compile",
]
