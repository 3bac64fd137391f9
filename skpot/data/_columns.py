"""Columns of features: which chain and which blocks remain if some are selected or joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import InputError
from ._derivatives import Concatenated, SelectColumns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skpot.data.contracts import DerivativeChain
    from skpot.typing import IntArray

NO_TABLE = (
    "sklearn.set_config(transform_output={!r}) asks a FeatureUnion for a table, which "
    'AtomicFeatures are not. Call set_output(transform="default") of the union; the features have '
    "to_pandas()."
)
WRAP = (
    "AtomicFeatures hold one row per atom, not one per structure, so an ordinary transformer "
    "or regressor cannot take them: wrap a transformer, as in skpot.PerAtom(StandardScaler()), "
    "or put skpot.PerStructure() before it, which adds up the rows of each structure. For an "
    "ensemble of models use skpot.Committee, not BaggingRegressor."
)


def joined_blocks(parts: Sequence[Any], edges: IntArray) -> tuple[dict[str, slice], dict[str, Any]]:
    """Return blocks and penalties of parts side by side; repeated names are numbered."""
    blocks, penalties = {}, {}
    for part, edge in zip(parts, edges[:-1].tolist(), strict=True):
        for name, columns in part.blocks.items():
            begin, end, _ = columns.indices(part.shape[1])
            unique, count = name, 1
            while unique in blocks:
                count += 1
                unique = f"{name}{count}"
            blocks[unique] = slice(edge + begin, edge + end)
            if name in part.penalties:
                penalties[unique] = part.penalties[name]
    return blocks, penalties


def selected_chain(chain: Any, columns: IntArray, n_features: int) -> DerivativeChain:
    """Return the chain of some columns, without parts in which no column is selected."""
    if isinstance(chain, Concatenated):
        part = np.searchsorted(chain.edges, columns, side="right") - 1
        used = np.unique(part)
        widths = np.diff(chain.edges)[used]
        edges = np.concatenate([[0], np.cumsum(widths)])
        place = np.searchsorted(used, part)
        columns = columns - chain.edges[part] + edges[place]
        n_features = int(edges[-1])
        parts = [chain.parts[k] for k in used]
        chain = parts[0] if len(parts) == 1 else Concatenated(parts, edges)
    if len(columns) == n_features and (columns == np.arange(n_features)).all():
        return chain
    return SelectColumns(chain, columns, n_features)


def selected_blocks(
    blocks: dict[str, slice], columns: IntArray, n_features: int
) -> dict[str, slice] | None:
    """Return the blocks among the selected columns, or None if a block is not contiguous there."""
    places = {}
    for name, block in blocks.items():
        found = np.flatnonzero(np.isin(columns, np.arange(n_features)[block]))
        if len(found) and np.ptp(found) + 1 != len(found):
            return None
        if len(found):
            places[name] = slice(int(found[0]), int(found[-1]) + 1)
    return places


def refuse_mixed(parts: Any) -> None:
    """Raise `InputError` for features of atoms and of structures, or of other species rules."""
    if len({part.per_structure for part in parts}) > 1:
        raise InputError(
            "features of atoms and of whole structures cannot be joined; add up those of atoms by "
            "skpot.PerStructure() first."
        )
    if len({part.atoms is None for part in parts}) > 1:
        raise InputError(
            "features after skpot.SpeciesCoupling() and others cannot be joined; put it after the "
            "union."
        )


def refuse_other_columns(parts: Any) -> None:
    """Raise `InputError` for features with other columns, or made by other steps."""
    if len({part.shape[1] for part in parts}) > 1:
        widths = [part.shape[1] for part in parts]
        raise InputError(f"features must have equal numbers of columns to be joined, got {widths}.")
    if len({part.origin for part in parts}) > 1:
        raise InputError(
            "features of different descriptors, or of one that was fitted again in between, cannot "
            "be joined; compute them all by the same fitted descriptor."
        )


def refuse_shape(name: str, array: Any, shape: tuple[int, ...]) -> None:
    """Raise `ValueError` if a shape is wrong: compiled code would read beyond the array."""
    if np.shape(array) != shape:
        raise InputError(f"{name} has shape {np.shape(array)} but must have {shape}.")
