"""Fitted models as engines of molecular dynamics."""

from ._calculator import Calculator

__all__ = ["Calculator"]
