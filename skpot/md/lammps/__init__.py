"""Fitted models in LAMMPS."""

from ._attach import attach

__all__ = ["attach"]
