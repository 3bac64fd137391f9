"""Types of arguments that occur everywhere; the shapes of arrays stand in docstrings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # a name for type checkers only: importing this module does not import ASE
    from ase import Atoms

__all__ = [
    "BoolArray",
    "FloatArray",
    "IntArray",
    "PathLike",
    "RandomState",
    "Structures",
    "UInt64Array",
]

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.integer[Any]]
BoolArray: TypeAlias = NDArray[np.bool_]
UInt64Array: TypeAlias = NDArray[np.uint64]  # keys of structures

PathLike: TypeAlias = "str | os.PathLike[str]"
RandomState: TypeAlias = "int | np.random.RandomState | None"  # as in scikit-learn
Structures: TypeAlias = "Sequence[Atoms]"
