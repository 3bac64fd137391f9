"""Errors on structures that are left out of a fit, in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from ..data import Targets, rows_of
from ..rows.blocks import whitened_blocks

if TYPE_CHECKING:
    from typing import Any

    from skpot.processes.variance import SparseProcess
    from skpot.rows.memory import BlockPlan
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray


def leave_out(
    process: SparseProcess, target: FloatArray, training: TrainingSet, plan: BlockPlan, verbose: int
) -> tuple[FloatArray, list[FloatArray], FloatArray]:
    """Return labels minus predictions of a model that has not seen the structure of the label.

    Parameters
    ----------
    process : SparseProcess
        With the upper triangle R of the least-squares system.
    target : ndarray of shape (m,)
        Its right-hand side z.
    training, plan, verbose
        See `whitened_blocks`.

    Returns
    -------
    energy : ndarray of shape (n_structures,)
        In eV; NaN where there is no label.
    forces : list of ndarray of shape (n_atoms, 3)
        In eV/Å.
    stress : ndarray of shape (n_structures, 6)
        In eV/Å³.
    """
    references, covariance_factor, posterior = process
    features = training.features
    m = len(posterior)
    energy, stress = np.full(len(features), np.nan), np.full((len(features), 6), np.nan)
    forces = np.full((len(features.numbers), 3), np.nan)
    solution = solve_triangular(posterior, target)
    for part, kinds in whitened_blocks(
        references, covariance_factor, training, plan, verbose, "leave one out"
    ):
        rows = np.concatenate([block for _, block in kinds])
        inside = training.take(part)
        atoms, _ = inside.labeled_atoms()
        atoms = rows_of(part, features.atom_offsets)[0][atoms]
        has_energy, has_stress = part[inside.labels.has_energy], part[inside.labels.has_stress]
        error = rows[:, m] - rows[:, :m] @ solution
        owner = inside.of_structures(np.arange(len(inside)))
        error = inside.noise() * _without_own(posterior, rows[:, :m], error, owner)
        edges = np.cumsum([len(has_energy), 3 * len(atoms)])
        of_energy, of_forces, of_stress = np.split(error, edges)
        energy[has_energy] = of_energy
        forces[atoms] = of_forces.reshape(-1, 3)
        stress[has_stress] = of_stress.reshape(-1, 6)
    return energy, np.split(forces, features.atom_offsets[1:-1]), stress


def less(y: Any, energy: FloatArray, forces: list[FloatArray], stress: FloatArray) -> Targets:
    """Return labels less errors, as `leave_out` returns them; what is missing stays so."""
    y = y if isinstance(y, Targets) else Targets(np.asarray(y, dtype=float))
    given, stress = y.forces, None if y.stress is None else y.stress - stress
    if given is not None:
        pairs = zip(given, forces, strict=True)
        given = [None if known is None else known - error for known, error in pairs]
    return y.relabeled(np.where(y.has_energy, y.energy - energy, None), given, stress)


def _without_own(posterior, rows, error, owner):
    """Return errors of rows (n, m) if those of the same owner had not been learned from."""
    basis = solve_triangular(posterior, rows.T, trans="T")
    order = np.argsort(owner, kind="stable")
    ends = np.flatnonzero(np.diff(owner[order])) + 1
    out = np.empty(len(error))
    for own in np.split(order, ends):
        remainder = np.eye(len(own)) - basis[:, own].T @ basis[:, own]
        out[own] = np.linalg.solve(remainder, error[own])
    return out
