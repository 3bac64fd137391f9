"""Whether forces are those of a potential at all, and if not, what makes them so.

Forces of a potential are predicted well by what the forces of other structures tell. If they are
not, they are held against the forces that energies alone tell: rotated as a whole, in another order
of atoms, of other frames. What is right is then predicted well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from ._findings import Finding
from ._likelihood import learn

if TYPE_CHECKING:
    from skpot.checks._probe import Probe
    from skpot.data import Targets
    from skpot.typing import FloatArray

_GOOD = 0.8  # share of the variance of forces that is predicted where nothing is wrong
_MENDED = 0.85  # and after what was wrong is mended
_ODD, _FEW = 5.0, 0.1  # errors over the median ones, of the share of frames that is left out
_ROUNDS = 3  # of putting atoms in order and learning again


class MendedForces(NamedTuple):
    """Forces with what was found of them."""

    forces: np.ndarray  # (n_atoms, 3), less the repulsion
    predicted: np.ndarray  # (n_atoms, 3) by what other structures tell
    share: float  # of the variance that is predicted
    findings: list  # of Finding


def judge_forces(probe: Probe, y: Targets) -> MendedForces:
    """Return forces that agree with each other, and what had to be changed for it.

    Parameters
    ----------
    probe : Probe
        Structures and their labels.
    y : Targets
        Labels of all structures, in the order of the file.
    """
    forces = probe.forces
    predicted, share = _held_out(probe, forces)
    if share > _GOOD:
        return MendedForces(forces, predicted, share, [])
    trials = [_of_other_frames(probe, y, step) for step in (1, -1)]
    guide = _by_energies(probe)
    if guide is not None:
        trials += [_rotated(probe, forces, guide), _in_other_order(probe, forces, guide)]
        trials.append(_rotated_each(probe, forces, guide))
    best = max((t for t in trials if t is not None), key=lambda t: t.share, default=None)
    if best is not None and best.share > max(_MENDED, share + 0.1):
        return best
    found = []
    if share < 0.3:
        found.append(
            Finding(
                "forces of no potential",
                f"What the forces of some structures tell predicts {max(share, 0.0):.0%} of the "
                "variance of those of others: they do not belong to these positions, or are no "
                "forces of one kind of calculation.",
                "find out which forces belong to which positions.",
                confidence=0.95,
            )
        )
    return MendedForces(forces, predicted, share, found)


def _held_out(probe, forces):
    """Return predictions of forces, and how much of their variance these explain.

    Few structures with other errors than all others are left out of both, as one wrong one can
    spoil what is learned.
    """
    learned = forces
    for _ in range(2):
        predicted = probe.held_out(learned)
        errors = np.nan_to_num(np.sum((forces - predicted) ** 2, axis=1))
        of_frames = np.sqrt(np.bincount(probe.owner, errors, len(probe.frames)) / probe.n_atoms)
        limit = max(_ODD * float(np.median(of_frames)), float(np.quantile(of_frames, 1 - _FEW)))
        fine = (of_frames <= limit)[probe.owner]
        learned = np.where(fine[:, None], forces, np.nan)
    predicted = probe.held_out(learned)
    return predicted, explained(learned, predicted)


def explained(forces: FloatArray, predicted: FloatArray) -> float:
    """Return the share of the variance of forces that predictions explain."""
    known = np.isfinite(forces).all(axis=1) & np.isfinite(predicted).all(axis=1)
    total = float(np.sum(forces[known] ** 2))
    return 1.0 - float(np.sum((forces[known] - predicted[known]) ** 2)) / max(total, 1e-300)


def _mended(probe, forces, finding):
    return MendedForces(forces, *_held_out(probe, forces), [finding])


def _by_energies(probe):
    """Return the forces that energies alone tell, or None."""
    told = np.isfinite(probe.energy)
    if told.sum() < 10:
        return None
    mean = learn(*probe.energies_to_learn(probe.energy, told)).mean
    return (probe.force_rows @ mean).reshape(-1, 3)


def _of_other_frames(probe, y, step):
    """Return the forces of the frames so many places further, where these have as many atoms."""
    n = len(y)
    all_forces = y.forces
    moved = np.full((len(probe.owner), 3), np.nan)
    begin = np.concatenate([[0], np.cumsum(probe.n_atoms)])
    for k, frame in enumerate(probe.frames):
        other = frame + step
        if 0 <= other < n and all_forces[other] is not None:
            if len(all_forces[other]) == probe.n_atoms[k]:
                moved[begin[k] : begin[k + 1]] = all_forces[other]
    if np.isfinite(moved).all(axis=1).mean() < 0.3:
        return None
    return _mended(
        probe,
        moved - probe.repulsion[1],
        Finding(
            "forces of other frames",
            f"The forces of each structure are those of the frame {abs(step)} "
            f"{'before' if step > 0 else 'after'} it in the file.",
            "shift the list of forces by one against that of structures.",
        ),
    )


def _rotated(probe, forces, guide):
    """Return forces turned as one by the rotation or reflection that suits the guide best."""
    turn = rotation(forces, guide)
    if turn is None:
        return None
    named = np.round(turn)
    exact = np.allclose(turn, named, atol=0.2) and np.allclose(named @ named.T, np.eye(3))
    turn = named if exact else turn
    if np.allclose(turn, np.eye(3), atol=0.2):
        return None
    what = f"by the matrix {named.astype(int).tolist()}" if exact else "by one rotation"
    return _mended(
        probe,
        forces @ turn,
        Finding(
            "axes of forces",
            "The forces stand in other axes than the positions.",
            f"turn them {what}: forces @ matrix." if exact else f"turn all forces back {what}.",
        ),
    )


def rotation(forces: FloatArray, guide: FloatArray) -> FloatArray | None:
    """Return the orthogonal matrix Q for which forces Q is nearest to the guide.

    W. Kabsch, Acta Cryst. A 32, 922 (1976), reflections included.
    """
    known = np.isfinite(forces).all(axis=1) & np.isfinite(guide).all(axis=1)
    if known.sum() < 2:
        return None
    left, _, right = np.linalg.svd(forces[known].T @ guide[known])
    return left @ right


def _rotated_each(probe, forces, guide):
    """Return forces of which each structure's are turned on their own."""
    turned = forces.copy()
    for _ in range(_ROUNDS):
        for k in range(len(probe.frames)):
            members = probe.owner == k
            turn = rotation(turned[members], guide[members])
            if turn is not None and members.sum() > 2:
                turned[members] = turned[members] @ turn
        guide = probe.held_out(turned)
    return _mended(
        probe,
        turned,
        Finding(
            "axes of forces",
            "The forces of each structure are turned against its positions, each by a rotation of "
            "its own.",
            "take positions and forces from the same place of the output, before or after the "
            "program turned the cell.",
        ),
    )


