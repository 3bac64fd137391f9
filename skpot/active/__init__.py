"""Active learning: which structures to label next, and runs that label by themselves."""

from skpot.active._labelers import CommandLabeler, FolderLabeler, LabelFailed
from skpot.active._on_the_fly import Futile, OnTheFly
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
from skpot.active._trail import read_trail

__all__ = [
    "CommandLabeler",
    "DOptimal",
    "FarthestPoint",
    "FolderLabeler",
    "Futile",
    "LabelFailed",
    "MaxForcesStd",
    "Mixture",
    "OnTheFly",
    "Pruned",
    "Query",
    "Random",
    "Selection",
    "VOptimal",
    "prune",
    "read_trail",
]
