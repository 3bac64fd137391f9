"""Types of arguments that occur everywhere; the shapes of arrays stand in docstrings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:  # a name for type checkers only: importing this module does not import ASE
    from ase import Atoms

__all__ = [
    "ArrayLike",
    "BoolArray",
    "FeatureNames",
    "FloatArray",
    "IntArray",
    "PathLike",
    "LabelKinds",
    "RandomState",
    "Species",
    "Structures",
    "UInt64Array",
    "Weights",
]

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.integer[Any]]
BoolArray: TypeAlias = NDArray[np.bool_]
UInt64Array: TypeAlias = NDArray[np.uint64]  # keys of structures
FeatureNames: TypeAlias = NDArray[Any]  # of str, dtype object as in scikit-learn

PathLike: TypeAlias = "str | os.PathLike[str]"
RandomState: TypeAlias = "int | np.random.RandomState | None"  # as in scikit-learn
LabelKinds: TypeAlias = "str | Sequence[str]"  # "auto", or some of skpot.data.LABEL_KINDS
Weights: TypeAlias = ArrayLike | None  # of structures
Species: TypeAlias = "Sequence[str | int]"  # chemical symbols or atomic numbers
Structures: TypeAlias = "Sequence[Atoms]"
