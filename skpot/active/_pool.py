"""Candidates for labels, of which a part is looked at a time."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data import AtomicFeatures, Frames, check_structures, taken_of
from ..data.order import content_keys, keyed_uniform
from ..selection import rare_first

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from skpot.active._subject import Subject
    from skpot.typing import FloatArray, IntArray, UInt64Array

_TOGETHER = 64  # candidates whose features are made at a time
ATOMS = 2000  # that these have together at most, unless one has more
_KEYS = 4096  # candidates whose keys are made at a time
_ENVIRONMENTS = 5000  # of the sample from which references are chosen
_SAMPLE_BYTES = 1e8  # of its features
_LIKE = 2e-3  # relative difference of mean environments below which structures are nearly equal
_FIRST, _AXES = 32, 3  # points that a grid is made of, and its directions
_SKETCH = 64  # numbers that are held of each candidate to compare it with others


class Pool:
    """Candidates: structures, or features of structures.

    Parameters
    ----------
    X : list[Atoms], Frames or AtomicFeatures
        The candidates. Of `Frames` few are read at a time.
    subject : Subject
        What makes their features.
    """

    def __init__(self, X: Any, subject: Subject) -> None:
        self.X = checked(X)
        self.subject = subject
        self.keys = _keys(self.X)

    def __len__(self):
        return len(self.X)

    def part(self, indices: Any) -> Any:
        """Return some candidates, as they were given."""
        return self.X.read(indices) if isinstance(self.X, Frames) else taken_of(self.X, indices)

    def features(self, indices: Any) -> AtomicFeatures:
        """Return the features of some candidates."""
        return self.subject.features(self.part(indices))

    def sizes(self) -> IntArray:
        """Return the number of atoms of each candidate."""
        if isinstance(self.X, AtomicFeatures):
            return self.X.n_atoms
        if isinstance(self.X, Frames):
            return np.diff(self.X.survey.offsets)
        return np.array([len(atoms) for atoms in self.X])

    def blocks(self) -> Iterator[IntArray]:
        """Yield indices of few candidates at a time, until all have come."""
        begin, atoms = 0, 0
        for i, size in enumerate(self.sizes()):
            if i > begin and (i - begin >= _TOGETHER or atoms + size > ATOMS):
                yield np.arange(begin, i)
                begin, atoms = i, 0
            atoms += int(size)
        if begin < len(self):
            yield np.arange(begin, len(self))

    def sample(self, seed: int, n_environments: float = np.inf) -> IntArray:
        """Return candidates for a look at what there is: all, or random ones of all sizes.

        They do not depend on the order of the candidates.
        """
        if not len(self):
            return np.zeros(0, dtype=np.int64)
        order = np.argsort(keyed_uniform(self.keys, seed), kind="stable")
        sizes = self.sizes()
        order = rare_first(order, sizes, max(1, len(order) // 4))
        total, limit = np.cumsum(sizes[order]), min(n_environments, _ENVIRONMENTS)
        return np.sort(order[: max(1, int(np.searchsorted(total, limit, side="right")))])

    def sample_features(self, seed: int) -> AtomicFeatures:
        """Return features of candidates from which references can be chosen."""
        width = self.features([0]).shape[1]
        return self.features(self.sample(seed, _SAMPLE_BYTES / (8.0 * width)))


def checked(X: Any) -> Any:
    """Return candidates as they are, or a list of structures, once they are known to be sound."""
    if isinstance(X, Frames | AtomicFeatures) or (hasattr(X, "__len__") and not len(X)):
        return X  # frames are checked as they are read
    return check_structures(X)


def _keys(X) -> UInt64Array:
    if isinstance(X, AtomicFeatures | Frames):
        return content_keys(X)
    parts = [content_keys(X[b : b + _KEYS]) for b in range(0, len(X), _KEYS)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)


class Likeness:
    """Structures to which others are compared by the mean of their environments of each species.

    Two structures are nearly equal if they have the same numbers of atoms of each species and the
    means of their features differ by less than 0.2 % of their length: about that much do features
    change if atoms move by some mÅ. Rotations, translations and orders of atoms do not count.
    """

    def __init__(self) -> None:
        self._known: dict[Any, _Grid] = {}

    def add(self, mean: Mean) -> None:
        """Remember a structure by its mean environments."""
        self._known.setdefault(mean.composition, _Grid()).add(mean.values)

    def has(self, mean: Mean) -> bool:
        """Return whether a structure is nearly equal to one that is remembered."""
        grid = self._known.get(mean.composition)
        if grid is None:
            return False
        return grid.has(mean.values, _LIKE * float(np.linalg.norm(mean.values)))


class Mean(NamedTuple):
    """The mean environments of a structure, by which near-duplicates are told."""

    composition: tuple  # species, and their numbers of atoms
    values: np.ndarray  # (n_species * n_features,) means of the rows of each species


def means(features: AtomicFeatures) -> Iterator[Mean]:
    """Yield the mean environments of each structure."""
    for s in range(len(features)):
        own = slice(features.offsets[s], features.offsets[s + 1])
        values, species = features.values[own].astype(float), features.species[own]
        kinds, counts = np.unique(species, return_counts=True)
        rows = [values[species == z].mean(axis=0) for z in kinds]
        yield Mean((tuple(kinds.tolist()), tuple(counts.tolist())), np.concatenate(rows))


class _Grid:
    """Points, among which those near another are found without a look at all of them.

    Once there are some, they are sorted into cells along the few directions in which these differ
    most. What is within a distance of a point is within that distance along each direction.
    """

    def __init__(self) -> None:
        self._points: list[FloatArray] = []
        self._axes: FloatArray | None = None
        self._cells: dict[tuple[int, ...], list[int]] = {}

    def add(self, point: FloatArray) -> None:
        """Remember a point."""
        self._points.append(point)
        if self._axes is not None:
            self._sort(len(self._points) - 1)
        elif len(self._points) == _FIRST:
            first = np.array(self._points)
            self._axes = np.linalg.svd(first - first.mean(axis=0), full_matrices=False)[2][:_AXES]
            self._width = 2.0 * _LIKE * float(np.linalg.norm(first, axis=1).max()) or 1.0
            for k in range(len(first)):
                self._sort(k)

    def has(self, point: FloatArray, distance: float) -> bool:
        """Return whether a remembered point is within a distance of this one."""
        return any(np.linalg.norm(point - self._points[k]) <= distance
                   for k in self._around(point, distance))  # fmt: skip

    def _sort(self, k):
        cell = np.floor(self._axes @ self._points[k] / self._width)
        self._cells.setdefault(tuple(cell.astype(int).tolist()), []).append(k)

    def _around(self, point, distance):
        """Return the points of all cells within a distance, and a little more for rounding."""
        if self._axes is None:
            return range(len(self._points))
        place, reach = self._axes @ point, distance * (1.0 + 1e-9)
        low = np.floor((place - reach) / self._width).astype(int)
        high = np.floor((place + reach) / self._width).astype(int)
        if np.prod(high - low + 1.0) > len(self._cells):
            return range(len(self._points))
        cells = product(*(range(a, b + 1) for a, b in zip(low, high, strict=True)))
        return [k for cell in cells for k in self._cells.get(cell, ())]


def sketches(features: AtomicFeatures, seed: int) -> FloatArray:
    """Return few numbers for each structure whose distances are about those of its means.

    By a random projection (W. B. Johnson, J. Lindenstrauss, Contemp. Math. 26, 189 (1984)): means
    of the rows of each species, with their share of the atoms, in single precision.
    """
    out = np.zeros((len(features), _SKETCH), dtype=np.float32)
    for z in np.unique(features.species):
        rng = np.random.default_rng([seed, int(z)])
        projection = rng.normal(size=(features.shape[1], _SKETCH)) / np.sqrt(_SKETCH)
        rows = np.where((features.species == z)[:, None], features.values, 0.0)
        sums = np.add.reduceat(rows, features.offsets[:-1])
        out += (sums / features.n_rows[:, None]) @ projection
    return out
