"""Fitted pipelines as ASE calculators."""

import numpy as np
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from sklearn.utils.validation import check_is_fitted

from ..data import as_batch
from ._skin import SkinnedStructure

_SMALL = 500  # atoms up to which the uncertainty costs little beside the forces


class Calculator(AseCalculator):
    """Energy, forces, stress and uncertainty of a fitted model, for any ASE driver.

    Parameters
    ----------
    model : Pipeline
        Fitted: a descriptor, maps of its features, and a regressor such as `SparseGPR`.
    skin : float, default=0.7
        Width in Å by which neighbours are searched further than the cutoff, so that the search
        is repeated only after atoms or cell have moved enough to matter. Results do not depend
        on it.
    uncertainty : bool or None, default=None
        Whether results always hold `energy_std`, the standard deviation of the total energy in eV.
        It compares all pairs of atoms, so None stands for: up to 500 atoms, where forces cost more.
        Asking for the property computes it in any case.

    Attributes
    ----------
    implemented_properties : list of str
        energy, free_energy (the same), energies (of atoms; their sum is the energy; none from
        features of whole structures), forces, stress (of cells periodic in three directions) and
        energy_std, in eV and Å.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, _ = skpot.datasets.load_silicon(return_X_y=True)
    >>> model = make_pipeline(skpot.SOAP(n_max=4, l_max=3), skpot.SparseGPR(n_sparse=50))
    >>> atoms = X_test[0]
    >>> atoms.calc = skpot.Calculator(model.fit(X[:20], y[:20]))
    >>> atoms.get_forces().shape
    (8, 3)
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", "energy_std"]
    # Neither changes the energy, and some ASE drivers set them at every step.
    ignored_changes = {"initial_charges", "initial_magmoms"}

    def __init__(self, model, *, skin=0.7, uncertainty=None):
        super().__init__()
        if not hasattr(model, "steps") or not hasattr(model[-1], "evaluate"):
            hint = "; take its best_estimator_" if hasattr(model, "best_estimator_") else ""
            raise TypeError(
                "Calculator takes a fitted pipeline that ends in a skpot regressor, as in "
                f"make_pipeline(skpot.SOAP(), skpot.SparseGPR()), but got {type(model).__name__}"
                f"{hint}."
            )
        check_is_fitted(model[-1])
        self.model = model
        self.skin = float(skin)
        self.uncertainty = uncertainty
        self._structure = None

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Evaluate the model; see `ase.calculators.calculator.Calculator.calculate`."""
        super().calculate(atoms, properties, system_changes)
        structure = self._moved(self.atoms, system_changes)
        features = structure
        for _, step in self.model.steps[:-1]:
            features = step.transform(features) if step not in (None, "passthrough") else features
        regressor = self.model[-1]
        energies, forces, virials = regressor.evaluate(features)
        energy = float(energies.sum())
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": forces,
        }
        if not features.per_structure:
            self.results["energies"] = energies
        volume = structure.volumes()[0]
        if np.isfinite(volume):
            self.results["stress"] = -virials[0] / volume
        always = len(energies) <= _SMALL if self.uncertainty is None else self.uncertainty
        known = hasattr(regressor, "energy_std")
        if known and (always or "energy_std" in properties):
            self.results["energy_std"] = float(regressor.energy_std(features)[0])

    def _moved(self, atoms, system_changes):
        """Return the structure with its neighbour candidates, new if species or pbc are."""
        batch = as_batch([atoms], search_follows=True)
        if self._structure is None or {"numbers", "pbc"} & set(system_changes):
            self._structure = SkinnedStructure(batch, self.skin)
        else:
            self._structure.move(batch.positions, batch.cells[0])
        return self._structure
