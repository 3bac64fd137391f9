"""Refusals of what has no finite result, by the structure that it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data import StreamedFeatures, summarize
from ..exceptions import NumericalError, StructureError

if TYPE_CHECKING:
    from skpot.data import AtomicFeatures
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray

LARGEST = 1e50  # numbers whose powers and products, as kernels take them, stay finite


def refuse_features(features: AtomicFeatures) -> None:
    """Raise `StructureError` for features that are not finite, or too large to compute with.

    Those of `Frames` are looked at part by part, when they are computed.
    """
    if isinstance(features, StreamedFeatures):
        return
    values = features.values
    if values.max(initial=0.0) < LARGEST and values.min(initial=0.0) > -LARGEST:
        return
    problems = {}
    for row in np.flatnonzero(~(np.abs(values) < LARGEST).all(axis=1)):
        s = int(np.searchsorted(features.offsets, row, side="right") - 1)
        odd = values[row][~(np.abs(values[row]) < LARGEST)][0]
        problems.setdefault(s, f"features of row {row - features.offsets[s]} hold {odd}")
    raise StructureError(summarize(problems, len(features)))


def refuse_rows(kind: str, rows: FloatArray, training: TrainingSet) -> None:
    """Raise `NumericalError` for training rows that are not finite.

    Parameters
    ----------
    kind : {"energy", "forces", "stress"}
        Of what labels.
    rows : ndarray of shape (n_labels, n_columns)
        Rows of all labels of this kind, in order.
    training : TrainingSet
        The structures that the rows belong to.
    """
    if np.isfinite(rows).all():
        return
    labels = training.labels
    labeled = ~np.isnan(labels.forces_flat).all(axis=1)
    owner = {
        "energy": np.flatnonzero(labels.has_energy),
        "forces": np.repeat(np.arange(len(labels)), np.diff(labels.force_offsets))[labeled],
        "stress": np.flatnonzero(labels.has_stress),
    }[kind]
    owner = np.repeat(owner, len(rows) // len(owner))
    first = training.members[owner[np.flatnonzero(~np.isfinite(rows).all(axis=1))[0]]]
    raise NumericalError(
        f"the {kind} of structure {first} cannot be learned from: what the model would be of it, "
        "or the label over its noise, is not finite. Its features or their derivatives, the label, "
        "or parameters of the kernel are too large or too small."
    )
