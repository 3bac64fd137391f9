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
