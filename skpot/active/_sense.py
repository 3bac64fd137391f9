"""Whether the labels of a run make sense, before more of them are paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..checks import expected_stiffness
from ..data import Targets
from ..exceptions import SkpotWarning, warn_once

if TYPE_CHECKING:
    from skpot.active._rule import Rule
    from skpot.typing import Atoms, FloatArray, Structures

# Least work (eV) that tells something, and limits of the change of energy over it: where the work
# of a strain is known, and where it is not.
_COMPLETE = 0.005, 0.6, 1.6
_WITHOUT_STRESS = 0.2, 0.25, 4.0
_OFFSET = 0.5  # eV per atom, by which energies of a model that knows forces may be wrong
# Of metals by EMT, also if compressed by 10 %, molecules and crystals by GFN-xTB it is below 3.5.
_TOO_STIFF = 10.0
_SMALL = 0.5  # Å, to which displacements are small
_REACH = 1.0  # Å, over which errors of forces may have added up to one of the energy


def deformation(one: Atoms, other: Atoms) -> FloatArray:
    """Return the matrix by which the cell of one structure becomes that of another."""
    if one.cell.rank < 3:
        return np.eye(3)
    return np.linalg.solve(one.cell.array, other.cell.array)


def work_of_forces(one: Atoms, other: Atoms) -> tuple[float, float, bool]:
    r"""Return how energies of two labeled structures differ, and what forces and stress let expect.

    With the mean F of the forces of both, the displacements u that are left once positions follow
    the cell, and the mean stress σ at the mean volume V, the trapezoidal rule gives

    .. math:: \Delta E \approx -\sum F \cdot u + V \sigma : \epsilon

    to second order in displacements u and strain ε.

    Parameters
    ----------
    one, other : Atoms
        Structures of the same atoms in the same order, with results.

    Returns
    -------
    change : float
        Of the energy, in eV.
    work : float
        What is expected of it, in eV.
    complete : bool
        Whether the work of a strain is in it, or there is no strain.
    """
    y = Targets.from_atoms([one, other])
    deform = deformation(one, other)
    moved = other.positions - one.positions @ deform
    work = -float(np.sum(0.5 * (y.forces[0] + y.forces[1]) * moved))
    strain = 0.5 * (deform + deform.T) - np.eye(3)
    strained, has_stress = bool(np.abs(strain).max() > 1e-10), bool(y.has_stress.all())
    if strained and has_stress:
        doubled = [strain[0, 0], strain[1, 1], strain[2, 2]]
        doubled += [2.0 * strain[1, 2], 2.0 * strain[0, 2], 2.0 * strain[0, 1]]
        volume = 0.5 * (one.cell.volume + other.cell.volume)
        work += volume * float(0.5 * (y.stress[0] + y.stress[1]) @ doubled)
    return float(y.energy[1] - y.energy[0]), work, has_stress or not strained


def doubt_of_first(frames: Structures) -> str:
    """Return why energies and forces of the first labels cannot belong to each other, or nothing.

    Looked at are the two structures of the same atoms between which forces work most.

    Parameters
    ----------
    frames : list[Atoms]
        Structures with results, made from each other by small displacements.
    """
    pairs = [
        (frames[0], other)
        for other in frames[1:]
        if np.array_equal(frames[0].numbers, other.numbers)
    ]
    found = [work_of_forces(*pair) for pair in pairs]
    if not found:
        return ""
    change, work, complete = max(found, key=lambda one: abs(one[1]))
    least, low, high = _COMPLETE if complete else _WITHOUT_STRESS
    if abs(work) < least or low < change / work < high:
        return ""
    hint = "energies in eV, forces in eV/Å"
    if -high < change / work < -low:
        hint = "forces of the other sign: they are minus the gradient of the energy"
    return (
        "energies and forces of the first labels do not belong to each other: between two "
        f"structures the energy changes by {change:.3g} eV, but by the forces it should change by "
        f"{work:.3g} eV. What labels must give {hint}. If they are right, continue the run."
    )


def stiffness_ratio(frames: Structures) -> float | None:
    r"""Return how stiffly labels hold atoms, over what lengths of bonds let expect.

    Between a structure and a copy with random displacements u, left once positions follow the cell,
    forces change by :math:`-K u`, and :math:`u^T K u` is on average the trace of K times the mean
    of :math:`u^2`. For bonded atoms i that are held by :math:`k_i`, see `expected_stiffness`, it is

    .. math:: \frac{-\sum_i \Delta F_i \cdot u_i}{\sum_i k_i u_i^2}

    Parameters
    ----------
    frames : list[Atoms]
        Structures with results, made from the first by small displacements; others of the same
        atoms are left out.

    Returns
    -------
    ratio : float or None
        The median of all copies; None if there are none, or no bonds.
    """
    first = frames[0]
    (expected,) = expected_stiffness([first])
    bonded, found = expected > 0.0, []
    for other in frames[1:]:
        if not np.array_equal(first.numbers, other.numbers):
            continue
        moved = (other.positions - first.positions @ deformation(first, other))[bonded]
        force = (other.get_forces() - first.get_forces())[bonded]
        work = float(np.sum(expected[bonded, None] * moved**2))
        if work > 0.0 and np.abs(moved).max() < _SMALL:
            found.append(-float(np.sum(force * moved)) / work)
    return float(np.median(found)) if found else None


def warn_of_units(frames: Structures) -> None:
    """Warn if the first labels, which may belong to each other, are hardly in eV and eV/Å.

    Parameters
    ----------
    frames : list[Atoms]
        As in `stiffness_ratio`; none if no label has come.
    """
    ratio = stiffness_ratio(frames) if frames else None
    if ratio is None or ratio < _TOO_STIFF:
        return
    warn_once(
        "units of labels",
        f"by the first labels atoms are held about {ratio:.2g} times as stiffly as by bonds of "
        "such lengths: are energies and forces in kcal/mol (23.06 of them are 1 eV), in kJ/mol "
        "(96.5) or in meV? `skpot check` tells more from twenty labels on.",
        SkpotWarning,
    )


def doubt_of_energy(frame: Atoms) -> str:
    """Return why a label cannot belong to those that a model has learned from, or nothing.

    Parameters
    ----------
    frame : Atoms
        A labeled structure, with what the model said of it as in a trail.
    """
    if "model_e" not in frame.info:
        return ""
    offset = (frame.get_potential_energy() - frame.info["model_e"]) / len(frame)
    if abs(offset) < _OFFSET + _REACH * frame.info["largest_error"]:
        return ""
    return (
        f"the energy of label {frame.info['number']} is {offset:+.3g} eV per atom away from what "
        f"the model expects, though its forces are right within {frame.info['largest_error']:.2g} "
        "eV/Å: do these labels have another zero of energies, or other settings, than those to "
        "begin with?"
    )


def told_futile(n: int, rule: Rule, place: str, expected: float) -> str:
    """Return why n models or ways in a row did not help.

    Parameters
    ----------
    n : int
        How many.
    rule : Rule
        Tolerance and ceiling.
    place : str
        Where the run stands.
    expected : float
        The expected error of forces there, in eV/Å.
    """
    if expected <= rule.tol:
        return (
            f"{n} ways in a row led from {place}, where the model is trusted, to errors above the "
            f"ceiling of {rule.ceiling:g} eV/Å, or to atoms too close or too hot. Use a larger tol "
            "or ceiling, checks after fewer steps, or a shorter time step."
        )
    return (
        f"{n} models in a row did not bring the expected error of forces below the tolerance of "
        f"{rule.tol:g} eV/Å ({place}): it is {expected:.3g} eV/Å where the run stands, which "
        "labels and model cannot lower. Use a larger tol, labels of less noise or a larger model."
    )
