"""Names of files, as callers pass them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .exceptions import InputError, InputTypeError

if TYPE_CHECKING:
    from typing import Any


def file_name(path: Any) -> str:
    """Return the name of a file as a str; refuse what cannot be one.

    Parameters
    ----------
    path : str or os.PathLike
        The value that was passed.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputTypeError(f"path must be the name of a file, got {path!r:.80}")
    name = os.fsdecode(path)
    if "\0" in name:
        raise InputError(f"no file can have the name {name!r}")
    return name


def file_names(path: Any) -> list[str]:
    """Return the names of one or several files as a list; refuse what cannot be any.

    Parameters
    ----------
    path : str, os.PathLike or sequence of these
        The value that was passed.
    """
    is_one = isinstance(path, str | bytes | os.PathLike) or hasattr(path, "read")
    paths = [path] if is_one or not hasattr(path, "__iter__") else list(path)
    if not paths:
        raise InputError("no file to read: the list of paths is empty.")
    return list(map(file_name, paths))
