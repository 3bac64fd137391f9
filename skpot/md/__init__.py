"""Fitted models as engines of molecular dynamics.

Names load on first use: LAMMPS imports a module of this package whenever it starts.
"""

__all__ = ["Calculator"]


def __getattr__(name):
    if name == "Calculator":
        from ._calculator import Calculator

        return Calculator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
