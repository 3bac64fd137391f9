"""The audit trail of a run: every label that was paid for, and why, as extended XYZ."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from ase.io.extxyz import key_val_str_to_dict

from .._paths import file_name
from ..exceptions import FileError, InputError
from ..md.frames import FrameFile
from ..persistence import whole_file
from ._labelers import Label, LabelFailed, are_same, text_of

if TYPE_CHECKING:
    from skpot.active._labelers import Labeler
    from skpot.typing import Atoms, FloatArray, PathLike

_LONGEST = 500  # characters of a reason
_MOVED = 1e-6  # Å, by which positions in a file differ from those that were written


class Reason(NamedTuple):
    """Why a structure is labeled, and what the model says of it."""

    reason: str
    leg: int
    step: int
    model: int  # number of the model; -1 before there is one
    temperature: float  # K
    tolerance: float  # eV/Å
    factor: float  # f
    expected: float  # u, eV/Å
    energy: float | None = None  # eV, of the model
    forces: FloatArray | None = None  # (n_atoms, 3) of the model
    forces_std: FloatArray | None = None  # (n_atoms, 3)
    grade: FloatArray | None = None  # (n_atoms,)


class Trail:
    """Files `trail.xyz` and `pending.xyz` of a run, which no other process may write meanwhile.

    A structure is in `pending.xyz`, on the disk, before its labeler starts. Its label is in
    `trail.xyz`, on the disk, before anything is made of it. So a run that was killed knows which
    labels it has. While a label is computed, a hidden file holds the room on the disk that it will
    take, so that it is not lost if the disk is full by then.

    Parameters
    ----------
    folder : str or Path
        The folder of the run.
    """

    def __init__(self, folder: Any) -> None:
        self.path = Path(folder) / "trail.xyz"
        self._pending = Path(folder) / "pending.xyz"
        self._room = Path(folder) / ".room"
        self._file = FrameFile(self.path)
        self.frames: list[Any] = []
        if self._file.length:
            self.frames = read_trail(self.path)

    def close(self) -> None:
        """Let other processes write the files."""
        self._room.unlink(missing_ok=True)
        self._file.close()

    def label(self, atoms: Atoms, number: int, labeler: Labeler, reason: Reason) -> Atoms:
        """Return a structure with its label, which is computed only if the trail has none.

        Parameters
        ----------
        atoms : Atoms
            The structure.
        number : int
            The number of the label, from 0 on.
        labeler : Labeler
            Computes labels.
        reason : Reason
            What is written beside them.

        Returns
        -------
        frame : Atoms
            As read from the file. Its info has "failed" if there is no label.
        """
        if number < len(self.frames):
            found = self.frames[number]
            if not are_same(found, atoms, _MOVED):
                raise InputError(
                    f"{self.path}, frame {number} is not the structure that this run has labeled "
                    "there: was the file changed?"
                )
            return found
        frame = _described(atoms, number, reason)
        with whole_file(self._pending) as file:
            file.write(text_of(frame).encode())
            file.flush()
            os.fsync(file.fileno())
        self._make_room(2 * len(text_of(frame)) + 4096)
        try:
            label = labeler(_plain(atoms), number)
        except Exception as error:  # whatever a program can do wrong
            told = str(error) or type(error).__name__
            kind = "" if isinstance(error, LabelFailed) else f"{type(error).__name__}: "
            frame.info["failed"] = _as_text(f"{kind}{told}")
        else:
            _add(frame, label)
        try:
            self._file.append(frame)
        except FileError:
            self._room.unlink(missing_ok=True)  # which leaves room for it
            self._file.append(frame)
        self._file.sync()
        with contextlib.suppress(FileNotFoundError):
            self._pending.unlink()
        self.frames.append(read(io.StringIO(text_of(frame)), format="extxyz"))
        return self.frames[number]

    def _make_room(self, size):
        """Take so many bytes of the disk."""
        if not self._room.exists() or self._room.stat().st_size < size:
            with whole_file(self._room) as file:
                file.write(bytes(size))


def read_trail(path: PathLike) -> list[Atoms]:
    """Return the frames of a trail, with labels and the reasons for them in their info.

    Parameters
    ----------
    path : str or Path
        The file `trail.xyz` of a run of `OnTheFly`.

    Returns
    -------
    frames : list[Atoms]
        In info: number, reason, leg, step, model (the number of the model that asked, -1 for none),
        temperature (K), tolerance, factor, expected and largest_error (eV/Å), model_e (eV), or
        "failed" with a message. Arrays: forces_std and model_f of that model (eV/Å), and grade.
    """
    return list(read(file_name(path), ":", format="extxyz"))


def _as_text(told):
    """Return a reason such that the header of a frame gives it back, as text."""
    told = "".join(c if c.isprintable() else " " for c in told)
    told = " ".join(told.replace('"', "'").replace("\\", "/").split())[:_LONGEST].strip()
    with contextlib.suppress(ValueError):  # of what looks like JSON
        if key_val_str_to_dict(f'failed="{told}"')["failed"] == told:
            return told
    return f"reason: {told}"  # a number, for example


def _plain(atoms):
    plain = atoms.copy()
    plain.calc = None
    return plain


def _described(atoms, number, reason):
    frame = _plain(atoms)
    frame.info = {"number": number} | {
        name: value
        for name, value in reason._asdict().items()
        if value is not None and not isinstance(value, np.ndarray) and value == value
    }
    if reason.energy is not None:
        frame.info["model_e"] = frame.info.pop("energy")
    for name in ("forces_std", "grade"):
        if getattr(reason, name) is not None:
            frame.arrays[name] = np.array(getattr(reason, name))
    if reason.forces is not None:
        frame.arrays["model_f"] = np.array(reason.forces)
    return frame


def _add(frame, label: Label):
    results = {"energy": label.energy, "forces": label.forces}
    if label.stress is not None:
        results["stress"] = label.stress
    frame.calc = SinglePointCalculator(frame, **results)
    if "model_f" in frame.arrays:
        errors = np.linalg.norm(label.forces - frame.arrays["model_f"], axis=1)
        frame.info["largest_error"] = float(errors.max())
