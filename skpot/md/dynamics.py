"""Molecular dynamics with a fitted model by integrators of ASE."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from ase import units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.md.bussi import Bussi
from ase.md.verlet import VelocityVerlet
from threadpoolctl import threadpool_limits

from .._parameters import choice, number, whole
from ..data import cell_volumes, check_structures, read_frames
from ..exceptions import EngineError, InputError, MissingDependencyError, NumericalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.md._guard import Guard
    from skpot.md.checkpoint import Checkpoint
    from skpot.md.frames import TrajectoryFile
    from skpot.typing import Atoms, PathLike, RandomState

ENSEMBLES = ("nve", "nvt", "npt")
THERMOSTAT_TIME, BAROSTAT_TIME = 100.0, 1000.0  # fs
_LARGE = 500  # largest number of atoms for which the uncertainty of each logged step is computed


class BlowUp(EngineError):
    """Energy, positions or temperature of a run are not physical any more."""


@dataclass
class Trace:
    """What a run has recorded, with one entry for each logged step; energies are per atom."""

    time: list = field(default_factory=list)  # ps
    potential: list = field(default_factory=list)  # eV/atom
    total: list = field(default_factory=list)  # eV/atom
    temperature: list = field(default_factory=list)  # K
    energy_std: list = field(default_factory=list)  # eV/atom, NaN if the calculator has none
    volume: list = field(default_factory=list)  # Å³/atom, NaN without cell

    def drift(self, first: int = 0) -> float:
        """Return the change of the total energy along a straight line fitted to it, meV/atom."""
        time, total = self.time[first:], self.total[first:]
        if len(time) < 3:
            return 0.0
        return float(1000.0 * np.polyfit(time, total, 1)[0] * (time[-1] - time[0]))

    def add(self, time: float, atoms: Atoms) -> None:
        """Append the present state."""
        n = len(atoms)
        potential = atoms.get_potential_energy()
        self.time.append(time)
        self.potential.append(potential / n)
        self.total.append((potential + atoms.get_kinetic_energy()) / n)
        self.temperature.append(atoms.get_temperature())
        self.energy_std.append(_energy_std(atoms) / n)
        self.volume.append(cell_volumes([atoms.cell.array])[0] / n)


def _energy_std(atoms):
    """Return the standard deviation of the energy (eV), or NaN if there is none.

    It is NaN for many atoms, too, because it takes time in proportion to the pairs of atoms.
    """
    if "energy_std" not in atoms.calc.implemented_properties or len(atoms) > _LARGE:
        return np.nan
    return atoms.calc.get_property("energy_std", atoms)


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
) -> Trace:
    """Run molecular dynamics, which moves the atoms.

    Parameters
    ----------
    atoms : Atoms
        Atoms with calculator and velocities.
    steps : int
        Number of steps, including those before the checkpoint.
    ensemble : {"nve", "nvt", "npt"}, default="nve"
        "nve" is velocity Verlet. "nvt" adds stochastic velocity rescaling (G. Bussi et al., J.
        Chem. Phys. 126, 014101 (2007)). "npt" is the isotropic integrator by Martyna, Tobias and
        Klein, for three periodic directions.
    temperature : float, default=300.0
        In K. The run ends with an error if it gets much hotter than that.
    pressure : float, default=0.0
        In GPa.
    timestep : float, default=1.0
        In fs.
    interval : int, default=10
        Steps between entries of the trace and frames of the trajectory.
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
        Called at each entry.

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
    check_settings(steps, ensemble, temperature, pressure, timestep, interval, random_state)
    check_start(atoms, ensemble)
    trace = Trace() if trace is None else trace
    started = trace.time[-1] if trace.time else 0.0
    limit = 10.0 * max(temperature, atoms.get_temperature()) + 1000.0
    dynamics = _integrator(atoms, ensemble, temperature, pressure, timestep, random_state)
    continued = bool(trace.time)
    if checkpoint is not None:
        continued |= checkpoint.restore(dynamics)
    if dynamics.nsteps > steps:
        raise InputError(
            f"{dynamics.nsteps} steps are done already, more than the {steps} asked for"
        )

    def watch():
        step = dynamics.nsteps
        _refuse_blow_up(atoms, step, limit)
        if step % interval or (step == 0 and continued):  # the trace has this state already
            return
        trace.add(started + step * timestep / 1000.0, atoms)
        if trajectory is not None:
            trajectory.write(atoms, trace)
        if checkpoint is not None:
            checkpoint.save(dynamics, trajectory)
        if on_step is not None:
            on_step(step, trace)
        if guard is not None:
            guard()

    # Products of small matrices are faster on one thread of BLAS.
    blas_threads = 1 if len(atoms) < 500 else None
    with threadpool_limits(blas_threads, user_api="blas"):
        for _ in _steps(dynamics, steps - dynamics.nsteps):
            watch()
    return trace


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
    steps: int,
    ensemble: str,
    temperature: float,
    pressure: float,
    timestep: float,
    interval: int,
    random_state: RandomState,
) -> None:
    """Refuse parameters of `run` that are not possible."""
    whole("steps", steps, low=0)
    choice("ensemble", ensemble, ENSEMBLES)
    number("temperature", temperature, low=0.0, unit="K")
    if ensemble != "nve":  # a thermostat rescales velocities, so that they must not vanish
        number(f"temperature of {ensemble}", temperature, above=0.0, unit="K")
    number("pressure", pressure, unit="GPa")
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


def _integrator(atoms, ensemble, *settings):
    try:
        return _integrator_of_ase(atoms, ensemble, *settings)
    except (ValueError, NotImplementedError, AssertionError) as error:
        raise InputError(f"ASE's integrator for {ensemble} refuses these atoms: {error}") from error


def _integrator_of_ase(atoms, ensemble, temperature, pressure, timestep, random_state):
    dt = timestep * units.fs
    if ensemble == "nve":
        return VelocityVerlet(atoms, dt)
    if ensemble == "nvt":
        return Bussi(
            atoms,
            dt,
            temperature_K=temperature,
            taut=THERMOSTAT_TIME * units.fs,
            rng=np.random.default_rng(random_state),
        )
    try:
        from ase.md.nose_hoover_chain import IsotropicMTKNPT
    except ImportError as error:
        raise MissingDependencyError(
            "npt needs a newer ASE: python -m pip install -U ase"
        ) from error
    return IsotropicMTKNPT(
        atoms,
        dt,
        temperature_K=temperature,
        pressure_au=pressure * units.GPa,
        tdamp=THERMOSTAT_TIME * units.fs,
        pdamp=BAROSTAT_TIME * units.fs,
    )
