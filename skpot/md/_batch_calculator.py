"""Energies and forces of many structures in one call."""

from __future__ import annotations

import contextlib
import copy
import gc
from typing import TYPE_CHECKING

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ..data import StructureBatch, check_and_extract
from ..exceptions import NotCompilableError
from ..lowering import CompiledPotential, compile, evaluation_by_steps, predict_with
from ._snapshot import snapshot

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import Structures


class BatchCalculator:
    """Energies, forces and stress of thousands of structures, many of them in one call.

    A `Calculator` evaluates one structure after another. If these are small, most of the time goes
    into Python code around the compiled function. A `BatchCalculator` calls the compiled function
    with the neighbors of thousands of atoms at once.

    Parameters
    ----------
    model : Pipeline, CalibratedPotential or CompiledPotential
        The fitted model. Fitting it again or setting its parameters later does not change results.

    Examples
    --------
    >>> import skpot
    >>> data = skpot.datasets.load_silicon()
    >>> model = skpot.make_potential("fast").fit(data.X[:10], data.y[:10])
    >>> calculator = skpot.md.BatchCalculator(model)
    >>> [frame.get_forces().shape for frame in calculator.evaluate(data.X_test[:2])]
    [(8, 3), (8, 3)]
    """

    def __init__(self, model: Any) -> None:
        try:
            compiled = model if isinstance(model, CompiledPotential) else compile(model)
            self._evaluate = compiled.evaluate
        except NotCompilableError:
            self._evaluate = evaluation_by_steps(snapshot(model))

    def evaluate(self, frames: Structures) -> list[Atoms]:
        """Return copies of structures with the results attached to them.

        Parameters
        ----------
        frames : list[Atoms]
            The structures.

        Returns
        -------
        list[Atoms]
            Each with a `SinglePointCalculator` that holds energy and free_energy (eV), forces
            (eV/Å) and, where a cell has three independent vectors, stress (eV/Å³).
        """
        frames, arrays = check_and_extract(frames, search_follows=True)
        y = predict_with(self._evaluate, StructureBatch(*arrays))
        # Read each attribute once: `y.forces` and `y.stress` make new lists whenever they are read.
        stress = [None] * len(frames) if y.stress is None else y.stress
        blocks = zip(frames, y.energy.tolist(), y.forces, stress, y.has_stress, strict=True)
        with _no_collection():
            return [_labeled(atoms.copy(), *labels) for atoms, *labels in blocks]


@contextlib.contextmanager
def _no_collection():
    """Switch the garbage collector off: while frames are made, it would visit all of them often."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _labeled(atoms, energy, forces, stress, has_stress):
    """Return the structure with a calculator that holds these results."""
    results = {"energy": energy, "free_energy": energy, "forces": forces.copy()}
    if has_stress:
        results["stress"] = stress.copy()
    # Copying a calculator is quicker than making one, which would take half of the time.
    atoms.calc = calculator = copy.copy(_EMPTY)
    calculator.parameters, calculator.results = _EMPTY.parameters.copy(), results
    calculator.atoms = atoms.copy()
    return atoms


_EMPTY = SinglePointCalculator(Atoms())
