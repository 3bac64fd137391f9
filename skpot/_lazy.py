"""Packages whose public names are loaded when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


def lazy_names(
    package: str, modules: dict[str, str], subpackages: Iterable[str] = ()
) -> tuple[Callable[[str], Any], list[str]]:
    """Return the function `__getattr__` and the list `__all__` of a package.

    Parameters
    ----------
    package : str
        Full name of the package.
    modules : dict of str to str
        The module of each public name; a dot at the begin makes it relative to the package.
    subpackages : iterable of str, optional
        Packages within, which are loaded as attributes, too. They are not in `__all__`.
    """

    def load(name: str) -> Any:
        if name in modules:
            return getattr(importlib.import_module(modules[name], package), name)
        if name in subpackages:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load, sorted(modules)
