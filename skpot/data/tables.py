"""Tables of pandas, which is imported when one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import InputError, MissingDependencyError
from .elements import SYMBOLS

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from numpy.typing import ArrayLike
    from pandas import DataFrame


def require_pandas() -> ModuleType:
    """Return pandas; raise `MissingDependencyError`, an `ImportError`, if there is none."""
    try:
        import pandas
    except ImportError as error:
        raise MissingDependencyError("tables need pandas: python -m pip install pandas") from error
    return pandas


def table_of_rows(features: Any, columns: ArrayLike | None) -> DataFrame:
    """Return `AtomicFeatures` as a table, see `AtomicFeatures.to_pandas`."""
    pandas = require_pandas()
    n = features.shape[1]
    names = np.asarray(_numbered(features.blocks, n) if columns is None else columns, dtype=object)
    if names.shape != (n,):
        raise InputError(f"columns has shape {names.shape}, but there are {n} features.")
    structures = np.repeat(np.arange(len(features)), features.n_rows)
    if features.per_structure:
        index = pandas.Index(structures, name="structure")
    else:
        atoms = np.arange(len(features.values)) - features.offsets[structures]
        symbols = np.array(SYMBOLS)[features.centers]
        levels = ["structure", "atom", "species"]
        index = pandas.MultiIndex.from_arrays([structures, atoms, symbols], names=levels)
    return pandas.DataFrame(features.values, index, names, copy=True)


def _numbered(blocks, n_features):
    """Return names such as soap0, soap1, zbl0."""
    names = [f"feature{k}" for k in range(n_features)]
    for name, columns in blocks.items():
        for k, column in enumerate(range(*columns.indices(n_features))):
            names[column] = f"{name}{k}"
    return names
