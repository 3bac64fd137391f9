"""Fitted pipelines as ASE calculators."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from sklearn.utils.validation import check_is_fitted

from .._parameters import flag, number
from ..compose import CalibratedPotential, DeltaRegressor
from ..data import as_batch
from ..exceptions import (
    InputError,
    InputTypeError,
    NotCompilableError,
    NumericalError,
    ParameterError,
)
from ..lowering import CompiledPotential, compile, fitted_pipeline, transformed
from ._skin import SkinnedStructure
from ._snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_LARGEST_SKIN = 20.0  # Å; beyond, the search itself takes longer than it saves


class Calculator(AseCalculator):
    """Energy, forces, stress and uncertainty of a fitted model, for any ASE driver.

    Parameters
    ----------
    model : Pipeline, CalibratedPotential, DeltaRegressor or CompiledPotential
        Fitted: a descriptor, maps of its features, and a regressor such as `SparseGPR`; or such a
        pipeline with calibrated standard deviations, or beside another calculator; or what
        `skpot.compile` made of one, which has no standard deviations. It is used as it is now:
        fitting it again, or setting its parameters, changes no results.
    skin : float, default=0.7
        Width in Å by which neighbors are searched further than the cutoff, so that the search
        is repeated only after atoms or cell have moved enough to matter; 0 searches at every
        step. Results do not depend on it.
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
    results : dict
        Of the last structure that was evaluated; empty after one that was refused. Arrays in it
        cannot be written to; `get_property` returns copies.
    compiled_ : CompiledPotential or None
        What computes energies, forces and stress (see `skpot.compile`); None if a step of the
        model has no compiled form, and the pipeline itself does.

    Examples
    --------
    >>> import skpot
    >>> data = skpot.datasets.load_silicon()
    >>> model = skpot.make_potential("fast").fit(data.X[:10], data.y[:10])
    >>> atoms = data.X_test[0]
    >>> atoms.calc = skpot.Calculator(model)
    >>> atoms.get_forces().shape
    (8, 3)
    """

    implemented_properties = [
        "energy", "free_energy", "energies", "forces", "stress", "energy_std", "energies_std",
        "forces_std", "stress_std", "extrapolation_grade",
    ]  # fmt: skip

    def __init__(self, model: Any, *, skin: float = 0.7, uncertainty: bool = False) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._last = None
        self.skin = skin
        self.uncertainty = uncertainty
        self._model = model
        self._delta, self._calibration, inner = _unwrapped(model)
        if isinstance(inner, CompiledPotential):
            self._compiled, self._pipeline = inner, None
            return
        self._pipeline = fitted_pipeline(inner)
        try:
            self._compiled = compile(self._pipeline)
        except NotCompilableError:
            self._compiled = None

    model = property(lambda self: self._model)
    compiled_ = property(lambda self: self._compiled)

    @property
    def skin(self) -> float:
        """Width in Å by which neighbors are searched further than the cutoff."""
        return self._skin

    @skin.setter
    def skin(self, value: Any) -> None:
        self._skin = _PARAMETERS["skin"](value)

    @property
    def uncertainty(self) -> Any:
        """Whether results always hold `energy_std`."""
        return self._uncertainty

    @uncertainty.setter
    def uncertainty(self, value: Any) -> None:
        self._uncertainty = _PARAMETERS["uncertainty"](value)

    def set(self, **parameters: Any) -> dict[str, Any]:
        """Set `skin` or `uncertainty`; return those that changed, as ASE's calculators do."""
        if unknown := parameters.keys() - _PARAMETERS.keys():
            raise ParameterError(
                f"this calculator has no parameters {', '.join(sorted(unknown))}; it has "
                f"{' and '.join(_PARAMETERS)}."
            )
        for name, value in parameters.items():
            _PARAMETERS[name](value)
        changed = {name: v for name, v in parameters.items() if v != getattr(self, name)}
        for name, value in changed.items():
            setattr(self, name, value)
        return changed

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state):
        vars(self).update(state)
        self._lock = threading.RLock()

    def get_property(
        self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True
    ) -> Any:
        """Return a property; see `ase.calculators.calculator.Calculator.get_property`."""
        _require_atoms(self.atoms if atoms is None else atoms)
        with self._lock:  # between computing and reading, no other thread may come in
            try:
                return super().get_property(name, atoms, allow_calculation)
            finally:
                if not self.results:  # the atoms were refused
                    self.atoms = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Evaluate the model; see `ase.calculators.calculator.Calculator.calculate`.

        Parameters
        ----------
        atoms : ase.Atoms, optional
            The structure; None takes the last one.
        properties : list of str
            What is needed; energies, forces and stress are always there.
        system_changes : list of str
            For the interface: the structure is compared with that of the results.
        """
        atoms = self.atoms if atoms is None else atoms
        _require_atoms(atoms)
        properties = [properties] if isinstance(properties, str) else properties or []
        with self._lock:
            changed = self.check_state(atoms)
            if not self.results or changed:
                last = self._evaluated(atoms, changed)
            else:
                last = self._last._replace(results=self.results)
            self._take_over(atoms.copy(), self._with_deviations(last, properties))

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Return which of positions, numbers, cell and pbc differ from those of the results.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure.
        tol : float
            For the interface: any difference counts.
        """
        if self._last is None:
            return list(all_changes)
        of = self._last.structure
        state = {
            "positions": (of.positions, atoms.positions),
            "numbers": (of.numbers, atoms.numbers),
            "cell": (of.cells[0], atoms.cell.array),
            "pbc": (of.pbc[0], atoms.pbc),
        }
        return [name for name, (a, b) in state.items() if not np.array_equal(a, b)]

    def _take_over(self, atoms, evaluation):
        """Set the state; if that is interrupted there are no results."""
        self.results = {}
        self._last, self.atoms = evaluation, atoms
        for value in evaluation.results.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        self.results = evaluation.results

    def _structure(self, atoms, changed):
        """Return atoms with the neighbor lists of the last ones where these serve, and species."""
        last = self._last
        if last is not None and not {"numbers", "pbc"} & set(changed):
            structure = last.structure.moved(atoms.positions, atoms.cell.array, self.skin)
            return structure, last.species
        structure = SkinnedStructure(as_batch([atoms], search_follows=True), self.skin)
        if self._compiled is None:
            return structure, None
        return structure, self._compiled.species_index(structure.numbers)

    def _evaluated(self, atoms, changed):
        """Return energies, forces and stress of atoms, as an `_Evaluation`."""
        structure, species = self._structure(atoms, changed)
        features, divided = None, True
        if self._compiled is not None:
            energies, forces, virials = self._compiled.evaluate_checked(structure, species)
        else:
            features = transformed(self._pipeline, structure)
            energies, forces, virials = self._pipeline[-1].evaluate(features)
            divided = not features.per_structure
        energy = float(energies.sum())
        results = {"energy": energy, "free_energy": energy, "forces": forces}
        if divided:
            results["energies"] = energies
        volume = structure.volumes()[0]
        if np.isfinite(volume):
            results["stress"] = -virials[0] / volume
        if self._delta is not None:
            results = _added(results, self._delta.baseline([atoms]))
        if not np.isfinite(results["energy"]) or not np.isfinite(forces).all():
            raise NumericalError(
                f"the energy of these {len(forces)} atoms is {results['energy']} eV and forces "
                f"reach {np.abs(forces).max()} eV/Å: they are too far from what the model learned."
            )
        return _Evaluation(structure, species, features, results)

    def _with_deviations(self, last, properties):
        """Return an evaluation with standard deviations and grades that are asked for."""
        wanted = set(properties) & _DEVIATIONS | ({"energy_std"} if self.uncertainty else set())
        if not wanted - last.results.keys():
            return last
        if self._pipeline is None:
            return last._replace(results=last.results | self._grades(last, wanted))
        if not hasattr(self._pipeline[-1], "energy_std"):
            return last
        if last.features is None:
            last = last._replace(features=transformed(self._pipeline, last.structure))
        return last._replace(results=last.results | self._deviations(last.features, wanted))

    def _grades(self, last, wanted):
        """Return extrapolation grades of a compiled potential, if it has them."""
        if "extrapolation_grade" not in wanted or self._compiled.graded is None:
            return {}
        pairs = last.structure.neighbors(self._compiled.cutoff).pairs
        return {"extrapolation_grade": self._compiled.grade_pairs(pairs, last.species)}

    def _deviations(self, features, wanted):
        """Return what a regressor knows of its errors."""
        regressor, results = self._pipeline[-1], {}
        if {"forces_std", "stress_std"} & wanted:
            std = self._calibrated(regressor.predict_std(features), features)
            results["energy_std"] = float(std.energy[0])
            results["forces_std"] = std.forces[0]
            if std.stress is not None:
                results["stress_std"] = std.stress[0]
        elif "energy_std" in wanted:
            std = self._calibrated(regressor.energy_std(features), features)
            results["energy_std"] = float(std[0])
        if not features.per_structure:
            for name in ("energies_std", "extrapolation_grade"):
                if name in wanted:
                    results[name] = getattr(regressor, name)(features)
        return results

    def _calibrated(self, std, features):
        return std if self._calibration is None else self._calibration.calibrate(std, features)


