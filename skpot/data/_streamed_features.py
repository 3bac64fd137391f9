"""Features of structures in files, computed when they are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..exceptions import InputError
from ._batch import SharedBatch
from ._features import AtomicFeatures
from ._frames import ATOMS_AT_A_TIME, parts_of
from ._structure_info import StructureAtoms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from skpot.data._frames import Frames
    from skpot.typing import BoolArray, FloatArray, IntArray


class StreamedFeatures(AtomicFeatures):
    """Features of `Frames`, of which only what makes them is held.

    What goes through them in parts (`in_parts`) never holds more than a part. `values` and
    `derivatives` are those of all structures, computed at the first access and kept from then on.

    Parameters
    ----------
    frames : Frames
        The structures.
    maker : callable
        Turns a `StructureBatch` into its `AtomicFeatures`.
    """

    def __init__(self, frames: Frames, maker: Any) -> None:
        self.frames, self.maker = frames, maker
        first = maker(frames.batch(np.arange(1)))
        self.blocks, self.penalties, self.origin = first.blocks, first.penalties, first.origin
        self._layout = first.atoms
        self._width, self._type = first.shape[1], first.values.dtype
        self._has_derivatives = first.derivatives is not None
        self._seen = _Seen.of(len(frames))
        self._whole: AtomicFeatures | None = None

    # What is known without computing features.

    info = property(lambda self: self.frames.survey.info)

    @property
    def numbers(self) -> IntArray:
        """Atomic numbers of all atoms, shape (n_atoms,)."""
        return self.frames.survey.numbers.astype(np.int64)

    @property
    def atoms(self) -> StructureAtoms | None:
        """The atoms of structures, if rows do not belong to atoms of known species."""
        if self._layout is None:
            return None
        return self._layout._replace(offsets=self.frames.survey.offsets, numbers=self.numbers)

    @property
    def atom_offsets(self) -> IntArray:
        """First atom of each structure, shape (n_structures + 1,)."""
        return self.frames.survey.offsets

    @property
    def per_structure(self) -> bool:
        """Whether rows belong to whole structures instead of atoms."""
        return self._layout is not None and not self._layout.rows_are_atoms

    @property
    def offsets(self) -> IntArray:
        """First row of each structure, shape (n_structures + 1,)."""
        return np.arange(len(self) + 1) if self.per_structure else self.atom_offsets

    @property
    def species(self) -> IntArray:
        """Atomic number of each center, or 0, shape (n_environments,)."""
        return self.numbers if self._layout is None else np.zeros(self.offsets[-1], dtype=np.int64)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_structures, n_features)."""
        return len(self), self._width

    dtype = property(lambda self: self._type)

    def __len__(self):
        return len(self.frames)

    def __repr__(self):
        n, p = self.shape
        return f"StreamedFeatures({n} structures, {self.offsets[-1]} rows, {p} features)"

    # Features themselves.

    @property
    def values(self) -> FloatArray:
        """Features of all structures, which are kept from now on."""
        return self.loaded().values

    @property
    def derivatives(self) -> Any:
        """The chain of maps of all structures, which is kept from now on."""
        return self.loaded().derivatives

    def loaded(self) -> AtomicFeatures:
        """Return the features of all structures in memory."""
        if self._whole is None:
            self._whole = self.maker(self.frames.batch())
            self._seen.note(slice(None), self._whole)
        return self._whole

    def computed(self, some: IntArray) -> AtomicFeatures:
        """Return the features of some structures."""
        if self._whole is not None:
            return self._whole[some]
        part = self.maker(self.frames.batch(some))
        self._seen.note(some, part)
        return part

    def in_parts(self, some: IntArray | None = None) -> Iterator[tuple[IntArray, AtomicFeatures]]:
        """Yield structures, and their features, a part at a time.

        They come in the order of their keys, or as they are given.
        """
        order = np.argsort(self.info.keys, kind="stable") if some is None else some
        for some in parts_of(order, self.n_atoms, ATOMS_AT_A_TIME):
            yield some, self.computed(some)

    def in_order(self) -> Iterator[AtomicFeatures]:
        """Yield the features of all structures in their own order, a part at a time."""
        for some in parts_of(np.arange(len(self)), self.n_atoms, ATOMS_AT_A_TIME):
            yield self.computed(some)

    def environments(self, rows: IntArray) -> FloatArray:
        """Return the features of some environments, shape (n, n_features)."""
        owner = np.searchsorted(self.offsets, rows, side="right") - 1
        out = np.empty((len(rows), self._width))
        structures = np.unique(owner)
        for some in parts_of(structures, self.n_atoms, ATOMS_AT_A_TIME):
            part = self.computed(some)
            inside = np.flatnonzero(np.isin(owner, some))
            place = np.searchsorted(some, owner[inside])
            within = rows[inside] - self.offsets[owner[inside]]
            out[inside] = part.values[part.offsets[place] + within]
        return out

    def lone_atoms(self) -> BoolArray:
        """Return which structures are single atoms without neighbors."""
        return self._all_seen().lone if self._has_derivatives else np.zeros(len(self), dtype=bool)

    def largest_neighborhood(self) -> int:
        """Return the largest of `neighborhood_sizes`."""
        return int(self._all_seen().largest.max())

    def _all_seen(self):
        missing = np.flatnonzero(self._seen.largest < 0)
        for some in parts_of(missing, self.n_atoms, ATOMS_AT_A_TIME):
            self.computed(some)
        return self._seen

    def __getitem__(self, key):
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]
        rows = np.atleast_1d(np.arange(len(self))[key])
        part = self._like(self.frames[rows], self.maker)
        part._seen = self._seen.take(rows)
        return part

    def made_by(self, maker: Any) -> StreamedFeatures:
        """Return features of the same form that something else makes."""
        return self._like(self.frames, maker)

    def _like(self, frames, maker):
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__)
        part.frames, part.maker, part._whole = frames, maker, None
        return part

    def __getstate__(self):
        return vars(self) | {"_whole": None}  # computed anew elsewhere

    # What a task gets of them, see `InFiles`.

    @property
    def seen(self) -> _Seen:
        """What was noted of structures whose features were computed."""
        return self._seen

    def part(self, some: IntArray) -> StreamedFeatures:
        """Return the features of some structures, which stay in files."""
        return self[some]

    def makers(self) -> tuple[Any, ...]:
        """Return what makes the features, which `detached` leaves out."""
        return (self.maker,)

    def detached(self) -> StreamedFeatures:
        """Return the same without `makers`."""
        return self.made_by(None)

    def attached(self, makers: tuple[Any, ...]) -> StreamedFeatures:
        """Return the same with other `makers`."""
        return self.made_by(*makers)

    # Features that are made of these.

    def then(self, function: Any) -> StreamedFeatures:
        """Return what a function, such as that of a fitted step, makes of each part."""
        made = type(self)(self.frames, _Then(self.maker, function))
        made._seen = self._seen
        return made

    def sharing(self) -> StreamedFeatures:
        """Return the same features, whose descriptors share the search for neighbors."""
        made = type(self)(self.frames, _Shared(self.maker))
        made._seen = self._seen
        return made

    def select(self, columns: IntArray) -> StreamedFeatures:
        """Return the features with the indices `columns`, of the same environments."""
        return self.then(_Selected(columns))

    def of_one_species(self) -> StreamedFeatures:
        """Return the same rows, which kernels then compare whatever the species of centers."""
        return self.then(AtomicFeatures.of_one_species)

    @staticmethod
    def hstack(parts: Any) -> AtomicFeatures:
        """Return features of the same environments side by side, as `FeatureUnion` does."""
        if not all(isinstance(part, StreamedFeatures) for part in parts):
            return AtomicFeatures.hstack([part.loaded() for part in parts])
        frames = parts[0].frames
        if not all(frames.same_as(part.frames) for part in parts):
            raise InputError("features of different structures cannot be put side by side")
        return StreamedFeatures(frames, _Beside([part.maker for part in parts]))

    @staticmethod
    def vstack(parts: Any) -> AtomicFeatures:
        """Return the structures of several parts one after the other, in memory."""
        return AtomicFeatures.vstack([part.loaded() for part in parts])


