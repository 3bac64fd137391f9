"""Relaxation of structures by the optimizers of ASE."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE, LBFGS, BFGSLineSearch

from ..exceptions import InputError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.typing import Atoms

OPTIMIZERS = {"bfgs": BFGS, "lbfgs": LBFGS, "line-search": BFGSLineSearch, "fire": FIRE}


def relax(
    atoms: Atoms,
    *,
    fmax: float = 0.01,
    steps: int = 500,
    cell: bool = False,
    optimizer: str = "bfgs",
    on_step: Callable[[int, float, float], Any] | None = None,
) -> bool:
    """Move atoms to the nearest minimum of the energy of their calculator.

    Parameters
    ----------
    atoms : Atoms
        A structure with a calculator; its positions, and the cell, are changed. Constraints hold.
    fmax : float, default=0.01
        The largest force that may remain, in eV/Å; with `cell`, also the largest virial that may
        remain, in eV.
    steps : int, default=500
        Largest number of steps.
    cell : bool, default=False
        Whether the cell relaxes, too, at zero pressure.
    optimizer : {"bfgs", "lbfgs", "line-search", "fire"}, default="bfgs"
        The optimizer of ASE.
    on_step : callable, optional
        Called with the number of the step, the energy (eV) and the largest force (eV/Å).

    Returns
    -------
    converged : bool

    Raises
    ------
    InputError
        If the cell is to be relaxed, but has no three independent vectors.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> atoms = bulk("Cu", a=3.5)
    >>> atoms.calc = EMT()
    >>> relax(atoms, cell=True)
    True
    >>> bool(3.58 < 2.0 * atoms.cell.array[0, 1] < 3.60)
    True
    """
    if optimizer not in OPTIMIZERS:
        raise ParameterError(f"optimizer={optimizer!r} is not one of {', '.join(OPTIMIZERS)}.")
    if cell and atoms.cell.rank < 3:
        raise InputError(
            "the cell cannot be relaxed, because it has no three independent vectors; relax the "
            "atoms only."
        )
    moved = FrechetCellFilter(atoms) if cell else atoms
    search = OPTIMIZERS[optimizer](moved, logfile=None)
    if on_step is not None:

        def told():
            on_step(search.nsteps, atoms.get_potential_energy(), largest_force(moved))

        search.attach(told)
    return bool(search.run(fmax=fmax, steps=steps))


def largest_force(atoms: Any) -> float:
    """Return the length of the largest force (eV/Å) on atoms, or on a filter of them."""
    forces = atoms.get_forces()
    return float(np.sqrt((forces**2).sum(axis=1).max())) if len(forces) else 0.0
