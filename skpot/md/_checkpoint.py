"""The state of a run, in a file from which it goes on."""

import io
import json
import os
import time
import zipfile

import numpy as np

from ..exceptions import InputError
from ._frames import replace_file

_PAUSE = 0.2  # s between checkpoints at least: each waits for the disk


class Checkpoint:
    """Writes the state of a run beside its trajectory, and puts it back.

    Parameters
    ----------
    path : str or Path
        The file.
    settings : dict
        What must be the same when the run goes on; numbers and strings.

    Attributes
    ----------
    step : int
        Steps done before, 0 unless a file was loaded.
    """

    def __init__(self, path, settings):
        self.path = os.fspath(path)
        self._settings = json.loads(json.dumps(settings))
        self._state = None
        self.step = 0
        self._last = -np.inf

    def load(self, atoms):
        """Read the file and put atoms where they were; return bytes of the trajectory."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                state = dict(file)
            header = json.loads(str(state["header"]))
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise InputError(f"{self.path} is no checkpoint of a run") from error
        if not np.array_equal(state["numbers"], atoms.numbers):
            raise InputError(f"{self.path} is of a run of other atoms than these {len(atoms)}")
        differing = [
            f"{name} {value} (now {self._settings.get(name)})"
            for name, value in header["settings"].items()
            if value != self._settings.get(name)
        ]
        if differing:
            raise InputError(f"{self.path} is of a run with {', '.join(differing)}")
        atoms.set_cell(state["cell"])
        atoms.set_pbc(state["pbc"])
        atoms.set_positions(state["positions"])
        atoms.set_momenta(state["momenta"])
        self._state, self.step = header | {"arrays": state}, header["step"]
        return header["length"]

    def restore(self, dynamics):
        """Put the integrator where it was, if a state has been loaded; return whether one has."""
        if self._state is None:
            return False
        dynamics.nsteps = self.step
        for name, part in _parts(dynamics).items():
            for key in _variables(part):
                setattr(part, key, self._state["arrays"][f"{name}.{key}"][()])
        if self._state["random"] is not None:
            dynamics.rng.bit_generator.state = self._state["random"]
        return True

    def save(self, dynamics, trajectory, force=False):
        """Write the state, unless that was done a moment ago.

        Parameters
        ----------
        dynamics : MolecularDynamics
            The integrator.
        trajectory : TrajectoryFile
            Its frames so far belong to the state.
        force : bool, default=False
            Whether to write in any case.
        """
        if time.monotonic() < self._last + _PAUSE and not force:
            return
        atoms = dynamics.atoms
        generator = getattr(dynamics, "rng", None)
        header = {
            "settings": self._settings,
            "step": dynamics.nsteps,
            "length": trajectory.sync(),
            "random": None if generator is None else generator.bit_generator.state,
        }
        arrays = {
            f"{name}.{key}": getattr(part, key)
            for name, part in _parts(dynamics).items()
            for key in _variables(part)
        }
        data = io.BytesIO()
        np.savez(
            data,
            header=np.array(json.dumps(header)),
            numbers=atoms.numbers,
            pbc=atoms.pbc,
            cell=atoms.cell.array,
            positions=atoms.positions,
            momenta=atoms.get_momenta(),
            **arrays,
        )
        replace_file(self.path, data.getvalue())
        self._last = time.monotonic()

    def remove(self):
        """Delete the file: the run is complete."""
        if os.path.exists(self.path):
            os.unlink(self.path)


def _parts(dynamics):
    """Return the objects in which an integrator of ASE keeps its state."""
    parts = {"dynamics": dynamics}
    for name in ("_thermostat", "_barostat"):
        if hasattr(dynamics, name):
            parts[name] = getattr(dynamics, name)
    return parts


def _variables(part):
    """Return the names of floats and arrays of floats: state, and constants that stay the same."""
    return [
        key
        for key, value in vars(part).items()
        if isinstance(value, float)
        or (isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating))
    ]
