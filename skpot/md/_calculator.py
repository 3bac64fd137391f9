"""Fitted pipelines as ASE calculators."""

import numpy as np
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from sklearn.utils.validation import check_is_fitted

from ..compose import CalibratedPotential, DeltaRegressor
from ..data import as_batch
from ..exceptions import NotCompilableError
from ._compiled import CompiledPotential, compile, fitted_pipeline, transformed
from ._skin import SkinnedStructure


class Calculator(AseCalculator):
    """Energy, forces, stress and uncertainty of a fitted model, for any ASE driver.

    Parameters
    ----------
    model : Pipeline, CalibratedPotential, DeltaRegressor or CompiledPotential
        Fitted: a descriptor, maps of its features, and a regressor such as `SparseGPR`; or such a
        pipeline with calibrated standard deviations, or beside another calculator; or what
        `skpot.compile` made of one, which has no standard deviations.
    skin : float, default=0.7
        Width in Å by which neighbours are searched further than the cutoff, so that the search
        is repeated only after atoms or cell have moved enough to matter. Results do not depend
        on it.
    uncertainty : bool, default=False
        Whether results always hold `energy_std`, the standard deviation of the total energy in eV.
        It takes longer than the forces. Asking for the property computes it in any case.

    Attributes
    ----------
    implemented_properties : list of str
        energy, free_energy (the same), energies (of atoms; their sum is the energy; none from
        features of whole structures or beside another calculator), forces and stress (where the
        cell has three independent vectors), in eV and Å. Only when asked for, as in
        ``calc.get_property("energy_std", atoms)``: energy_std; forces_std and stress_std, which
        take many times as long as the forces; energies_std and extrapolation_grade of atoms.
        Deviations of a `CalibratedPotential` are calibrated, except those of atoms' energies,
        which have no labels.
    compiled_ : CompiledPotential or None
        What computes energies, forces and stress (see `skpot.compile`); None if a step of the
        model has no compiled form, and the pipeline itself does.

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

    def __init__(self, model, *, skin=0.7, uncertainty=False):
        super().__init__()
        self._delta = self._calibration = None
        inner = model
        while isinstance(inner, DeltaRegressor | CalibratedPotential):
            check_is_fitted(inner)
            if isinstance(inner, DeltaRegressor):
                self._delta = inner
            else:
                self._calibration = inner
            inner = inner.estimator_
        self.model = model
        self.skin = float(skin)
        self.uncertainty = uncertainty
        self._structure = self._features = None
        if isinstance(inner, CompiledPotential):
            self.compiled_, self._pipeline = inner, None
            return
        self._pipeline = fitted_pipeline(inner)
        try:
            self.compiled_ = compile(self._pipeline)
        except NotCompilableError:
            self.compiled_ = None

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Evaluate the model; see `ase.calculators.calculator.Calculator.calculate`."""
        super().calculate(atoms, properties, system_changes)
        if system_changes or not self.results:
            self._move(system_changes)
            self._evaluate()
        self._add_uncertainty(properties)

    def check_state(self, atoms, tol=0.0):
        """Return which of positions, numbers, cell and pbc differ from those of the results.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure.
        tol : float
            For the interface: any difference counts.
        """
        if self.atoms is None:
            return list(all_changes)
        return [name for name in _STATE if not _same(name, self.atoms, atoms)]

    def _evaluate(self):
        """Set energies, forces and stress of the structure."""
        structure, divided = self._structure, True
        if self.compiled_ is not None:
            energies, forces, virials = self.compiled_.evaluate(structure, self._species)
            self._features = None
        else:
            self._features = transformed(self._pipeline, structure)
            energies, forces, virials = self._pipeline[-1].evaluate(self._features)
            divided = not self._features.per_structure
        energy = float(energies.sum())
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        if divided:
            self.results["energies"] = energies
        volume = structure.volumes()[0]
        if np.isfinite(volume):
            self.results["stress"] = -virials[0] / volume
        if self._delta is not None:
            self._add(self._delta.baseline([self.atoms]))

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
        """Add what is asked for of the last structure."""
        wanted = set(properties) & _DEVIATIONS | ({"energy_std"} if self.uncertainty else set())
        if self._pipeline is None:
            if "extrapolation_grade" in wanted and self.compiled_.graded is not None:
                pairs = self._structure.neighbors(self.compiled_.cutoff).pairs
                grades = self.compiled_.grade_pairs(pairs, self._species)
                self.results["extrapolation_grade"] = grades
            return
        regressor = self._pipeline[-1]
        if not wanted or not hasattr(regressor, "energy_std"):
            return
        if self._features is None:
            self._features = transformed(self._pipeline, self._structure)
        features = self._features
        if {"forces_std", "stress_std"} & wanted:
            std = self._calibrated(regressor.predict_std(features))
            self.results["energy_std"] = float(std.energy[0])
            self.results["forces_std"] = std.forces[0]
            if std.stress is not None:
                self.results["stress_std"] = std.stress[0]
        elif "energy_std" in wanted:
            std = self._calibrated(regressor.energy_std(features))
            self.results["energy_std"] = float(std[0])
        if not features.per_structure:
            if "energies_std" in wanted:
                self.results["energies_std"] = regressor.energies_std(features)
            if "extrapolation_grade" in wanted:
                self.results["extrapolation_grade"] = regressor.extrapolation_grade(features)

    def _calibrated(self, std):
        if self._calibration is None:
            return std
        return self._calibration.calibrate(std, self._features)

    def _move(self, system_changes):
        """Take the atoms over; check all of them if species or pbc are new."""
        atoms = self.atoms
        if self._structure is None or {"numbers", "pbc"} & set(system_changes):
            self._structure = SkinnedStructure(as_batch([atoms], search_follows=True), self.skin)
            if self.compiled_ is not None:
                self._species = self.compiled_.species_index(self._structure.numbers)
        else:
            self._structure.move(atoms.positions, atoms.cell.array)


def _same(name, a, b):
    if name == "cell":
        return np.array_equal(a.cell.array, b.cell.array)
    return np.array_equal(getattr(a, name), getattr(b, name))


_STATE = ("positions", "numbers", "cell", "pbc")  # what energies depend on
_DEVIATIONS = {"energy_std", "energies_std", "forces_std", "stress_std", "extrapolation_grade"}
