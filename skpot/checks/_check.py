"""`check`: one look at labeled structures, by all that can be asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data import Frames, Targets, check_label_values, check_structures, targets_of
from ..data.order import drawn_seed
from ..exceptions import LabelError
from ._energies import (
    AS_GIVEN,
    EnergyJudge,
    as_given,
    by_order,
    by_units,
    by_zeros,
    explain,
)
from ._findings import CheckReport
from ._forces import judge_forces
from ._frames import frame_findings
from ._probe import HeldOut, Probe
from ._scale import stiffness_ratio
from ._singles import Data, Learned, in_our_units, single_findings
from ._stress import stress_findings
from ._structures import (
    close_findings,
    closest_pairs,
    coverage,
    duplicate_findings,
    length_findings,
    net_force_note,
    usable,
)

if TYPE_CHECKING:
    from typing import Any

    from skpot.data.contracts import TargetsLike
    from skpot.typing import RandomState, Structures

_LEAST = 12  # structures below which no model is asked
_LEAST_SHARE = 0.3  # of the variance of forces: below, they tell nothing of the other labels


def check(
    X: Structures,
    y: TargetsLike,
    against: Any = None,
    *,
    random_state: RandomState = 0,
) -> CheckReport:
    """Look for mistakes in labels: units, signs, orders, frames, outliers.

    A small model learns one kind of label of some of the structures and is confronted with the
    others. What makes these likelier by far, such as another unit, another sign or the energies of
    the next frame, is a finding.

    Parameters
    ----------
    X : list[Atoms]
        Structures.
    y : Targets or array of shape (n_structures,)
        Labels, meant to be in eV, eV/Å and eV/Å³.
    against : estimator, optional
        A fitted potential, to compare the labels of single structures with, in place of the small
        model.
    random_state : int, RandomState or None, default=0
        Seed of which structures are looked at, if there are more than 200.

    Returns
    -------
    CheckReport
        True if there are findings.

    Raises
    ------
    ValueError
        If structures cannot be computed at all, if there are no labels or if they do not fit.

    Examples
    --------
    >>> import skpot
    >>> X, y, _, _ = skpot.datasets.load_ethanol(return_X_y=True)
    >>> wrong = skpot.Targets(23.06 * y.energy, y.forces)
    >>> for found in skpot.check(X[:60], wrong[:60]).findings:
    ...     print(found.kind, "->", found.fix)
    unit of energies -> multiply the energies by 0.04336411 to have them in eV.
    """
    X = check_structures(X)
    y = targets_of(y, len(X))
    if not (y.has_energy.any() or y.has_forces.any() or y.has_stress.any()):
        raise LabelError("y has no labels to check: no energies, forces or stress.")
    check_label_values(y, X)
    seed = drawn_seed(random_state)
    n_atoms = np.array([len(atoms) for atoms in X])
    ratio, pairs, distance = closest_pairs(X)
    findings, notes = duplicate_findings(X, y)
    findings += close_findings(X, y, ratio, pairs, distance) + length_findings(ratio)
    notes += net_force_note(y)
    summary = coverage(X, y, y.groups, ratio)
    odd = {i for found in findings for i in found.frames}
    candidates = usable(ratio, n_atoms, odd)
    candidates = candidates[y.has_forces[candidates]]
    if len(candidates) < _LEAST:
        notes.append(
            f"Labels were not compared with each other, which takes {_LEAST} sound structures of "
            f"more than one atom with forces; there are {len(candidates)}. Units, signs and single "
            "labels may be wrong."
        )
        return CheckReport(findings, notes, summary, [])
    more, worst = _by_model(Data(X, y, candidates, seed), against)
    return CheckReport(findings + more, notes, summary, worst)


def quick_check(X: Structures, y: TargetsLike) -> CheckReport:
    """Return what `check` finds by looking at structures and labels alone, without any model.

    It takes about a hundredth of the time of a fit. Structures that occur twice and labels that
    look odd are not in it: of these every fit warns, see `skpot.data.check_targets`.

    Parameters
    ----------
    X, y
        Structures and labels, as in `check`. `Frames` stay in their files.

    Returns
    -------
    CheckReport
        Atoms too close for their forces, positions in another unit, and forces that do not add up
        to zero, with counts and ranges.

    Examples
    --------
    >>> import skpot
    >>> X, y, _, _ = skpot.datasets.load_ethanol(return_X_y=True)
    >>> for atoms in X:
    ...     atoms.positions /= 0.529177
    >>> [found.fix for found in skpot.checks.quick_check(X[:20], y[:20]).findings]
    ['multiply positions and cells by 0.529177.']
    """
    X = X if isinstance(X, Frames) else check_structures(X)  # those in files were checked
    y = targets_of(y, len(X))
    ratio, pairs, distance = closest_pairs(X)
    findings = close_findings(X, y, ratio, pairs, distance) + length_findings(ratio)
    return CheckReport(findings, net_force_note(y), coverage(X, y, y.groups, ratio), [])


def _by_model(data, against):
    """Return what a small model finds, and the labels furthest from what the others tell."""
    probe = Probe(data.X, data.y, data.candidates, data.seed, data.candidates[:0])
    mended = judge_forces(probe, data.y)
    findings = list(mended.findings)
    if mended.share < _LEAST_SHARE:
        return findings, []
    energy, reading = probe.energy, AS_GIVEN
    trusted = np.zeros(len(energy), dtype=bool)  # energies to learn from
    if np.isfinite(energy).sum() >= _LEAST:
        stiffness = None if findings else _stiffness(probe, mended.forces, data.seed)
        found, judge = _explained(data, probe, mended.forces, stiffness)
        findings += found.findings
        reading = found.reading
        if not found.findings or reading != AS_GIVEN:  # what no factor mends is left out
            trusted[judge.told] = True
    energy, forces = in_our_units(energy, mended.forces, probe, reading)
    to_learn = np.where(trusted, energy, np.nan)
    if data.y.has_stress.any() and not mended.findings:
        findings += stress_findings(probe, to_learn, forces)
    if against is not None:
        frames = np.arange(len(data.X))
        single, worst = frame_findings(data.X, data.y, _predicted(against, data.X), frames)
    else:
        learned = Learned(energy, to_learn, forces, reading)
        single, worst = single_findings(data, probe, learned, bool(mended.findings))
    return findings + single, worst


def _explained(data, probe, forces, stiffness):
    """Return how the energies are to be understood."""
    judge = EnergyJudge(probe, forces)
    best = by_units(judge, probe.energy[judge.told], stiffness)
    judge = judge.without_outliers(best.energy)
    energy, frames = probe.energy[judge.told], probe.frames[judge.told]
    readings = [as_given(judge, energy)]
    of_units = by_units(judge, energy, stiffness)
    if of_units.findings:
        readings.append(of_units)
    parts = _parts(data.y, frames)
    candidates = [*readings, *by_order(judge, energy, _moved(data.y, probe, judge))]
    for reading in readings:
        candidates += by_zeros(judge, reading, frames, parts)
    return explain(judge, energy, candidates, data.seed), judge


def _stiffness(probe, forces, seed):
    """Return how stiff atoms are held, over what bonds let expect, by the forces as given."""
    learned = probe.learned(np.full(len(probe.frames), np.nan), forces)
    return stiffness_ratio(probe.structures, lambda moved: probe.predicted(moved, learned)[1], seed)


def _moved(y, probe, judge):
    """Return the energies of the frames after and before, if there are any."""
    frames = probe.frames[judge.told]
    repulsion = (probe.labels.energy - probe.energy)[judge.told]
    moved = {step: y.energy[np.clip(frames + step, 0, len(y) - 1)] for step in (1, -1)}
    return {step: energy - repulsion for step, energy in moved.items() if np.isfinite(energy).all()}


def _parts(y, frames):
    """Return groups of structures that may have been computed in another way."""
    if y.groups is None:
        return {}
    names = y.groups[frames]
    return {f"of {name!r}": names == name for name in np.unique(names) if name}


def _predicted(model, X):
    """Return what a fitted model tells of structures, with deviations if it has any."""
    try:
        predicted, std = model.predict(X, return_std="all")
    except TypeError:
        predicted, std = model.predict(X), None
    if not isinstance(predicted, Targets):
        predicted = Targets(predicted)
    nothing = np.zeros(len(predicted))
    if not isinstance(std, Targets):
        return HeldOut(predicted, nothing, nothing)
    forces = [0.0 if f is None else float(np.sqrt(np.mean(f**2))) for f in std.forces or nothing]
    return HeldOut(predicted, std.energy, np.array(forces))
