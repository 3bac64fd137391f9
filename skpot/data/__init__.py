"""Plain containers: structures as arrays, features with their derivatives, targets."""

from skpot.data._ase import labels_by, named_calculator, named_frames, read_frames
from skpot.data._batch import SharedBatch, StructureBatch, as_batch
from skpot.data._checks import (
    MIN_DISTANCE,
    as_list,
    check_and_extract,
    check_pair_distances,
    check_structures,
    some,
    summarize,
)
from skpot.data._derivatives import (
    LinearMap,
    PadColumns,
    Pooled,
    RowMap,
    ScaleColumns,
    SelectColumns,
    SpeciesMap,
    block_ranges,
)
from skpot.data._features import AtomicFeatures
from skpot.data._frame_files import can_be_streamed, named_files
from skpot.data._frames import Frames, parts_of, taken_of
from skpot.data._graph import NeighborGraph, join_offsets, rows_of
from skpot.data._label_checks import (
    check_label_values,
    check_targets,
    look_at_labels,
    targets_of,
)
from skpot.data._label_report import LabelReport, LabelUse, ranges
from skpot.data._label_warnings import force_sizes
from skpot.data._lazy_targets import LazyTargets
from skpot.data._packed import Packed
from skpot.data._read import read
from skpot.data._scorers import register_scorers
from skpot.data._stored import StoredJacobian, push_by_jacobian
from skpot.data._streamed_features import StreamedFeatures
from skpot.data._structure_info import StructureInfo, cell_volumes, digest
from skpot.data._targets import LABEL_KINDS, Targets
from skpot.data.contracts import DerivativeChain, JacobianBlock

__all__ = [
    "AtomicFeatures",
    "DerivativeChain",
    "Frames",
    "JacobianBlock",
    "LABEL_KINDS",
    "LabelReport",
    "LabelUse",
    "LazyTargets",
    "LinearMap",
    "MIN_DISTANCE",
    "NeighborGraph",
    "Packed",
    "PadColumns",
    "Pooled",
    "RowMap",
    "ScaleColumns",
    "SelectColumns",
    "SharedBatch",
    "SpeciesMap",
    "StoredJacobian",
    "StreamedFeatures",
    "StructureBatch",
    "StructureInfo",
    "Targets",
    "as_batch",
    "as_list",
    "can_be_streamed",
    "cell_volumes",
    "check_and_extract",
    "check_label_values",
    "check_pair_distances",
    "check_structures",
    "check_targets",
    "block_ranges",
    "digest",
    "force_sizes",
    "join_offsets",
    "labels_by",
    "look_at_labels",
    "named_calculator",
    "named_files",
    "named_frames",
    "parts_of",
    "push_by_jacobian",
    "ranges",
    "read",
    "read_frames",
    "rows_of",
    "some",
    "summarize",
    "taken_of",
    "targets_of",
]

register_scorers()
