"""Predictions of many structures, written as they are made."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING

import joblib
import numpy as np

from .._paths import file_name
from .._tasks import results_of
from ..data import Frames, Packed, as_list, parts_of
from ..exceptions import InputError, NumericalError
from ..progress import progress
from ._batch_calculator import BatchCalculator
from ._calculator import Calculator
from ._predicted import drop_older, predicted
from .frames import FrameFile, as_xyz, require_xyz
from .hdf5 import Hdf5Part, is_hdf5

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from skpot.typing import Atoms, PathLike, Structures

_TASK_FRAMES = 1000  # most frames of a task
_TASK_ATOMS = 20_000  # most atoms of one, if there are several workers; else a fifth


def evaluate(
    model: Any,
    frames: Structures,
    out: PathLike,
    *,
    deviations: bool = False,
    verbose: int = 0,
) -> int:
    """Predict energies, forces and stress of structures, and write them to a file.

    Some frames at a time are read, predicted and written, in their order, so that memory does not
    grow with their number. Where joblib has several workers (`joblib.parallel_config`), these are
    its tasks. Until all are done, frames are in ``<name>.part.xyz``: after a kill, an error or an
    interrupt the same call goes on behind the last whole frame there.

    Parameters
    ----------
    model : Pipeline or CalibratedPotential
        The fitted model.
    frames : Frames or list[Atoms]
        The structures.
    out : str or Path
        Extended XYZ file (.xyz, .extxyz) to write; an existing one is replaced when all is done.
        Energy, forces and stress are results that ASE reads, in eV, eV/Å and eV/Å³; info and arrays
        of the structures that have other names stay as they are. Or a file of HDF5 (.h5, .hdf5)
        with arrays in double precision and in the same units, without the structures: "energy",
        "forces" of all atoms, one structure after the other, "stress" (NaN where there is none),
        "numbers", and "offsets", where the atoms of each structure begin. It takes h5py; until all
        is done, predictions are in the folder ``<name>.parts``.
    deviations : bool, default=False
        Whether to write standard deviations and extrapolation grades, too; see `skpot predict`.
    verbose : int, default=0
        1 shows the progress.

    Returns
    -------
    n : int
        Number of frames that this call has predicted, without those that were there already.

    Raises
    ------
    InputError
        If ``<name>.part.xyz``, or the folder, holds predictions of another model or of other
        frames, other results or other files, or another process writes it; if a structure cannot be
        predicted; if the frames are in the file to write.

    Examples
    --------
    >>> import pathlib, tempfile, skpot
    >>> data = skpot.datasets.load_silicon()
    >>> model = skpot.make_potential("fast").fit(data.X[:10], data.y[:10])
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name, "predicted.xyz")
    >>> n = skpot.evaluate(model, data.X_test, path)
    >>> n == len(data.X_test), skpot.read(path, 0)[1]
    (True, Targets(n_structures=1, energy=1, forces=1 (8 atoms), stress=1))
    >>> folder.cleanup()
    """
    if not is_hdf5(out):
        require_xyz(out)
    if os.path.isdir(file_name(out)):
        raise InputError(f"{out} is a folder: name a file to write.")
    frames = frames if isinstance(frames, Frames) else as_list(frames)
    _refuse_input(frames, out)
    model_hash = Calculator(model).parameters["model_hash"]
    setting = Packed((model, deviations, model_hash))
    part = Hdf5Part(out) if is_hdf5(out) else _XyzPart(out)
    try:
        done = part.n_done(frames, setting, _predictor(setting.bytes))
        with progress(len(frames) - done, "evaluate", verbose, "frame") as bar:
            for n, data in _written(setting, part.encoded, frames, done):
                part.append(n, data)
                bar.update(n)
        part.finish()
    finally:
        part.close()
    return len(frames) - done


class _XyzPart:
    """Predictions on their way to extended XYZ: a file of whole frames."""

    encoded = staticmethod(as_xyz)

    def __init__(self, out: PathLike) -> None:
        self.out = file_name(out)
        self.path = _part_of(out)
        self._file = FrameFile(self.path)

    def n_done(self, frames: Structures, setting: Packed, predict: Any) -> int:
        """Return how many frames are there already; refuse those of something else."""
        return _n_done(self.path, frames, setting, predict) if self._file.length else 0

    def append(self, n: int, data: bytes) -> None:
        """Write the predictions of n further frames."""
        self._file.append_bytes(data)

    def finish(self) -> None:
        """Give the file its name."""
        self._file.sync()
        os.replace(self.path, self.out)

    def close(self) -> None:
        """Let other processes write the file, and remove an empty one."""
        if not self._file.length:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        self._file.close()


def _part_of(out):
    stem, suffix = os.path.splitext(file_name(out))
    return f"{stem}.part{suffix}"


def _refuse_input(frames, out):
    """Refuse to write to a file that the frames are read from."""
    inputs = frames.paths if isinstance(frames, Frames) else []
    for path in (out, _part_of(out)):
        if os.path.realpath(file_name(path)) in map(os.path.realpath, inputs):
            raise InputError(
                f"{path} holds some of the frames, and would be overwritten: name another file to "
                "write."
            )


def _n_done(part, frames, setting, predict):
    """Return how many frames an earlier call has written; refuse those of something else."""
    written = Frames(part)
    n, last = len(written), written[-1]
    if n > len(frames) or not (_same(written[0], frames[0]) and _same(last, frames[n - 1])):
        what = "predictions of other frames"
    elif last.info.get("skpot_model") != setting.content()[2]:
        what = "predictions of another model"
    elif _deviations(last) != _deviations(predict([frames[n - 1]])[0]):
        what = "predictions with other deviations"
    else:
        return n
    raise InputError(
        f"{part} holds {n} {what}, which an earlier run has left: remove it to begin anew, or name "
        "another file to write."
    )


def _same(one: Atoms, other: Atoms) -> bool:
    if not (np.array_equal(one.numbers, other.numbers) and np.array_equal(one.pbc, other.pbc)):
        return False
    pairs = (one.positions, other.positions), (one.cell[one.pbc], other.cell[one.pbc])
    return all(np.allclose(a, b, rtol=1e-7, atol=1e-7) for a, b in pairs)


def _deviations(atoms: Atoms) -> set[str]:
    """Return which deviations a frame has."""
    names = {*atoms.info, *atoms.arrays}
    return {name for name in names if name.endswith("_std") or name == "extrapolation_grade"}


def _written(setting: Packed, encoded, frames, done) -> Iterator[tuple[int, bytes]]:
    """Yield frames with predictions as bytes, some at a time, and how many these are."""
    several = joblib.effective_n_jobs(None) > 1
    limit = _TASK_ATOMS if several else _TASK_ATOMS // 5
    parts = (np.arange(done, len(frames))[some] for some in _parts(frames, done, limit))
    if several:
        yield from results_of(
            joblib.delayed(_task)(setting, encoded, *_of(frames, part)) for part in parts
        )
    else:
        yield from (_task(setting, encoded, *_of(frames, part)) for part in parts)


def _parts(frames, done, limit):
    """Yield the frames of each task, counted from the first that is to be done."""
    if isinstance(frames, Frames):
        n_atoms = np.diff(frames.survey.offsets)[done:]
    else:
        n_atoms = np.array([len(atoms) for atoms in frames[done:]], dtype=int)
    for part in parts_of(np.arange(len(n_atoms)), n_atoms, limit):
        for begin in range(0, len(part), _TASK_FRAMES):
            yield part[begin : begin + _TASK_FRAMES]


def _of(frames, part):
    return int(part[0]), frames[part[0] : part[-1] + 1]


def _task(
    setting: Packed, encoded: Callable[..., bytes], first: int, frames: Structures
) -> tuple[int, bytes]:
    """Return how many frames there are, and their predictions as bytes."""
    predict = _predictor(setting.bytes)
    try:
        return len(frames), encoded(predict(list(frames)))
    except (InputError, NumericalError) as error:
        last = first + len(frames) - 1
        if not first:
            raise
        where = f"among frames {first} to {last}, counted from {first}"
        raise type(error)(f"{where}: {error}") from error


@functools.lru_cache(maxsize=2)
def _predictor(packed):
    """Return the function that predicts structures; a process keeps it from task to task."""
    model, deviations, model_hash = Packed.unpacked(packed)
    if deviations:
        calculator = Calculator(model)
        return lambda frames: list(predicted(calculator, frames))
    calculator = BatchCalculator(model)

    def predict(frames):
        results = calculator.evaluate(frames)
        for atoms in results:
            drop_older(atoms)
            atoms.info["skpot_model"] = model_hash
        return results

    return predict