def _in_other_order(probe, forces, guide):
    """Return forces given to the atoms that they suit best."""
    known = np.isfinite(forces).all(axis=1)
    size = np.sqrt(np.mean(guide**2))
    guide = guide * (np.sqrt(np.mean(forces[known] ** 2)) / max(float(size), 1e-300))
    ordered = forces
    for _ in range(_ROUNDS):
        ordered = np.concatenate(
            [
                best_order(ordered[probe.owner == k], guide[probe.owner == k])
                for k in range(len(probe.frames))
            ]
        )
        guide = probe.held_out(ordered)
    return _mended(
        probe,
        ordered,
        Finding(
            "order of atoms",
            "The forces agree with the energies if each is given to another atom of its "
            "structure: forces and positions have the atoms in different orders.",
            "read both from one place, or undo the sorting by species that some programs do.",
        ),
    )


def best_order(forces: FloatArray, guide: FloatArray) -> FloatArray:
    """Return forces in the order of atoms that is nearest to the guide."""
    if not (np.isfinite(forces).all() and np.isfinite(guide).all()):
        return forces
    cost = np.sum((forces[:, None] - guide[None]) ** 2, axis=2)
    rows, columns = linear_sum_assignment(cost)
    ordered = np.empty_like(forces)
    ordered[columns] = forces[rows]
    return ordered
