"""What is known before the fit: energies of free atoms, and a term that is not fitted."""

from __future__ import annotations

from math import fsum
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from ..data.elements import SYMBOLS, by_number
from ..data.order import canonical_order
from ..exceptions import LabelError, LabelWarning, ParameterError, warn_once
from ..rows.finite import LARGEST

if TYPE_CHECKING:
    from skpot.data import AtomicFeatures, Targets
    from skpot.typing import FloatArray, IntArray

_TINY = np.finfo(float).tiny


def composition(offsets: IntArray, species: IntArray, kinds: IntArray) -> FloatArray:
    """Return how many atoms of each kind every structure has, shape (n_structures, n_kinds)."""
    structure = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    counts = np.zeros((len(offsets) - 1, len(kinds)))
    np.add.at(counts, (structure, np.searchsorted(kinds, species)), 1.0)
    return counts


def reference_energies(
    e0: str | dict[str, float] | None, features: AtomicFeatures, labels: Targets
) -> tuple[dict[int, float], str]:
    """Return the energy of one atom of each species and where it comes from.

    Parameters
    ----------
    e0 : None, "isolated", "least_squares" or dict
        Given energies (eV, keyed by symbol or atomic number); or those of structures with a single
        atom and no neighbor; or a least-squares fit by composition. None takes isolated atoms
        where there are any, and fits the energies of the other species to what these leave.
    features : AtomicFeatures
        Structures.
    labels : Targets
        Total energies in eV, NaN where not labeled, and their noise.

    Returns
    -------
    energies : dict of int to float
        By atomic number, in eV.
    source : str
        "given", "isolated" or "least_squares"; or which species have which, as in
        "isolated (H, O), least_squares (C)".
    """
    kinds = np.unique(features.numbers)
    if isinstance(e0, dict):
        given = _given_energies(e0)
        missing = [SYMBOLS[z] for z in kinds if z not in given]
        if missing:
            raise LabelError(
                f"e0 has no energy for {', '.join(missing)}. Add it to the dictionary, or use "
                'e0="least_squares".'
            )
        return given, "given"
    weight = labels.sigma_energy**-2.0
    isolated = {}
    if e0 != "least_squares":
        isolated = _isolated(features, labels.energy, weight)
    missing = [int(z) for z in kinds if z not in isolated]
    if not missing:
        return isolated, "isolated"
    if e0 == "isolated":
        raise LabelError(
            'e0="isolated" but no structure is an isolated atom of '
            f"{', '.join(SYMBOLS[z] for z in missing)}. Add a labeled one-atom structure of each, "
            'give the energies as e0={...}, or use e0="least_squares".'
        )
    order = canonical_order(features.info.keys, labels)  # of sums
    fitted = _least_squares(features, labels.energy, weight, kinds, isolated, order)
    return isolated | fitted, _sources(isolated, fitted)


def _given_energies(e0):
    wrong = {z: e for z, e in e0.items() if not (isinstance(e, Real) and abs(e) < LARGEST)}
    if wrong:
        raise ParameterError(f"e0 must give energies in eV, as numbers; got {wrong!r}")
    return {z: float(e) for z, e in by_number("e0", e0).items()}


def _sources(isolated, fitted):
    if not isolated:
        return "least_squares"
    parts = {"isolated": isolated, "least_squares": fitted}
    return ", ".join(
        f"{source} ({', '.join(SYMBOLS[z] for z in sorted(energies))})"
        for source, energies in parts.items()
    )


def _isolated(features, energy, weight):
    """Return mean energies of one-atom structures without neighbors, own images included."""
    free = features.lone_atoms() & np.isfinite(energy) & (weight > 0)
    species, energies = features.numbers[features.atom_offsets[:-1][free]], energy[free]
    return {int(z): fsum(energies[species == z]) / np.sum(species == z) for z in np.unique(species)}


