"""Many structures at once."""

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
    """Energies, forces and stress of thousands of structures, many in one call.

    A `Calculator` takes one structure after another and spends most of its time on the way when
    they are small. This one hands all neighbors of some thousand atoms to the kernels together.

    Parameters
    ----------
    model : Pipeline, CalibratedPotential or CompiledPotential
        Fitted. It is used as it is now: fitting it again, or setting its parameters, changes no
        results.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, _ = skpot.datasets.load_silicon(return_X_y=True)
    >>> model = make_pipeline(skpot.SOAP(n_max=4, l_max=3), skpot.SparseGPR(n_sparse=50))
    >>> calculator = skpot.md.BatchCalculator(model.fit(X[:20], y[:20]))
    >>> [frame.get_forces().shape for frame in calculator.evaluate(X_test[:2])]
    [(8, 3), (8, 3)]
    """

    def __init__(self, model: Any) -> None:
        try:
            compiled = model if isinstance(model, CompiledPotential) else compile(model)
            self._evaluate = compiled.evaluate
        except NotCompilableError:
            self._evaluate = evaluation_by_steps(snapshot(model))

    def evaluate(self, frames: Structures) -> list[Atoms]:
        """Return copies of structures that carry the results.

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
        # Lists, since each look at a block of labels makes all of its parts anew.
        stress = [None] * len(frames) if y.stress is None else y.stress
        blocks = zip(frames, y.energy.tolist(), y.forces, stress, y.has_stress, strict=True)
        with _no_collection():
            return [_labeled(atoms.copy(), *labels) for atoms, *labels in blocks]


@contextlib.contextmanager
def _no_collection():
    """Keep the garbage collector from looking at all frames ever more often while they are made."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _labeled(atoms, energy, forces, stress, has_stress):
    """Return a structure with results of its own."""
    results = {"energy": energy, "free_energy": energy, "forces": forces.copy()}
    if has_stress:
        results["stress"] = stress.copy()
    # Copied, since making one takes as long as all the rest.
    atoms.calc = calculator = copy.copy(_EMPTY)
    calculator.parameters, calculator.results = _EMPTY.parameters.copy(), results
    calculator.atoms = atoms.copy()
    return atoms


_EMPTY = SinglePointCalculator(Atoms())
