"""Single structures whose labels do not agree with what all others tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ._findings import Finding, WorstLabel
from ._forces import best_order, rotation

if TYPE_CHECKING:
    from skpot.checks._probe import HeldOut
    from skpot.data import Targets
    from skpot.typing import FloatArray, IntArray, Structures

_FAR = 12.0  # usual errors: from there on a label is looked at
_DEVIATIONS = 6.0  # predicted ones: what a model does not know well it cannot judge
_FACTOR = 4.0  # by which a change must lower the error of a structure to be believed
_WORST = 20
_ALONE = 12.0  # times the errors of the other atoms
_FEW = 3  # forces of a structure that may be wrong alone


class Compared(NamedTuple):
    """Labels of one structure with what the others tell of them."""

    frame: int
    forces: np.ndarray  # (n_atoms, 3)
    predicted: np.ndarray  # (n_atoms, 3)
    std: float  # eV/Å, of the predictions


def frame_findings(
    X: Structures, y: Targets, held_out: HeldOut, frames: IntArray
) -> tuple[list[Finding], list[WorstLabel]]:
    """Return what is wrong with single structures, and the labels furthest from predictions.

    Parameters
    ----------
    X : list[Atoms]
        Structures.
    y : Targets
        Their labels, units and signs mended.
    held_out : HeldOut
        What a model tells of them that has not learned from them.
    frames : ndarray of int of shape (n_structures,)
        The indices by which the user knows them.
    """
    predicted = held_out.labels
    n_atoms = np.array([len(atoms) for atoms in X])
    energy = np.where(y.has_energy & predicted.has_energy, y.energy - predicted.energy, np.nan)
    energy = energy / n_atoms
    given, told = y.forces or [None] * len(X), predicted.forces or [None] * len(X)
    pairs = [
        Compared(i, given[i], told[i], float(held_out.forces_std[i]))
        for i in range(len(X))
        if given[i] is not None and told[i] is not None
    ]
    worst = _worst_energies(energy) + _worst_forces(pairs)
    findings = _energy_outliers(
        energy, held_out.energy_std / n_atoms, pairs, frames
    ) + _force_outliers(pairs, frames)
    worst.sort(key=lambda label: -label.ratio)
    return findings, [w._replace(frame=int(frames[w.frame])) for w in worst[:_WORST]]


def usual(errors: FloatArray) -> float:
    """Return the usual size of errors: their median, as the deviation of a normal variable."""
    known = np.abs(errors[np.isfinite(errors)])
    return float(1.4826 * np.median(known)) if len(known) else 0.0


def _worst_energies(energy):
    center = np.nanmedian(energy) if np.isfinite(energy).any() else 0.0
    scale = max(usual(energy - center), 1e-5)
    return [
        WorstLabel(int(i), "energy", float(abs(energy[i])), float(abs(energy[i] - center) / scale))
        for i in np.flatnonzero(np.isfinite(energy))
    ]


def _worst_forces(pairs):
    errors = [np.nanmax(np.abs(p.forces - p.predicted)) for p in pairs]
    scale = max(usual(np.array(errors)), 1e-5)
    return [
        WorstLabel(p.frame, "forces", float(e), float(e / scale))
        for p, e in zip(pairs, errors, strict=True)
        if np.isfinite(e)
    ]


def _energy_outliers(energy, std, pairs, frames):
    """Return energies that are off where forces are not."""
    told = np.isfinite(energy)
    if told.sum() < 10:
        return []
    center = np.median(energy[told])
    spread = usual(energy - center)
    # Forces that vanish by symmetry do not tell whether a structure is like the others.
    sizes = {p.frame: _rms(p.forces) for p in pairs}
    telling = 0.3 * np.median(list(sizes.values())) if sizes else 0.0
    relative = {p.frame: _relative_error(p) for p in pairs if sizes[p.frame] > telling}
    ordinary = np.median(list(relative.values())) if relative else 0.0
    # Structures unlike the others have errors of both; a wrong energy stands alone.
    off = [
        int(i)
        for i in np.flatnonzero(told)
        if abs(energy[i] - center) > max(_FAR * spread + 0.1, _DEVIATIONS * std[i])
        and relative.get(int(i), np.inf) < 2.0 * ordinary + 0.1
    ]
    if not off or len(off) > 0.05 * told.sum() + 1:
        return []
    values = ", ".join(f"{frames[i]}: {energy[i] - center:+.3g}" for i in off[:6])
    return [
        Finding(
            "single energies",
            "The forces of these structures are as expected, but their energies are off, by "
            f"(frame: eV per atom) {values}{', ...' if len(off) > 6 else ''}.",
            "compute them again, or leave these structures out.",
            tuple(sorted(int(frames[i]) for i in off)),
            0.99,
        )
    ]


def _relative_error(pair):
    """Return the error of forces over their predicted size, infinite without labels."""
    known = np.isfinite(pair.forces).all(axis=1)
    if not known.any():
        return np.inf
    return _rms((pair.forces - pair.predicted)[known]) / max(_rms(pair.predicted[known]), 0.05)


def _force_outliers(pairs, frames):
    """Return structures whose forces agree with the others after one change."""
    if len(pairs) < 10:
        return []
    errors = np.array([_rms(p.forces - p.predicted) for p in pairs])
    sizes = np.array([_rms(p.predicted) for p in pairs])
    sizes = np.maximum(sizes, 0.1 * _rms(sizes) + 1e-3)  # symmetry makes forces vanish in some
    limit = 3.0 * np.median(errors / sizes)
    by_kind: dict[str, list] = {}
    for pair, error, size in zip(pairs, errors, sizes, strict=True):
        if _has_zeros(pair):
            found = int(frames[pair.frame]), "zero on some atoms"
            by_kind.setdefault("forces of zero", []).append(found)
            continue
        large = max(limit * size, 2.0 * np.median(errors), _DEVIATIONS * pair.std)
        named = _named(pair, error) if error > large else None
        spike = _spike(pair)
        if named is None and spike:
            named = "single forces", f"up to {spike:.3g} eV/Å off"
        if named is not None:
            by_kind.setdefault(named[0], []).append((int(frames[pair.frame]), named[1]))
    return [_group(kind, members) for kind, members in by_kind.items()]


def _spike(pair):
    """Return the largest error of forces (eV/Å) if few atoms have it alone, else zero."""
    errors = np.nan_to_num(np.sqrt(np.sum((pair.forces - pair.predicted) ** 2, axis=1)))
    if len(errors) <= 2 * _FEW:
        return 0.0
    order = np.argsort(errors)[::-1]
    worst, others = order[0], order[_FEW:]
    alone = errors[worst] > _ALONE * max(_rms(errors[others]), pair.std)
    # A model that fails at an atom predicts a force there that is large beside all labels.
    told = float(np.sqrt(np.sum(pair.predicted[worst] ** 2)))
    size = float(np.sqrt(3.0)) * _rms(pair.forces[others])
    return float(errors[worst]) if alone and told < 3.0 * size else 0.0


def _has_zeros(pair):
    """Return whether forces are exactly zero on some atoms where no symmetry makes them so."""
    zero = (pair.forces == 0.0).all(axis=1)
    if not zero.any() or zero.all():
        return False
    expected = _rms(pair.predicted[zero])
    return expected > max(
        0.3 * _rms(pair.predicted), 3.0 * _rms((pair.forces - pair.predicted)[~zero])
    )


def _rms(values):
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else 0.0


def _named(pair, error):
    """Return the kind and the text of the change that makes forces agree, or None."""
    forces, predicted = pair.forces, pair.predicted
    known = np.isfinite(forces).all(axis=1)
    forces, predicted = forces[known], predicted[known]
    if len(forces) < 2:
        return None
    size = _rms(predicted)
    slope = float(np.sum(forces * predicted) / max(np.sum(predicted**2), 1e-300))
    tries = []
    if abs(slope) > 1e-6 and not 0.25 < slope < 4.0:
        kind = "sign of single forces" if -1.4 < slope < -0.7 else "scale of single forces"
        tries.append((_rms(forces / slope - predicted), kind, f"times {slope:.3g}"))
    if len(forces) > 3:
        ordered = best_order(forces, predicted)
        tries.append((1.5 * _rms(ordered - predicted), "order of atoms", "in another order"))
        turn = rotation(forces, predicted)
        if turn is not None and np.trace(turn) < 2.5:
            tries.append((1.2 * _rms(forces @ turn - predicted), "axes of forces", "turned"))
    best = min(tries, default=None)
    if best is None or best[0] * _FACTOR > error or best[0] > 0.5 * size:
        return None
    return best[1], best[2]


_ADVICE = {
    "sign of single forces": "multiply them by -1.",
    "scale of single forces": "find out where the factor comes from, and divide by it.",
    "forces of zero": "if a constraint made them zero they are no labels: set these rows to NaN.",
    "single forces": "compute these structures again, or set these rows to NaN.",
    "order of atoms": "bring forces and positions of these structures into one order of atoms.",
    "axes of forces": "take positions and forces of these structures in the same axes.",
}


def _group(kind, members):
    frames = tuple(sorted(frame for frame, _ in members))
    how = "; ".join(f"{frame}: {text}" for frame, text in sorted(members)[:6])
    return Finding(
        kind,
        "The forces of these structures agree with all others but for one change (frame: "
        f"forces as given) {how}{'; ...' if len(members) > 6 else ''}.",
        _ADVICE[kind],
        frames,
        0.99,
    )
