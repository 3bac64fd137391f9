"""Choice of reference environments, and weights of structures."""

from ._references import farthest_points, given_references, leverage_sample, select_references
from ._weights import energy_weights, rarity_weights

__all__ = [
    "energy_weights",
    "farthest_points",
    "given_references",
    "leverage_sample",
    "rarity_weights",
    "select_references",
]
