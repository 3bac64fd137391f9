"""Choice of reference environments, and weights of structures."""

from ._folds import content_splits, given_splits
from ._rare import rare_first, structure_kinds
from ._references import (
    farthest_points,
    given_references,
    leverage_sample,
    select_from_parts,
    select_references,
)
from ._weights import energy_weights, rarity_weights

__all__ = [
    "content_splits",
    "energy_weights",
    "farthest_points",
    "given_references",
    "given_splits",
    "leverage_sample",
    "rare_first",
    "rarity_weights",
    "select_from_parts",
    "select_references",
    "structure_kinds",
]
