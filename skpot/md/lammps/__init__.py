"""Fitted models in LAMMPS.

Names are loaded when they are first used, because LAMMPS itself imports a module of this package.
"""

from ..._lazy import lazy_names

_MODULES = {
    "PLUGIN_FILE": "._plugin",
    "attach": "._attach",
    "build_plugin": "._plugin",
    "export": "._export",
    "last_frame": "._dump",
    "plugin_folder": "._plugin",
    "write_input": "._input",
    "write_simple_nn": "._simple_nn",
}

__getattr__, __all__ = lazy_names(__name__, _MODULES)
