"""Fitted models as engines of molecular dynamics."""

from ._calculator import Calculator
from ._guard import Guard, LimitPassed

__all__ = ["Calculator", "Guard", "LimitPassed"]
