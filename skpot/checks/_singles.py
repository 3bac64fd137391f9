"""Single structures that do not agree with the others, whether they were learned from or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from ..data import Targets
from ._energies import in_units_of_forces
from ._frames import frame_findings
from ._probe import Probe, or_none
from ._units import ENERGY, FORCES

if TYPE_CHECKING:
    from skpot.checks._energies import Reading
    from skpot.checks._findings import Finding, WorstLabel
    from skpot.typing import FloatArray, IntArray, Structures


class Data(NamedTuple):
    """What is checked."""

    X: Structures
    y: Targets
    candidates: IntArray  # structures that a model can learn from
    seed: int


class Learned(NamedTuple):
    """Labels of the structures of a probe in our units, less the repulsion of nuclei."""

    energy: FloatArray  # (n,)
    to_learn: FloatArray  # (n,) energies without those that are far off
    forces: FloatArray  # (n_atoms, 3)
    reading: Reading  # how labels are given


def in_our_units(
    energy: FloatArray, forces: FloatArray, probe: Probe, reading: Reading
) -> tuple[FloatArray, FloatArray]:
    """Return energies (n,) and forces (n_atoms, 3) of a probe, given by a reading, in our units."""
    factor = reading.forces_sign * FORCES[reading.forces]
    return energy * in_units_of_forces(reading, probe.n_atoms) / factor, forces / factor


def single_findings(
    data: Data, probe: Probe, learned: Learned, only_sample: bool
) -> tuple[list[Finding], list[WorstLabel]]:
    """Return what is wrong with single structures, and the labels furthest from the others.

    Parameters
    ----------
    data : Data
        All structures.
    probe : Probe
        Those that were learned from.
    learned : Learned
        Their labels.
    only_sample : bool
        Whether to leave the other structures out, because their labels cannot be mended alike.
    """
    labels = _labels(probe, learned)
    held_out = probe.held_out_labels(learned.to_learn, learned.forces)
    others = np.setdiff1d(data.candidates, probe.frames)
    if only_sample or not len(others):
        return frame_findings(probe.structures, labels, held_out, probe.frames)
    X_others, y_others = [data.X[i] for i in others], _mended(data, others, learned.reading)
    told = probe.told(X_others, y_others, learned.to_learn, learned.forces)
    findings, worst = frame_findings(
        [*probe.structures, *X_others],
        cast(Targets, np.concatenate([labels, y_others])),
        held_out.with_others(told),
        np.concatenate([probe.frames, others]),
    )
    return _confirmed(findings, data, probe, learned.reading), worst


def _confirmed(findings, data, probe, reading):
    """Return findings of structures that stand when these are among those looked at.

    The small model knows structures best that have given it references.
    """
    suspects = np.unique([i for found in findings for i in found.frames]).astype(int)
    suspects = np.setdiff1d(suspects, probe.frames)
    if not len(suspects):
        return findings
    second = Probe(data.X, data.y, data.candidates, data.seed, suspects)
    labels = _mended(data, second.frames, reading)
    of_repulsion, repulsive = second.repulsion
    energy = np.where(np.isin(second.frames, suspects), np.nan, labels.energy - of_repulsion)
    forces = np.full(repulsive.shape, np.nan)
    forces[np.repeat(labels.has_forces, second.n_atoms)] = labels.forces_flat
    held_out = second.held_out_labels(energy, forces - repulsive)
    again, _ = frame_findings(second.structures, labels, held_out, second.frames)
    stands = {(found.kind, i) for found in again for i in found.frames}
    stands |= {(found.kind, int(i)) for found in findings for i in probe.frames}
    kept = []
    for found in findings:
        frames = tuple(i for i in found.frames if (found.kind, i) in stands)
        if frames:
            kept.append(found._replace(frames=frames))
    return kept


def _labels(probe, learned):
    """Return labels of the structures learned from, with the repulsion."""
    of_repulsion, repulsive = probe.repulsion
    split = np.split(learned.forces + repulsive, np.cumsum(probe.n_atoms)[:-1])
    return Targets(
        or_none(learned.energy + of_repulsion),
        [f if np.isfinite(f).any() else None for f in split],
    )


def _mended(data, some, reading):
    """Return labels of some structures in our units."""
    sizes = np.array([len(data.X[i]) for i in some]) if reading.per_atom else 1.0
    energy = data.y.energy[some] * sizes / (reading.energy_sign * ENERGY[reading.energy])
    factor = reading.forces_sign * FORCES[reading.forces]
    forces = data.y[some].forces or [None] * len(some)
    return Targets(
        or_none(energy),
        [None if f is None else f / factor for f in forces],
    )
