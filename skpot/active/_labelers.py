"""What computes labels: calculators of ASE, functions, commands, people."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from ase.geometry import find_mic
from ase.io import write

from .._parameters import number
from ..data import Targets, labels_by
from ..data import read as read_labeled
from ..exceptions import EngineError, SkpotWarning, warn_once
from ..persistence import whole_file
from ._commands import await_earlier, command_words, run_in_folder

if TYPE_CHECKING:
    from skpot.typing import AseCalculator, Atoms, PathLike

_LARGEST_FORCE = 200.0  # eV/Å; a calculation with more has not converged, or atoms have collided
_OUTPUT = "label.xyz"  # what a command writes
_INPUT = "structure.xyz"
_NEAR = 1e-4  # Å, to which programs write positions
_PAUSE = 0.5  # s, between two looks at a folder
_SETTLED = 5.0  # s without a change after which a file is taken to be complete


class LabelFailed(EngineError):
    """A structure could not be labeled."""


class Label(NamedTuple):
    """Labels of one structure."""

    energy: Any  # eV
    forces: Any  # (n_atoms, 3), eV/Å
    stress: Any  # (6,), eV/Å³, or None


class Labeler(Protocol):
    """Computes labels.

    `number` counts the labels of a run. After a restart the same structure comes with the same
    number again if its label was not recorded, so that a labeler with files of its own need not
    compute it twice.
    """

    def __call__(self, atoms: Atoms, number: int) -> Label:
        """Return the labels of a structure, or raise any error."""
        ...


class CalculatorLabeler:
    """Labels of a calculator of ASE.

    Parameters
    ----------
    calculator : ase.calculators.calculator.Calculator
        The calculator.
    """

    def __init__(self, calculator: AseCalculator) -> None:
        self.calculator = calculator

    def __call__(self, atoms: Atoms, number: int) -> Label:
        """Return the labels of a structure."""
        ((energy, forces, stress),) = labels_by(self.calculator, [atoms])
        return usable(Label(energy, forces, stress), len(atoms))


class FunctionLabeler:
    """Labels of a function of the structure, which returns energy, forces and maybe stress.

    Parameters
    ----------
    function : callable
        Returns (energy, forces) or (energy, forces, stress) of an `Atoms`, or an `Atoms` that has
        them as results of its calculator.
    """

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, atoms: Atoms, number: int) -> Label:
        """Return the labels of a structure."""
        found = self.function(atoms.copy())
        if hasattr(found, "get_positions"):
            _refuse_others(found, atoms, "the function")
            return label_of(found)
        if not isinstance(found, tuple) or len(found) not in (2, 3):
            raise LabelFailed(
                "the function must return (energy, forces), (energy, forces, stress) or Atoms with "
                f"results, got {type(found).__name__}"
            )
        return usable(Label(*found, *([None] * (3 - len(found)))), len(atoms))


class CommandLabeler:
    """Labels of a command, which reads structure.xyz and writes label.xyz in a folder of its own.

    A command that is still at work when its run was killed and is continued is awaited, not begun
    again.

    Parameters
    ----------
    command : str
        The command. It runs in the folder, where it may leave what it likes; what it prints is in
        output.txt. Words of it that name files in the present folder are made absolute. No shell
        runs it.
    folder : str or Path
        The folder of these folders, which are named by the numbers of the labels.
    patience : float, optional
        Seconds after which the command and all that it has started are ended, and the label counts
        as failed; by default they are awaited without end.

    Raises
    ------
    InputError
        If the program is not found.
    """

    def __init__(self, command: str, folder: PathLike, patience: float | None = None) -> None:
        self.command = command
        self.folder = Path(folder)
        self.patience = checked_patience(patience)
        self._words = command_words(command, (_INPUT, _OUTPUT))

    def __call__(self, atoms: Atoms, number: int) -> Label:
        """Return the labels of a structure; they are not computed again if they are there."""
        folder = self.folder / f"{number:05d}"
        output = folder / _OUTPUT
        program = os.path.basename(self._words[0])
        wrong = await_earlier(folder, self.patience)
        if wrong:
            raise LabelFailed(f"{program} {wrong}")
        if not _answers(output, atoms):
            folder.mkdir(parents=True, exist_ok=True)
            output.unlink(missing_ok=True)
            write(folder / _INPUT, _bare(atoms), format="extxyz")
            wrong = run_in_folder(self._words, folder, self.patience)
            if wrong:
                raise LabelFailed(f"{program} {wrong}")
            if not output.exists():
                raise LabelFailed(f"{program} has not written {output}")
        return _label_in(output, atoms)


class FolderLabeler:
    """Labels that somebody, or another computer, drops into a folder.

    For each structure <number>.xyz is written. Its labels are awaited as <number>.labeled.xyz, or
    the reason why there are none as text in <number>.failed.

    Parameters
    ----------
    folder : str or Path
        The folder; it is created if it does not exist.
    patience : float, optional
        Seconds after which a structure counts as failed; by default it is awaited without end.
    """

    def __init__(self, folder: PathLike, patience: float | None = None) -> None:
        self.folder = Path(folder)
        self.patience = checked_patience(patience)

    def __call__(self, atoms: Atoms, number: int) -> Label:
        """Return the labels of a structure once they are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        stem = self.folder / f"{number:05d}"
        answer, failed = stem.with_suffix(".labeled.xyz"), stem.with_suffix(".failed")
        if not _answers(answer, atoms):
            with whole_file(stem.with_suffix(".xyz")) as file:
                file.write(text_of(_bare(atoms)).encode())
        began = time.monotonic()
        while not _answers(answer, atoms, tells=True):
            if failed.exists():
                raise LabelFailed(failed.read_text(encoding="utf-8").strip() or "failed")
            if self.patience is not None and time.monotonic() - began > self.patience:
                raise LabelFailed(f"{answer} was not there after {self.patience:g} s")
            time.sleep(_PAUSE)
        return _label_in(answer, atoms)


