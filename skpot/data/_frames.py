"""Structures in files, read when they are needed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..exceptions import InputTypeError, StructureError
from ._ase import extract_arrays, without_calculator
from ._batch import StructureBatch
from ._checks import Given, check_and_extract
from ._frame_files import chosen_frames, found_files
from ._graph import rows_of
from ._structure_info import StructureInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from skpot.data._frame_files import FrameFile
    from skpot.typing import Atoms, IntArray, PathLike, Structures

ATOMS_AT_A_TIME = 4000  # of frames that are worked on together; more gain no speed
_FRAMES_AT_A_TIME = 200  # that are read before their numbers of atoms are known


class Survey(NamedTuple):
    """What is known of frames once all of them were read."""

    offsets: np.ndarray  # (n + 1,) first atom of each
    numbers: np.ndarray  # (n_atoms,) of uint8, atomic numbers
    info: StructureInfo

    def take(self, rows: IntArray) -> Survey:
        """Return what is known of some of the frames."""
        atoms, offsets = rows_of(rows, self.offsets)
        return Survey(offsets, self.numbers[atoms], self.info.take(rows))


class _Files:
    """Files that parts of a sequence share, with what was read from them last."""

    def __init__(self, files: list[FrameFile]) -> None:
        self.files = files
        self._last: tuple[Any, list[Atoms]] = (None, [])

    def __getstate__(self):
        return self.files

    def __setstate__(self, files):
        self.__init__(files)

    def read(self, owner: IntArray, number: IntArray, places: IntArray) -> list[Atoms]:
        """Return frames with their results; they must not be changed."""
        key = owner.tobytes(), number.tobytes()
        last, kept = self._last  # of one moment: threads share it
        if key != last:
            found: list[Any] = [None] * len(owner)
            for k in np.unique(owner):
                rows = np.flatnonzero(owner == k)
                rows = rows[np.argsort(places[rows, 0], kind="stable")]  # disks prefer one way
                read = self.files[k].read(places[rows], number[rows])
                for row, atoms in zip(rows, read, strict=True):
                    found[row] = atoms
            self._last = key, found
            return found
        for k in np.unique(owner):
            self.files[k].require_unchanged()
        return kept


class Frames:
    """Structures in files, as a sequence that reads each of them when it is needed.

    It takes the place of a list of structures wherever skpot takes one. Descriptors, their unions,
    `PrincipalComponents`, `SparseGPR`, `SparseGPRCV`, `AutoGPR`, `LinearRidge` and `AtomicMLP` go
    through it in parts, so that their memory does not grow with the files; everything else reads
    all of it. Slices and selections by index are `Frames` too, so that scikit-learn's splits stay
    in the files. Pickles hold names of files and places in them, not structures.

    Parameters
    ----------
    path : str, Path or sequence of these
        Extended XYZ files, trajectories (.traj) or databases (.db) of ASE. Names may be patterns,
        such as "train/*.xyz", and may end in "@" and frames, as in "run.xyz@::10".
    index : int, str or slice, default=":"
        Frames of each file whose name says none, as in `ase.io.read`.

    Raises
    ------
    InputError
        If there is no such file, it is compressed or of another format, or it is damaged: the
        message names file and frame. Later, if a file has changed since.

    See Also
    --------
    read : With ``lazy=True`` it returns `Frames` and labels beside them.

    Examples
    --------
    >>> import pathlib, tempfile, ase.build, ase.io, skpot
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name, "copper.xyz")
    >>> ase.io.write(path, [ase.build.bulk("Cu", a=a) for a in (3.5, 3.6, 3.7)])
    >>> frames = skpot.Frames(path)
    >>> frames, frames[1:], frames[0].cell.volume.round(2)
    (Frames(3 structures in 1 file), Frames(2 structures in 1 file), np.float64(10.72))
    >>> folder.cleanup()
    """

    def __init__(self, path: PathLike | Sequence[PathLike], index: int | str | slice = ":") -> None:
        found = found_files(path, index)
        owner, number, places = [], [], []
        for k, (file, index) in enumerate(found):
            where = file.frames()
            chosen = chosen_frames(len(where), index, file.path)
            owner.append(np.full(len(chosen), k, dtype=np.int32))
            number.append(chosen)
            places.append(where[chosen])
        self._files = _Files([file for file, _ in found])
        self._owner = np.concatenate(owner)
        self._number = np.concatenate(number)
        self._places = np.concatenate(places)
        self._survey: Survey | None = None

    ndim = 1

    @property
    def shape(self) -> tuple[int]:
        """(n_structures,), by which scikit-learn knows that it can be indexed."""
        return (len(self),)

    def __len__(self):
        return len(self._owner)

    def __getitem__(self, key):
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]  # how scikit-learn selects rows of anything with a shape
        rows = np.arange(len(self))[key]
        if rows.ndim == 0:
            return without_calculator(self.read([int(rows)])[0].copy())
        return self._taken(rows)

    def _taken(self, rows):
        part = object.__new__(type(self))
        part._files = self._files
        part._owner, part._number = self._owner[rows], self._number[rows]
        part._places = self._places[rows]
        part._survey = None if self._survey is None else self._survey.take(rows)
        return part

    def __iter__(self):
        for rows in self.in_parts():
            for atoms in self.read(rows):
                yield without_calculator(atoms.copy())

    def __array__(self, dtype=None, copy=None):
        raise InputTypeError("Frames are structures, not numbers, and cannot be made an array.")

    def __repr__(self):
        n = len(np.unique(self._owner))
        return f"Frames({len(self)} structures in {n} file{'s' * (n != 1)})"

    def __sizeof__(self):
        arrays = [self._owner, self._number, self._places]
        if self._survey is not None:
            arrays += [self._survey.offsets, self._survey.numbers, *self._survey.info]
        return object.__sizeof__(self) + sum(sys.getsizeof(a) for a in arrays)

    def same_as(self, other: Frames) -> bool:
        """Return whether these are the same structures of the same files, in the same order."""
        mine, others = (
            (frames._files.files, frames._owner.tobytes(), frames._number.tobytes())
            for frames in (self, other)
        )
        return self is other or mine == others

    @property
    def paths(self) -> list[str]:
        """The files that these structures are in."""
        return [self._files.files[k].path for k in np.unique(self._owner)]

    @property
    def sizes(self) -> list[tuple[str, int]]:
        """The files in the order of their structures, and how many of these each has."""
        begins = np.flatnonzero(np.diff(self._owner, prepend=-1))
        counts = np.diff(begins, append=len(self))
        paths = [self._files.files[self._owner[k]].path for k in begins]
        return list(zip(paths, counts.tolist(), strict=True))

    def where(self, row: int) -> str:
        """Return the frame and the file of a structure, for messages."""
        return f"frame {self._number[row]} of {self._files.files[self._owner[row]].path}"

    def read(self, rows: Any) -> list[Atoms]:
        """Return some structures with the results that the files hold; they must not be changed.

        Parameters
        ----------
        rows : array-like of int
            Which.
        """
        rows = np.asarray(rows)
        return self._files.read(self._owner[rows], self._number[rows], self._places[rows])

    def in_parts(self, n_atoms: int = ATOMS_AT_A_TIME) -> Iterator[IntArray]:
        """Yield the indices of structures in their order, some at a time."""
        if self._survey is None:
            yield from (
                np.arange(begin, min(begin + _FRAMES_AT_A_TIME, len(self)))
                for begin in range(0, len(self), _FRAMES_AT_A_TIME)
            )
        else:
            yield from parts_of(np.arange(len(self)), np.diff(self._survey.offsets), n_atoms)

    @property
    def survey(self) -> Any:
        """The `Survey` of the structures, which the first access makes by reading all of them."""
        if self._survey is None:
            for _ in self.surveying():
                pass
        return self._survey

    def surveying(self) -> Iterator[tuple[IntArray, Structures]]:
        """Yield all structures, some at a time, with their indices, and check them on the way.

        Raises
        ------
        StructureError
            If one cannot be used, as `check_structures` does; the message names file and frame.
        """
        sizes, numbers, infos = [], [], []
        for rows in self.in_parts():
            found = self.read(rows)
            batch = StructureBatch(*self._checked(rows, found))
            sizes.append(np.diff(batch.offsets))
            numbers.append(batch.numbers.astype(np.uint8))
            infos.append(batch.info())
            yield rows, found
        if not sizes:
            raise StructureError("there are no frames: at least one structure is needed.")
        offsets = np.concatenate([[0], *sizes]).cumsum()
        self._survey = Survey(offsets, np.concatenate(numbers), StructureInfo.concatenate(infos))

    def _checked(self, rows, found):
        try:
            return check_and_extract(found)[1]
        except StructureError as error:
            if len(found) == 1:
                text = str(error).partition("structure 0: ")[2] or str(error)
                raise StructureError(f"{self.where(rows[0])}: {text}") from error
            for row, atoms in zip(rows, found, strict=True):
                self._checked([row], [atoms])
            raise

    def batch(self, rows: IntArray | None = None) -> StructureBatch:
        """Return some structures, by default all, as flat arrays.

        Parameters
        ----------
        rows : ndarray of int, optional
            Which.
        """
        if not len(self):
            raise StructureError("X is empty: at least one structure is needed.")
        survey = self.survey
        rows = np.arange(len(self)) if rows is None else np.asarray(rows)
        atoms, offsets = rows_of(rows, survey.offsets)
        n, positions = len(rows), np.empty((offsets[-1], 3))
        cells, pbc = np.empty((n, 3, 3)), np.empty((n, 3), dtype=bool)
        for part in parts_of(np.arange(n), np.diff(offsets), ATOMS_AT_A_TIME):
            arrays = extract_arrays(self.read(rows[part]))
            positions[offsets[part[0]] : offsets[part[-1] + 1]] = arrays[0]
            cells[part], pbc[part] = arrays[2], arrays[3]
        numbers = survey.numbers[atoms].astype(np.int64)
        return StructureBatch(positions, numbers, cells, pbc, offsets, Given(rows, len(self)))


def taken_of(X: Any, rows: Any) -> Any:
    """Return some structures, or their features, in the order of rows; those in files stay there.

    Parameters
    ----------
    X : list[Atoms], Frames or AtomicFeatures
        All of them.
    rows : array-like of int
        Which.
    """
    return [X[int(i)] for i in rows] if isinstance(X, list | tuple) else X[np.asarray(rows)]


def parts_of(order: IntArray, n_atoms: IntArray, limit: float) -> Iterator[IntArray]:
    """Yield structures in an order, in parts of at most `limit` atoms or of single structures.

    Parameters
    ----------
    order : ndarray of int
        Structures.
    n_atoms : ndarray of int of shape (n_structures,)
        Their numbers of atoms.
    limit : float
        Most atoms of a part.
    """
    begin, total = 0, 0
    for k, count in enumerate(n_atoms[order]):
        if k > begin and total + count > limit:
            yield order[begin:k]
            begin, total = k, 0
        total += count
    if begin < len(order):
        yield order[begin:]
