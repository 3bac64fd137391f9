r"""The absolute scale of forces: how stiff atoms are held, against what chemistry lets expect.

Energies and forces in one wrong unit agree with each other. What tells is the force that brings a
displaced atom back, :math:`k_i = \frac13 \mathrm{tr}\, \partial^2 E / \partial r_i^2`. Badger's
rule gives the force constant of a bond from its length and the rows of its atoms,

.. math:: k_{ij} = \frac{1.86\,\mathrm{mdyn\,Å^2}}{(r_{ij} - d_{ij})^3}

which is shared among more neighbors than an atom has valences. Published sets of eleven materials,
from lithium to molecules, are within a factor of three of it, where units differ by factors of 13
to 96.
R. M. Badger, J. Chem. Phys. 2, 128 (1934); D. R. Herschbach, V. W. Laurie, J. Chem. Phys. 35, 458
(1961), for d; L. Pauling, J. Am. Chem. Soc. 69, 542 (1947), for shared bonds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data import as_batch
from ..data.elements import covalent_radius

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.typing import FloatArray, Structures

_BADGER = 11.6  # eV Å, 1.86 mdyn Å²
_NOBLE = (2, 10, 18, 36, 54, 86)
_CORE = np.array([0.0, 0.34, 0.61, 0.65, 0.75, 0.85, 0.85])  # Å by row; those of two atoms add to d
_REACH = 1.25  # of the sum of covalent radii: atoms that are bonded
_STEP = 0.02  # Å
_ATOMS = 16  # that are displaced
SPREAD = 0.5  # standard deviation of the logarithm of measured over expected stiffness


def expected_stiffness(structures: Structures) -> list[Any]:
    """Return the force constant (eV/Å²) of each atom that bonds let expect, zero without bonds."""
    out = []
    for atoms in structures:
        radii = np.array([covalent_radius(int(z)) for z in atoms.numbers])
        pairs = as_batch([atoms], search_follows=True).search(2.0 * _REACH * float(radii.max()))[0]
        i = np.repeat(np.arange(len(atoms)), np.diff(pairs.start))
        j, distance = pairs.neighbor, np.sqrt((pairs.vector**2).sum(axis=1))
        bonded = distance < _REACH * (radii[i] + radii[j])
        i, j, distance = i[bonded], j[bonded], distance[bonded]
        order = _valences(atoms.numbers) / np.maximum(np.bincount(i, minlength=len(atoms)), 1)
        core = _CORE[np.searchsorted(_NOBLE, atoms.numbers)]
        bond = _BADGER / np.maximum(distance - core[i] - core[j], 0.3) ** 3
        bond *= np.minimum(np.minimum(order[i], order[j]), 1.0)
        out.append(np.bincount(i, bond, minlength=len(atoms)) / 3.0)
    return out


def _valences(numbers):
    """Return how many bonds atoms share out among their neighbors.

    As many as electrons are missing to the next noble gas, up to four; metals have about three,
    whatever their group.
    """
    left = np.array(_NOBLE)[np.searchsorted(_NOBLE, numbers)] - numbers
    return np.where(left == 0, 0.1, np.where(left <= 4, left, 3.0))


def stiffness_ratio(
    structures: Structures, forces_of: Callable[[Structures], list[FloatArray]], seed: int
) -> float | None:
    """Return the median of measured over expected force constants; None if none is expected.

    Parameters
    ----------
    structures : list[Atoms]
        Structures to take atoms from.
    forces_of : callable
        Predicts the forces of structures.
    seed : int
        Of the choice.
    """
    expected = expected_stiffness(structures)
    rng = np.random.default_rng(seed)
    owner = np.concatenate([np.full(len(k), s) for s, k in enumerate(expected)])
    place = np.concatenate([np.arange(len(k)) for k in expected])
    flat = np.concatenate(expected)
    bonded = np.flatnonzero(flat > 0.0)
    if not len(bonded):
        return None
    chosen = rng.permutation(bonded)[:_ATOMS]
    moved = [
        _displaced(structures[owner[c]], place[c], axis, step)
        for c in chosen for axis in range(3) for step in (_STEP, -_STEP)
    ]  # fmt: skip
    forces = forces_of(moved)
    ratios = []
    for k, c in enumerate(chosen):
        parts = forces[6 * k : 6 * k + 6]
        trace = sum(
            parts[2 * axis + 1][place[c], axis] - parts[2 * axis][place[c], axis]
            for axis in range(3)
        )
        ratios.append(trace / (2.0 * _STEP) / 3.0 / flat[c])
    return float(np.median(ratios))


def _displaced(atoms, i, axis, step):
    moved = atoms.copy()
    moved.positions[i, axis] += step
    return moved
