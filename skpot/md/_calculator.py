"""Fitted pipelines as ASE calculators."""

import numpy as np
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from ..compose import CalibratedPotential, DeltaRegressor
from ..data import as_batch
from ._skin import SkinnedStructure

_SMALL = 500  # atoms up to which the uncertainty costs little beside the forces


class Calculator(AseCalculator):
    """Energy, forces, stress and uncertainty of a fitted model, for any ASE driver.

    Parameters
    ----------
    model : Pipeline, CalibratedPotential or DeltaRegressor
        Fitted: a descriptor, maps of its features, and a regressor such as `SparseGPR`; or such a
        pipeline with calibrated standard deviations, or beside another calculator.
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
        features of whole structures or beside another calculator), forces, stress (of cells
        periodic in three directions) and energy_std, in eV and Å. Only when asked for, as in
        ``calc.get_property("forces_std", atoms)``: forces_std and stress_std, which take many times
        as long as the forces; energies_std and extrapolation_grade of atoms, which take about as
        long. Deviations of a `CalibratedPotential` are calibrated, except those of atoms' energies,
        which have no labels.

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

    implemented_properties = [
        "energy", "free_energy", "energies", "forces", "stress", "energy_std", "energies_std",
        "forces_std", "stress_std", "extrapolation_grade",
    ]  # fmt: skip
    # Neither changes the energy, and some ASE drivers set them at every step.
    ignored_changes = {"initial_charges", "initial_magmoms"}

    def __init__(self, model, *, skin=0.7, uncertainty=None):
        super().__init__()
        self._delta, inner = None, model
        if isinstance(model, DeltaRegressor):
            check_is_fitted(model)
            self._delta, inner = model, model.estimator_
        self._calibration = inner if isinstance(inner, CalibratedPotential) else None
        if self._calibration is not None:
            check_is_fitted(inner)
        pipeline = inner if self._calibration is None else _thawed(inner.estimator_)
        if not hasattr(pipeline, "steps") or not hasattr(pipeline[-1], "evaluate"):
            hint = "; take its best_estimator_" if hasattr(model, "best_estimator_") else ""
            raise TypeError(
                "Calculator takes a fitted pipeline that ends in a skpot regressor, as in "
                f"make_pipeline(skpot.SOAP(), skpot.SparseGPR()), but got {type(model).__name__}"
                f"{hint}."
            )
        check_is_fitted(pipeline[-1])
        self.model = model
        self._pipeline = pipeline
        self.skin = float(skin)
        self.uncertainty = uncertainty
        self._structure = None
        self._features = None

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Evaluate the model; see `ase.calculators.calculator.Calculator.calculate`."""
        super().calculate(atoms, properties, system_changes)
        if system_changes or not self.results:
            self._evaluate(self._moved(self.atoms, system_changes))
        self._add_uncertainty(properties)

    def _evaluate(self, structure):
        """Set energies, forces and stress, and keep the features."""
        features = structure
        for _, step in self._pipeline.steps[:-1]:
            features = step.transform(features) if step not in (None, "passthrough") else features
        energies, forces, virials = self._pipeline[-1].evaluate(features)
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
        if self._delta is not None:
            self._add(self._delta.baseline([self.atoms]))
        self._features = features

    def _add(self, base):
        """Add the results of another calculator; leave out what it does not give."""
        self.results.pop("energies", None)  # few calculators divide theirs
        self.results["energy"] += float(base.energy[0])
        self.results["free_energy"] = self.results["energy"]
        for name, others in (("forces", base.forces), ("stress", base.stress)):
            if others is None:
                self.results.pop(name, None)
            elif name in self.results:
                self.results[name] = self.results[name] + others[0]

    def _add_uncertainty(self, properties):
        """Add what is asked for of the last structure, and its energy's if that is cheap."""
        regressor, features = self._pipeline[-1], self._features
        if not hasattr(regressor, "energy_std"):
            return
        always = len(features.values) <= _SMALL if self.uncertainty is None else self.uncertainty
        if {"forces_std", "stress_std"} & set(properties):
            std = self._calibrated(regressor.predict_std(features))
            self.results["energy_std"] = float(std.energy[0])
            self.results["forces_std"] = std.forces[0]
            if std.stress is not None:
                self.results["stress_std"] = std.stress[0]
        elif always or "energy_std" in properties:
            std = self._calibrated(regressor.energy_std(features))
            self.results["energy_std"] = float(std[0])
        if not features.per_structure:
            if "energies_std" in properties:
                self.results["energies_std"] = regressor.energies_std(features)
            if "extrapolation_grade" in properties:
                self.results["extrapolation_grade"] = regressor.extrapolation_grade(features)

    def _calibrated(self, std):
        if self._calibration is None:
            return std
        return self._calibration.calibrate(std, self._features)

    def _moved(self, atoms, system_changes):
        """Return the structure with its neighbour candidates, new if species or pbc are."""
        batch = as_batch([atoms], search_follows=True)
        if self._structure is None or {"numbers", "pbc"} & set(system_changes):
            self._structure = SkinnedStructure(batch, self.skin)
        else:
            self._structure.move(batch.positions, batch.cells[0])
        return self._structure


def _thawed(estimator):
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
