"""Checks of labels before a model is fitted to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import column_or_1d

from skpot.data._ase import extract_arrays
from skpot.data._checks import some, summarize
from skpot.data._label_warnings import (
    composition,
    force_sizes,
    warn_about_duplicates,
    warn_about_empty_stress,
    warn_about_energies,
    warn_about_forces,
    warn_about_placeholders,
    warn_about_single_energies,
    warn_about_stress,
)
from skpot.data._structure_info import cell_volumes
from skpot.data._targets import LABEL_KINDS, Targets
from skpot.exceptions import LabelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skpot.data._structure_info import StructureInfo
    from skpot.typing import FloatArray, IntArray, Structures, UInt64Array

# No label in eV and Å is beyond these: all electrons of the heaviest element together are bound by
# 1.5e6 eV, and two of its nuclei repel each other with 2e6 eV/Å when they are 0.3 Å apart.
_LARGEST = {"energy": 1e7, "forces": 1e7, "stress": 1e7}  # eV per atom, eV/Å, eV/Å³


def check_targets(
    y: Any,
    n_atoms: IntArray,
    targets: str | Sequence[str] = "auto",
    *,
    numbers: IntArray | None = None,
    info: StructureInfo | None = None,
    keys: UInt64Array | None = None,
    part: bool = False,
) -> Targets:
    """Check labels against structures and return them as `Targets`.

    Everything that makes a fit impossible is reported in one error, with the indices of structures.
    What is only suspicious is a warning for each cause. It is shown once for each line of the
    user's code, so that a cross-validation does not repeat it for every fold.

    Parameters
    ----------
    y : Targets or array-like of shape (n_structures,)
        Labels; a plain array holds energies (eV).
    n_atoms : array-like of int of shape (n_structures,)
        Atoms in each structure.
    targets : "auto" or sequence of {"energy", "forces", "stress"}, default="auto"
        Labels to use. "auto" uses all that y has. Labels that are named must be there for every
        structure (stress for every structure in which one exists), and others are not used.
    numbers : ndarray of int of shape (n_atoms_total,), default=None
        Atomic numbers. Without them there are no warnings about energies and stress, and labels may
        have any size.
    info : StructureInfo, default=None
        Volumes (NaN for structures that have no stress) and periodicity.
    keys : ndarray of shape (n_structures,), default=None
        Numbers that identify the structures, such as `StructureInfo.keys`. Without them there is no
        warning about structures that occur twice.
    part : bool, default=False
        Whether these are some of many structures, of which others may have the labels. There are no
        warnings then, because a part may look odd where the whole does not.

    Returns
    -------
    labels : Targets
        At least one label; all of them are finite and have the right shape.

    Raises
    ------
    ValueError
        If labels are not finite or too large to be in eV and Å, if forces have another number of
        atoms, if y lacks labels that `targets` names, or if there are no labels at all.

    Warns
    -----
    LabelWarning
        If there are outliers among the forces; if energies or stress are zero where forces are not;
        if single energies are far from all others; if energies, or stress, seem to be in another
        unit, or stress to have the wrong sign; if structures occur twice.

    Examples
    --------
    >>> from skpot.data import check_targets
    >>> check_targets([-1.0, float("nan")], n_atoms=[2, 2])
    Traceback (most recent call last):
    ...
    skpot.exceptions.LabelError: 1 of 2 structures cannot be used:
      structure 1: energy is nan
    """
    n_atoms = np.asarray(n_atoms, dtype=np.int64)
    labels = targets_of(y, len(n_atoms))
    demanded = _demanded(targets)
    exists = np.ones(len(labels), bool) if info is None else np.isfinite(info.volumes)
    _raise_for_missing(labels, demanded, exists, not isinstance(y, Targets), part)
    if demanded:
        labels = _only(labels, demanded)
    labels, without_volume = _without_empty_stress(labels, exists)
    of_atoms = numbers is not None and np.all(np.asarray(numbers) > 0)
    _raise_for_values(labels, n_atoms, exists, _LARGEST if of_atoms else {})
    if not part:
        look_at_labels(labels, force_sizes(labels), n_atoms, numbers, info, keys)
        if len(without_volume):
            warn_about_empty_stress(without_volume)
    return labels


def look_at_labels(
    labels: Targets,
    magnitude: FloatArray,
    n_atoms: IntArray,
    numbers: IntArray | None = None,
    info: StructureInfo | None = None,
    keys: UInt64Array | None = None,
) -> None:
    """Refuse labels if there are none, and warn of what is only suspicious.

    Parameters
    ----------
    labels : Targets
        Labels of all structures; forces themselves are not read.
    magnitude : ndarray of shape (n_labeled_atoms,)
        Those of the forces, see `force_sizes`.
    n_atoms, numbers, info, keys
        See `check_targets`.
    """
    if not (labels.has_energy.any() or labels.has_forces.any() or labels.has_stress.any()):
        raise LabelError(f"y has no labels at all: {labels!r}")
    warn_about_forces(labels, magnitude)
    warn_about_placeholders(labels, magnitude)
    if numbers is not None:
        offsets = np.concatenate([[0], np.cumsum(n_atoms)])
        counts = composition(np.asarray(numbers), offsets)
        warn_about_energies(labels, counts)
        warn_about_single_energies(labels, counts, magnitude)
        if info is not None:
            # Only bulk: the cell of a slab or molecule has vacuum, whose volume means nothing.
            volumes = np.where(info.bulk, info.volumes, np.nan)
            warn_about_stress(labels, counts, volumes)
    if keys is not None:
        warn_about_duplicates(labels, np.asarray(keys))


def check_label_values(labels: Targets, structures: Structures) -> None:
    """Refuse labels that are not finite or impossibly large, as a fit does.

    Parameters
    ----------
    labels : Targets
        Labels.
    structures : list[Atoms]
        Their structures.

    Raises
    ------
    LabelError
        If there are such labels; names the structures.
    """
    _, numbers, cells, _, offsets = extract_arrays(structures)
    exists = np.isfinite(cell_volumes(cells))
    labels = _without_empty_stress(labels, exists)[0]
    largest = _LARGEST if np.all(numbers > 0) else {}
    _raise_for_values(labels, np.diff(offsets), exists, largest)


def targets_of(y: Any, n: int | None = None) -> Targets:
    """Return y as `Targets`, or refuse it if it has not one entry for each of `n` structures."""
    if y is None:
        raise LabelError(
            "fit requires y to be passed, but the target y is None: give the energies (an array) "
            "or Targets of X."
        )
    if not isinstance(y, Targets):
        if not isinstance(y, list | tuple):  # NumPy would convert a mix of types in these
            flat = column_or_1d(y, warn=True)
            y = np.ma.ravel(y) if isinstance(y, np.ma.MaskedArray) else flat
        y = Targets(y)
    if n is not None and len(y) != n:
        raise LabelError(f"y has {len(y)} entries but X has {n} structures.")
    return y


def _demanded(targets):
    if isinstance(targets, str):
        if targets == "auto":
            return ()
        targets = (targets,)
    if not targets or set(targets) - set(LABEL_KINDS):
        raise LabelError(f'targets must be "auto" or some of {LABEL_KINDS}, got {targets!r}')
    return tuple(targets)


def _only(labels, kinds):
    return labels.relabeled(
        np.where(labels.has_energy, labels.energy, None)
        if "energy" in kinds
        else [None] * len(labels),
        labels.forces if "forces" in kinds else None,
        labels.stress if "stress" in kinds else None,
    )


def _without_empty_stress(labels, exists):
    """Return labels without stress of zero where no stress exists, and the structures concerned.

    Programs write zeros for structures that have no stress. Any other number there is refused.
    """
    rows = np.flatnonzero(labels.has_stress & ~exists)
    if not len(rows):
        return labels, rows
    rows = rows[~labels.stress[rows].any(axis=1)]
    stress = labels.stress.copy()
    stress[rows] = np.nan
    energy = np.where(labels.has_energy, labels.energy, None)
    return labels.relabeled(energy, labels.forces, stress), rows


def _raise_for_missing(labels, demanded, exists, plain, part):
    problems = []
    for kind in demanded:
        missing = ~getattr(labels, f"has_{kind}")
        if kind == "stress":
            missing &= exists
            missing |= not (part or labels.has_stress.any())
        if missing.all() and not part:
            problems.append(f"no structure has {kind}")
        elif missing.any():
            problems.append(f"{kind} missing for structures {some(np.flatnonzero(missing))}")
    if not problems:
        return
    hint = 'Add the labels, or use targets="auto" for those that are there'
    if plain:
        hint = (
            "y is a plain array of energies. If you passed Targets, a meta-estimator around this "
            "regressor (TransformedTargetRegressor, VotingRegressor, StackingRegressor) has passed "
            "on the energies only"
        )
    raise LabelError(
        f"targets={demanded} names labels that y lacks: {'; '.join(problems)}. {hint}."
    )


def _raise_for_values(labels, n_atoms, exists, largest):
    problems = {}
    for i in np.flatnonzero(labels.has_energy & ~np.isfinite(labels.energy)):
        problems.setdefault(i, []).append(f"energy is {labels.energy[i]}")
    counts = np.diff(labels.force_offsets)
    wrong_size = labels.has_forces & (counts != n_atoms)
    for i in np.flatnonzero(wrong_size):
        problems.setdefault(i, []).append(f"forces on {counts[i]} atoms, but it has {n_atoms[i]}")
    finite, masked = (f(labels.forces_flat) for f in (np.isfinite, np.isnan))
    # Single rows of NaN are atoms without a label; if all rows are NaN, a calculation has failed.
    empty = np.zeros(len(labels), dtype=bool)
    empty[labels.has_forces] = np.logical_and.reduceat(
        masked.all(axis=1), labels.force_offsets[:-1][labels.has_forces]
    )
    owner = np.repeat(np.arange(len(labels)), counts)
    bad_atoms = np.flatnonzero(~finite.all(axis=1) & (~masked.all(axis=1) | empty[owner]))
    owners = owner[bad_atoms]
    for i in np.unique(owners):
        atoms = bad_atoms[owners == i] - labels.force_offsets[i]
        problems.setdefault(i, []).append(f"forces are not finite, atoms {some(atoms)}")
    if labels.stress is not None:
        for i in np.flatnonzero(labels.has_stress & ~np.isfinite(labels.stress).all(axis=1)):
            problems.setdefault(i, []).append(f"stress is {labels.stress[i]}")
        for i in np.flatnonzero(labels.has_stress & ~exists):
            problems.setdefault(i, []).append(
                f"stress is {labels.stress[i]}, but its cell has no three independent vectors"
            )
    for i, text in _too_large(labels, n_atoms, largest):
        problems.setdefault(i, []).append(text)
    if not problems:
        return
    message = summarize({i: "; ".join(text) for i, text in problems.items()}, len(labels))
    if wrong_size.any():
        message += (
            "\nForces must be those of the structures of X, in the same order. Where y is permuted "
            "(permutation_test_score), pass groups=n_atoms, so that only structures of the same "
            "size are exchanged."
        )
    raise LabelError(message)


def _too_large(labels, n_atoms, largest):
    """Yield (structure, text) for finite labels that are impossibly large."""
    owner = np.repeat(np.arange(len(labels)), np.diff(labels.force_offsets))
    largest_of = {
        "energy": (np.arange(len(labels)), labels.energy / n_atoms, "eV per atom"),
        "forces": (owner, np.abs(labels.forces_flat).max(axis=1, initial=0.0), "eV/Å"),
    }
    if labels.stress is not None:
        rows = np.arange(len(labels))
        largest_of["stress"] = rows, np.abs(labels.stress).max(axis=1), "eV/Å³"
    for kind, limit in largest.items():
        if kind not in largest_of:
            continue
        owners, values, unit = largest_of[kind]
        bad = np.flatnonzero((np.abs(values) > limit) & np.isfinite(values))
        for i, k in zip(*np.unique(owners[bad], return_index=True), strict=True):
            value = values[bad[k]]
            yield (
                i,
                f"{kind} of {value:.3g} {unit} cannot be: is the label damaged or in another unit?",
            )
