"""The greedy choice of a batch: the best candidate, given all that were chosen before it."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data import parts_of
from ._pool import ATOMS, means

if TYPE_CHECKING:
    from skpot.active._criteria import Criterion
    from skpot.active._knowledge import Knowledge, LabelRows
    from skpot.active._pool import Likeness, Mean, Pool
    from skpot.typing import FloatArray

_BYTES = 256e6  # of rows that are kept; those of other candidates are made again
_TOGETHER = 64  # candidates at most that are looked at again together
_DIGITS = 10  # of gains that count: less is rounding, and keys decide


class Pick(NamedTuple):
    """A candidate that was chosen."""

    index: int
    gain: float  # at the time of its choice
    gains: FloatArray  # of all candidates as known then: upper bounds where not looked at again
    forces_std: FloatArray | None  # (n_atoms,) deviation of each atom's force before its choice


class _Kept(NamedTuple):
    """What is held of a candidate that may be looked at again."""

    rows: LabelRows
    mean: Mean


class Greedy:
    """Chooses one candidate after the other, and counts the labels of each as known.

    What is known lowers the worth of others, so that a candidate is looked at again only while what
    it was worth before is more than any other (M. Minoux, Optim. Tech. 7, 234 (1978)).

    Parameters
    ----------
    pool : Pool
        The candidates.
    knowledge : Knowledge
        What is known; it grows with each choice.
    criterion : Criterion
        What is compared.
    likeness : Likeness
        Structures of which no near-duplicate is chosen; it grows likewise.
    """

    def __init__(
        self, pool: Pool, knowledge: Knowledge, criterion: Criterion, likeness: Likeness
    ) -> None:
        self.pool, self.knowledge, self.criterion = pool, knowledge, criterion
        self.likeness = likeness
        self._kept: dict[int, _Kept] = {}
        self._room = _BYTES
        self._sizes = pool.sizes()
        self._order = np.empty(len(pool), dtype=np.int64)
        self._order[np.argsort(pool.keys, kind="stable")] = np.arange(len(pool))

    def choose(self, n: int, taken: list[int], with_gains: bool) -> list[Pick]:
        """Return up to n candidates that are neither `taken` nor nearly equal to others.

        Parameters
        ----------
        n : int
            How many.
        taken : list of int
            Candidates that are chosen already, and count as known.
        with_gains : bool
            Whether the worth of all candidates is kept with each choice.
        """
        for i in taken:
            self._take(i, self._rows(i))
        self.criterion.begin(self.knowledge, self._all_rows)
        gains = np.full(len(self.pool), -np.inf)
        for i, rows in self._all_rows():
            gains[i] = self.criterion.gain(self.knowledge, rows)
        gains[taken] = np.nan
        heap = [self._entry(gains[i], i, 0) for i in range(len(gains)) if not np.isnan(gains[i])]
        heapq.heapify(heap)
        picks: list[Pick] = []
        many = 1  # that are looked at again together, the more the longer it takes
        while heap and len(picks) < n:
            _, _, i, seen = heapq.heappop(heap)
            if seen < len(picks):
                for k, rows in self._rows_again([i, *self._stale(heap, len(picks), many - 1)]):
                    gains[k] = self.criterion.gain(self.knowledge, rows)
                    heapq.heappush(heap, self._entry(gains[k], k, len(picks)))
                many = min(2 * many, _TOGETHER)
                continue
            rows = self._rows(i)
            if self.likeness.has(self._mean(i)):
                gains[i] = np.nan
                self._drop(i)
                continue
            std = self.knowledge.forces_std(rows) if rows.n_forces else None
            known = gains.copy() if with_gains else gains[:0]
            picks.append(Pick(i, float(gains[i]), known, std))
            gains[i] = np.nan
            self._take(i, rows)
            self.criterion.learned(self.knowledge)
            many = 1
        return picks

    def _stale(self, heap, n_picks, n):
        """Take up to n of the best candidates that were not looked at since the last choice."""
        found: list[int] = []
        while heap and len(found) < n and heap[0][3] < n_picks:
            found.append(heapq.heappop(heap)[2])
        return found

    def _rows_again(self, candidates):
        """Yield candidates and their rows, few of which are held at a time."""
        yield from ((i, self._kept[i].rows) for i in candidates if i in self._kept)
        missing = [i for i in candidates if i not in self._kept]
        for part in parts_of(np.array(missing, dtype=np.int64), self._sizes, ATOMS):
            yield from self._made([int(i) for i in part], True)

    def _entry(self, gain, i, seen):
        return -float(f"{gain:.{_DIGITS}g}"), int(self._order[i]), i, seen

    def _take(self, i, rows):
        self.knowledge.learn(rows.matrix)
        self.likeness.add(self._mean(i))
        self._drop(i)

    def _mean(self, i):
        """Return the mean environments of a candidate."""
        return self._kept[i].mean if i in self._kept else next(means(self.pool.features([i])))

    def _rows(self, i):
        """Return the rows of a candidate, which are kept: what is looked at twice is good."""
        if i not in self._kept:
            features = self.pool.features([i])
            ((_, rows),) = self.knowledge.rows(features)
            self._keep(i, rows, next(means(features)))
            return rows
        return self._kept[i].rows

    def _keep(self, i, rows, mean):
        if rows.matrix.nbytes <= self._room:
            self._kept[i] = _Kept(rows, mean)
            self._room -= rows.matrix.nbytes

    def _drop(self, i):
        if i in self._kept:
            self._room += self._kept.pop(i).rows.matrix.nbytes

    def _all_rows(self):
        """Yield all candidates and their rows, few of which are held at a time."""
        labels = np.sum(1 + 3 * self.pool.sizes() + 6)
        keep = 8.0 * len(self.knowledge.triangle) * labels <= _BYTES
        for block in self.pool.blocks():
            yield from ((int(i), self._kept[i].rows) for i in block if i in self._kept)
            missing = [int(i) for i in block if i not in self._kept]
            if not missing:
                continue
            yield from self._made(missing, keep)

    def _made(self, candidates, keep):
        """Yield candidates and their rows, which are made together, and kept if they are to be."""
        features = self.pool.features(candidates)
        mean = list(means(features)) if keep else []
        for k, rows in self.knowledge.rows(features):
            if keep:
                self._keep(candidates[k], rows, mean[k])
            yield candidates[k], rows
