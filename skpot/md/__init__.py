"""Fitted models as engines of molecular dynamics."""

from ._calculator import Calculator
from ._compiled import CompiledPotential, Errors, compile
from ._feature_trees import NotCompilableError

__all__ = ["Calculator", "CompiledPotential", "Errors", "NotCompilableError", "compile"]
