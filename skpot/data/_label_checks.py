"""What labels must satisfy before a model is fitted to them, and what looks like a mistake."""

import hashlib
import warnings

import numpy as np
from sklearn.utils import column_or_1d

from skpot.data._checks import some, summarize
from skpot.data._targets import Targets
from skpot.exceptions import LabelError, LabelWarning

BLOCKS = ("energy", "forces", "stress")

_LARGE_FORCE = 50.0  # eV/Å
_ODD_FORCE = 5.0, 20.0  # eV/Å and robust standard deviations, both exceeded
_LARGE_STRESS = 1.0  # eV/Å³ = 160 GPa
_GPA = 160.21766208  # GPa in eV/Å³


def check_targets(
    y,
    n_atoms,
    targets="auto",
    *,
    numbers=None,
    info=None,
    environments=None,
    stacklevel=2,
):
    """Check labels against structures and return them as `Targets`.

    Everything that makes a fit impossible is reported in one error, with structure indices; what
    is merely suspicious is a warning each.

    Parameters
    ----------
    y : Targets or array-like of shape (n_structures,)
        Labels; a plain array holds energies (eV).
    n_atoms : array-like of int of shape (n_structures,)
        Atoms in each structure.
    targets : "auto" or sequence of {"energy", "forces", "stress"}, default="auto"
        Labels to use. "auto" takes what is there; named labels must be there for every structure
        (stress for every structure that has one) and others are dropped.
    numbers : ndarray of int of shape (n_atoms_total,), default=None
        Atomic numbers; without them no warning about composition and stress is given.
    info : StructureInfo, default=None
        Volumes (NaN for structures that have no stress) and periodicity.
    environments : ndarray of shape (n_atoms_total or n_structures, n_columns), default=None
        Rows that are the same for structures that are the same, features for example; without
        them no warning about structures that occur twice is given.
    stacklevel : int, default=2
        Of the warnings; 2 is the caller.

    Returns
    -------
    labels : Targets
        With at least one label; all labels finite and of the right shape.

    Raises
    ------
    ValueError
        On labels that are not finite, forces for another number of atoms, labels that `targets`
        demands and y lacks, no labels at all.

    Warns
    -----
    LabelWarning
        On outliers among the forces, energies unrelated to composition, stress of the wrong unit
        or sign, structures that occur twice.

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
    labels = _as_targets(y)
    if len(labels) != len(n_atoms):
        raise LabelError(f"y has {len(labels)} entries but X has {len(n_atoms)} structures.")
    demanded = _demanded(targets)
    exists = np.ones(len(labels), bool) if info is None else np.isfinite(info.volumes)
    _raise_for_missing(labels, demanded, exists, plain=not isinstance(y, Targets))
    if demanded:
        labels = _only(labels, demanded)
    labels, without_volume = _without_empty_stress(labels, exists)
    if not (labels.has_energy.any() or labels.has_forces.any() or labels.has_stress.any()):
        raise LabelError(f"y holds no labels at all: {labels!r}")
    _raise_for_values(labels, n_atoms, exists)
    if len(without_volume):
        _warn(
            f"{len(without_volume)} structures have no cell with three independent vectors, so no "
            f"stress, but labels of zero: structures {some(without_volume)}. These labels are "
            "ignored.",
            stacklevel,
        )

    _warn_about_forces(labels, stacklevel)
    offsets = np.concatenate([[0], np.cumsum(n_atoms)])
    if numbers is not None:
        counts = _composition(np.asarray(numbers), offsets)
        _warn_about_energies(labels, counts, stacklevel)
        if info is not None:
            # Vacuum in the cell of a slab or molecule tells nothing of how it resists pressure.
            volumes = np.where(info.bulk, info.volumes, np.nan)
            _warn_about_stress(labels, counts, volumes, stacklevel)
    if environments is not None:
        _warn_about_duplicates(labels, np.asarray(environments), numbers, offsets, stacklevel)
    return labels


def _as_targets(y):
    if y is None:
        raise LabelError(
            "fit requires y to be passed, but the target y is None: give the energies (an array) "
            "or Targets of X."
        )
    if isinstance(y, Targets):
        return y
    return Targets(np.asarray(column_or_1d(y, warn=True), dtype=np.float64))


def _demanded(targets):
    if isinstance(targets, str):
        if targets == "auto":
            return ()
        targets = (targets,)
    if not targets or set(targets) - set(BLOCKS):
        raise LabelError(f'targets must be "auto" or some of {BLOCKS}, got {targets!r}')
    return tuple(targets)


def _only(labels, blocks):
    return labels.relabelled(
        np.where(labels.has_energy, labels.energy, None)
        if "energy" in blocks
        else [None] * len(labels),
        labels.forces if "forces" in blocks else None,
        labels.stress if "stress" in blocks else None,
    )


def _without_empty_stress(labels, exists):
    """Return labels less the zero stress of structures that have no volume, and which these are.

    Programs write zeros where a structure has no stress; any other number there is refused.
    """
    rows = np.flatnonzero(labels.has_stress & ~exists)
    if not len(rows):
        return labels, rows
    rows = rows[~labels.stress[rows].any(axis=1)]
    stress = labels.stress.copy()
    stress[rows] = np.nan
    energy = np.where(labels.has_energy, labels.energy, None)
    return labels.relabelled(energy, labels.forces, stress), rows


def _raise_for_missing(labels, demanded, exists, plain):
    problems = []
    for block in demanded:
        missing = ~getattr(labels, f"has_{block}")
        if block == "stress":
            missing &= exists
            missing |= not labels.has_stress.any()
        if missing.all():
            problems.append(f"no structure has {block}")
        elif missing.any():
            problems.append(f"{block} missing for structures {some(np.flatnonzero(missing))}")
    if not problems:
        return
    hint = 'give the labels, or let targets="auto" take what is there'
    if plain:
        hint = (
            "y is a plain array of energies. If you passed Targets, a meta-estimator between you "
            "and this regressor (TransformedTargetRegressor, VotingRegressor, StackingRegressor) "
            "has stripped the other labels"
        )
    raise LabelError(f"targets={demanded} demands more than y holds: {'; '.join(problems)}. {hint}")


def _raise_for_values(labels, n_atoms, exists):
    problems = {}
    for i in np.flatnonzero(labels.has_energy & ~np.isfinite(labels.energy)):
        problems.setdefault(i, []).append(f"energy is {labels.energy[i]}")
    counts = np.diff(labels.force_offsets)
    wrong_size = labels.has_forces & (counts != n_atoms)
    for i in np.flatnonzero(wrong_size):
        problems.setdefault(i, []).append(f"forces on {counts[i]} atoms, but it has {n_atoms[i]}")
    finite, masked = (f(labels.forces_flat) for f in (np.isfinite, np.isnan))
    # Rows of NaN are atoms without a label, but all of them a calculation that failed.
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
    if not problems:
        return
    message = summarize({i: "; ".join(text) for i, text in problems.items()}, len(labels))
    if wrong_size.any():
        message += (
            "\nForces must belong to the structures of X in the same order. Permuting y "
            "(permutation_test_score) needs groups=n_atoms, so that sizes stay together."
        )
    raise LabelError(message)


def _warn(message, stacklevel):
    warnings.warn(message, LabelWarning, stacklevel=stacklevel + 1)


def _warn_about_forces(labels, stacklevel):
    owners = np.repeat(np.arange(len(labels)), np.diff(labels.force_offsets))
    magnitude = np.sqrt((labels.forces_flat**2).sum(axis=1))
    known = ~np.isnan(magnitude)
    owners, magnitude = owners[known], magnitude[known]
    if not len(magnitude):
        return
    # Perfect crystals have no forces at all: they say nothing about the usual size.
    usual = magnitude[magnitude > 0.01]
    robust = 1.4826 * np.median(usual) if len(usual) else 0.0
    odd, deviations = _ODD_FORCE
    limit = min(_LARGE_FORCE, max(odd, deviations * robust))
    # Many above the limit are another kind of structure, not outliers.
    if len(np.unique(owners[magnitude > limit])) > 0.02 * labels.has_forces.sum() + 1:
        limit = _LARGE_FORCE
    outliers = magnitude > limit
    if outliers.any():
        structures = np.unique(owners[outliers])
        _warn(
            f"{outliers.sum()} atoms have forces above {limit:.3g} eV/Å, up to "
            f"{magnitude.max():.3g} eV/Å, where {np.median(magnitude):.3g} eV/Å is usual: "
            f"structures {some(structures)}. A few such atoms can dominate a fit; check them, "
            "drop them or give them a larger noise.",
            stacklevel + 1,
        )


def _composition(numbers, offsets):
    """Count the atoms of each species, (n_structures, n_species)."""
    species, index = np.unique(numbers, return_inverse=True)
    counts = np.zeros((len(offsets) - 1, len(species)))
    np.add.at(counts, (np.repeat(np.arange(len(counts)), np.diff(offsets)), index), 1.0)
    return counts


def _warn_about_energies(labels, counts, stacklevel):
    rows = np.flatnonzero(labels.has_energy)
    energy, counts = labels.energy[rows], counts[rows]
    sizes = counts.sum(axis=1)
    if len(rows) < 10 or sizes.max() < 1.5 * sizes.min() or not np.ptp(energy):
        return  # too few, or too alike, to tell
    residual = energy - counts @ np.linalg.lstsq(counts, energy, rcond=None)[0]
    explained = 1.0 - (residual**2).sum() / ((energy - energy.mean()) ** 2).sum()
    if explained < 0.5:
        _warn(
            f"composition explains {max(explained, 0.0):.0%} of the variance of the energies, of "
            f"structures of {sizes.min():.0f} to {sizes.max():.0f} atoms; for total energies it is "
            "nearly all. Energies per atom, or a mix of units or of codes?",
            stacklevel + 1,
        )


def _warn_about_stress(labels, counts, volumes, stacklevel):
    rows = np.flatnonzero(labels.has_stress & np.isfinite(volumes))
    if not len(rows):
        return
    stress = labels.stress[rows]
    large = np.abs(stress).max(axis=1) > _LARGE_STRESS
    if large.mean() > 0.25:
        _warn(
            f"{large.sum()} of {len(rows)} stresses exceed {_LARGE_STRESS} eV/Å³ "
            f"({_GPA * _LARGE_STRESS:.0f} GPa), up to {np.abs(stress).max():.3g}: stress in GPa "
            "or kbar, or a virial in eV (skpot.read has virial_key for these)?",
            stacklevel + 1,
        )
    sizes = counts[rows].sum(axis=1)
    fractions = np.round(counts[rows] / sizes[:, None], 6)
    volume, mean = volumes[rows] / sizes, stress[:, :3].mean(axis=1)
    group = np.unique(fractions, axis=0, return_inverse=True)[1].ravel()
    for g in range(group.max() + 1):
        v, s = volume[group == g], mean[group == g]
        if len(v) < 20 or np.ptp(v) < 0.02 * v.mean() or not np.ptp(s):
            continue
        correlation = np.corrcoef(v, s)[0, 1]
        if correlation < -0.7:
            _warn(
                f"stress falls with volume (correlation {correlation:.2f} in {len(v)} structures "
                "of one composition): the sign looks wrong. Tension is positive, as in ASE; VASP "
                "and others print pressure.",
                stacklevel + 1,
            )
            return


def _warn_about_duplicates(labels, environments, numbers, offsets, stacklevel):
    seen, pairs = {}, []
    whole = len(environments) == len(offsets) - 1
    for i, (a, b) in enumerate(zip(offsets[:-1], offsets[1:])):
        rows = environments[i : i + 1] if whole else environments[a:b]
        key = hashlib.blake2b(np.ascontiguousarray(rows), digest_size=16)
        if numbers is not None:
            key.update(np.ascontiguousarray(numbers[a:b]))
        first = seen.setdefault((b - a, key.digest()), i)
        if first != i:
            pairs.append((first, i))
    if not pairs:
        return
    first, second = np.array(pairs).T
    differ = np.abs(labels.energy[first] - labels.energy[second]) > 1e-6  # NaN: not known
    _warn(
        f"{len(pairs)} structures occur twice (the same environments throughout): "
        + some([f"{i} = {j}" for i, j in pairs])
        + (f"; {differ.sum()} of them with another energy" if differ.any() else "")
        + ". In a cross-validation they leak from training to test unless they share a group.",
        stacklevel + 1,
    )
