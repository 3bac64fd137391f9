"""Active learning: which structures to label next, and runs that label by themselves."""

from skpot.active._prune import Pruned, prune
from skpot.active._queries import (
    DOptimal,
    FarthestPoint,
    MaxForcesStd,
    Mixture,
    Query,
    Random,
    Selection,
    VOptimal,
)

__all__ = [
    "DOptimal",
    "FarthestPoint",
    "MaxForcesStd",
    "Mixture",
    "Pruned",
    "Query",
    "Random",
    "Selection",
    "VOptimal",
    "prune",
]
