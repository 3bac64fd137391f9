"""Energies, forces and virials of many structures in one call."""

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from ._calculator import Calculator


class Evaluator:
    """What a fitted model says of structures, whatever kind of y it saw.

    Parameters
    ----------
    model : Pipeline, CalibratedPotential or DeltaRegressor
        Fitted.
    """

    def __init__(self, model):
        calculator = Calculator(model, uncertainty=False)  # refuses what is no such model
        self._pipeline, self._delta = calculator._pipeline, calculator._delta

    def __call__(self, frames):
        """Return energies (eV), a list of forces (eV/Å) and virials (eV).

        Parameters
        ----------
        frames : list of ase.Atoms
            The structures.

        Returns
        -------
        energies : ndarray of shape (n_structures,)
        forces : list of ndarray of shape (n_atoms, 3)
        virials : ndarray of shape (n_structures, 3, 3)
            Minus the derivative by strain; zero unless three directions are periodic.
        """
        features = self._pipeline[:-1].transform(frames)
        atoms, forces, virials = self._pipeline[-1].evaluate(features)
        energies = np.add.reduceat(atoms, features.offsets[:-1])
        forces = np.split(forces, np.cumsum([len(frame) for frame in frames])[:-1])
        periodic = np.array([frame.pbc.all() for frame in frames])
        virials = voigt_6_to_full_3x3_stress(np.where(periodic[:, None], virials, 0.0))
        if self._delta is not None:
            base = self._delta.baseline(frames)
            if base.forces is None or (periodic.any() and base.stress is None):
                raise ValueError("the calculator beside the model gives no forces or no stress")
            energies = energies + base.energy
            forces = [f + g for f, g in zip(forces, base.forces, strict=True)]
            for s in np.flatnonzero(periodic):
                virials[s] -= voigt_6_to_full_3x3_stress(base.stress[s]) * frames[s].cell.volume
        return energies, forces, virials
