"""Labels of one kind beside their predictions, flat, in the units of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data import LABEL_KINDS, Targets
from ..data.label_errors import GPA

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FloatArray, IntArray, Structures

COMPONENTS = {"energy": ("",), "forces": tuple("xyz"), "stress": tuple("xx yy zz yz xz xy".split())}
UNITS = {"energy": ("eV/atom", "meV/atom"), "forces": ("eV/Å", "eV/Å"), "stress": ("GPa", "GPa")}
HEADS = {"energy": "Energy", "forces": "Forces", "stress": "Stress"}
_SCALES = {"energy": (1.0, 1000.0), "forces": (1.0, 1.0), "stress": (GPA, GPA)}


class Labels(NamedTuple):
    """Labels of one kind: one entry for an energy or a component of a force or stress."""

    kind: str
    reference: FloatArray  # (n,) in the first of UNITS
    predicted: FloatArray  # (n,)
    error: FloatArray  # (n,) prediction minus label, in the second of UNITS
    frame: IntArray  # (n,) index of the structure
    atom: IntArray  # (n,) index in the structure; -1 for energies and stress
    component: IntArray  # (n,) of COMPONENTS
    species: IntArray  # (n,) atomic number; 0 for energies and stress

    @property
    def unit(self) -> str:
        """Unit of labels and predictions."""
        return UNITS[self.kind][0]

    @property
    def error_unit(self) -> str:
        """Unit of errors."""
        return UNITS[self.kind][1]

    def take(self, chosen: Any) -> Labels:
        """Return some of the entries."""
        return Labels(self.kind, *(array[chosen] for array in self[1:]))

    @property
    def rmse(self) -> float:
        """Root mean square error."""
        return float(np.sqrt(np.mean(self.error**2)))

    @property
    def mae(self) -> float:
        """Mean absolute error."""
        return float(np.mean(np.abs(self.error)))


def labels_of(X: Structures, y: Targets, y_pred: Any) -> list[Labels]:
    """Return the labels of each kind that both sides have.

    Parameters
    ----------
    X : list[Atoms]
        The structures.
    y : Targets
        Their labels.
    y_pred : Targets or ndarray of shape (n_structures,)
        Predictions.
    """
    y_pred = y_pred if isinstance(y_pred, Targets) else Targets(y_pred)
    n_atoms = np.array([len(atoms) for atoms in X])
    found = []
    for kind in LABEL_KINDS:
        rows = np.flatnonzero(getattr(y, f"has_{kind}") & getattr(y_pred, f"has_{kind}"))
        if not len(rows):
            continue
        name = "forces_flat" if kind == "forces" else kind
        true, predicted = (getattr(side[rows], name) for side in (y, y_pred))
        counts = n_atoms[rows] if kind == "forces" else np.ones(len(rows), dtype=int)
        frame = np.repeat(rows, counts)
        atom = np.full(len(frame), -1)
        species = np.zeros(len(frame), dtype=int)
        if kind == "forces":
            atom = np.concatenate([np.arange(n) for n in counts])
            species = np.concatenate([X[i].numbers for i in rows.tolist()])
        elif kind == "energy":
            true, predicted = true / n_atoms[rows], predicted / n_atoms[rows]
        found.append(_flat(kind, true, predicted, frame, atom, species))
    return found


def _flat(kind, true, predicted, frame, atom, species):
    width = len(COMPONENTS[kind])
    true, predicted = true.reshape(-1, width), predicted.reshape(-1, width)
    there = ~np.isnan(true).all(axis=1)  # else atoms without a label
    scale, error_scale = _SCALES[kind]
    return Labels(
        kind,
        scale * true[there].ravel(),
        scale * predicted[there].ravel(),
        error_scale * (predicted - true)[there].ravel(),
        *(np.repeat(array[there], width) for array in (frame, atom)),
        np.tile(np.arange(width), int(there.sum())),
        np.repeat(species[there], width),
    )


def thinned(labels: Labels, limit: int, parts: Any) -> Labels:
    """Return at most about `limit` entries, evenly spaced when sorted by error in each part.

    So the distribution of errors stays as it is, the largest error of each part is kept, and the
    choice depends on nothing but the labels.

    Parameters
    ----------
    labels : Labels
        All.
    limit : int
        How many to keep in all; each part keeps at least 20 in any case.
    parts : ndarray of shape (n,)
        The part that each entry belongs to.
    """
    if len(labels.error) <= limit:
        return labels
    kept = []
    for part in np.unique(parts):
        rows = np.flatnonzero(parts == part)
        n = min(len(rows), max(20, limit * len(rows) // len(labels.error)))
        order = rows[np.argsort(np.abs(labels.error[rows]), kind="stable")]
        kept.append(order[np.linspace(len(rows) - 1, 0, n).round().astype(int)])
    return labels.take(np.sort(np.concatenate(kept)))
