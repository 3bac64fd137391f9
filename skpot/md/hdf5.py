"""Predictions of many structures in one file of HDF5, as flat arrays."""

from __future__ import annotations

import contextlib
import io
import os
import re
import zipfile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._paths import file_name
from ..data.order import content_keys
from ..exceptions import FileError, InputError
from ..persistence import whole_file
from .frames import FrameFile

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import Atoms, PathLike, Structures

_SUFFIXES = (".h5", ".hdf5")
_LOCK = "lock"
_OWN = re.compile(
    rf"{_LOCK}|[0-9]{{12}}\.npz|\.[0-9]{{12}}\.npz\..*\.tmp"
)  # files of a folder of parts


class _Column(NamedTuple):
    """What there is one of for each atom or structure."""

    of_atoms: bool
    shape: tuple[int, ...]
    unit: str


_COLUMNS = {
    "energy": _Column(False, (), "eV"),
    "forces": _Column(True, (3,), "eV/Å"),
    "stress": _Column(False, (6,), "eV/Å³"),
    "energy_std": _Column(False, (), "eV"),
    "forces_std": _Column(True, (3,), "eV/Å"),
    "stress_std": _Column(False, (6,), "eV/Å³"),
    "energies_std": _Column(True, (), "eV"),
    "extrapolation_grade": _Column(True, (), ""),
}


def is_hdf5(path: PathLike) -> bool:
    """Return whether a file is HDF5 by its name."""
    return os.path.splitext(file_name(path))[1].lower() in _SUFFIXES


def require_h5py() -> Any:
    """Return the package h5py, or say how to install it."""
    try:
        import h5py
    except ImportError:
        raise InputError(
            'predictions go to HDF5 by h5py: pip install "skpot[hdf5]", or name a file .xyz.'
        ) from None
    return h5py


def hdf5_names(path: PathLike) -> list[str]:
    """Return which predictions a file holds."""
    with require_h5py().File(file_name(path), "r") as file:
        return [name for name in _COLUMNS if name in file]


