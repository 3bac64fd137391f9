"""Limits of a run: stop, record or relabel where the model extrapolates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.singlepoint import SinglePointCalculator

from .._parameters import choice, number
from ..core.pairs import closest_squared
from ..data import as_batch, labels_by
from ..exceptions import EngineError, InputError, InputTypeError
from .frames import FrameFile, require_xyz

if TYPE_CHECKING:
    from skpot.typing import AseCalculator, PathLike

_ACTIONS = ("stop", "record", "relabel")
_QUANTITIES = {
    "max_energy_std": "energy_std",
    "max_grade": "extrapolation_grade",
    "max_forces_std": "forces_std",
}
_HIGHEST = {"min_distance": 20.0}  # Å; a search for all pairs within more would take too long


class LimitPassed(EngineError):
    """A run has left the limits of its `Guard`."""


class Guard:
    """Observer of an ASE run that acts when the model extrapolates or atoms misbehave.

    Attach it to the dynamics: with ``dynamics.attach(guard, interval=10)`` it checks the limits at
    every tenth step.

    Parameters
    ----------
    atoms : ase.Atoms
        The atoms that move, with a `Calculator`.
    max_energy_std : float, optional
        Largest standard deviation of the energy, in eV per atom.
    max_forces_std : float, optional
        Largest standard deviation of a component of the forces, in eV/Å. It takes many times as
        long as the forces.
    max_grade : float, optional
        Largest extrapolation grade of an atom; 1 is the edge of the training set.
    max_temperature : float, optional
        Highest temperature, in K.
    min_distance : float, optional
        Smallest distance of two atoms, in Å; at most 20.
    action : {"stop", "record", "relabel"}, default="stop"
        What to do when a limit is passed. "stop" raises `LimitPassed`. "record" appends the frame
        to a file and lets the run continue. "relabel" does the same but adds labels that
        `calculator` computes, so that ``model.partial_fit`` can learn from the frame.
    path : str or Path, optional
        Extended XYZ file (.xyz or .extxyz) to which frames are appended; with "stop" only the
        last frame. Frames are complete even if the run is killed. Without labels by `calculator`,
        frames do not hold any predictions that `skpot.read` could take for labels.
    calculator : ase.calculators.calculator.Calculator, optional
        The calculator for "relabel".

    Attributes
    ----------
    values : dict of str to float
        Values at the last check, by the names of the limits.
    n_recorded : int
        Number of frames appended so far.

    Raises
    ------
    LimitPassed
        In a call, if a limit is passed and the action is "stop", or if positions are not finite.
    ValueError
        If settings contradict each other, or, in a call, if the model cannot compute a quantity.

    Examples
    --------
    >>> import skpot
    >>> from ase import units
    >>> from ase.md.verlet import VelocityVerlet
    >>> from sklearn.pipeline import make_pipeline
    >>> data = skpot.datasets.load_silicon()
    >>> model = make_pipeline(skpot.SOAP(n_max=4, l_max=3), skpot.SparseGPR(n_sparse=50))
    >>> atoms = data.X_test[0]
    >>> atoms.calc = skpot.Calculator(model.fit(data.X[:20], data.y[:20]))
    >>> dynamics = VelocityVerlet(atoms, 1.0 * units.fs)
    >>> guard = skpot.md.Guard(atoms, max_grade=50.0, min_distance=1.5)
    >>> dynamics.attach(guard, interval=10)
    >>> dynamics.run(20)
    True
    >>> sorted(guard.values)
    ['max_grade', 'min_distance']
    """

    def __init__(
        self,
        atoms: Atoms,
        *,
        max_energy_std: float | None = None,
        max_forces_std: float | None = None,
        max_grade: float | None = None,
        max_temperature: float | None = None,
        min_distance: float | None = None,
        action: str = "stop",
        path: PathLike | None = None,
        calculator: AseCalculator | None = None,
    ) -> None:
        limits = {
            "max_temperature": max_temperature,
            "min_distance": min_distance,
            "max_energy_std": max_energy_std,
            "max_grade": max_grade,
            "max_forces_std": max_forces_std,
        }
        self._limits = {
            name: number(name, limit, above=0.0, high=_HIGHEST.get(name))
            for name, limit in limits.items()
            if limit is not None
        }
        if not self._limits:
            raise InputError(f"no limit is given; give one or more of {', '.join(limits)}")
        if not isinstance(atoms, Atoms):
            raise InputTypeError(f"atoms must be ase.Atoms, got {type(atoms).__name__}")
        choice("action", action, _ACTIONS)
        if action != "stop" and path is None:
            raise InputError(f'action "{action}" needs a path to write frames to')
        if (action == "relabel") != (calculator is not None):
            raise InputError(
                f'action "relabel", and no other, goes with a calculator: got action "{action}" '
                f"and calculator={calculator}"
            )
        if calculator is not None and not hasattr(calculator, "get_property"):
            raise InputTypeError(f"calculator must be one of ASE, got {calculator!r}")
        if path is not None:
            require_xyz(path)
        self.atoms = atoms
        self.action = action
        self.path = path
        self.calculator = calculator
        self.values = {}
        self.n_recorded = 0
        self._recorded_bytes = 0

    def look(self) -> dict[str, float]:
        """Compute what is limited and return it as `values`, without acting."""
        self.values = {name: self._measure(name) for name in self._limits}
        return self.values

    def __call__(self):
        """Check the limits and act if one is passed."""
        self.look()
        passed = [
            f"{name} {limit:g} is passed: {self.values[name]:.4g}"
            for name, limit in self._limits.items()
            if not self._within(name, limit)
        ]
        if not passed:
            return
        reason = ", ".join(passed)
        finite = np.isfinite(self.atoms.positions).all()
        if self.path is not None and finite:
            self._record(reason)
        if self.action == "stop" or not finite:
            raise LimitPassed(reason)

    def _within(self, name, limit):
        value = self.values[name]
        return value >= limit if name.startswith("min") else value <= limit  # False for NaN

    def _measure(self, name):
        atoms = self.atoms
        if name == "max_temperature":
            return float(atoms.get_temperature())
        if name == "min_distance":
            return self._closest()
        quantity = _QUANTITIES[name]
        if atoms.calc is None:
            raise InputError(f"{name} limits {quantity}, but atoms have no calculator")
        try:
            value = np.max(atoms.calc.get_property(quantity, atoms))
        except PropertyNotImplementedError as error:
            raise InputError(f"this model gives no {quantity}, which {name} limits") from error
        return float(value) / (len(atoms) if name == "max_energy_std" else 1)

    def _closest(self):
        """Return the smallest distance, or infinity if none is below the limit."""
        if not np.isfinite(self.atoms.positions).all():
            return np.nan
        pairs = as_batch([self.atoms], search_follows=True).search(self._limits["min_distance"])[0]
        return float(np.sqrt(closest_squared(pairs.vector)))

    def _record(self, reason):
        frame = self.atoms.copy()
        frame.info = {"guard": reason}
        if self.calculator is not None:
            energy, forces, stress = labels_by(self.calculator, [frame])[0]
            labels = {"energy": energy, "forces": forces, "stress": stress}
            frame.calc = SinglePointCalculator(
                frame, **{name: label for name, label in labels.items() if label is not None}
            )
        file = FrameFile(self.path, begin=self._recorded_bytes)
        try:
            file.append(frame)
            file.sync()
        finally:
            file.close()
        self.n_recorded += 1
        self._recorded_bytes = file.length
