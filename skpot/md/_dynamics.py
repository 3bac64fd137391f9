"""Molecular dynamics with a fitted model: ASE's integrators and a trace."""

from dataclasses import dataclass, field

import numpy as np
from ase import units
from ase.io import read
from ase.md.bussi import Bussi
from ase.md.verlet import VelocityVerlet
from threadpoolctl import threadpool_limits

from ..exceptions import EngineError, InputError, MissingDependencyError

ENSEMBLES = ("nve", "nvt", "npt")
THERMOSTAT_TIME, BAROSTAT_TIME = 100.0, 1000.0  # fs
_LARGE = 500  # atoms up to which logged steps have an uncertainty


class BlowUp(EngineError):
    """The run has left the range in which its numbers mean anything."""


@dataclass
class Trace:
    """What a run recorded, one entry a logged step; energies per atom."""

    time: list = field(default_factory=list)  # ps
    potential: list = field(default_factory=list)  # eV/atom
    total: list = field(default_factory=list)  # eV/atom
    temperature: list = field(default_factory=list)  # K
    energy_std: list = field(default_factory=list)  # eV/atom, NaN if the calculator has none
    volume: list = field(default_factory=list)  # Å³/atom, NaN without cell

    def drift(self, first=0):
        """Return the change of the total energy along its straight-line fit, meV/atom."""
        time, total = self.time[first:], self.total[first:]
        if len(time) < 3:
            return 0.0
        return float(1000.0 * np.polyfit(time, total, 1)[0] * (time[-1] - time[0]))

    def add(self, time, atoms):
        """Record the present state."""
        n = len(atoms)
        potential = atoms.get_potential_energy()
        self.time.append(time)
        self.potential.append(potential / n)
        self.total.append((potential + atoms.get_kinetic_energy()) / n)
        self.temperature.append(atoms.get_temperature())
        self.energy_std.append(_energy_std(atoms) / n)
        self.volume.append(atoms.cell.volume / n if atoms.cell.rank == 3 else np.nan)


def _energy_std(atoms):
    """Return the standard deviation of the energy (eV), NaN where there is none or it takes long.

    It compares all pairs of atoms.
    """
    if "energy_std" not in atoms.calc.implemented_properties or len(atoms) > _LARGE:
        return np.nan
    return atoms.calc.get_property("energy_std", atoms)


def read_structure(path, index=-1):
    """Read one structure, with velocities if the file has any, without its calculator."""
    atoms = read(path, index=index)
    atoms.calc = None
    return atoms


def thermalise(atoms, temperature, random_state=0):
    """Give atoms random velocities (K), unless they have some; return whether it did."""
    if atoms.get_kinetic_energy() > 0:
        return False
    rng = np.random.default_rng(random_state)
    masses = atoms.get_masses()[:, None]
    momenta = rng.normal(size=(len(atoms), 3)) * np.sqrt(masses * units.kB * temperature)
    if len(atoms) > 1:
        momenta -= masses * momenta.sum(axis=0) / masses.sum()  # the whole stays where it is
    atoms.set_momenta(momenta)
    return True


def run(
    atoms,
    steps,
    *,
    ensemble="nve",
    temperature=300.0,
    pressure=0.0,
    timestep=1.0,
    interval=10,
    trajectory=None,
    on_step=None,
    random_state=0,
    trace=None,
    checkpoint=None,
    guard=None,
):
    """Run molecular dynamics; atoms move.

    Parameters
    ----------
    atoms : Atoms
        With calculator and velocities.
    steps : int
        Number of steps, those before the checkpoint included.
    ensemble : {"nve", "nvt", "npt"}, default="nve"
        Velocity Verlet; with stochastic velocity rescaling (G. Bussi et al., J. Chem. Phys. 126,
        014101 (2007)); or isotropic Martyna-Tobias-Klein.
    temperature : float, default=300.0
        In K; also sets what counts as blown up.
    pressure : float, default=0.0
        In GPa.
    timestep : float, default=1.0
        In fs.
    interval : int, default=10
        Steps between entries of the trace and frames of the trajectory.
    trajectory : TrajectoryFile, optional
        Where frames go.
    on_step : callable, optional
        Called with (step, trace) at each entry.
    random_state : int, default=0
        Seed of the thermostat.
    trace : Trace, optional
        To append to.
    checkpoint : Checkpoint, optional
        Where the state goes with the frames of the trajectory; and whence, if it has been loaded.
    guard : Guard, optional
        Looks at each entry.

    Returns
    -------
    trace : Trace

    Raises
    ------
    BlowUp
        If an energy is not finite, atoms meet or the temperature leaves all bounds.
    LimitPassed
        By the guard.
    """
    trace = Trace() if trace is None else trace
    started = trace.time[-1] if trace.time else 0.0
    limit = 10.0 * max(temperature, atoms.get_temperature()) + 1000.0
    dynamics = _integrator(atoms, ensemble, temperature, pressure, timestep, random_state)
    continued = bool(trace.time)
    if checkpoint is not None:
        continued |= checkpoint.restore(dynamics)

    def watch():
        step = dynamics.nsteps
        energy, hot = atoms.get_potential_energy(), atoms.get_temperature()
        if not (np.isfinite(energy) and np.isfinite(hot)):
            raise BlowUp(f"step {step}: the energy is {energy} eV and the temperature {hot} K")
        if hot > limit:
            raise BlowUp(f"step {step}: the temperature is {hot:.0f} K, above {limit:.0f} K")
        if step % interval or (step == 0 and continued):  # which begins recorded
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

    dynamics.attach(watch, interval=1)
    # Matrices of a few hundred rows gain nothing from BLAS threads and much from their absence.
    blas_threads = 1 if len(atoms) < 500 else None
    try:
        with threadpool_limits(blas_threads, user_api="blas"):
            dynamics.run(steps - dynamics.nsteps)
    except (ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
        # The checks of structures: not finite, or two atoms at one place.
        raise BlowUp(f"step {dynamics.nsteps}: {error}") from error
    return trace


def _integrator(atoms, ensemble, temperature, pressure, timestep, random_state):
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
    if ensemble != "npt":
        raise InputError(f"ensemble must be one of {ENSEMBLES}, got {ensemble!r}")
    if not atoms.pbc.all():
        raise InputError(f"npt needs three periodic directions, got pbc={atoms.pbc.tolist()}")
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