def _least_squares(features, energy, weight, kinds, known, order):
    """Return the energies of the kinds that are not known, from what the known ones leave."""
    used = order[(np.isfinite(energy) & (weight > 0))[order]]
    unknown = ~np.isin(kinds, list(known))
    if not len(used):
        warn_once(
            "no energies",
            "no structure has an energy, so the zero of the energy is arbitrary: free atoms are "
            "taken to have none. Give e0={...} to set it.",
            LabelWarning,
        )
        return dict.fromkeys(map(int, kinds[unknown]), 0.0)
    counts = composition(features.atom_offsets, features.numbers, kinds)
    energy = energy - counts[:, ~unknown] @ [known[int(z)] for z in kinds[~unknown]]
    kinds, counts = kinds[unknown], counts[:, unknown]
    used = used[counts[used].sum(axis=1) > 0]
    energy, weight, counts = energy[used], weight[used], counts[used]
    root = np.sqrt(weight)
    # Centered on the mean energy per atom, so that what the compositions leave open is shared
    # evenly instead of falling to whichever species comes first.
    mean = np.sum(weight * energy) / max(np.sum(weight * counts.sum(axis=1)), _TINY)
    target = energy - mean * counts.sum(axis=1)
    solution, _, rank, _ = np.linalg.lstsq(counts * root[:, None], target * root, rcond=1e-8)
    # Features of whole structures serve one molecule at a time: how its energy divides is moot.
    moot = features.per_structure and (counts == counts[:1]).all()
    absent = [SYMBOLS[int(z)] for z in kinds[~counts.any(axis=0)]]
    if absent:
        warn_once(
            "species without energies",
            f"no structure with {', '.join(absent)} has an energy: what these atoms add to others "
            "is a guess. Leave such structures out, label some of them, or give e0={...}.",
            LabelWarning,
        )
    if rank < len(kinds) - len(absent) and not moot:
        warn_once(
            "reference energies not determined",
            f"the compositions determine only {rank} of {len(kinds)} reference energies; the "
            "others are a minimum-norm choice, so energies of other compositions will be off. "
            "Add isolated atoms, or give e0={...}.",
            LabelWarning,
        )
    return {int(z): float(mean + s) for z, s in zip(kinds, solution, strict=True)}


def free_energies(e0: dict[int, float], features: AtomicFeatures) -> FloatArray:
    """Return the energy of the free atoms of each feature row, in eV; NaN where not known."""
    table = np.full(len(SYMBOLS), np.nan)
    table[list(e0)] = list(e0.values())
    energies = table[features.numbers]
    if features.per_structure:
        return np.add.reduceat(energies, features.atom_offsets[:-1])
    return energies


def split_term(features: AtomicFeatures, name: str) -> tuple[AtomicFeatures, AtomicFeatures]:
    """Return the features without the block of a term, and those of the block alone.

    Raises
    ------
    ValueError
        If there is no such block, or nothing beside it.
    """
    if name not in features.blocks:
        raise LabelError(
            f'baseline="{name}" but the features have the blocks {sorted(features.blocks)}. Put '
            "the descriptor of that block beside the others in a FeatureUnion, and steps such as "
            "PerAtom inside its branches: they merge blocks."
        )
    columns = np.arange(features.shape[1])
    inside = np.isin(columns, columns[features.blocks[name]])
    if inside.all():
        raise LabelError(f'baseline="{name}" leaves no features to learn from')
    return features.select(columns[~inside]), features.select(columns[inside])


def evaluate_term(term: AtomicFeatures) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return row energies, forces and virials of a term whose features are energies in eV."""
    forces, virials = term.pull_back(np.ones(term.values.shape))
    return term.values.sum(axis=1), forces, virials


def subtract_term(labels: Targets, term: AtomicFeatures) -> Targets:
    """Return labels less the energies, forces and stress of a term; missing ones stay missing."""
    energies = np.add.reduceat(term.values.sum(axis=1), term.offsets[:-1])
    energy = np.where(labels.has_energy, labels.energy - energies, None)
    has_forces, has_stress = labels.has_forces, labels.has_stress
    if not (has_forces.any() or has_stress.any()):
        return labels.relabeled(energy)
    _, own_forces, virials = evaluate_term(term)
    forces = None
    if has_forces.any():
        own = np.split(own_forces, term.atom_offsets[1:-1])
        pairs = zip(labels.forces, own, strict=True)
        forces = [None if given is None else given - part for given, part in pairs]
    stress = None
    if has_stress.any():  # NaN where there is no label
        stress = labels.stress + virials / term.volumes[:, None]
    return labels.relabeled(energy, forces, stress)
