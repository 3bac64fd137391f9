"""Plain containers: structures as arrays, features with their derivatives, targets."""

from skpot.data._batch import SharedBatch, StructureBatch, as_batch
from skpot.data._checks import check_pair_distances, check_structures
from skpot.data._derivatives import (
    JacobianBlock,
    LinearMap,
    PadColumns,
    Pooled,
    RowMap,
    ScaleColumns,
    SelectColumns,
    SpeciesMap,
)
from skpot.data._features import AtomicFeatures
from skpot.data._graph import NeighborGraph
from skpot.data._label_checks import check_targets
from skpot.data._label_report import LabelReport, LabelUse
from skpot.data._read import read
from skpot.data._structure_info import StructureInfo, cell_volumes
from skpot.data._targets import Targets

__all__ = [
    "AtomicFeatures",
    "JacobianBlock",
    "LabelReport",
    "LabelUse",
    "LinearMap",
    "NeighborGraph",
    "PadColumns",
    "Pooled",
    "RowMap",
    "ScaleColumns",
    "SelectColumns",
    "SharedBatch",
    "SpeciesMap",
    "StructureBatch",
    "StructureInfo",
    "Targets",
    "as_batch",
    "cell_volumes",
    "check_pair_distances",
    "check_structures",
    "check_targets",
    "read",
]