def _require_atoms(atoms):
    if atoms is None:
        raise InputError("results of which atoms? This calculator has evaluated none.")
    if not isinstance(atoms, Atoms):
        raise InputTypeError(f"atoms must be ase.Atoms, got {type(atoms).__name__}")


class _Evaluation(NamedTuple):
    """Results and what they were made from; arrays are no one else's."""

    structure: SkinnedStructure
    species: np.ndarray | None  # (n_atoms,) as the compiled potential counts them
    features: object  # AtomicFeatures, or None where they were not needed
    results: dict


def _unwrapped(model):
    """Return the `DeltaRegressor` and the `CalibratedPotential` around a model, and what is inside.

    They are as the model is now, whatever becomes of it.
    """
    delta, calibration, inner = None, None, snapshot(model)
    while isinstance(inner, DeltaRegressor | CalibratedPotential):
        check_is_fitted(inner)
        if isinstance(inner, DeltaRegressor):
            delta = inner
        else:
            calibration = inner
        inner = inner.estimator_
    return delta, calibration, inner


def _added(results, base):
    """Return results with those of another calculator added, without what it does not give."""
    energy = results["energy"] + float(base.energy[0])
    added = {"energy": energy, "free_energy": energy}  # few calculators divide theirs among atoms
    for name, others in (("forces", base.forces), ("stress", base.stress)):
        if others is not None and name in results:
            added[name] = results[name] + others[0]
    return added


_PARAMETERS = {
    "skin": lambda value: number("skin", value, low=0.0, high=_LARGEST_SKIN, unit="Å"),
    "uncertainty": lambda value: flag("uncertainty", value),
}
_DEVIATIONS = {"energy_std", "energies_std", "forces_std", "stress_std", "extrapolation_grade"}
