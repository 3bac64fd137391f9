"""Which structures are held out: whole groups, whole trajectories, or blocks of time.

Neighboring frames of a trajectory are nearly equal. A model that has learned from one of them seems
to predict the other well, whatever it predicts elsewhere. So they are not separated unless the user
asks for it.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data import Frames
from ..data.order import content_keys, keyed_uniform
from ..exceptions import InputError
from ._options import Split

if TYPE_CHECKING:
    from skpot.data import Targets
    from skpot.typing import BoolArray, IntArray, Structures

_LEAST_PARTS = 2  # trajectories that must be held out, or else the last frames of each
_SHARE_OF_CHANGES = 1 / 3  # text that changes more often along frames names no trajectories


@dataclass(frozen=True, slots=True)
class Outline:
    """What splits look at of a structure, where all structures would be too large."""

    numbers: "IntArray"
    pbc: "BoolArray"
    info: dict[str, str]

    def __len__(self):
        return len(self.numbers)


def outlines(X: "Structures") -> "Structures":
    """Return structures in files as outlines, without anything by which they would be large."""
    if not isinstance(X, Frames):
        return X
    _, numbers = numbers_of(X)
    begins = X.survey.offsets
    return [
        Outline(numbers[begins[k] : begins[k + 1]], atoms.pbc.copy(), _texts(atoms.info))
        for k, atoms in enumerate(X)
    ]


def _texts(info):
    return {sys.intern(k): sys.intern(v) for k, v in info.items() if isinstance(v, str)}


def numbers_of(X: "Structures") -> tuple["IntArray", "IntArray"]:
    """Return the number of atoms of each structure, and the atomic numbers of all atoms."""
    if isinstance(X, Frames):
        return np.diff(X.survey.offsets), X.survey.numbers
    n_atoms = np.array([len(atoms) for atoms in X])
    return n_atoms, np.concatenate([atoms.numbers for atoms in X])


class Parts(NamedTuple):
    """Structures in parts that are held out as a whole."""

    part: "IntArray"  # (n_structures,) number of the part; -1 is never held out
    what: str  # what the parts are, in the plural


def trajectories(X: "Structures", sizes: Sequence[int]) -> "IntArray":
    """Return the number of the trajectory of each structure.

    A trajectory is a run of consecutive frames of a file with the same atoms. It also ends where
    text in `info` changes, such as the name of a run, if that is constant over several frames.

    Parameters
    ----------
    X : list[Atoms]
        The structures of all files.
    sizes : list of int
        How many structures each file has.
    """
    begins = np.zeros(len(X), dtype=bool)
    begins[np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int)] = True
    for i in range(1, len(X)):
        begins[i] |= not np.array_equal(X[i].numbers, X[i - 1].numbers)
    names = {k for atoms in X for k, value in atoms.info.items() if isinstance(value, str)}
    for name in sorted(names):
        values = [atoms.info.get(name) for atoms in X]
        changes = np.array([False] + [a != b for a, b in zip(values, values[1:], strict=False)])
        n_named = sum(value is not None for value in values)
        if changes.sum() <= _SHARE_OF_CHANGES * n_named:
            begins |= changes
    return np.cumsum(begins) - 1


def _numbered(names):
    return np.unique(names, return_inverse=True)[1]


def _whole_parts(X, y, sizes, split):
    """Return the parts that belong together; `Parts.what` is "frames" if each is alone."""
    if y.groups is not None:
        missing = np.flatnonzero(y.groups == "")
        if len(missing):
            raise InputError(
                f"{len(missing)} structures (first: {missing[0]}) belong to no group, so that it "
                "is not known what to hold out together. Give all of them a group, or name another "
                "--group-key."
            )
        if len(np.unique(y.groups)) < 2:
            raise InputError(f"all structures belong to one group, {str(y.groups[0])!r}.")
        return Parts(_numbered(y.groups), "groups")
    if split is Split.random:
        return Parts(np.arange(len(X)), "frames")
    return Parts(trajectories(X, sizes), "trajectories")


def free_atoms(X: "Structures") -> "BoolArray":
    """Return which structures are free atoms: these are never held out, and judged apart."""
    return np.array([len(atoms) == 1 and not atoms.pbc.any() for atoms in X])


def _drawn(X, part, seed):
    """Return the parts in random order, which depends on their content alone."""
    keys = np.full(part.max() + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(keys, part, content_keys(X))
    return np.argsort(keyed_uniform(keys, seed), kind="stable")


def _members(part, chosen):
    """Return the indices of the chosen structures of each part, in their order."""
    index = np.flatnonzero(chosen)
    order = index[np.argsort(part[index], kind="stable")]
    sizes = np.bincount(part[index], minlength=part.max() + 1)
    return np.split(order, np.cumsum(sizes)[:-1])


def held_out(
    X: "Structures", y: "Targets", sizes: Sequence[int], share: float, split: Split, seed: int
) -> tuple["BoolArray", str]:
    """Return which structures to test on, and how they were chosen.

    Whole groups are drawn if there are groups, else whole trajectories if two or more have about
    the right number of structures, else the last frames of each trajectory are taken.

    Parameters
    ----------
    X, y : list[Atoms], Targets
        Structures and labels.
    sizes : list of int
        How many structures each file has.
    share : float
        Share of the structures to hold out, between 0 and 1.
    split : Split
        `Split.random` draws single frames if there are no groups.
    seed : int
        Seed of the choice.
    """
    shapes = outlines(X)
    part, what = _whole_parts(shapes, y, sizes, split)
    lone = free_atoms(shapes)
    target = share * np.sum(~lone)
    n_parts = len(np.unique(part[~lone]))
    test = _parts_up_to(shapes, _drawn(X, part, seed), part, lone, target)
    chosen = len(np.unique(part[test]))
    how = f"{chosen} of {n_parts} {what}" + (" at random" if what == "frames" else "")
    if what == "trajectories" and not (
        chosen >= _LEAST_PARTS and target / 2 <= test.sum() <= 2 * target
    ):
        last = _last_frames(part, lone, share)
        if last.sum() >= target / 2:
            test, how = last, "the last frames of each trajectory"
    if not test.any() or (test | lone).all():
        raise InputError(
            f"no test set can be held out of {len(X)} structures: --test-fraction {share:g} of "
            f"{n_parts} {what} leaves nothing to test or nothing to learn from."
        )
    return test, how


def _last_frames(part, lone, share):
    test = np.zeros(len(part), dtype=bool)
    for members in _members(part, ~lone):
        test[members[len(members) - round(share * len(members)) :]] = True
    return test


def _parts_up_to(shapes, order, part, lone, target):
    """Take parts in order until they have the number of structures; species must stay in the rest.

    If all parts have more structures, the smallest is taken.
    """
    test = np.zeros(len(part), dtype=bool)
    species = np.array([np.bincount(atoms.numbers, minlength=120) > 0 for atoms in shapes])
    remaining, members, n_test = species.sum(axis=0), _members(part, ~lone), 0
    smallest = None
    for p in order:
        n, held = len(members[p]), species[members[p]].sum(axis=0)
        if not n or not (remaining > held)[held > 0].all():
            continue
        if n_test + n / 2 <= target:
            test[members[p]] = True
            n_test, remaining = n_test + n, remaining - held
        elif smallest is None or n < len(smallest):
            smallest = members[p]
    if not n_test and smallest is not None:
        test[smallest] = True
    return test


def folds(
    X: "Structures", y: "Targets", sizes: Sequence[int], n: int, split: Split, seed: int
) -> tuple[Any, str]:
    """Return the training and test structures of each fold of cross-validation, and what folds are.

    Folds have whole groups if there are groups, else whole trajectories if there are at least as
    many, else each fold has one block of time of each trajectory. Free atoms are never held out.

    Parameters
    ----------
    X, y, sizes, split, seed
        As in `held_out`.
    n : int
        Number of folds; of fewer groups, each is a fold.

    Returns
    -------
    splits : list of (ndarray of int, ndarray of int)
    what : str
    """
    shapes = outlines(X)
    part, what = _whole_parts(shapes, y, sizes, split)
    lone = free_atoms(shapes)
    n_parts = len(np.unique(part[~lone]))
    if what == "groups":
        n = min(n, n_parts)
    if what == "trajectories" and n_parts < n:
        fold, what = _time_blocks(part, lone, n), "blocks of time"
    else:
        fold = _dealt(X, part, lone, n, seed)
    found = np.unique(fold[~lone])
    if len(found) < n or n < 2:
        raise InputError(f"{n} folds need as many {what}, but there are {len(found)}.")
    index = np.arange(len(X))
    splits = [(index[(fold != k) | lone], index[(fold == k) & ~lone]) for k in range(n)]
    return splits, f"{n} folds of {what}"


def _time_blocks(part, lone, n):
    fold = np.zeros(len(part), dtype=np.int64)
    for members in _members(part, ~lone):
        fold[members] = np.arange(len(members)) * n // max(len(members), 1)
    return fold


def _dealt(X, part, lone, n, seed):
    """Give parts to folds, each to the one that has fewest structures, the largest parts first."""
    order = _drawn(X, part, seed)
    sizes = np.bincount(part, ~lone, minlength=part.max() + 1)
    order = order[np.argsort(-sizes[order], kind="stable")]
    of_part, filled = np.zeros(len(sizes), dtype=np.int64), np.zeros(n)
    for p in order:
        of_part[p] = np.argmin(filled)
        filled[of_part[p]] += sizes[p]
    return of_part[part]
