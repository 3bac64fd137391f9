"""Files with the state of a run, from which it can be continued."""

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

_PAUSE = 0.2  # smallest time in s between two checkpoints, each of which waits for the disk
# Rounding changes the energy (eV per atom) and the forces (eV/Å) of a saved state by less than
# this. If they change by more, they come from another model.
_SAME_ENERGY, _SAME_FORCES = 1e-6, 1e-4


class Checkpoint:
    """Writes the state of a run to a file beside its trajectory, and restores it.

    Parameters
    ----------
    path : str or Path
        The file.
    settings : dict
        Numbers and strings that must be the same when the run is continued.

    Attributes
    ----------
    step : int
        Number of steps done before; 0 unless a file was loaded.
    tail : str or None
        Digest of the end of the trajectory at that time, see `FrameFile`.
    """

    def __init__(self, path: PathLike, settings: dict[str, Any]) -> None:
        self.path = os.fspath(path)
        self._settings = json.loads(json.dumps(settings))
        self._state = self.tail = None
        self.step = 0
        self._last = -np.inf

    def load(self, atoms: Atoms) -> int | None:
        """Read the file and restore the atoms; return the number of bytes of the trajectory.

        A file that is damaged or comes from another run or model is refused, and changes nothing.
        """
        header, arrays = read_state(self.path)
        if not np.array_equal(arrays["numbers"], atoms.numbers):
            raise InputError(
                f"{self.path} belongs to a run of other atoms than these {len(atoms)}; start with "
                "the same structure"
            )
        if not np.array_equal(arrays["masses"], atoms.get_masses()):
            raise InputError(f"{self.path} belongs to a run of atoms with other masses")
        differing = [
            f"{name} {value} (now {self._settings.get(name)})"
            for name, value in header["settings"].items()
            if value != self._settings.get(name)
        ]
        if differing:
            raise InputError(f"{self.path} belongs to a run with {', '.join(differing)}")
        if atoms.calc is not None:
            trial = atoms.copy()
            trial.calc = atoms.calc
            _put(trial, arrays)
            self._require_model(trial, header["energy"], arrays["forces"])
        _put(atoms, arrays)
        self._state, self.step = header | {"arrays": arrays}, header["step"]
        self.tail = header["tail"]
        return header["length"]

    def _require_model(self, atoms, energy, forces):
        moved = abs(atoms.get_potential_energy() - energy) / len(atoms)
        turned = np.abs(atoms.get_forces() - forces).max()
        if not (moved <= _SAME_ENERGY and turned <= _SAME_FORCES):
            raise InputError(
                f"{self.path} belongs to a run with another model: for the same atoms, the energy "
                f"of this one differs by {moved:.3g} eV/atom and forces by {turned:.3g} eV/Å"
            )

    def restore(self, dynamics: Any) -> bool:
        """Restore the integrator if a state was loaded; return whether that is so."""
        if self._state is None:
            return False
        state = self._state
        restore_integrator(dynamics, state["step"], state["arrays"], state["random"], self.path)
        return True

    def save(self, dynamics: Any, trajectory: Any, force: bool = False) -> None:
        """Write the state, unless it was written a moment ago.

        Parameters
        ----------
        dynamics : MolecularDynamics
            The integrator.
        trajectory : TrajectoryFile
            The trajectory; the checkpoint remembers how many frames it has.
        force : bool, default=False
            Whether to write the state even if it was written a moment ago.
        """
        if time.monotonic() < self._last + _PAUSE and not force:
            return
        atoms = dynamics.atoms
        variables, random = integrator_state(dynamics)
        header = {
            "settings": self._settings,
            "step": dynamics.nsteps,
            "length": trajectory.sync(),
            "tail": trajectory.tail(),
            "random": random,
            "energy": float(atoms.get_potential_energy()),
        }
        arrays = variables | {
            "numbers": atoms.numbers,
            "masses": atoms.get_masses(),
            "pbc": atoms.pbc,
            "cell": atoms.cell.array,
            "positions": atoms.positions,
            "momenta": atoms.get_momenta(),
            "forces": atoms.get_forces(),
        }
        write_state(self.path, header, arrays)
        self._last = time.monotonic()

    def remove(self) -> None:
        """Delete the file, since the run is complete."""
        # A process that was killed may have left a temporary file.
        for path in (self.path, f"{self.path}.tmp"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def integrator_state(dynamics: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the variables of an integrator of ASE by name, and the state of its random numbers."""
    variables = {
        f"{name}.{key}": np.asarray(getattr(part, key))
        for name, part in _parts(dynamics).items()
        for key in _variables(part)
    }
    generator = getattr(dynamics, "rng", None)
    return variables, None if generator is None else generator.bit_generator.state


def restore_integrator(
    dynamics: Any, step: int, arrays: dict[str, Any], random: Any, path: PathLike
) -> None:
    """Set an integrator to what `integrator_state` has returned at a step.

    Raises
    ------
    InputError
        If `arrays`, which may hold other things too, are not those of such an integrator; the
        message names the file `path` that they come from.
    """
    values = [
        (part, key, getattr(part, key), arrays.get(f"{name}.{key}"))
        for name, part in _parts(dynamics).items()
        for key in _variables(part)
    ]
    odd = [key for _, key, old, new in values if new is None or np.shape(old) != new.shape]
    generator = getattr(dynamics, "rng", None)
    if odd or (generator is None) != (random is None):
        raise InputError(
            f"{path} has no {', '.join(odd) or 'random numbers'} of this integrator: was it "
            "written with another version of ASE?"
        )
    if generator is not None:
        generator.bit_generator.state = random
    for part, key, _, new in values:
        setattr(part, key, new[()])
    dynamics.nsteps = step


def write_state(path: PathLike, header: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write the state of a run to a file, all or nothing, with a digest by which it is checked.

    Parameters
    ----------
    path : str or Path
        The file.
    header : dict
        What JSON can express.
    arrays : dict of str to ndarray
        Everything else.
    """
    text, data = json.dumps(header), io.BytesIO()
    digest = np.array(_digest(text, arrays))
    np.savez(data, header=np.array(text), digest=digest, **arrays)
    replace_file(path, data.getvalue())


def read_state(path: PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and arrays of a file; refuse it if they are not as they were written."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        found, header = str(arrays.pop("digest")), str(arrays.pop("header"))
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint {path}") from error
    except Exception as error:  # zip files, compression, arrays and texts raise many kinds
        raise InputError(
            f"{path} is no checkpoint of a run, or it is damaged ({type(error).__name__})"
        ) from error
    if found != _digest(header, arrays):
        raise InputError(f"{path} was changed or damaged since it was written")
    return json.loads(header), arrays


def _put(atoms, arrays):
    """Set atoms and cell to a state, whatever constraints there are."""
    atoms.set_cell(arrays["cell"], apply_constraint=False)
    atoms.set_pbc(arrays["pbc"])
    atoms.set_positions(arrays["positions"], apply_constraint=False)
    atoms.set_momenta(arrays["momenta"], apply_constraint=False)


def _digest(header, arrays):
    """Return a digest of all that is in a checkpoint."""
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
    """Return the names of attributes that are floats or arrays of floats.

    They are the state of the integrator, and constants that do not change.
    """
    return [
        key
        for key, value in vars(part).items()
        if isinstance(value, float)
        or (isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating))
    ]