def checked_patience(patience: float | None) -> float | None:
    """Return seconds that can be waited, or None."""
    return None if patience is None else number("patience", patience, low=0.0, unit="s")


def usable(label: Label, n_atoms: int) -> Label:
    """Return a label with arrays of the right type; raise `LabelFailed` if it cannot be learned."""
    if label.energy is None or label.forces is None:
        raise LabelFailed("energy and forces are needed")
    energy = _numbers("energy", label.energy, np.shape(label.energy))
    if energy.size != 1:
        raise LabelFailed(f"energy: an array of shape {energy.shape} instead of one number")
    forces = _numbers("forces", label.forces, (n_atoms, 3))
    stress = None if label.stress is None else _numbers("stress", label.stress, (6,))
    largest = float(np.linalg.norm(forces, axis=1).max())
    if largest > _LARGEST_FORCE:
        raise LabelFailed(f"a force of {largest:.3g} eV/Å is no force of a sound calculation")
    return Label(float(energy.ravel()[0]), forces, stress)


def _numbers(name, values, shape):
    """Return finite numbers in an array of a shape."""
    if np.ma.is_masked(values):
        raise LabelFailed(f"{name}: some entries are masked")
    found = np.asarray(values)
    if found.dtype.kind not in "iuf":
        raise LabelFailed(f"{name}: {found.dtype.name} instead of real numbers")
    if found.shape != shape:
        raise LabelFailed(f"{name}: an array of shape {found.shape} instead of {shape}")
    if not np.isfinite(found).all():
        raise LabelFailed(f"{name}: NaN or infinite")
    return found.astype(float)


def label_of(atoms: Atoms) -> Label:
    """Return the labels that a structure has as results of its calculator."""
    return _label_of(Targets.from_atoms([atoms]), atoms)


def _label_in(path, atoms) -> Label:
    """Return the labels of the last structure of a file, which must be the one that was asked."""
    X, y = read_labeled(path)
    _refuse_others(X[-1], atoms, str(path))
    if not (y.has_energy[-1] and y.has_forces[-1]):
        raise LabelFailed(f"{path} has no energy or no forces")
    return _label_of(y[-1:], X[-1])


def _refuse_others(found, atoms, where):
    if not are_same(found, atoms, _NEAR):
        raise LabelFailed(
            f"{where} has labels of another structure than the one that was asked for, or of atoms "
            "in another order"
        )


def are_same(found: Atoms, atoms: Atoms, near: float) -> bool:
    """Return whether structures have the same atoms at the same places, up to images, within Å."""
    if not np.array_equal(found.numbers, atoms.numbers):
        return False
    moved = find_mic(found.positions - atoms.positions, atoms.cell, atoms.pbc)[1]
    return bool(moved.max() <= near)


def _label_of(y, atoms):
    if not (y.has_energy[0] and y.has_forces[0]):
        raise LabelFailed("energy or forces are missing")
    stress = y.stress[0] if y.has_stress[0] else None
    return usable(Label(float(y.energy[0]), y.forces[0], stress), len(atoms))


def text_of(atoms: Atoms) -> str:
    """Return a structure as the text of a frame of extended XYZ."""
    text = io.StringIO()
    write(text, atoms, format="extxyz")
    return text.getvalue()


def _bare(atoms):
    bare = atoms.copy()
    bare.calc = None
    bare.info = {}
    for name in set(bare.arrays) - {"numbers", "positions"}:
        del bare.arrays[name]
    return bare


def _answers(path, atoms, tells=False):
    """Whether a file has a whole frame of these atoms; `tells` warns if it has something else."""
    try:
        _label_in(path, atoms)
    except FileNotFoundError:
        return False
    except Exception as error:
        # What is being written cannot be read yet.
        if tells and (isinstance(error, LabelFailed) or _age(path) > _SETTLED):
            told = " ".join(str(error).split()).removesuffix(".")
            warn_once(
                f"{path} {told}",
                f"{told if str(path) in told else f'{path}: {told}'}. Another file is awaited.",
                SkpotWarning,
            )
        return False
    return True


def _age(path):
    """Return the seconds since a file was changed."""
    try:
        return time.time() - os.path.getmtime(path)
    except FileNotFoundError:
        return 0.0
