"""Fitted pipelines as ASE calculators."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from sklearn.utils.validation import check_is_fitted

from .._parameters import flag, number
from ..compose import CalibratedPotential, DeltaRegressor
from ..data import Targets, as_batch
from ..exceptions import (
    InputError,
    InputTypeError,
    NotCompilableError,
    NumericalError,
    ParameterError,
)
from ..lowering import CompiledPotential, compile, fitted_pipeline, transformed
from ..persistence import load
from ._skin import SkinnedStructure
from ._snapshot import snapshot
from ._traces import identity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skpot.core.pairs import Pairs
    from skpot.typing import FloatArray

_LARGEST_SKIN = 20.0  # Å; a larger skin costs more time than it saves


_PARAMETERS = {
    "skin": lambda value: number("skin", value, low=0.0, high=_LARGEST_SKIN, unit="Å"),
    "uncertainty": lambda value: flag("uncertainty", value),
}
_DEVIATIONS = ("energy_std", "energies_std", "forces_std", "stress_std", "extrapolation_grade")


def _checked(name, doc) -> Any:
    """Return a property for a parameter, which checks values when they are set."""

    def setter(self, value):
        setattr(self, f"_{name}", _PARAMETERS[name](value))

    return property(lambda self: getattr(self, f"_{name}"), setter, doc=doc)


class Calculator(AseCalculator):
    """Energy, forces, stress and uncertainty of a fitted model, for any ASE driver.

    Parameters
    ----------
    model : Pipeline, CalibratedPotential, DeltaRegressor, CompiledPotential, str or Path
        The fitted model: a pipeline of a descriptor, maybe steps on its features, and a regressor
        such as `SparseGPR`; such a pipeline in a `CalibratedPotential` or `DeltaRegressor`; the
        result of `skpot.compile`, which has no standard deviations; or the name of a model file,
        which `skpot.load` reads. Fitting it again or setting its parameters later does not change
        results.
    skin : float, default=0.7
        Width in Å by which the search for neighbors goes beyond the cutoff. The search is repeated
        only after atoms or cell have moved so far that a neighbor could be missing; with 0 it is
        repeated at every step. Results do not depend on the skin.
    uncertainty : bool, default=False
        Whether results always include `energy_std`, the standard deviation of the total energy in
        eV, which takes longer than the forces. Otherwise it is computed when it is asked for.
    draws : bool, default=False
        Whether `forces_std` is the root mean square of the forces of a few draws of the posterior
        (see `CompiledPotential.forces_std`), where the model has a compiled form of them. That
        takes about four times as long as the forces, so that it can be asked for during a run, and
        scatters by about a quarter around the exact value.

    Attributes
    ----------
    implemented_properties : list of str
        In eV and Å: energy and free_energy, which are the same; energies of atoms, whose sum is the
        energy, but not from features of whole structures or with a `DeltaRegressor`; forces; and
        stress, if the cell has three independent vectors.
    deviations : tuple of str
        What is computed only when it is asked for, as in ``calc.get_property("energy_std",
        atoms)``: energy_std; forces_std, which takes many times as long as the forces unless
        `draws` are chosen; stress_std, which always does; energies_std and extrapolation_grade of
        atoms. A `CalibratedPotential` calibrates these deviations except energies_std, since there
        are no labels of atoms' energies. They are not among `implemented_properties`, because ASE
        would mix them linearly where calculators are combined, as if they were energies.
        `skpot.md.predicted` yields structures whose files keep them.
    name : str
        "skpot", as files of ASE note it.
    parameters : dict
        What such files say about the model: ``model``, ``model_hash``, ``preset`` if it has one,
        and ``skpot_version``. The hash is that of all that the fit found.
    results : dict
        Results for the last structure; empty if that structure was refused. Arrays in it cannot be
        written to; `get_property` returns copies.
    compiled_ : CompiledPotential or None
        The compiled function of energies, forces and stress (see `skpot.compile`). None if a step
        of the model has no compiled form, so that the pipeline itself is evaluated.

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

    skin = _checked("skin", "Width in Å by which the search for neighbors exceeds the cutoff.")
    uncertainty = _checked("uncertainty", "Whether results always include `energy_std`.")

    name = "skpot"
    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]
    deviations = _DEVIATIONS

    def __init__(
        self, model: Any, *, skin: float = 0.7, uncertainty: bool = False, draws: bool = False
    ) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._last = self._with_grades = self._with_draws = None
        self._draws = flag("draws", draws)
        self.skin = skin
        self.uncertainty = uncertainty
        if isinstance(model, str | os.PathLike):
            model = load(model)
        self._model = model
        self._delta, self._calibration, inner = _unwrapped(model)
        if isinstance(inner, CompiledPotential):
            self._compiled, self._pipeline = inner, None
            self.parameters.update(identity(model))
            return
        self._pipeline = fitted_pipeline(inner)
        self.parameters.update(identity(model))
        try:
            self._compiled = compile(self._pipeline)
        except NotCompilableError:
            self._compiled = None

    model = property(lambda self: self._model)
    draws = property(lambda self: self._draws)
    compiled_ = property(lambda self: self._compiled)

    def set(self, **parameters: Any) -> dict[str, Any]:
        """Set `skin` or `uncertainty`; like other calculators of ASE, return what changed."""
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

    def reset(self) -> None:
        """Forget the last structure and its neighbors, so that results depend on the next alone."""
        with self._lock:
            super().reset()
            self._last = None

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
        with self._lock:  # so that no other thread replaces results before they are read
            try:
                if name in self.deviations:
                    return self._deviation(name, atoms, allow_calculation)
                return super().get_property(name, atoms, allow_calculation)
            finally:
                if not self.results:  # the atoms were refused
                    self.atoms = None

    def _deviation(self, name, atoms, allow_calculation):
        """Return one of `deviations`, as ASE returns properties."""
        if atoms is not None and self.check_state(atoms):
            self.reset()
        if name not in self.results:
            if not allow_calculation:
                return None
            self.calculate(atoms, [name])
        if name not in self.results:  # ASE's own error
            return super().get_property(name, atoms)
        value = self.results[name]
        return value.copy() if isinstance(value, np.ndarray) else value

    def todict(self, skip_default: bool = True) -> dict[str, Any]:
        """Return `parameters`, for files of ASE.

        Parameters
        ----------
        skip_default : bool
            Ignored: nothing is left out.
        """
        return dict(self.parameters)

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
            The structure; None stands for the last one.
        properties : list of str
            The properties to compute; energies, forces and stress are always computed.
        system_changes : list of str
            Ignored: the structure is compared with the last one instead.
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

    def pair_gradients(self, atoms: Atoms) -> tuple[Pairs, FloatArray, FloatArray]:
        """Return the neighbor pairs of atoms, energies of atoms, and their slopes along the pairs.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure.

        Returns
        -------
        pairs, energies, gradient : Pairs, ndarray, ndarray
            See `CompiledPotential.evaluate_pairs`.

        Raises
        ------
        ValueError
            If the model has no compiled form, or is a `DeltaRegressor`, so that there are none.
        """
        if self._compiled is None or self._delta is not None:
            raise InputError(
                "the energies of single atoms have no slopes along pairs, because the model "
                + ("has no compiled form." if self._delta is None else "corrects another one.")
            )
        with self._lock:
            self.get_property("energy", atoms)
            pairs = self._last.structure.neighbors(self._compiled.cutoff).pairs
            return pairs, *self._compiled.evaluate_pairs(pairs, self._last.species)

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Return which of positions, numbers, cell and pbc differ from the last structure.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure.
        tol : float
            Ignored: any difference counts.
        """
        if self._last is None:
            return list(all_changes)
        last = self._last.structure
        state = {
            "positions": (last.positions, atoms.positions),
            "numbers": (last.numbers, atoms.numbers),
            "cell": (last.cells[0], atoms.cell.array),
            "pbc": (last.pbc[0], atoms.pbc),
        }
        return [name for name, (a, b) in state.items() if not np.array_equal(a, b)]

    def _take_over(self, atoms, evaluation):
        """Set the results, so that an interrupt leaves none rather than those of other atoms."""
        self.results = {}
        self._last, self.atoms = evaluation, atoms
        for value in evaluation.results.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        self.results = evaluation.results

    def _structure(self, atoms, changed):
        """Return the structure, with neighbor lists of the last one if possible, and species."""
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
        features, has_energies = None, True
        if self._compiled is not None:
            energies, forces, virials = self._compiled.evaluate_checked(structure, species)
        else:
            features = transformed(self._pipeline, structure)
            energies, forces, virials = self._pipeline[-1].evaluate(features)
            has_energies = not features.per_structure
        energy = float(energies.sum())
        results = {"energy": energy, "free_energy": energy, "forces": forces}
        if has_energies:
            results["energies"] = energies
        volume = structure.volumes()[0]
        if np.isfinite(volume):
            results["stress"] = -virials[0] / volume
        if self._delta is not None:
            results = _added(results, self._delta.baseline([atoms]))
        if not np.isfinite(results["energy"]) or not np.isfinite(forces).all():
            raise NumericalError(
                f"the energy of these {len(forces)} atoms is {results['energy']} eV and forces "
                f"reach {np.abs(forces).max()} eV/Å: the structure is too far from all that the "
                "model has learned from."
            )
        return _Evaluation(structure, species, features, results)

    def _with_deviations(self, last, properties):
        """Return the evaluation with the standard deviations and grades in `properties`."""
        wanted = set(properties) & set(_DEVIATIONS)
        wanted |= {"energy_std"} if self.uncertainty else set()
        if not wanted - last.results.keys():
            return last
        cheap = self._grades(last, wanted) | self._drawn(last, wanted)
        last = last._replace(results=last.results | cheap)
        wanted -= last.results.keys()
        if not wanted or self._pipeline is None:
            return last
        if not hasattr(self._pipeline[-1], "energy_std"):
            return last
        if last.features is None:
            last = last._replace(features=transformed(self._pipeline, last.structure))
        return last._replace(results=last.results | self._deviations(last.features, wanted))

    def _grades(self, last, wanted):
        """Return the extrapolation grades, if they are wanted and have a compiled form."""
        if "extrapolation_grade" not in wanted or self._compiled is None:
            return {}
        if self._with_grades is None:
            self._with_grades = self._compiled
            if self._pipeline is not None:
                with suppress(NotCompilableError):
                    self._with_grades = compile(self._pipeline, grades=True)
        if self._with_grades.graded is None:
            return {}
        pairs = last.structure.neighbors(self._compiled.cutoff).pairs
        return {"extrapolation_grade": self._with_grades.grade_pairs(pairs, last.species)}

    @property
    def quick_forces_std(self) -> bool:
        """Whether `forces_std` takes only a few times as long as the forces."""
        if self._draws and self._with_draws is None:
            self._with_draws = self._compiled
            if self._pipeline is not None and self._compiled is not None:
                with suppress(NotCompilableError):
                    self._with_draws = compile(self._pipeline, deviations=True)
        return self._with_draws is not None and self._with_draws.uncertain is not None

    def _drawn(self, last, wanted):
        """Return the deviations of forces by draws, if they are wanted and there are any."""
        if "forces_std" not in wanted or not self.quick_forces_std:
            return {}
        std = self._with_draws.uncertain.forces_std(
            last.structure, last.species, self._compiled.cutoff
        )
        if self._calibration is not None:
            both = Targets(np.zeros(1), [std])
            std = self._calibration.calibrate(both, [Atoms(last.structure.numbers)]).forces[0]
        return {"forces_std": std}

    def _deviations(self, features, wanted):
        """Return the wanted standard deviations and grades of the regressor."""
        regressor, results = self._pipeline[-1], {}
        if {"forces_std", "stress_std"} & wanted:
            std = self._calibrated(regressor.predict_std(features), features)
            results["energy_std"] = float(std.energy[0])
            if not self.quick_forces_std:
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
        raise InputError("this calculator has not evaluated any atoms yet; pass atoms.")
    if not isinstance(atoms, Atoms):
        raise InputTypeError(f"atoms must be ase.Atoms, got {type(atoms).__name__}")


class _Evaluation(NamedTuple):
    """Results and what they were computed from; no other object uses its arrays."""

    structure: SkinnedStructure
    species: np.ndarray | None  # (n_atoms,) index of each species in the compiled potential
    features: object  # AtomicFeatures, or None if they were not needed
    results: dict


def _unwrapped(model):
    """Return the `DeltaRegressor` and `CalibratedPotential` around a model, and the inner model.

    All are snapshots, which later changes of the model do not affect.
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
    """Return the sum of results and those of another calculator, as far as both have them."""
    energy = results["energy"] + float(base.energy[0])
    # Energies of atoms are left out, since few calculators have them.
    added = {"energy": energy, "free_energy": energy}
    for name, others in (("forces", base.forces), ("stress", base.stress)):
        if others is not None and name in results:
            added[name] = results[name] + others[0]
    return added
