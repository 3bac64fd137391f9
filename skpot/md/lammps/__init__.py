"""LAMMPS as the engine. Names load on first use: LAMMPS itself imports a module of this package."""

import importlib

_PUBLIC = {
    "PLUGIN_FILE": "._plugin",
    "attach": "._attach",
    "build_plugin": "._plugin",
    "export": "._export",
    "plugin_folder": "._plugin",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
