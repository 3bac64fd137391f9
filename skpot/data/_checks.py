"""Checks of a list of structures, before anything is computed from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.images import survey
from ..core.neighbors import search
from ..exceptions import InputTypeError, StructureError, StructureWarning, warn_once
from ._ase import extract_arrays
from ._graph import rows_of
from .elements import SYMBOLS, covalent_radius

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from skpot.core.pairs import Pairs
    from skpot.typing import Atoms, BoolArray, FloatArray, IntArray

# Atoms closer than this mean an atom that was entered twice, too small a cell, or positions in
# another unit. Nobody computes labels at such distances: pseudopotentials overlap completely there,
# and dimers for the repulsion at short range begin at 0.35 Å (H2), or at half the sum of the
# covalent radii.
MIN_DISTANCE = 0.32  # Å, 0.6 Bohr
# A share of the sum of covalent radii. Below it a structure is most likely wrong, but can serve to
# fit a repulsive baseline. The closest atoms in published sets are at 0.48 (compressed iron).
CROWDED = 0.4
MAX_IMAGES = 1e5  # images of one atom; usual cells have some hundreds within the cutoff
_LARGEST_CELL = 1e7  # Å
_MAX_SHOWN = 10


def check_structures(X: Any) -> list[Atoms]:
    """Check a list of structures, and refuse it with all problems in one message.

    Parameters
    ----------
    X : sequence of Atoms
        Structures: a list, a tuple, an ASE trajectory, an object array, a pandas Series.

    Returns
    -------
    structures : list[Atoms]
        The same objects in a list.

    Raises
    ------
    TypeError
        If X is a single structure, or holds something that is not a structure.
    ValueError
        If X is empty, or if a structure has no atoms, invalid atomic numbers, positions or a cell
        that are not finite, a periodic direction whose cell vector is zero or depends on others,
        two atoms (or an atom and a periodic image) closer than 0.32 Å, or a cell so flat or small
        that its images cannot be counted.

    Warns
    -----
    StructureWarning
        If atoms are closer than 0.4 times the sum of their covalent radii.

    Examples
    --------
    >>> from ase.build import bulk, molecule
    >>> from skpot import check_structures
    >>> len(check_structures([molecule("H2O"), bulk("Si")]))
    2
    >>> check_structures(bulk("Si"))
    Traceback (most recent call last):
    ...
    skpot.exceptions.InputTypeError: X is a single structure (Si2); ... put it in a list: [atoms].
    """
    return check_and_extract(X)[0]


def check_and_extract(
    X: Any, search_follows: bool = False
) -> tuple[list[Atoms], tuple[FloatArray, IntArray, FloatArray, BoolArray, IntArray]]:
    """Check structures as `check_structures` does and return their geometry too.

    Parameters
    ----------
    X : sequence of Atoms
        Structures.
    search_follows : bool, default=False
        Whether a neighbor search follows, which refuses atoms that coincide. Then these are looked
        for here only if there are other problems to report along with them.

    Returns
    -------
    structures : list[Atoms]
        The same objects in a list.
    arrays : tuple of ndarray
        positions (n_atoms_total, 3), numbers (n_atoms_total,), cells (n_structures, 3, 3),
        pbc (n_structures, 3), offsets (n_structures + 1,).
    """
    structures = as_list(X)
    arrays = positions, numbers, cells, pbc, offsets = extract_arrays(structures)
    problems = {}  # structure -> text; only the first problem of a structure is reported

    counts = np.diff(offsets)
    for i in np.flatnonzero(counts == 0):
        problems[i] = "has no atoms"
    bad = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    for i, atoms in _by_structure(bad, offsets):
        problems.setdefault(i, f"positions are not finite, atoms {some(atoms)}")
    bad = np.flatnonzero((numbers < 1) | (numbers > 118))
    for i, atoms in _by_structure(bad, offsets):
        problems.setdefault(i, f"atomic numbers are not in 1..118, atoms {some(atoms)}")
    for i, text in _cell_problems(cells, pbc):
        problems.setdefault(i, text)
    if problems or not search_follows:
        for i, text in _close_atoms(positions, cells, pbc, offsets, skip=problems):
            problems.setdefault(i, text)
    if problems:
        raise StructureError(summarize(problems, len(structures)))
    if not search_follows:
        _look_for_crowded(*arrays)
    return structures, arrays


def check_pair_distances(
    distances: FloatArray,
    pair_start: IntArray,
    pair_neighbor: IntArray,
    offsets: IntArray,
    given: Given | None = None,
) -> None:
    """Refuse pairs of atoms closer than 0.32 Å, given a neighbor list.

    Parameters
    ----------
    distances : ndarray of shape (n_pairs,)
        Distances (Å).
    pair_start : ndarray of int of shape (n_atoms_total + 1,)
        Atom i is the center of pairs `pair_start[i]:pair_start[i + 1]`.
    pair_neighbor : ndarray of int of shape (n_pairs,)
        The other atom of each pair, counted over all structures.
    offsets : ndarray of int of shape (n_structures + 1,)
        Structure i owns atoms `offsets[i]:offsets[i + 1]`.
    given : Given, optional
        Indices of the structures in the list that was passed, if that had more.
    """
    close = np.flatnonzero(distances < MIN_DISTANCE)
    if not len(close):
        return
    problems = {}
    centers = np.searchsorted(pair_start, close, side="right") - 1
    for pair, center in zip(close, centers, strict=True):
        i = int(np.searchsorted(offsets, center, side="right") - 1)
        first, second = center - offsets[i], pair_neighbor[pair] - offsets[i]
        problems.setdefault(i, _close_text(first, second, distances[pair]))
    raise StructureError(summarize(problems, len(offsets) - 1, given))


class Given(NamedTuple):
    """The indices of some structures in the list that a user has passed."""

    index: np.ndarray  # (n_structures,)
    n: int  # number of structures that were passed


def summarize(problems: Mapping[Any, str], n: int, given: Given | None = None) -> str:
    """Return one message for the problems of many structures.

    Parameters
    ----------
    problems : dict of int to str
        What is wrong, by structure.
    n : int
        Number of structures.
    given : Given, optional
        Indices of these structures in the list that was passed.

    Returns
    -------
    message : str
    """
    if given is not None:
        problems, n = {int(given.index[i]): text for i, text in problems.items()}, given.n
    lines = [f"{len(problems)} of {n} structures cannot be used:"]
    lines += [f"structure {i}: {problems[i]}" for i in sorted(problems)[:_MAX_SHOWN]]
    if len(problems) > _MAX_SHOWN:
        lines.append(f"and {len(problems) - _MAX_SHOWN} more")
    return "\n  ".join(lines)


def some(indices: Sequence[int] | IntArray) -> str:
    """Return indices as text, the first ten if there are more."""
    text = ", ".join(str(i) for i in indices[:_MAX_SHOWN])
    return text + (f", ... ({len(indices)} in all)" if len(indices) > _MAX_SHOWN else "")


def _is_structure(value):
    return all(hasattr(value, name) for name in ("positions", "numbers", "cell", "pbc"))


def as_list(X: Any) -> list[Any]:
    """Return the structures of X as a list, or raise an error that says what X is instead."""
    if _is_structure(X):
        formula = X.get_chemical_formula() if hasattr(X, "get_chemical_formula") else "one"
        raise InputTypeError(
            f"X is a single structure ({formula}); skpot takes several at a time: "
            "put it in a list: [atoms]."
        )
    if isinstance(X, str | bytes):
        raise InputTypeError(f"X is the text {X!r}; read structures with skpot.read(path) first.")
    if isinstance(X, np.ndarray) and (X.ndim != 1 or X.dtype != object):
        raise InputTypeError(
            f"X is an array of shape {X.shape} and type {X.dtype}, not a list of structures; "
            + _why_array(X)
        )
    if hasattr(X, "__next__"):
        raise InputTypeError(
            f"X is a {type(X).__name__}, which can be gone through only once; pass list(X)."
        )
    if not hasattr(X, "__len__") or not hasattr(X, "__iter__"):
        raise InputTypeError(
            f"X is of type {type(X).__name__}, not a list of structures; pass list[Atoms]."
        )
    structures = list(X)
    if not structures:
        raise StructureError("X is empty: at least one structure is needed.")
    wrong = {
        i: f"is a {type(s).__name__}" for i, s in enumerate(structures) if not _is_structure(s)
    }
    if wrong:
        raise InputTypeError(
            f"X must hold structures (ase.Atoms) only; {summarize(wrong, len(structures))}"
        )
    return structures


def _why_array(X):
    """Return what to do instead of passing an array that is not a row of structures."""
    first = X.ravel()[0] if X.dtype == object and X.size else None
    if _is_structure(first):
        return "it holds structures, but not in one row: pass X.ravel()."
    if hasattr(first, "symbol"):
        return (
            "NumPy makes an array of atoms of structures of equal size. If you passed a list of "
            "structures, a meta-estimator of scikit-learn has made an array of it, as "
            "BaggingRegressor and permutation_importance do. Use one that only indexes X, such as "
            "skpot.Committee or GridSearchCV."
        )
    return "pass list[Atoms]."


def _by_structure(atoms, offsets):
    """Group sorted atom indices: pairs of a structure and its atoms, counted within it."""
    owners = np.searchsorted(offsets, atoms, side="right") - 1
    return [(i, atoms[owners == i] - offsets[i]) for i in np.unique(owners)]


def _cell_problems(cells, pbc):
    finite = (np.abs(cells) < _LARGEST_CELL).all(axis=(1, 2))
    for i in np.flatnonzero(~finite):
        yield i, "its cell is not finite or larger than 10^7 Å"
    cells = np.where(finite[:, None, None], cells, 1.0)
    lengths = np.sqrt((cells**2).sum(axis=2))
    missing = pbc & (lengths == 0)
    for i in np.flatnonzero(missing.any(axis=1)):
        axes = ", ".join("abc"[k] for k in np.flatnonzero(missing[i]))
        yield i, f"is periodic along {axes} but its cell vector there is zero (set pbc or the cell)"
    # The Gram determinant is the squared volume of unit vectors along the periodic directions.
    rows = np.flatnonzero(finite & ~missing.any(axis=1) & pbc.any(axis=1))
    unit = np.where(pbc[rows, :, None], cells[rows], 0.0)
    unit /= np.where(pbc[rows], lengths[rows], 1.0)[:, :, None]
    gram = unit @ unit.transpose(0, 2, 1)
    gram[:, range(3), range(3)] += ~pbc[rows]
    for i in rows[np.linalg.det(gram) < 1e-12]:
        yield i, "the cell vectors of its periodic directions are linearly dependent"


def _close_text(first, second, distance):
    if first == second:
        return f"atom {first} is {distance:.3g} Å from its own periodic image"
    return f"atoms {first} and {second} are {distance:.3g} Å apart (one atom entered twice?)"


def _close_atoms(positions, cells, pbc, offsets, skip):
    """Yield (structure, text) for atoms that are closer than the minimum distance."""
    usable = np.setdiff1d(np.arange(len(cells)), list(skip))
    atoms, begin = rows_of(usable, offsets)
    plan = survey(positions[atoms], cells[usable], pbc[usable], begin, MIN_DISTANCE)
    if hopeless := dict(too_many_images(plan, MIN_DISTANCE)):
        yield from ((int(usable[k]), text) for k, text in hopeless.items())
        yield from _close_atoms(positions, cells, pbc, offsets, [*skip, *usable[list(hopeless)]])
        return
    pairs, _ = search(plan, MIN_DISTANCE)
    center = np.repeat(np.arange(len(atoms)), np.diff(pairs.start))
    for p in np.flatnonzero(center <= pairs.neighbor):
        k = int(np.searchsorted(begin, center[p], side="right") - 1)
        first, second = center[p] - begin[k], pairs.neighbor[p] - begin[k]
        yield int(usable[k]), _close_text(first, second, np.linalg.norm(pairs.vector[p]))


def too_many_images(plan: Any, cutoff: float) -> Iterator[tuple[int, str]]:
    """Yield (structure, text) where there are too many images for a neighbor search."""
    n_images = plan.n_points / np.maximum(np.diff(plan.offsets), 1)
    for s in np.flatnonzero(~(n_images < MAX_IMAGES)):
        if np.isnan(n_images[s]):
            yield (
                int(s),
                "positions or cell are not finite or beyond 10^7 Å, or the cell has no volume",
            )
        else:
            yield (
                int(s),
                f"{n_images[s]:.2g} images of its cell are within {cutoff} Å: the cell is too flat "
                "or too small; take a reduced cell (ase.build.niggli_reduce)",
            )


def radii_of(numbers: IntArray) -> FloatArray:
    """Return the covalent radii (Å) of atoms."""
    species, index = np.unique(numbers, return_inverse=True)
    return np.array([covalent_radius(int(z)) for z in species])[index]


def _look_for_crowded(positions, numbers, cells, pbc, offsets):
    """Warn of atoms that are suspiciously close, in structures without other problems."""
    radii = radii_of(numbers)
    reach = 2.0 * CROWDED * radii.max()
    plan = survey(positions, cells, pbc, offsets, reach)
    if not any(too_many_images(plan, reach)):
        warn_of_crowded(search(plan, reach)[0], numbers, offsets)


def warn_of_crowded(
    pairs: Pairs, numbers: IntArray, offsets: IntArray, given: Given | None = None
) -> None:
    """Warn of pairs of atoms closer than `CROWDED` times the sum of their covalent radii.

    Parameters
    ----------
    pairs : core.pairs.Pairs
        Pairs of all structures.
    numbers : ndarray of int of shape (n_atoms_total,)
        Atomic numbers.
    offsets : ndarray of int of shape (n_structures + 1,)
        Structure i owns atoms `offsets[i]:offsets[i + 1]`.
    given : Given, optional
        Indices of the structures in the list that was passed, if that had more.
    """
    radii = radii_of(numbers)
    center = np.repeat(np.arange(len(numbers)), np.diff(pairs.start))
    distance = np.sqrt(np.einsum("pa,pa->p", pairs.vector, pairs.vector))
    close = np.flatnonzero(distance < CROWDED * (radii[center] + radii[pairs.neighbor]))
    if not len(close):
        return
    p = close[np.argmin(distance[close])]
    owner = np.searchsorted(offsets, center[[p, *close]], side="right") - 1
    if given is not None:
        owner = given.index[owner]
    index = np.unique(owner)
    elements = "-".join(SYMBOLS[numbers[i]] for i in (center[p], pairs.neighbor[p]))
    warn_once(
        "crowded atoms",
        f"{len(index)} structures have atoms closer than {CROWDED} times the sum of their "
        f"covalent radii, above all {elements} at {distance[p]:.3g} Å in structure {owner[0]}: "
        f"structures {some(index)}. Are positions and cell right, and in Å?",
        StructureWarning,
    )
