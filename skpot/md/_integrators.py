"""Thermostats and barostats of ASE by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase import units
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet

from .._parameters import choice, number
from ..exceptions import InputError, MissingDependencyError

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import Atoms

ENSEMBLES = ("nve", "nvt", "npt")
THERMOSTATS = ("bussi", "langevin", "nose-hoover")
BAROSTATS = ("isotropic", "full")
THERMOSTAT_TIME, BAROSTAT_TIME = 100.0, 1000.0  # fs


class Ensemble(NamedTuple):
    """What is held constant in a run, and how."""

    name: str = "nve"
    temperature: float = 300.0  # K, at the first step
    pressure: float = 0.0  # GPa
    thermostat: str = "bussi"
    barostat: str = "isotropic"
    thermostat_time: float = THERMOSTAT_TIME  # fs
    barostat_time: float = BAROSTAT_TIME  # fs
    last_temperature: float | None = None  # K, at the last step; None for a constant one

    def check(self) -> None:
        """Refuse settings that no ensemble can have."""
        choice("ensemble", self.name, ENSEMBLES)
        choice("thermostat", self.thermostat, THERMOSTATS)
        choice("barostat", self.barostat, BAROSTATS)
        number("temperature", self.temperature, low=0.0, unit="K")
        number("pressure", self.pressure, unit="GPa")
        number("thermostat_time", self.thermostat_time, above=0.0, unit="fs")
        number("barostat_time", self.barostat_time, above=0.0, unit="fs")
        if self.name != "nve":  # a thermostat rescales velocities, so that they must not vanish
            number(f"temperature of {self.name}", self.temperature, above=0.0, unit="K")
        if self.last_temperature is None:
            return
        number("last_temperature", self.last_temperature, above=0.0, unit="K")
        if self.name != "nvt" or self.thermostat == "nose-hoover":
            raise InputError(
                "the temperature can change in nvt with the thermostats bussi and langevin only: "
                "Nosé-Hoover chains of ASE, which npt has too, are made for one temperature."
            )

    def temperature_at(self, done: float) -> float:
        """Return the temperature (K) when this share of the steps is done."""
        last = self.temperature if self.last_temperature is None else self.last_temperature
        return self.temperature + done * (last - self.temperature)

    @property
    def hottest(self) -> float:
        """Highest temperature (K) that is asked for."""
        return max(self.temperature, self.last_temperature or 0.0)


def integrator(atoms: Atoms, ensemble: Ensemble, timestep: float, random_state: int) -> Any:
    """Return the integrator of ASE, for steps of `timestep` (fs)."""
    try:
        return _of_ase(atoms, ensemble, timestep * units.fs, random_state)
    except (ValueError, NotImplementedError, AssertionError) as error:
        raise InputError(
            f"ASE's integrator for {ensemble.name} refuses these atoms: {error}"
        ) from error


def _of_ase(atoms, ensemble, dt, random_state):
    if ensemble.name == "nve":
        return VelocityVerlet(atoms, dt)
    heat = {"temperature_K": ensemble.temperature}
    tau = ensemble.thermostat_time * units.fs
    if ensemble.name == "npt":
        kind = "IsotropicMTKNPT" if ensemble.barostat == "isotropic" else "MTKNPT"
        pressure = ensemble.pressure * units.GPa
        pdamp = ensemble.barostat_time * units.fs
        return _chain(kind)(atoms, dt, pressure_au=pressure, tdamp=tau, pdamp=pdamp, **heat)
    if ensemble.thermostat == "nose-hoover":
        return _chain("NoseHooverChainNVT")(atoms, dt, tdamp=tau, **heat)
    rng = np.random.default_rng(random_state)
    if ensemble.thermostat == "langevin":
        # With fixcm, which is the default, ASE warns that temperatures are not quite right.
        return Langevin(atoms, dt, friction=1.0 / tau, rng=rng, fixcm=False, **heat)
    return Bussi(atoms, dt, taut=tau, rng=rng, **heat)


def _chain(name):
    """Return an integrator with Nosé-Hoover chains."""
    from ase.md import nose_hoover_chain

    try:
        return getattr(nose_hoover_chain, name)
    except AttributeError as error:
        raise MissingDependencyError(
            f"{name} needs a newer ASE: python -m pip install -U ase"
        ) from error


def set_temperature(dynamics: Any, temperature: float) -> None:
    """Change the temperature (K) of `Bussi` or `Langevin`."""
    if isinstance(dynamics, Langevin):
        dynamics.set_temperature(temperature_K=temperature)
        return
    dynamics.temp = temperature * units.kB
    dynamics.target_kinetic_energy = 0.5 * dynamics.temp * dynamics.ndof
