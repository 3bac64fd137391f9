"""Warnings about labels that can be used but look like a mistake."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from skpot.data._checks import some
from skpot.data._energy_units import GPA, suspected_units
from skpot.data._label_report import ranges
from skpot.exceptions import LabelWarning, warn_once

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skpot.data._targets import Targets
    from skpot.typing import FloatArray, IntArray, Structures, UInt64Array

_LARGE_FORCE = 50.0  # eV/Å
_ODD_FORCE = 5.0, 20.0  # an outlier exceeds both: eV/Å, and robust standard deviations
_LARGE_STRESS = 1.0  # eV/Å³ = 160 GPa
# An energy is off if it is further from the others than both: eV per atom, and usual distances.
_ODD_ENERGY = 0.5, 12.0
_ENOUGH = 20  # energies that tell which ones are odd
_USUAL_FORCES = 0.3, 3.0  # a structure like the others has forces within these times the median
_OTHER_UNIT = re.compile(
    r"hartree|\bha\b|rydberg|\bry\b|bohr|\ba\.?u\b|atomic units|kcal|kj|\bmev|gpa|kbar",
    re.IGNORECASE,
)


def force_sizes(labels: Targets) -> FloatArray:
    """Return the magnitudes of forces (eV/Å), shape (n_labeled_atoms,); NaN for rows of NaN."""
    return np.sqrt((labels.forces_flat**2).sum(axis=1))


def warn_about_forces(labels: Targets, magnitude: FloatArray) -> None:
    """Warn of forces far above the usual ones; `magnitude` is that of `force_sizes`."""
    owners = np.repeat(np.arange(len(labels)), np.diff(labels.force_offsets))
    known = ~np.isnan(magnitude)
    if not known.all():  # else without copies, for there may be very many
        owners, magnitude = owners[known], magnitude[known]
    if not len(magnitude):
        return
    # Forces of zero, as in perfect crystals, say nothing about the usual size.
    usual = magnitude[magnitude > 0.01]
    robust = 1.4826 * np.median(usual) if len(usual) else 0.0
    odd, deviations = _ODD_FORCE
    limit = min(_LARGE_FORCE, max(odd, deviations * robust))
    # If many are above the limit, they are another type of structure, not outliers.
    if len(np.unique(owners[magnitude > limit])) > 0.02 * labels.has_forces.sum() + 1:
        limit = _LARGE_FORCE
    outliers = magnitude > limit
    if outliers.any():
        structures = np.unique(owners[outliers])
        warn_once(
            "outliers among the forces",
            f"{outliers.sum()} atoms have forces above {limit:.3g} eV/Å, up to "
            f"{magnitude.max():.3g} eV/Å, where {np.median(magnitude):.3g} eV/Å is usual: "
            f"structures {some(structures)}. A few such atoms can dominate a fit; check them, "
            "drop them or give them a larger noise.",
            LabelWarning,
        )


def warn_about_placeholders(labels: Targets, magnitude: FloatArray) -> None:
    """Warn of energies and stress of exactly zero where forces are not, as programs fill gaps."""
    offsets, has = labels.force_offsets, labels.has_forces
    strained = np.zeros(len(labels), dtype=bool)
    if has.any():
        strained[has] = np.logical_or.reduceat(magnitude != 0, offsets[:-1][has])
    zero = {"energy": (labels.has_energy, labels.energy == 0)}
    if labels.stress is not None:
        zero["stress"] = labels.has_stress, (labels.stress == 0).all(axis=1)
    for kind, (known, zeros) in zero.items():
        rows = known & zeros & strained
        # One energy of zero may be intended, as the one that the others are relative to.
        if rows.sum() > (kind == "energy") and (known & ~zeros).any():
            warn_once(
                f"{kind} of zero",
                f"{kind} is exactly zero in {rows.sum()} structures whose forces are not: "
                f"structures {some(np.flatnonzero(rows))}. If it was not computed there, give None "
                "instead.",
                LabelWarning,
            )


def composition(numbers: IntArray, offsets: IntArray) -> FloatArray:
    """Count the atoms of each species, (n_structures, n_species)."""
    species, index = np.unique(numbers, return_inverse=True)
    counts = np.zeros((len(offsets) - 1, len(species)))
    np.add.at(counts, (np.repeat(np.arange(len(counts)), np.diff(offsets)), index), 1.0)
    return counts


def warn_about_energies(labels: Targets, counts: FloatArray) -> None:
    """Warn if energies seem to be per atom or in several units; `counts` is as in `composition`."""
    rows = np.flatnonzero(labels.has_energy)
    suspicion = suspected_units(labels.energy[rows], counts[rows])
    if suspicion:
        sizes = counts[rows].sum(axis=1)
        sizes = " to ".join(f"{size:.0f}" for size in np.unique([sizes.min(), sizes.max()]))
        warn_once(
            "units of energies",
            f"the energies of structures of {sizes} atoms look odd: "
            f"{suspicion}. Labels are total energies in eV, all from one code and of one kind.",
            LabelWarning,
        )


def warn_about_single_energies(labels: Targets, counts: FloatArray, magnitude: FloatArray) -> None:
    """Warn of energies far from all others, of structures whose forces are like those of others.

    Forces tell whether a structure is unusual; if they do not, the energy is a mistake. Distances
    are those from a sum over species, in eV per atom.
    """
    sizes = counts.sum(axis=1)
    rows = np.flatnonzero(labels.has_energy & labels.has_forces & (sizes > 1))
    if len(rows) < _ENOUGH:
        return
    largest, known = np.zeros(len(labels)), labels.has_forces
    size = np.nan_to_num(magnitude)
    largest[known] = np.maximum.reduceat(size, labels.force_offsets[:-1][known])
    largest = largest[rows]
    energy, fractions = labels.energy[rows] / sizes[rows], counts[rows] / sizes[rows, None]
    # Energies that are off move the sums over species, too: leave them out and look again.
    near = np.ones(len(rows), dtype=bool)
    for _ in range(3):
        e0 = np.linalg.lstsq(fractions[near], energy[near])[0]
        distance = energy - fractions @ e0
        distance -= np.median(distance[near])
        least, times = _ODD_ENERGY
        limit = max(least, times * 1.4826 * np.median(np.abs(distance[near])))
        near = np.abs(distance) <= limit
    low, high = np.median(largest) * np.array(_USUAL_FORCES)
    odd = np.flatnonzero(~near & (largest > low) & (largest < high))
    if not len(odd) or (~near).sum() > 0.02 * len(rows) + 1:
        return
    worst = odd[np.argmax(np.abs(distance[odd]))]
    warn_once(
        "single energies",
        f"the energies of {len(odd)} structures are far from all others, by up to "
        f"{distance[worst]:+.3g} eV per atom in structure {rows[worst]}, though their forces are "
        f"usual: structures {some(rows[odd])}. Compute them again, or leave these structures out.",
        LabelWarning,
    )


def warn_about_stress(labels: Targets, counts: FloatArray, volumes: FloatArray) -> None:
    """Warn if stress seems to have another unit or sign, where `volumes` are not NaN."""
    rows = np.flatnonzero(labels.has_stress & np.isfinite(volumes))
    if not len(rows):
        return
    stress = labels.stress[rows]
    large = np.abs(stress).max(axis=1) > _LARGE_STRESS
    if large.mean() > 0.25:
        warn_once(
            "unit of stress",
            f"{large.sum()} of {len(rows)} stresses exceed {_LARGE_STRESS} eV/Å³ "
            f"({GPA * _LARGE_STRESS:.0f} GPa), up to {np.abs(stress).max():.3g}: stress in GPa "
            "or kbar, or a virial in eV (skpot.read has virial_key for these)?",
            LabelWarning,
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
            warn_once(
                "sign of stress",
                f"stress falls with volume (correlation {correlation:.2f} in {len(v)} structures "
                "of one composition): the sign looks wrong. Tension is positive, as in ASE; VASP "
                "and others print pressure.",
                LabelWarning,
            )
            return


def warn_about_duplicates(labels: Targets, keys: UInt64Array) -> None:
    """Warn of structures that occur twice, which have equal `keys` (n_structures,)."""
    first = np.unique(keys, return_index=True, return_inverse=True)
    first = first[1][first[2].ravel()]
    second = np.flatnonzero(first != np.arange(len(keys)))
    if not len(second):
        return
    first = first[second]
    differ = np.abs(labels.energy[first] - labels.energy[second]) > 1e-6  # NaN: not known
    warn_once(
        "structures that occur twice",
        f"{len(second)} structures occur twice: "
        + some([f"{i} = {j}" for i, j in zip(first, second, strict=True)])
        + (f"; {differ.sum()} of them with another energy" if differ.any() else "")
        + ". In a cross-validation one may be in the training set and the other in the test set, "
        "unless they share a group.",
        LabelWarning,
    )


def warn_about_empty_stress(structures: Sequence[int] | IntArray) -> None:
    """Warn that stress of zero is ignored in structures (indices) in which no stress exists."""
    warn_once(
        "stress without volume",
        f"{len(structures)} structures have no cell with three independent vectors, so no stress, "
        f"but labels of zero: structures {some(structures)}. These labels are ignored.",
        LabelWarning,
    )


def warn_about_other_units(frames: Structures) -> None:
    """Warn if a file says that its labels are in other units than eV and Å."""
    said = {}
    for i, atoms in enumerate(frames):
        for name, value in atoms.info.items():
            if isinstance(value, str) and "unit" in str(name).lower() and _OTHER_UNIT.search(value):
                said.setdefault(f"{name}={value}", []).append(i)
    if said:
        where = ", ".join(f"{text!r} (frames {ranges(found)})" for text, found in said.items())
        warn_once(
            f"units of a file: {where}",
            f"the file says {where}, but labels are read as eV, eV/Å and eV/Å³ without conversion. "
            "Convert them first.",
            LabelWarning,
        )


def warn_about_fixed_atoms(frames: Structures, forces: list[Any]) -> None:
    """Warn if exactly the fixed atoms have forces of zero, which a constraint may have made."""
    found = []
    for i, (atoms, array) in enumerate(zip(frames, forces, strict=True)):
        parts = [np.ravel(c.index) for c in atoms.constraints if hasattr(c, "index")]
        if parts and array is not None and len(array) == len(atoms):
            zero = np.flatnonzero(~array.any(axis=1))
            if len(zero) < len(atoms) and np.array_equal(zero, np.unique(np.concatenate(parts))):
                found.append(i)
    if found:
        warn_once(
            f"forces on fixed atoms: {some(found)}",
            f"in {len(found)} structures the fixed atoms, and only they, have forces of zero: "
            f"structures {some(found)}. If a constraint made them zero, they are not labels: set "
            "these rows to NaN.",
            LabelWarning,
        )
