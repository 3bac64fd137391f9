"""Noise of every label: what its own entry says, else its group's level, else the default."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from .._sklearn import Interval
from ..data import summarize
from ..exceptions import LabelError
from .finite import LARGEST

if TYPE_CHECKING:
    from skpot.data import Targets
    from skpot.typing import FloatArray, IntArray


# What every regressor takes as sigma_energy, sigma_forces, sigma_stress.
SIGMA = [Interval(Real, 0, None, closed="neither"), dict]


def with_noise(
    labels: Targets,
    weight: FloatArray,
    sigma_energy: float | dict[str, float],
    sigma_forces: float | dict[str, float],
    sigma_stress: float | dict[str, float],
) -> Targets:
    """Return labels whose every noise level is set.

    Parameters
    ----------
    labels : Targets
        Labels; noise levels of their own go before those that follow.
    weight : ndarray of shape (n_structures,)
        Multiplies the inverse variance of all labels of a structure.
    sigma_energy, sigma_forces, sigma_stress : float or dict of str to float
        Noise of the others, in eV per atom, eV/Å, eV/Å³; by group, "default" for groups that are
        not named.

    Returns
    -------
    labels : Targets
        With `sigma_energy`, `sigma_forces_flat` and `sigma_stress` complete where there are
        labels; infinite for zero weight.

    Raises
    ------
    ValueError
        If a level is not positive, or a group has none.
    """
    labels = labels.copy()
    counts = np.diff(labels.force_offsets)
    owner = np.repeat(np.arange(len(labels)), counts)
    with np.errstate(divide="ignore"):
        spread = 1.0 / np.sqrt(weight)
    energy = _levels("sigma_energy", sigma_energy, labels, labels.has_energy)
    forces = _levels("sigma_forces", sigma_forces, labels, labels.has_forces)
    stress = _levels("sigma_stress", sigma_stress, labels, labels.has_stress)
    labels.sigma_energy = _own(labels.sigma_energy, energy) * spread
    labels.sigma_forces_flat = _own(labels.sigma_forces_flat, forces[owner]) * spread[owner]
    labels.sigma_stress = _own(labels.sigma_stress, stress) * spread
    _refuse_extremes(labels, owner)
    return labels


def _refuse_extremes(labels, owner):
    """Raise `LabelError` for noise by which nothing can be divided in double precision."""
    structures, problems = np.arange(len(labels)), {}
    known = ~np.isnan(labels.forces_flat).all(axis=1)
    for kind, sigma, which in (
        ("energy", labels.sigma_energy[labels.has_energy], structures[labels.has_energy]),
        ("forces", labels.sigma_forces_flat[known], owner[known]),
        ("stress", labels.sigma_stress[labels.has_stress], structures[labels.has_stress]),
    ):
        # Infinite noise takes a label out, as no weight does.
        wrong = ~(sigma > 1.0 / LARGEST) | ((sigma >= LARGEST) & np.isfinite(sigma))
        for s, level in zip(which[wrong], sigma[wrong], strict=True):
            problems.setdefault(
                int(s),
                f"the noise of its {kind}, over the root of its weight, is {level:.3g}: too far "
                "from 1 to compute with",
            )
    if problems:
        raise LabelError(summarize(problems, len(labels)))


def _own(given, level):
    return level if given is None else np.where(np.isnan(given), level, given)


def _levels(name, sigma, labels, labeled):
    """Return the noise level of each structure's group, shape (n_structures,)."""
    if not isinstance(sigma, dict):
        return np.full(len(labels), float(sigma))
    for group, level in sigma.items():
        if not (isinstance(level, Real) and 0 < level < np.inf):
            raise LabelError(f"{name}[{group!r}] must be a positive number, got {level!r}")
    levels = {str(group): float(level) for group, level in sigma.items()}
    other = levels.get("default", np.nan)
    if labels.groups is None:
        if "default" not in levels:
            raise LabelError(
                f"{name} is given by group, {sorted(levels)}, but y has no groups: pass "
                'Targets(y, groups=...), as skpot.read(..., group_key="config_type") does, or '
                f'add {name}["default"].'
            )
        return np.full(len(labels), other)
    found = np.array([levels.get(str(group), other) for group in labels.groups])
    without = np.isnan(found) & labeled
    if without.any():
        raise LabelError(
            f"{name} has no level for the groups {sorted(set(labels.groups[without].tolist()))}; "
            f'it names {sorted(levels)}. Add them, or {name}["default"].'
        )
    return found


def labeled_atoms(labels: Targets, n_atoms: IntArray) -> tuple[IntArray, IntArray]:
    """Return which atoms have force labels, and which rows of `forces_flat` these are."""
    rows = np.flatnonzero(~np.isnan(labels.forces_flat).all(axis=1))
    return np.flatnonzero(np.repeat(labels.has_forces, n_atoms))[rows], rows
