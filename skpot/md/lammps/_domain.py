"""The atoms of one rank of LAMMPS: owned atoms and ghosts, their pairs, and owners of ghosts."""

from __future__ import annotations

from ctypes import POINTER, byref, c_int, c_void_p, cast, memmove
from typing import TYPE_CHECKING

import numpy as np

from ...core.pairs import Pairs, add_rows, close_pairs, count_close
from ...exceptions import EngineError

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FloatArray

_NEIGHBOR_MASK = 0x1FFFFFFF  # without the upper bits of a neighbor, which are about bonds


class Domain:
    """Owned atoms and ghosts of one rank, with the pairs of LAMMPS's neighbor list.

    Arrays are views of memory of LAMMPS. They are valid until it searches neighbors again.

    Parameters
    ----------
    lmp : lammps.lammps
        The engine.
    n_owned : int
        Number of atoms of this rank.

    Attributes
    ----------
    positions : ndarray of shape (n_owned + n_ghosts, 3)
        In Å; those of a ghost are the positions of the image.
    types : ndarray of shape (n_owned + n_ghosts,)
        Atom types of LAMMPS, which begin with 1; fixes may change them at any time.
    present : ndarray of bool of shape (n_owned + n_ghosts,)
        Whether an atom is in group all. Others count as removed: fix gcmc and fix widom remove
        atoms on trial by moving them to another group, which has no pairs.
    tags : ndarray of shape (n_owned + n_ghosts,)
        Numbers by which LAMMPS identifies atoms; a ghost has that of the atom it is an image of.
    """

    def __init__(self, lmp: Any, n_owned: int) -> None:
        n = n_owned + lmp.extract_setting("nghost")
        self.n_owned = n_owned
        tag_type = f"<i{lmp.extract_setting('tagint')}"
        self.positions = _view(lmp.extract_atom("x")[0], (n, 3), "<f8")
        self.types = _view(lmp.extract_atom("type"), (n,), "<i4")
        self.present = (_view(lmp.extract_atom("mask"), (n,), "<i4") & 1).astype(bool)
        self.tags = _view(lmp.extract_atom("id"), (n,), tag_type)
        self._candidates = self._fetch(lmp)
        n_candidates = len(self._candidates.neighbor)
        self._start = np.empty(n_owned + 1, dtype=np.int64)
        self._neighbor = np.empty(n_candidates, dtype=np.int64)
        self._vector = np.empty((n_candidates + 1, 3))

    def _fetch(self, lmp):
        """Return a copy of LAMMPS's neighbor list, including the skin, ordered by atom."""
        index = lmp.find_pair_neighlist("zero")
        if index < 0:
            raise EngineError(
                "LAMMPS has no neighbor list of `pair_style zero ... full`, which attach has set: "
                f"the style is {lmp.extract_global('pair_style')} now; do not change the style"
            )
        element = lmp.lib.lammps_neighlist_element_neighbors
        atom, count, first = c_int(), c_int(), POINTER(c_int)()
        handles = byref(atom), byref(count), byref(first)
        addresses = np.zeros(self.n_owned, dtype=np.int64)
        counts = np.zeros(self.n_owned, dtype=np.int64)
        for row in range(lmp.lib.lammps_neighlist_num_elements(lmp.lmp, index)):
            element(lmp.lmp, index, row, *handles)
            counts[atom.value] = count.value if self.present[atom.value] else 0
            addresses[atom.value] = _address(first) if count.value else 0
        start = np.concatenate([[0], np.cumsum(counts)])
        neighbor = np.empty(start[-1], dtype=np.int32)
        to = neighbor.ctypes.data
        for source, begin, n in zip(
            addresses.tolist(), start[:-1].tolist(), counts.tolist(), strict=True
        ):
            memmove(to + 4 * begin, source, 4 * n)
        neighbor &= _NEIGHBOR_MASK
        return Pairs(start, neighbor.astype(np.int64), np.empty((0, 3)))

    def pairs(self, cutoff: float) -> Pairs:
        """Return the `Pairs` of owned atoms closer than `cutoff` (Å), until the next call."""
        arrays = self._start, self._neighbor, self._vector
        n = close_pairs(self.positions, cutoff, self._candidates, *arrays)
        return Pairs(self._start, self._neighbor[:n], self._vector[:n])

    def check_pairs(self, cutoff: float) -> None:
        """Refuse a neighbor list of LAMMPS in which pairs of owned atoms are missing."""
        shorter = cutoff * (1.0 - 1e-6)  # pairs at the cutoff itself are a matter of rounding
        positions, n_owned = (
            self.positions[self.present],
            np.count_nonzero(self.present[: self.n_owned]),
        )
        expected = count_close(positions, n_owned, shorter) if n_owned else 0
        found = len(self.pairs(shorter).neighbor)
        if found < expected:
            raise EngineError(
                f"LAMMPS's neighbor list has {found} of {expected} pairs closer than {cutoff} Å: "
                "settings such as neigh_modify exclude, neigh_modify include or special_bonds "
                "with zeros remove pairs, but the potential needs all (special_bonds lj/coul 1 1 1)"
            )


