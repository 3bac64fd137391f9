"""A custom potential of i-PI that evaluates all beads in one call.

i-PI loads this file if its input names it as `pes_path` (`skpot.md.ipi.DRIVER`)::

    <ffdirect name='skpot'>
      <pes> custom </pes>
      <pes_path> .../skpot_driver.py </pes_path>
      <batch_size> 4 </batch_size>
      <parameters> { model: model.skpot, template: start.xyz } </parameters>
    </ffdirect>

`batch_size` is the number of beads or a divisor of it. A `DeltaRegressor` works over a socket only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# Imports are absolute, because i-PI loads this file by its path and not as part of a package.
import numpy as np

from skpot.exceptions import InputError
from skpot.md._batch_calculator import BatchCalculator
from skpot.md.dynamics import read_structure
from skpot.md.ipi._order import refuse_another_order
from skpot.persistence import load

if TYPE_CHECKING:
    from typing import Any

__DRIVER_NAME__ = "skpot"
__DRIVER_CLASS__ = "SkpotDriver"


class SkpotDriver:
    """Potential energies, forces and virials for i-PI, in its units.

    Parameters
    ----------
    model : str
        File of a fitted model.
    template : str
        File of a structure with the species and periodicity, in the order of i-PI's atoms, best
        the one that i-PI starts from: i-PI sends no elements, so that its first positions are
        compared with those of the template.
    **kwargs : dict
        Options that i-PI gives to all drivers; they are ignored.
    """

    def __init__(self, model: str, template: str, **kwargs: Any) -> None:
        from ipi.utils.units import unit_to_internal

        self._length = unit_to_internal("length", "angstrom", 1.0)
        self._energy = unit_to_internal("energy", "electronvolt", 1.0)
        self._calculator = BatchCalculator(load(model))
        self._template = read_structure(template)
        self._compared = False

    def __call__(self, cell, pos):
        """Return (energy, forces, virial, extras), or a list of these if the arguments are lists.

        Parameters
        ----------
        cell : ndarray of shape (3, 3), or list of them
            Cell vectors as columns, in bohr.
        pos : ndarray of shape (n_atoms, 3), or list of them
            In bohr.
        """
        if not isinstance(cell, list):
            return self([cell], [pos])[0]
        if len(cell) != len(pos):
            raise InputError(f"i-PI sent {len(cell)} cells for {len(pos)} sets of positions")
        frames = []
        for vectors, positions in zip(cell, pos, strict=True):
            frame = self._template.copy()
            if len(positions) != len(frame):
                raise InputError(
                    f"i-PI has {len(positions)} atoms, but the template {len(frame)}: name the "
                    "file that i-PI starts from"
                )
            frame.positions = positions / self._length
            frame.cell = vectors.T / self._length
            frames.append(frame)
        if not self._compared:
            refuse_another_order(self._template, frames[0])
            self._compared = True
        return [self._results(frame) for frame in self._calculator.evaluate(frames)]

    def _results(self, frame):
        virial = np.zeros((3, 3))
        if "stress" in frame.calc.results:
            virial = -frame.get_volume() * frame.get_stress(voigt=False)
        forces = self._energy / self._length * frame.get_forces()
        return self._energy * frame.get_potential_energy(), forces, self._energy * virial, "{}"