class Hdf5Part:
    """Predictions on their way to a file: a folder of arrays, one file for each task.

    HDF5 itself is left damaged by a process that is killed as it writes.

    Parameters
    ----------
    out : str or Path
        The file to write in the end.
    """

    def __init__(self, out: PathLike) -> None:
        self._h5py = require_h5py()
        self.out = file_name(out)
        self.path = os.path.splitext(self.out)[0] + ".parts"
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.path)
            others = [name for name in os.listdir(self.path) if not _OWN.fullmatch(name)]
        except OSError as error:
            raise FileError(error.errno, error.strerror, self.path) from error
        if others:  # which would be removed with the folder
            raise InputError(
                f"{self.path}, where predictions are kept until all are done, holds {others[0]}: "
                "name another file to write."
            )
        self._lock = FrameFile(os.path.join(self.path, _LOCK))  # against other processes
        self._n_done = 0

    def _files(self):
        return sorted(name for name in os.listdir(self.path) if name.endswith(".npz"))

    def _remove(self):
        """Remove the folder; if it does not come to an end, the first parts are still there."""
        for name in (*reversed(self._files()), *os.listdir(self.path)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.path, name))
        os.rmdir(self.path)

    def n_done(self, frames: Structures, setting: Any, predict: Any) -> int:
        """Return how many frames are there already; refuse those of something else.

        Parameters
        ----------
        frames : Frames or list[Atoms]
            All that are to be predicted.
        setting : Packed
            What they are predicted by; the last part is the hash of the model.
        predict : callable
            Predicts structures.
        """
        begins, names = 0, self._files()
        keys = content_keys(frames[:]) if names else []
        for name in names:
            with self._opened(name) as part:
                n, begin = len(part["keys"]), int(name.partition(".")[0])
                same = begin == begins and np.array_equal(part["keys"], keys[begin : begin + n])
                if not same:
                    raise self._foreign("predictions of other frames")
                if str(part["model"]) != setting.content()[2]:
                    raise self._foreign("predictions of another model")
                begins = begin + n
                kinds = set(part.files) & set(_COLUMNS)
        if begins:
            wanted = set(_found(*predict([frames[begins - 1]])))
            if any(kind.endswith(("_std", "_grade")) for kind in kinds ^ wanted):
                raise self._foreign("predictions with other deviations")
        self._n_done = begins
        return begins

    @contextlib.contextmanager
    def _opened(self, name):
        """Open a part, or say that it cannot be read."""
        path = os.path.join(self.path, name)
        try:
            part = np.load(path)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise self._foreign(f"{name}, a damaged file ({error})") from error
        with part:
            yield part

    def _foreign(self, what):
        return InputError(
            f"{self.path} holds {what}, which an earlier run has left: remove it to begin anew, or "
            "name another file to write."
        )

    @staticmethod
    def encoded(results: list[Atoms]) -> bytes:
        """Return predicted structures as the bytes of an archive of arrays."""
        arrays: dict[str, Any] = {
            "keys": content_keys(results),
            "model": np.array(results[0].info["skpot_model"]),
            "n_atoms": np.array([len(atoms) for atoms in results]),
            "numbers": np.concatenate([atoms.numbers for atoms in results]).astype(np.uint8),
        }
        found = [_found(atoms) for atoms in results]
        for name in dict.fromkeys(name for one in found for name in one):
            arrays[name] = _column(name, found, arrays["n_atoms"])
        out = io.BytesIO()
        np.savez(out, **arrays)
        return out.getvalue()

    def append(self, n: int, data: bytes) -> None:
        """Write the predictions of n further frames."""
        with whole_file(os.path.join(self.path, f"{self._n_done:012d}.npz")) as file:
            file.write(data)
        self._n_done += n

    def finish(self) -> None:
        """Join all to one file, whole or not at all, and remove the parts."""
        temporary = f"{self.path}.h5"
        try:
            with self._h5py.File(temporary, "w") as file:
                self._join(file)
            with open(temporary, "rb") as written:  # parts go only when it is on the disk
                os.fsync(written.fileno())
            os.replace(temporary, self.out)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        self._remove()

    def _join(self, file):
        names, counts, kinds = self._files(), [], {}
        for name in names:
            with self._opened(name) as part:
                counts.append(part["n_atoms"])
                kinds |= dict.fromkeys(name for name in _COLUMNS if name in part.files)
                file.attrs["skpot_model"] = str(part["model"])
        n_frames, offsets = sum(map(len, counts)), np.cumsum(np.concatenate([[0], *counts]))
        file["offsets"] = offsets
        numbers = file.create_dataset("numbers", (offsets[-1],), np.uint8)
        for name in kinds:
            column = _COLUMNS[name]
            n = offsets[-1] if column.of_atoms else n_frames
            values = file.create_dataset(name, (n, *column.shape), float, fillvalue=np.nan)
            values.attrs["unit"] = column.unit
        begin = 0
        for name, count in zip(names, counts, strict=True):
            end = begin + len(count)
            with self._opened(name) as part:
                numbers[offsets[begin] : offsets[end]] = part["numbers"]
                for kind in kinds:
                    if kind in part.files:
                        first, last = begin, end
                        if _COLUMNS[kind].of_atoms:
                            first, last = offsets[begin], offsets[end]
                        file[kind][first:last] = part[kind]
            begin = end

    def close(self) -> None:
        """Let other processes write the folder, and remove it if there is nothing in it."""
        if os.path.isdir(self.path) and not self._files():
            self._remove()
        self._lock.close()


def _found(atoms):
    """Return the predictions that a structure has."""
    everything = atoms.calc.results | atoms.info | atoms.arrays
    return {name: everything[name] for name in _COLUMNS if name in everything}


def _column(name, found, n_atoms):
    """Return one kind of prediction of several structures, NaN where there is none."""
    column = _COLUMNS[name]
    sizes = [(n, *column.shape) if column.of_atoms else (1, *column.shape) for n in n_atoms]
    return np.concatenate(
        [
            np.reshape(one.get(name, np.full(s, np.nan)), s)
            for one, s in zip(found, sizes, strict=True)
        ]
    )
