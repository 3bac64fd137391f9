"""The state of a run, in a file from which it goes on."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import time
from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import InputError
from .frames import replace_file

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import Atoms, PathLike

_PAUSE = 0.2  # s between checkpoints at least: each waits for the disk
# Differences from the energy and forces of a saved state, where they are computed again, that
# rounding makes: beyond, another model does. eV per atom and eV/Å.
_SAME_ENERGY, _SAME_FORCES = 1e-6, 1e-4


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
    tail : str or None
        What the trajectory ended with then, see `FrameFile`.
    """

    def __init__(self, path: PathLike, settings: dict[str, Any]) -> None:
        self.path = os.fspath(path)
        self._settings = json.loads(json.dumps(settings))
        self._state = self.tail = None
        self.step = 0
        self._last = -np.inf

    def load(self, atoms: Atoms) -> int | None:
        """Read the file and put atoms where they were; return bytes of the trajectory.

        Nothing is changed if the file is damaged, or of another run or model.
        """
        header, arrays = self._read()
        if not np.array_equal(arrays["numbers"], atoms.numbers):
            raise InputError(f"{self.path} is of a run of other atoms than these {len(atoms)}")
        if not np.array_equal(arrays["masses"], atoms.get_masses()):
            raise InputError(f"{self.path} is of a run of atoms with other masses")
        differing = [
            f"{name} {value} (now {self._settings.get(name)})"
            for name, value in header["settings"].items()
            if value != self._settings.get(name)
        ]
        if differing:
            raise InputError(f"{self.path} is of a run with {', '.join(differing)}")
        if atoms.calc is not None:
            trial = atoms.copy()
            trial.calc = atoms.calc
            _put(trial, arrays)
            self._require_model(trial, header["energy"], arrays["forces"])
        _put(atoms, arrays)
        self._state, self.step = header | {"arrays": arrays}, header["step"]
        self.tail = header["tail"]
        return header["length"]

    def _read(self):
        """Return header and arrays of the file as they were written."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = dict(file)
            found, header = str(arrays.pop("digest")), str(arrays.pop("header"))
        except FileNotFoundError as error:
            raise InputError(f"{self.path}: there is no such checkpoint") from error
        except Exception as error:  # of zip files, compression, arrays and texts
            raise InputError(
                f"{self.path} is no checkpoint of a run, or damaged ({type(error).__name__})"
            ) from error
        if found != _digest(header, arrays):
            raise InputError(f"{self.path} is not as it was written: it is damaged or was changed")
        return json.loads(header), arrays

    def _require_model(self, atoms, energy, forces):
        moved = abs(atoms.get_potential_energy() - energy) / len(atoms)
        turned = np.abs(atoms.get_forces() - forces).max()
        if not (moved <= _SAME_ENERGY and turned <= _SAME_FORCES):
            raise InputError(
                f"{self.path} is of a run with another model: for the same atoms this one gives "
                f"an energy that differs by {moved:.3g} eV/atom, and forces by {turned:.3g} eV/Å"
            )

    def restore(self, dynamics: Any) -> bool:
        """Put the integrator where it was, if a state has been loaded; return whether one has."""
        if self._state is None:
            return False
        arrays = self._state["arrays"]
        values = [
            (part, key, getattr(part, key), arrays.get(f"{name}.{key}"))
            for name, part in _parts(dynamics).items()
            for key in _variables(part)
        ]
        odd = [key for _, key, old, new in values if new is None or np.shape(old) != new.shape]
        generator = getattr(dynamics, "rng", None)
        if odd or (generator is None) != (self._state["random"] is None):
            raise InputError(
                f"{self.path} has no {', '.join(odd) or 'random numbers'} of this integrator: was "
                "it written with another version of ASE?"
            )
        if generator is not None:
            generator.bit_generator.state = self._state["random"]
        for part, key, _, new in values:
            setattr(part, key, new[()])
        dynamics.nsteps = self.step
        return True

    def save(self, dynamics: Any, trajectory: Any, force: bool = False) -> None:
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
            "tail": trajectory.tail(),
            "random": None if generator is None else generator.bit_generator.state,
            "energy": float(atoms.get_potential_energy()),
        }
        arrays = {
            f"{name}.{key}": np.asarray(getattr(part, key))
            for name, part in _parts(dynamics).items()
            for key in _variables(part)
        }
        arrays |= {
            "numbers": atoms.numbers,
            "masses": atoms.get_masses(),
            "pbc": atoms.pbc,
            "cell": atoms.cell.array,
            "positions": atoms.positions,
            "momenta": atoms.get_momenta(),
            "forces": atoms.get_forces(),
        }
        text, data = json.dumps(header), io.BytesIO()
        digest = np.array(_digest(text, arrays))
        np.savez(data, header=np.array(text), digest=digest, **arrays)
        replace_file(self.path, data.getvalue())
        self._last = time.monotonic()

    def remove(self) -> None:
        """Delete the file: the run is complete."""
        for path in (self.path, f"{self.path}.tmp"):  # which a killed process may have left
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _put(atoms, arrays):
    """Move atoms and cell to a state; constraints keep nothing back."""
    atoms.set_cell(arrays["cell"], apply_constraint=False)
    atoms.set_pbc(arrays["pbc"])
    atoms.set_positions(arrays["positions"], apply_constraint=False)
    atoms.set_momenta(arrays["momenta"], apply_constraint=False)


def _digest(header, arrays):
    """Return what changes when anything in a checkpoint does."""
    state = hashlib.blake2b(header.encode(), digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        state.update(f"{name} {array.dtype.str} {array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()


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
