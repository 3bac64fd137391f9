"""Checks of arrays before compiled functions get them, which read without bounds checks."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np

from ..core.expansion import TILE, Polynomial, Sum, Term
from ..core.feature_rows import Beside, Leaf, Mapped, Selected
from ..core.network import Network
from ..core.pairs import Pairs, closest_squared
from ..core.products import COLUMNS, SUMMANDS, rounded
from ..data import MIN_DISTANCE
from ..exceptions import InputError, InputTypeError, StructureError

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import BoolArray, IntArray

# Other arrays are copied, since compiling functions for their layout would take much longer.
_COMPILED = ["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"]


def checked_pairs(pairs: Pairs, species: Any, known: BoolArray) -> tuple[Pairs, IntArray]:
    """Return pairs and species as compiled functions take them; refuse what does not fit.

    Parameters
    ----------
    pairs : Pairs
        See `CompiledPotential.evaluate_pairs`.
    species : array-like of int of shape (n_atoms,)
        Indices of species.
    known : ndarray of bool of shape (n_species,)
        Which species have an energy.
    """
    if not all(hasattr(pairs, name) for name in Pairs._fields):
        raise InputTypeError(f"pairs must have {', '.join(Pairs._fields)}, got {type(pairs)}.")
    start, neighbor = integers("start", pairs.start), integers("neighbor", pairs.neighbor)
    species = checked_species(species, known)
    n_centers, n_pairs = len(start) - 1, len(neighbor)
    if n_centers < 0 or start[0] != 0 or start[-1] != n_pairs or (np.diff(start) < 0).any():
        raise InputError(f"start does not divide {n_pairs} pairs among centers, in order.")
    if n_centers > len(species):
        raise InputError(f"there are {n_centers} centers, but species of {len(species)} atoms.")
    _refuse_outside("neighbor", neighbor, len(species), "atoms")
    return Pairs(start, neighbor, _vectors(pairs.vector, n_pairs)), species


def checked_species(species: Any, known: BoolArray, n_atoms: int | None = None) -> IntArray:
    """Return indices of species as compiled functions take them; refuse what does not fit."""
    species = integers("species", species)
    if n_atoms is not None and len(species) != n_atoms:
        raise InputError(f"species of {len(species)} atoms are given for {n_atoms} atoms.")
    _refuse_outside("species", species, len(known), "species")
    if not known.all() and not known[species].all():
        bad = np.unique(species[~known[species]]).tolist()
        raise InputError(f"species of index {bad} did not occur in fit.")
    return species


def integers(name: str, array: Any) -> IntArray:
    """Return a row of integers as compiled functions take it; refuse others."""
    array = np.asarray(array)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputTypeError(
            f"{name} must be a row of integers, got shape {array.shape} and type {array.dtype}."
        )
    return np.require(array, np.int64, _COMPILED)


def _vectors(array, n_pairs):
    array = np.asarray(array)
    if array.shape != (n_pairs, 3) or array.dtype.kind not in "fiu":
        raise InputTypeError(
            f"vector must be numbers of shape {(n_pairs, 3)}, one row for each neighbor, got shape "
            f"{array.shape} and type {array.dtype}."
        )
    array = np.require(array, np.float64, _COMPILED)
    if not np.isfinite(array).all():
        raise StructureError("vectors of pairs are not finite.")
    closest = np.sqrt(closest_squared(array))
    if closest < MIN_DISTANCE:
        raise StructureError(f"two atoms meet: a pair is {closest:.3g} Å apart.")
    return array


def _refuse_outside(name, index, size, things):
    if len(index) and (index.min() < 0 or index.max() >= size):
        raise InputError(
            f"{name} has indices {index.min()} ... {index.max()}, but there are {size} {things}."
        )


def check_tables(potential: Any, n_species: int) -> None:
    """Refuse a `Potential` whose arrays do not fit each other."""
    width = _width(potential.features, n_species)
    _require("columns of features", width == potential.width)
    _require("energies of free atoms", potential.e0.shape == (n_species,))
    columns = potential.baseline
    _require("baseline", not len(columns) or (columns.min() >= 0 and columns.max() < width))
    _check_expansion(potential.expansion, n_species, width)


def _require(what, fits):
    if not fits:
        raise InputError(
            f"the {what} of this model do not fit its other parts: was a step fitted again on its "
            "own, or were parameters or arrays changed? Fit the whole pipeline again."
        )


@singledispatch
def _width(node, n_species):
    """Return the number of columns of a tree of `core.feature_rows`."""
    raise InputTypeError(f"{type(node).__name__} is no tree of features.")


@_width.register
def _(node: Leaf, n_species):
    return node.width


@_width.register
def _(node: Beside, n_species):
    left, right = _width(node.left, n_species), _width(node.right, n_species)
    _require("columns side by side", left == node.n_left)
    return left + right


@_width.register
def _(node: Mapped, n_species):
    n_in, n_out = _width(node.inner, n_species), len(node.constant)
    z, rows, n = node.matrix.shape
    fits = (z, n) == (n_species, n_in) and rows >= n_out and rows % SUMMANDS == 0
    _require("linear maps", fits)
    return n_out


@_width.register
def _(node: Selected, n_species):
    n_in, columns = _width(node.inner, n_species), node.columns
    fits = n_in == node.n_inner and (
        not len(columns) or (columns.min() >= 0 and columns.max() < n_in)
    )
    _require("selected columns", fits)
    return len(columns)


@singledispatch
def _check_expansion(term, n_species, width):
    """Refuse a term of `core.expansion` that would read beyond its arrays or `width` columns."""
    raise InputTypeError(f"{type(term).__name__} is no expansion.")


@_check_expansion.register
def _(term: Sum, n_species, width):
    _check_expansion(term.left, n_species, width)
    _check_expansion(term.right, n_species, width)


@_check_expansion.register
def _(term: Term, n_species, width):
    _check_scaling(term, n_species, width)
    n, first = len(term.scale), term.first
    _require("origins", term.origin.shape == (n_species, n))
    ordered = len(first) == n_species + 1 and first[0] == 0 and (np.diff(first) >= 0).all()
    _require("numbers of references", ordered)
    total = first[-1]
    _require(
        "references",
        all(len(a) == total for a in (term.alpha, term.constant, term.offset))
        and term.rows.size >= total * n
        and term.vector_rows.size in (0, term.rows.size),
    )
    n_waves = len(term.wave_rows)
    _require(
        "waves",
        n_waves <= TILE
        and n_waves % SUMMANDS == 0
        and term.wave_rows.shape[1] == n
        and term.wave_phases.shape == term.wave_weights.shape == (n_species, n_waves),
    )


@_check_expansion.register
def _(term: Polynomial, n_species, width):
    _check_scaling(term, n_species, width)
    n, shape = len(term.scale), term.quadratic.shape
    _require("linear forms", term.linear.shape == (n_species, n))
    fits = shape[0] == n_species and shape[2] == n and (shape[1] == 0 or shape[1] >= n)
    _require("quadratic forms", fits)


@_check_expansion.register
def _(term: Network, n_species, width):
    _check_scaling(term, n_species, width)
    n, widths = len(term.scale), term.widths
    _require("numbers of units", len(widths) > 0 and (widths > 0).all())
    inner = np.array([n, *widths[:-1]])
    inner_back = np.array([rounded(n, COLUMNS), *widths[:-1]])
    copies = n_species * term.n_members
    _require(
        "layers",
        term.forward.size == copies * np.sum(widths * inner)
        and term.back.size == copies * np.sum(widths * inner_back)
        and term.offsets.size == copies * np.sum(widths)
        and term.last.shape == (n_species, term.n_members, widths[-1]),
    )
    _require("linear terms", term.linear.shape == (n_species, n))
    _require("constants", term.constant.shape == (n_species,))


def _check_scaling(term, n_species, width):
    n = len(term.scale)
    _require("columns of references", 0 <= term.begin and term.begin + n <= width)
    _require("shifts", term.shift.shape == (n_species, n))
