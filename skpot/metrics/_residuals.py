"""The distribution of a model's error over kinds of labels, species and groups of structures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.utils.validation import check_consistent_length

from ..data import check_structures
from ..data.elements import SYMBOLS
from ..data.label_errors import aligned_targets, atom_counts, finite_errors
from ..exceptions import InputError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike

    from skpot.data.contracts import TargetsLike
    from skpot.typing import Structures

_UNITS = {"energy": "eV/atom", "forces": "eV/Å", "stress": "eV/Å³"}


def residual_report(
    y_true: TargetsLike,
    y_pred: TargetsLike,
    X: Structures,
    *,
    groups: ArrayLike | None = None,
    sigma_energy: float = 0.002,
    sigma_forces: float = 0.1,
    sigma_stress: float = 5e-4,
) -> list[dict[str, Any]]:
    r"""Break the error down by kind of label, species and group.

    What a fit minimizes is the sum of squared residuals in units of their noise,

    .. math:: \chi^2 = \sum_n (y_n - \hat y_n)^2 / \sigma_n^2

    (and a penalty). The share of a part in this sum tells how much the fit is determined by it. Its
    root mean square, `whitened_rmse`, tells whether the noise is right. On data that were not
    fitted, a value well above 1 means that the model or its training set is not good enough there;
    a value well below 1 means that labels are better than the noise says, so that more could be
    learned from them with a smaller sigma.

    Parameters
    ----------
    y_true, y_pred : Targets or array-like of shape (n_structures,)
        Reference and prediction, in eV, eV/Å and eV/Å³. Labels that either lacks do not count.
    X : list[Atoms]
        The structures, for numbers of atoms and species.
    groups : array-like of shape (n_structures,), default=None
        Groups of the structures, such as their ``info["config_type"]``.
    sigma_energy, sigma_forces, sigma_stress : float, default=0.002, 0.1, 5e-4
        Noise as regressors have it: eV per atom, the total energy of n atoms having
        `sigma_energy * sqrt(n)`; eV/Å; eV/Å³.

    Returns
    -------
    records : list of dict
        One for each kind of label ("by": "label"), then of forces for each species ("species"),
        then for each group and kind of label ("group"), each sorted by falling share.
        Keys: "by", "part" (name of the species or group, "all" for all), "label", "count" (energies
        and stresses count once, forces once for each atom), "rmse", "mae", "unit" (eV/atom, eV/Å,
        eV/Å³), "whitened_rmse" and "share", which adds up to 1 over "label" and over "group", and
        over "species" to that of all forces; and "worst", the index of the structure with the
        largest share. `pandas.DataFrame(records)` makes a table of it.

    Raises
    ------
    ValueError
        If lengths or numbers of atoms differ, if the two have no label in common, or if values are
        not finite.

    Examples
    --------
    >>> import skpot
    >>> from skpot.metrics import residual_report
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, y_test = skpot.datasets.load_silicon(return_X_y=True)
    >>> model = make_pipeline(skpot.SOAP(n_max=4, l_max=3), skpot.SparseGPR(n_sparse=50))
    >>> records = residual_report(y_test, model.fit(X[:20], y[:20]).predict(X_test), X_test)
    >>> [(r["by"], r["part"]) for r in records]
    [('label', 'all'), ('label', 'all'), ('label', 'all'), ('species', 'Si')]
    """
    X = check_structures(X)
    y_true, y_pred = aligned_targets(y_true, y_pred)
    check_consistent_length(X, y_true, groups)
    numbers = [atoms.numbers for atoms in X]
    sigmas = {"energy": sigma_energy, "forces": sigma_forces, "stress": sigma_stress}
    for name, sigma in sigmas.items():
        if not sigma > 0:
            raise InputError(f"sigma_{name} must be positive, got {sigma!r}")
    parts = _residuals(y_true, y_pred, numbers, sigmas)
    if not parts:
        raise InputError("y_true and y_pred have no label in common, so there is nothing to report")
    total = sum(float(np.sum(part.whitened**2)) for part in parts.values()) or 1.0

    def record(by, name, label, chosen=slice(None)):
        return _record(by, name, label, parts[label].take(chosen), total)

    report = [[record("label", "all", label) for label in parts]]
    if "forces" in parts:
        species = parts["forces"].species
        report.append(
            [
                record("species", SYMBOLS[z], "forces", species == z)
                for z in np.unique(species).tolist()
            ]
        )
    if groups is not None:
        groups = np.asarray(groups)
        inside = {label: groups[part.structure] for label, part in parts.items()}
        report.append(
            [
                record("group", group, label, inside[label] == group)
                for label in parts
                for group in np.unique(inside[label]).tolist()
            ]
        )
    return [r for part in report for r in sorted(part, key=lambda r: -r["share"])]


class _Residuals(NamedTuple):
    """Residuals of one kind of label: one row for an energy, an atom's force or a stress."""

    error: np.ndarray  # (n, n_components)
    whitened: np.ndarray  # (n, n_components) in units of the noise
    structure: np.ndarray  # (n,)
    species: np.ndarray  # (n,) atomic numbers of forces; 0 for energies and stresses

    def take(self, chosen: Any) -> _Residuals:
        return _Residuals(*(array[chosen] for array in self))


def _residuals(y_true, y_pred, numbers, sigmas):
    """Return the residuals of labels that both sides have, by kind of label."""
    n_atoms = np.array([len(z) for z in numbers])
    known = {
        label: getattr(y_true, f"has_{label}") & getattr(y_pred, f"has_{label}") for label in sigmas
    }
    atom_counts(y_true, y_pred, n_atoms, known["forces"])  # refuses different numbers of atoms
    parts = {}
    for label, has in known.items():
        chosen = np.flatnonzero(has)
        if not len(chosen):
            continue
        structure, species = chosen, np.zeros(len(chosen), dtype=np.int64)
        if label == "energy":
            error = ((y_true.energy - y_pred.energy)[chosen] / n_atoms[chosen])[:, None]
            whitened = error * np.sqrt(n_atoms[chosen])[:, None] / sigmas[label]
        else:
            if label == "stress":
                error = (y_true.stress - y_pred.stress)[chosen]
            else:
                forces = y_true[chosen].forces_flat
                there = ~np.isnan(forces).all(axis=1)  # else atoms without a label
                error = (forces - y_pred[chosen].forces_flat)[there]
                structure = np.repeat(chosen, n_atoms[chosen])[there]
                species = np.concatenate([numbers[i] for i in chosen])[there]
            whitened = error / sigmas[label]
        error = finite_errors(error, label, structure)
        parts[label] = _Residuals(error, whitened, structure, species)
    return parts


def _record(by, name, label, residuals, total):
    error, whitened, structure, _ = residuals
    squares = np.bincount(structure, np.sum(whitened**2, axis=1))
    return {
        "by": by,
        "part": name,
        "label": label,
        "count": len(error),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "unit": _UNITS[label],
        "whitened_rmse": float(np.sqrt(np.mean(whitened**2))),
        "share": float(squares.sum() / total),
        "worst": int(squares.argmax()),
    }