class GhostForces:
    """Adds forces on ghosts to the atoms they are images of, which other ranks may own.

    Ranks exchange one row for each atom of another rank of which they have ghosts; a single rank
    exchanges nothing. The order of sums is fixed.

    Parameters
    ----------
    domain : Domain
        Atoms of this rank.
    comm : mpi4py.MPI.Comm or None
        None for a single rank. Otherwise all ranks must construct the object at the same time.
    """

    def __init__(self, domain: Domain, comm: Any) -> None:
        self._comm, self._n_owned = comm, domain.n_owned
        own, ghosts = domain.tags[: domain.n_owned], domain.tags[domain.n_owned :]
        foreign, rank_of = ghosts[:0], ghosts[:0]
        order = np.argsort(own)
        place = np.searchsorted(own, ghosts, sorter=order)
        place = order[np.minimum(place, len(own) - 1)] if len(own) else np.zeros_like(place)
        is_own = own[place] == ghosts if len(own) else np.zeros(len(ghosts), dtype=bool)
        if comm is not None:
            parts = comm.allgather(own.copy())
            foreign = np.unique(ghosts[~is_own])
            rank_of = _owners(parts, foreign)
            by_rank = np.argsort(rank_of, kind="stable")
            foreign, rank_of = foreign[by_rank], rank_of[by_rank]
        self._rows = np.asarray(place, dtype=np.int64)  # the row of the sums for each ghost
        sorter = np.argsort(foreign)
        at = np.searchsorted(foreign, ghosts[~is_own], sorter=sorter)
        self._rows[~is_own] = len(own) + sorter[at]
        self._n_sums = len(own) + len(foreign)
        if comm is not None:
            bounds = np.searchsorted(rank_of, np.arange(comm.size + 1))
            asked = comm.alltoall(
                [foreign[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
            )
            self._sent = 3 * np.diff(bounds), 3 * bounds[:-1]
            counts = np.array([len(tags) for tags in asked])
            self._received = 3 * counts, 3 * np.concatenate([[0], np.cumsum(counts)[:-1]])
            self._targets = order[np.searchsorted(own, np.concatenate(asked), sorter=order)]
            self._buffer = np.empty((counts.sum(), 3))

    def collect(self, forces: FloatArray) -> FloatArray:
        """Return forces on owned atoms (n_owned, 3), with those on their ghosts added."""
        sums = np.zeros((self._n_sums, 3))
        sums[: self._n_owned] = forces[: self._n_owned]
        add_rows(self._rows, forces[self._n_owned :], sums)
        own, foreign = sums[: self._n_owned], sums[self._n_owned :]
        if self._comm is not None:
            self._comm.Alltoallv([foreign, self._sent], [self._buffer, self._received])
            add_rows(self._targets, self._buffer, own)
        return own


def _owners(parts, tags):
    """Return for each of `tags` the index of the array in `parts` that holds it."""
    everything = np.concatenate(parts)
    rank = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    order = np.argsort(everything)
    return rank[order[np.searchsorted(everything, tags, sorter=order)]]


class _Memory:
    def __init__(self, address: int, shape: tuple[int, ...], kind: Any) -> None:
        self.__array_interface__ = {
            "data": (address, False), "shape": shape, "typestr": kind, "version": 3,
        }  # fmt: skip


def _view(pointer, shape, kind):
    """Return an array on memory that LAMMPS owns."""
    if not np.prod(shape):
        return np.empty(shape, dtype=kind)
    return np.asarray(_Memory(_address(pointer), shape, kind))


def _address(pointer):
    return cast(pointer, c_void_p).value
