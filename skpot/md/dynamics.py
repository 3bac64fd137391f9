"""Molecular dynamics with a fitted model by integrators of ASE."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from ase.calculators.calculator import PropertyNotImplementedError
from threadpoolctl import threadpool_limits

from .._parameters import number, whole
from ..data import cell_volumes, check_structures, read_frames
from ..exceptions import EngineError, InputError, NumericalError
from ._guard import LimitPassed
from ._integrators import BAROSTAT_TIME, THERMOSTAT_TIME, Ensemble, integrator, set_temperature
from ._trust import closest_distance, largest

if TYPE_CHECKING:
    from collections.abc import Callable

    from skpot.md._guard import Guard
    from skpot.md.checkpoint import Checkpoint
    from skpot.md.frames import TrajectoryFile
    from skpot.typing import Atoms, PathLike, RandomState

_CHECKED = 20  # largest number of steps between two calls of a guard
_DEVIATIONS = 1000  # steps between standard deviations, which take many times as long as a step


class BlowUp(EngineError):
    """Energy, positions or temperature of a run are not physical any more."""


@dataclass
class Trace:
    """What a run has recorded, with one entry for each logged step; energies are per atom."""

    time: list = field(default_factory=list)  # ps
    potential: list = field(default_factory=list)  # eV/atom
    total: list = field(default_factory=list)  # eV/atom
    temperature: list = field(default_factory=list)  # K
    energy_std: list = field(default_factory=list)  # eV/atom, NaN where it was not computed
    forces_std: list = field(default_factory=list)  # eV/Å, the largest component; NaN likewise
    grade: list = field(default_factory=list)  # the largest, NaN if the calculator has none
    distance: list = field(default_factory=list)  # Å, the smallest
    volume: list = field(default_factory=list)  # Å³/atom, NaN without cell

    def drift(self, first: int = 0) -> float:
        """Return the change of the total energy along a straight line fitted to it, meV/atom."""
        time, total = self.time[first:], self.total[first:]
        if len(time) < 3:
            return 0.0
        return float(1000.0 * np.polyfit(time, total, 1)[0] * (time[-1] - time[0]))

    def add(self, time: float, atoms: Atoms, deviations: bool = True) -> None:
        """Append the present state; without `deviations`, those that take long are NaN."""
        n, quick = len(atoms), getattr(atoms.calc, "quick_forces_std", False)
        potential = atoms.get_potential_energy()
        self.time.append(time)
        self.potential.append(potential / n)
        self.total.append((potential + atoms.get_kinetic_energy()) / n)
        self.temperature.append(atoms.get_temperature())
        self.forces_std.append(largest(atoms, "forces_std") if deviations or quick else np.nan)
        self.energy_std.append(largest(atoms, "energy_std") / n if deviations else np.nan)
        self.grade.append(largest(atoms, "extrapolation_grade"))
        self.distance.append(closest_distance(atoms))
        self.volume.append(cell_volumes([atoms.cell.array])[0] / n)


def read_structure(path: PathLike, index: int = -1) -> Atoms:
    """Read one structure, with velocities if the file has any, without its calculator."""
    frames = read_frames(path, index)
    frames[-1].calc = None
    return frames[-1]


def thermalize(atoms: Atoms, temperature: float, random_state: RandomState = 0) -> bool:
    """Give atoms without velocities random ones (K); return whether they got some."""
    if atoms.get_kinetic_energy() > 0:
        return False
    rng = np.random.default_rng(random_state)
    masses = atoms.get_masses()[:, None]
    momenta = rng.normal(size=(len(atoms), 3)) * np.sqrt(masses * units.kB * temperature)
    if len(atoms) > 1:
        momenta -= masses * momenta.sum(axis=0) / masses.sum()  # the center of mass is at rest
    atoms.set_momenta(momenta)
    return True


def run(
    atoms: Atoms,
    steps: int,
    *,
    ensemble: str = "nve",
    temperature: float = 300.0,
    pressure: float = 0.0,
    timestep: float = 1.0,
    interval: int = 10,
    trajectory: TrajectoryFile | None = None,
    on_step: Callable[..., Any] | None = None,
    random_state: int = 0,
    trace: Trace | None = None,
    checkpoint: Checkpoint | None = None,
    guard: Guard | None = None,
    thermostat: str = "bussi",
    barostat: str = "isotropic",
    thermostat_time: float = THERMOSTAT_TIME,
    barostat_time: float = BAROSTAT_TIME,
    last_temperature: float | None = None,
) -> Trace:
    """Run molecular dynamics, which moves the atoms.

    Parameters
    ----------
    atoms : Atoms
        Atoms with calculator and velocities.
    steps : int
        Number of steps, including those before the checkpoint.
    ensemble : {"nve", "nvt", "npt"}, default="nve"
        "nve" is velocity Verlet. "nvt" adds a thermostat. "npt" is the integrator by Martyna,
        Tobias and Klein, with Nosé-Hoover chains, for three periodic directions.
    temperature : float, default=300.0
        In K. The run ends with an error if it gets much hotter than that.
    pressure : float, default=0.0
        In GPa.
    timestep : float, default=1.0
        In fs.
    interval : int, default=10
        Steps between entries of the trace and frames of the trajectory. Standard deviations that
        take many times as long as a step are computed for the first and for those of every 1000
        steps; those of forces for every entry if the calculator has `draws`.
    trajectory : TrajectoryFile, optional
        The file for frames.
    on_step : callable, optional
        Called with (step, trace) at each entry.
    random_state : int, default=0
        Seed of the thermostat.
    trace : Trace, optional
        The trace to append to.
    checkpoint : Checkpoint, optional
        The file for the state, which is written with each frame. If it was loaded, the run starts
        from its state.
    guard : Guard, optional
        Called at each entry, and every 20 steps at least. If it ends the run, the last frame is
        an entry, too.
    thermostat : {"bussi", "langevin", "nose-hoover"}, default="bussi"
        Of "nvt": stochastic velocity rescaling (G. Bussi et al., J. Chem. Phys. 126, 014101
        (2007)), Langevin dynamics, or Nosé-Hoover chains.
    barostat : {"isotropic", "full"}, default="isotropic"
        Of "npt": whether all cell vectors have one factor, or the whole cell changes.
    thermostat_time, barostat_time : float, default=100.0 and 1000.0
        Time constants in fs; of Langevin dynamics the inverse of the friction.
    last_temperature : float, optional
        Temperature in K at the last step; it changes in proportion to time. For "nvt" with the
        thermostats "bussi" and "langevin".

    Returns
    -------
    trace : Trace

    Raises
    ------
    ValueError
        If a parameter is not possible, or no run can start with these atoms, for example because
        the model does not know a species.
    BlowUp
        If an energy is not finite, atoms meet, or the temperature is far too high.
    LimitPassed
        If a limit of the guard is passed.
    """
    heat = Ensemble(
        ensemble, temperature, pressure, thermostat, barostat, thermostat_time, barostat_time,
        last_temperature,
    )  # fmt: skip
    check_settings(steps, heat, timestep, interval, random_state)
    check_start(atoms, ensemble)
    trace = Trace() if trace is None else trace
    started = trace.time[-1] if trace.time else 0.0
    limit = 10.0 * max(heat.hottest, atoms.get_temperature()) + 1000.0
    dynamics = integrator(atoms, heat, timestep, random_state)
    continued = bool(trace.time)
    if checkpoint is not None:
        continued |= checkpoint.restore(dynamics)
    if dynamics.nsteps > steps:
        raise InputError(
            f"{dynamics.nsteps} steps are done already, more than the {steps} asked for"
        )
    watch = _Watch(
        dynamics, trace, started, continued, timestep, interval, trajectory, on_step, checkpoint,
        guard,
    )  # fmt: skip
    # Products of small matrices are faster on one thread of BLAS.
    blas_threads = 1 if len(atoms) < 500 else None
    with threadpool_limits(blas_threads, user_api="blas"):
        for _ in _steps(dynamics, steps - dynamics.nsteps):
            _refuse_blow_up(atoms, dynamics.nsteps, limit)
            if last_temperature is not None:
                set_temperature(dynamics, heat.temperature_at(dynamics.nsteps / max(steps, 1)))
            watch()
    return trace


@dataclass
class _Watch:
    """What happens after each step: entries of the trace, frames, checks of the guard."""

    dynamics: Any
    trace: Trace
    started: float  # ps, time before the first step
    continued: bool  # whether the trace has the state before the first step already
    timestep: float  # fs
    interval: int
    trajectory: Any
    on_step: Any
    checkpoint: Any
    guard: Any

    def __call__(self) -> None:
        """Look at the present state."""
        step = self.dynamics.nsteps
        entry = step % self.interval == 0
        if entry and not (step == 0 and self.continued):
            self._enter(step)
            if self.checkpoint is not None:
                self.checkpoint.save(self.dynamics, self.trajectory)
            if self.on_step is not None:
                self.on_step(step, self.trace)
        if self.guard is not None and (entry or step % min(self.interval, _CHECKED) == 0):
            self._check(step, entry)

    def _check(self, step, entry):
        try:
            self.guard()
        except LimitPassed as error:
            if not entry:
                self._enter(step)
            raise LimitPassed(f"step {step}: {error}") from error

    def _enter(self, step):
        deviations = self.interval * -(-_DEVIATIONS // self.interval)
        time = self.started + step * self.timestep / 1000.0
        self.trace.add(time, self.dynamics.atoms, step % deviations == 0)
        if self.trajectory is not None:
            self.trajectory.write(self.dynamics.atoms, self.trace)


def _refuse_blow_up(atoms, step, limit):
    """Refuse an energy that is not finite, and a temperature above the limit (K)."""
    energy, hot = atoms.get_potential_energy(), atoms.get_temperature()
    if not (np.isfinite(energy) and np.isfinite(hot)):
        raise BlowUp(f"step {step}: the energy is {energy} eV and the temperature {hot} K")
    if hot > limit:
        raise BlowUp(f"step {step}: the temperature is {hot:.0f} K, above {limit:.0f} K")


def _steps(dynamics, n):
    """Do n steps; yield at the start of a new run and after each step."""
    first, states = dynamics.nsteps, dynamics.irun(n)
    while True:
        try:
            next(states)
        except StopIteration:
            return
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            # Structures are refused if positions are not finite or two atoms meet.
            raise BlowUp(f"step {dynamics.nsteps + 1}: {error}") from error
        if dynamics.nsteps > first or first == 0:
            yield


def check_settings(
    steps: int, ensemble: Ensemble, timestep: float, interval: int, random_state: RandomState
) -> None:
    """Refuse parameters of `run` that are not possible."""
    whole("steps", steps, low=0)
    ensemble.check()
    number("timestep", timestep, above=0.0, unit="fs")
    whole("interval", interval, low=1)
    whole("random_state", random_state, low=0)


def check_start(atoms: Atoms, ensemble: str) -> None:
    """Refuse atoms with which no run can start.

    Parameters
    ----------
    atoms : ase.Atoms
        Atoms with calculator and velocities. Energy and forces are computed.
    ensemble : str
        The ensemble; "npt" needs three periodic directions and stress.
    """
    check_structures([atoms])
    if atoms.calc is None:
        raise InputError("atoms have no calculator: atoms.calc = skpot.Calculator(model)")
    masses, momenta = atoms.get_masses(), atoms.get_momenta()
    if not (np.isfinite(masses) & (masses > 0.0)).all():
        raise InputError(f"masses must be positive, got {masses.min():g} u")
    if not np.isfinite(momenta).all():
        raise InputError("velocities of the start structure are not finite")
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise NumericalError(
            f"the energy of the start structure is {energy} eV, or its forces are not finite"
        )
    if ensemble == "npt":
        _check_barostat(atoms)


def _check_barostat(atoms):
    if not atoms.pbc.all():
        raise InputError(
            f"npt needs three periodic directions, got pbc={atoms.pbc.tolist()}: it scales all "
            "cell vectors by one factor, and vacuum would be compressed. Use nvt with a cell that "
            "was relaxed before (ase.filters.FrechetCellFilter with mask), or in Python "
            "ase.md.nptberendsen.Inhomogeneous_NPTBerendsen, which can leave directions out."
        )
    try:
        atoms.get_stress()
    except PropertyNotImplementedError as error:
        raise InputError("npt needs stress, which this calculator cannot compute") from error
