"""What structures hold, and what is wrong with them before any model is asked."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ..data import as_batch, cell_volumes
from ..data.elements import SYMBOLS, covalent_radius
from ..data.order import content_keys
from ..descriptors import ZBL
from ..exceptions import StructureWarning
from ..progress import followed
from ._findings import Finding

if TYPE_CHECKING:
    from typing import Any

    from skpot.data import Targets
    from skpot.typing import FloatArray, IntArray, Structures

_CLOSE = 0.5  # of the sum of covalent radii: atoms that repel each other, whatever they are
_REPULSION = 0.2  # of the screened nuclear repulsion that forces show at least
_LARGE = 10.0  # eV/Å
_NEAR = 2.5  # Å
_SAME = 1e-3  # eV per atom, and eV/Å: labels of one structure that differ by more contradict
_BOHR = 1.6  # of the sum of covalent radii: no atoms of a material are so far apart throughout
_NET = 0.05  # eV/Å


def closest_pairs(X: Structures) -> tuple[FloatArray, list[tuple[int, int]], FloatArray]:
    """Return of each structure its closest pair, over the covalent radii.

    Returns
    -------
    ratio : ndarray of shape (n_structures,)
        Distance over the sum of covalent radii; infinite without neighbors within 6 Å.
    pairs : list of tuple of int
        The two atoms.
    distance : ndarray of shape (n_structures,)
        In Å.
    """
    ratio, distance = np.full(len(X), np.inf), np.full(len(X), np.inf)
    pairs = [(0, 0)] * len(X)
    for k, atoms in enumerate(followed(X, len(X), "closest pairs", "structure")):
        found = as_batch([atoms], search_follows=True).search(6.0)[0]
        if not len(found.vector):
            continue
        radii = np.array([covalent_radius(int(z)) for z in atoms.numbers])
        i = np.repeat(np.arange(len(atoms)), np.diff(found.start))
        lengths = np.sqrt((found.vector**2).sum(axis=1))
        relative = lengths / (radii[i] + radii[found.neighbor])
        p = int(np.argmin(relative))
        ratio[k], distance[k] = relative[p], lengths[p]
        pairs[k] = int(i[p]), int(found.neighbor[p])
    return ratio, pairs, distance


def close_findings(
    X: Structures, y: Targets, ratio: FloatArray, pairs: list[tuple[int, int]], distance: FloatArray
) -> list[Finding]:
    """Return structures with atoms so close that their forces must be large, and are not."""
    found = []
    for k in np.flatnonzero(ratio < _CLOSE).tolist():
        repulsion = _repulsion(X[k])
        i = int(np.argmax(repulsion))
        least = _REPULSION * repulsion[i]
        if repulsion[i] < _LARGE:
            continue  # symmetry may hold atoms where they repel each other
        if not y.has_forces[k] or np.sqrt(np.sum(y[[k]].forces_flat[i] ** 2)) < least:
            names = "-".join(SYMBOLS[z] for z in X[k].numbers[list(pairs[k])])
            found.append((k, f"{names} {distance[k]:.2f} Å"))
    if not found:
        return []
    where = "; ".join(f"{k}: {text}" for k, text in found[:6])
    return [
        Finding(
            "atoms too close",
            f"Two atoms are closer than any bond, but their forces do not show it: {where}"
            f"{'; ...' if len(found) > 6 else ''}. Positions and labels do not belong together, or "
            "the calculation did not converge.",
            "leave these structures out, or compute them again.",
            tuple(k for k, _ in found),
            0.99,
        )
    ]


def _repulsion(atoms):
    """Return the size of the screened nuclear repulsion of each atom (eV/Å)."""
    zbl = ZBL(outer=_NEAR, inner=0.99 * _NEAR, cache=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StructureWarning)  # of close atoms: that is what we look at
        features = zbl.fit_transform([atoms])
    forces, _ = features.pull_back(np.ones(features.values.shape))
    return np.sqrt((forces**2).sum(axis=1))


def length_findings(ratio: FloatArray) -> list[Finding]:
    """Return whether positions are in Bohr: all closest pairs are further than bonds."""
    known = ratio[np.isfinite(ratio)]
    if len(known) < 5 or np.quantile(known, 0.9) < _BOHR:
        return []
    return [
        Finding(
            "unit of positions",
            f"In nearly all structures no two atoms are closer than {np.quantile(known, 0.1):.2f} "
            "times the sum of their covalent radii: positions and cells may be in Bohr.",
            "multiply positions and cells by 0.529177.",
            confidence=0.9,
        )
    ]


def duplicate_findings(X: Structures, y: Targets) -> tuple[list[Finding], list[str]]:
    """Return structures that occur twice: with contradicting labels, and a note of the others."""
    keys = content_keys(X)
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    differ, alike = [], 0
    for p in same:
        i, j = int(order[p]), int(order[p + 1])
        if _contradict(y, i, j, len(X[i])):
            differ += [i, j]
        else:
            alike += 1
    findings = []
    if differ:
        findings.append(
            Finding(
                "contradicting labels",
                "The same structures occur twice with different labels.",
                "keep the labels that are converged, of one kind of calculation.",
                tuple(sorted(set(differ))),
                0.99,
            )
        )
    notes = []
    if alike:
        notes.append(
            f"{alike} structures are copies of others, with the same labels. In a cross-validation "
            "they leak from training to test unless they share a group."
        )
    return findings, notes


def _contradict(y, i, j, n_atoms):
    if y.has_energy[i] and y.has_energy[j]:
        if abs(y.energy[i] - y.energy[j]) > _SAME * n_atoms:
            return True
    if y.has_forces[i] and y.has_forces[j]:
        one, other = y[[i]].forces_flat, y[[j]].forces_flat
        return bool(np.nanmax(np.abs(one - other)) > _SAME)
    return False


def net_force_note(y: Targets) -> list[str]:
    """Return a note of forces that do not add up to zero."""
    if not y.has_forces.any():
        return []
    net = np.full(len(y), np.nan)
    for rows, part in y.in_parts():
        for row, forces in zip(rows, part.forces or [], strict=False):
            if forces is not None:
                net[row] = np.abs(forces.sum(axis=0)).max()
    odd = np.flatnonzero(net > _NET)
    if not len(odd):
        return []
    return [
        f"The forces of {len(odd)} structures do not add up to zero (up to {np.nanmax(net):.3g} "
        f"eV/Å, structure {int(np.nanargmax(net))}): no potential of the positions alone has such "
        "forces. Loose convergence, a fixed atom or an outer field are the usual reasons."
    ]


def coverage(X: Structures, y: Targets, kinds: Any, ratio: FloatArray) -> dict[str, Any]:
    """Return counts and ranges of what structures hold, as plain numbers."""
    n_atoms, mass = np.zeros(len(X), dtype=int), np.zeros(len(X))
    cells, counts = np.zeros((len(X), 3, 3)), np.zeros(len(SYMBOLS), dtype=int)
    for k, atoms in enumerate(X):  # which may be read from files on the way
        n_atoms[k], mass[k], cells[k] = len(atoms), atoms.get_masses().sum(), atoms.cell.array
        counts += np.bincount(atoms.numbers, minlength=len(counts))
    density = 1.66053907 * mass / cell_volumes(cells)
    forces = np.concatenate(
        [np.sqrt(np.nansum(part.forces_flat**2, axis=1)) for _, part in y.in_parts()]
    )
    of_kinds = {} if kinds is None else Counter(str(kind) for kind in kinds)
    return {
        "frames": len(X),
        "atoms": int(n_atoms.sum()),
        "atoms per frame": [int(n_atoms.min()), int(n_atoms.max())],
        "species": {SYMBOLS[z]: int(counts[z]) for z in np.flatnonzero(counts)},
        "kinds": dict(sorted(of_kinds.items())),
        "labels": {
            "energy": int(y.has_energy.sum()),
            "forces": int(y.has_forces.sum()),
            "stress": int(y.has_stress.sum()),
        },
        "density (g/cm³)": _range(density),
        "closest pair over covalent radii": _range(ratio),
        "forces (eV/Å)": _range(forces),
        "free atoms": int(np.sum((n_atoms == 1) & np.isinf(ratio))),
    }


def _range(values):
    known = np.asarray(values)[np.isfinite(values)]
    if not len(known):
        return None
    return [float(np.min(known)), float(np.median(known)), float(np.max(known))]


def usable(ratio: FloatArray, n_atoms: IntArray, odd: set[int]) -> IntArray:
    """Return the structures that models can learn from."""
    fine = (ratio > 0.4) & ((n_atoms > 1) | np.isfinite(ratio))
    return np.array([i for i in np.flatnonzero(fine) if i not in odd], dtype=int)
