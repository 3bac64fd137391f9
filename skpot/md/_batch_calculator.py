"""Many structures at once."""

from ase.calculators.singlepoint import SinglePointCalculator

from ..data import check_structures
from ..exceptions import NotCompilableError
from ._compiled import CompiledPotential, compile, evaluation_by_steps, predict_with


class BatchCalculator:
    """Energies, forces and stress of thousands of structures, many in one call.

    A `Calculator` takes one structure after another and spends most of its time on the way when
    they are small. This one hands all neighbours of some thousand atoms to the kernels together.

    Parameters
    ----------
    model : Pipeline, CalibratedPotential or CompiledPotential
        Fitted.

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

    def __init__(self, model):
        try:
            compiled = model if isinstance(model, CompiledPotential) else compile(model)
            self._evaluate = compiled.evaluate
        except NotCompilableError:
            self._evaluate = evaluation_by_steps(model)

    def evaluate(self, frames):
        """Return copies of structures that carry the results.

        Parameters
        ----------
        frames : list of ase.Atoms
            The structures.

        Returns
        -------
        list of ase.Atoms
            Each with a `SinglePointCalculator` that holds energy and free_energy (eV), forces
            (eV/Å) and, where a cell has three independent vectors, stress (eV/Å³).
        """
        frames = check_structures(frames)
        y = predict_with(self._evaluate, frames)
        out = [atoms.copy() for atoms in frames]
        for s, atoms in enumerate(out):
            energy = float(y.energy[s])
            results = {"energy": energy, "free_energy": energy, "forces": y.forces[s]}
            if y.has_stress[s]:
                results["stress"] = y.stress[s]
            atoms.calc = SinglePointCalculator(atoms, **results)
        return out
