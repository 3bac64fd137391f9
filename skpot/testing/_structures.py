"""Small structures for tests, and other descriptions of the same structures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skpot.typing import FloatArray, IntArray, Structures

SPACING = 2.4  # Å between neighboring sites before rattling


def sample_structures(symbols: Sequence[str] = ("Si",), *, random_state: int = 0) -> list[Atoms]:
    """Return four small random structures: bulk, slab, cluster and one lone atom.

    The bulk cell is triclinic and far smaller than a usual cutoff; the slab is periodic in two
    directions and has atoms outside its cell; the cluster has no cell.

    Parameters
    ----------
    symbols : sequence of str, default=("Si",)
        Chemical symbols; each occurs in the first three structures.
    random_state : int, default=0
        Seed of the displacements.

    Returns
    -------
    structures : list[Atoms]
        No two atoms are closer than 1.4 Å.

    Examples
    --------
    >>> from skpot.testing import sample_structures
    >>> [str(atoms.symbols) for atoms in sample_structures(["Si", "O"])]
    ['SiOSiO', 'SiOSiO', 'SiOSiOSi', 'Si']
    >>> [int(atoms.pbc.sum()) for atoms in sample_structures()]
    [3, 2, 0, 0]
    """
    rng = np.random.default_rng(random_state)
    n = max(4, len(symbols))

    def build(count, periodic):
        sites = np.array([[i // 2, i % 2, 0] for i in range(count)], float) * SPACING
        sites += rng.uniform(-0.25, 0.25, sites.shape)
        cell = np.diag([SPACING * ((count + 1) // 2), 2 * SPACING, SPACING])
        cell[1, 0], cell[2, 0], cell[2, 1] = 0.5, -0.3, 0.4
        names = [symbols[i % len(symbols)] for i in range(count)]
        pbc = [axis < periodic for axis in range(3)]
        return Atoms(names, sites, cell=cell if periodic else None, pbc=pbc)

    bulk, slab, cluster = build(n, 3), build(n, 2), build(n + 1, 0)
    slab.positions += 1.3 * slab.cell[0] - 0.7 * slab.cell[1]
    return [bulk, slab, cluster, Atoms(symbols[0], [[0.1, 0.2, 0.3]])]


def rotated(atoms: Atoms, rng: np.random.Generator) -> tuple[Atoms, FloatArray]:
    """Return the structure rotated at random and the rotation, v -> v @ rotation."""
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    out = atoms.copy()
    out.set_cell(atoms.cell.array @ rotation, scale_atoms=False)
    out.positions = atoms.positions @ rotation
    return out, rotation


def translated(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    out = atoms.copy()
    out.positions += rng.uniform(-3, 3, 3)
    return out


def permuted(atoms: Atoms, rng: np.random.Generator) -> tuple[Atoms, IntArray]:
    """Return the structure with atoms in another order, and that order."""
    order = rng.permutation(len(atoms))
    return atoms[order], order


def unwrapped(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Return the structure with atoms moved by whole lattice vectors."""
    out = atoms.copy()
    out.positions += rng.integers(-2, 3, (len(atoms), 3)) * atoms.pbc @ atoms.cell.array
    return out


def skewed(atoms: Atoms) -> Atoms | None:
    """Return the same crystal with other lattice vectors, or None if it has less than two."""
    axes = np.flatnonzero(atoms.pbc)
    if len(axes) < 2:
        return None
    cell = atoms.cell.array.copy()
    cell[axes[0]] += 2 * cell[axes[1]]
    cell[axes[-1]] -= cell[axes[0]]
    out = atoms.copy()
    out.set_cell(cell, scale_atoms=False)
    return out


def supercell(atoms: Atoms) -> Atoms | None:
    """Return the structure doubled along its first periodic direction, or None if it has none."""
    axes = np.flatnonzero(atoms.pbc)
    if len(axes) == 0:
        return None
    repeat = [1, 1, 1]
    repeat[axes[0]] = 2
    return atoms.repeat(repeat)


def with_other_cells(atoms: Atoms, rng: np.random.Generator) -> dict[str, Atoms]:
    """Return the same structure with other cells, as far as there are any, by name."""
    variants = {
        "atoms moved by lattice vectors": unwrapped(atoms, rng),
        "other lattice vectors": skewed(atoms),
        "supercell": supercell(atoms),
    }
    return {name: variant for name, variant in variants.items() if variant is not None}


def frozen(structures: Structures) -> list[Atoms]:
    """Return copies whose arrays cannot be written to."""
    copies = [atoms.copy() for atoms in structures]
    for atoms in copies:
        for array in (*atoms.arrays.values(), atoms.cell.array, atoms.pbc):
            array.flags.writeable = False
    return copies


def shuffled(n: int, rng: np.random.Generator) -> IntArray:
    """Return some of the numbers below n in random order, at least two of them if possible."""
    return rng.permutation(n)[: max(2, n - 1)]
