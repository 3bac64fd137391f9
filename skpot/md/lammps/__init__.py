"""Fitted models in LAMMPS. Names load on first use."""

import importlib

_PUBLIC = {"attach": "._attach"}

__all__ = sorted(_PUBLIC)


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