class _Seen(NamedTuple):
    """What was noted of structures whose features were computed."""

    lone: np.ndarray  # (n,) single atoms without neighbors
    largest: np.ndarray  # (n,) largest neighborhood, -1 where it is not known

    @classmethod
    def of(cls, n: int) -> _Seen:
        """Return what is known of n structures at first: nothing."""
        return cls(np.zeros(n, dtype=bool), np.full(n, -1))

    def take(self, rows: IntArray) -> _Seen:
        """Return what is known of some of the structures."""
        return _Seen(self.lone[rows], self.largest[rows])

    def note(self, some: Any, part: AtomicFeatures) -> None:
        """Note what the features of some structures tell."""
        if part.derivatives is None:
            self.largest[some] = 0
            return
        self.lone[some] = part.lone_atoms()
        self.largest[some] = np.maximum.reduceat(part.neighborhood_sizes(), part.offsets[:-1])


class _Then(NamedTuple):
    """What a function makes of features."""

    maker: Any
    function: Any

    def __call__(self, batch):
        return self.function(self.maker(batch))


class _Selected(NamedTuple):
    """Some columns of features."""

    columns: np.ndarray

    def __call__(self, features):
        return features.select(self.columns)


class _Beside(NamedTuple):
    """Features of several makers side by side."""

    makers: list

    def __call__(self, batch):
        return AtomicFeatures.hstack([maker(batch) for maker in self.makers])


class _Shared(NamedTuple):
    """Features of descriptors that share the search for neighbors."""

    maker: Any

    def __call__(self, batch):
        return self.maker(SharedBatch(batch))
