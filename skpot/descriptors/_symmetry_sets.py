"""Sets of symmetry functions: how users describe them, and the automatic choice."""

from __future__ import annotations

from itertools import combinations_with_replacement
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data.elements import SYMBOLS, atomic_number
from ..exceptions import InputTypeError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skpot.typing import BoolArray, IntArray

RADIAL = ("G1", "G2", "G3")
ANGULAR = ("G4", "G5")
_PARAMETERS = {  # on which a function of each kind depends
    "G1": (),
    "G2": ("eta", "shift"),
    "G3": ("kappa",),
    "G4": ("eta", "shift", "zeta", "lambda_"),
    "G5": ("eta", "shift", "zeta", "lambda_"),
}
SWITCHES = ("cosine", "polynomial", "tanh")  # as core.symmetry_tables numbers them
_LONGEST = 100.0  # Å
_HIGHEST_POWER = 500  # larger powers (1 + lambda cos)^zeta would overflow


class SymmetryFunction(NamedTuple):
    r"""One symmetry function, or one for each species of neighbors.

    Parameters
    ----------
    kind : {"G1", "G2", "G3", "G4", "G5"}
        Numbers of Behler, J. Chem. Phys. 134, 074106 (2011); see `skpot.SymmetryFunctions`.
    neighbors : str, or pair of str, or None, default=None
        Symbol of the neighbors' species (G1-G3), or two (G4, G5). None stands for one column for
        each species, or each pair, or for a weighted function, for all.
    center : str or None, default=None
        Symbol of the atoms that have this function, None for all; it is 0 at others.
    eta : float, default=0
        Exponent of the Gaussians in 1/Å².
    shift : float, default=0
        Center of the Gaussians in Å.
    zeta : float, default=1
        Power of the angular part, at least 1.
    lambda_ : float, default=1
        Factor of the cosine, from -1 to 1.
    kappa : float, default=0
        Wave number of G3 in 1/Å.
    cutoff : float or None, default=None
        In Å; None takes that of the descriptor.
    cutoff_function : {"cosine", "polynomial", "tanh"} or None, default=None
        None takes that of the descriptor.
    cutoff_width : float or None, default=None
        Width in Å over which the cutoff function goes from 1 to 0. None stands for the whole
        cutoff, which is the only width of "tanh".
    weighted : bool, default=False
        Sum over neighbors of all species with their atomic numbers (for pairs, products of them)
        as weights.

    Examples
    --------
    >>> from skpot.descriptors import SymmetryFunction
    >>> SymmetryFunction("G2", "O", center="Si", eta=0.5, shift=2.0).shift
    2.0
    """

    kind: str
    neighbors: str | tuple | None = None
    center: str | None = None
    eta: float = 0.0
    shift: float = 0.0
    zeta: float = 1.0
    lambda_: float = 1.0
    kappa: float = 0.0
    cutoff: float | None = None
    cutoff_function: str | None = None
    cutoff_width: float | None = None
    weighted: bool = False


def check_powers(zetas: Sequence[float]) -> None:
    """Raise `ParameterError` unless all are powers that an automatic set can have."""
    if np.ndim(zetas) != 1 or not all(
        isinstance(zeta, Real) and 1.0 <= zeta <= _HIGHEST_POWER for zeta in zetas
    ):
        raise ParameterError(
            f"zetas={zetas!r} must be numbers from 1 to {_HIGHEST_POWER}, such as (1, 4, 16)."
        )


def automatic_set(
    cutoff: float, n_radial: int, n_angular: int, zetas: Sequence[float], weighted: bool
) -> list[SymmetryFunction]:
    """Return functions for all species; `skpot.SymmetryFunctions` gives the formulas."""
    spacing = cutoff / (n_radial + 1)
    radial = [
        SymmetryFunction("G2", eta=0.5 / spacing**2, shift=k * spacing, weighted=weighted)
        for k in range(1, n_radial + 1)
    ]
    angular = [
        SymmetryFunction("G4", eta=eta, zeta=zeta, lambda_=sign, weighted=weighted)
        for eta in [(n_angular ** (m / n_angular) / cutoff) ** 2 for m in range(n_angular)]
        for zeta in zetas
        for sign in (1.0, -1.0)
    ]
    return radial + angular


class Column(NamedTuple):
    """What defines a feature, apart from the species of the center."""

    kind: str
    neighbors: tuple  # atomic numbers, ascending; empty if weighted
    eta: float = 0.0  # this and the next four are 0 where the kind does not depend on them
    shift: float = 0.0
    zeta: float = 0.0
    lambda_: float = 0.0
    kappa: float = 0.0
    cutoff: float = 0.0  # Å
    switch: int = 0  # index in `SWITCHES`
    width: float = 0.0  # Å

    def function(self, center: int) -> SymmetryFunction:
        """Return the function of a center, given by its atomic number."""
        neighbors = tuple(SYMBOLS[z] for z in self.neighbors) or None
        numbers = {name: getattr(self, name) for name in _PARAMETERS[self.kind]}
        return SymmetryFunction(
            self.kind, neighbors, SYMBOLS[center], **numbers, cutoff=self.cutoff,
            cutoff_function=SWITCHES[self.switch], cutoff_width=self.width,
            weighted=not self.neighbors,
        )  # fmt: skip

    def name(self, digits: int) -> str:
        """Return a name such as "G2 O eta=0.5 shift=2 rc=6"."""
        parts = [self.kind, "-".join(SYMBOLS[z] for z in self.neighbors) or "weighted"]
        parts += [f"{k.strip('_')}={getattr(self, k):.{digits}g}" for k in _PARAMETERS[self.kind]]
        parts.append(f"rc={self.cutoff:.{digits}g}")
        if self.switch:
            parts.append(SWITCHES[self.switch][:4])
        if self.width != self.cutoff:
            parts.append(f"width={self.width:.{digits}g}")
        return " ".join(parts)


def resolve(
    functions: Sequence[SymmetryFunction], species: IntArray, cutoff: float, cutoff_function: str
) -> tuple[list[Column], BoolArray]:
    """Return the columns that functions stand for, and which centers have them.

    Parameters
    ----------
    functions : sequence of SymmetryFunction
        Or tuples of the same fields.
    species : ndarray of shape (n_species,)
        Atomic numbers, ascending.
    cutoff : float
        In Å, for functions without a cutoff of their own.
    cutoff_function : {"cosine", "polynomial", "tanh"}
        For functions without a cutoff function of their own.

    Returns
    -------
    columns : list of Column
        Functions that differ only in the species of the center share a column.
    centers : ndarray of shape (n_columns, n_species)
        Whether atoms of a species have the function.

    Raises
    ------
    TypeError, ValueError
        If a function is not valid; the message names it.
    """
    found = {}
    for index, given in enumerate(functions):
        function = _valid_function(given, f"functions[{index}]")
        column = _column_of(function, cutoff, cutoff_function, f"functions[{index}]")
        if function.center is None:
            mask = np.ones(len(species), dtype=bool)
        else:
            mask = species == atomic_number(function.center)
        for neighbors in _neighbors(function, species):
            one = column._replace(neighbors=neighbors)
            found[one] = found.get(one, False) | mask
    centers = np.array(list(found.values()), dtype=bool).reshape(len(found), len(species))
    keep = centers.any(axis=1)
    return [c for c, k in zip(found, keep, strict=True) if k], centers[keep]


def _valid_function(given, name):
    """Return what was given as a `SymmetryFunction`; refuse what is not valid."""
    try:
        function = SymmetryFunction(*given)
    except TypeError as error:
        raise InputTypeError(
            f"{name} is {given!r}; give "
            "skpot.descriptors.SymmetryFunction('G2', eta=..., shift=...)"
        ) from error
    problem = _problem(function)
    if problem:
        raise ParameterError(f"{name}: {problem} in {function}")
    return function


def _column_of(function, cutoff, cutoff_function, name):
    """Return the column of a function, without its neighbors; fill in what it leaves open."""
    own_cutoff = float(cutoff if function.cutoff is None else function.cutoff)
    width = own_cutoff if function.cutoff_width is None else float(function.cutoff_width)
    if not 0.0 < width <= own_cutoff:
        raise ParameterError(
            f"{name}: cutoff_width={width} Å must be positive and at most the cutoff, "
            f"{own_cutoff} Å"
        )
    switch = SWITCHES.index(function.cutoff_function or cutoff_function)
    if SWITCHES[switch] == "tanh" and width != own_cutoff:
        raise ParameterError(f"{name}: cutoff_function='tanh' has no cutoff_width, got {width} Å")
    parameters = {
        parameter: float(getattr(function, parameter)) for parameter in _PARAMETERS[function.kind]
    }
    return Column(function.kind, (), **parameters, cutoff=own_cutoff, switch=switch, width=width)


def _problem(function):
    """Return what is wrong with a function, None if nothing is."""
    if function.kind not in RADIAL + ANGULAR:
        return f"kind={function.kind!r} is none of {', '.join(RADIAL + ANGULAR)}"
    return (
        _problem_of_types(function) or _problem_of_ranges(function) or _problem_of_species(function)
    )


def _problem_of_types(function):
    numbers = {k: getattr(function, k) for k in ("eta", "shift", "zeta", "lambda_", "kappa")}
    for name, value in numbers.items():
        if not isinstance(value, Real) or not np.isfinite(value) or isinstance(value, bool):
            return f"{name}={value!r} is not a finite number"
    for name in ("cutoff", "cutoff_width"):
        length = getattr(function, name)
        if length is not None and (not isinstance(length, Real) or not 0.0 < length <= _LONGEST):
            return f"{name}={length} is not positive or beyond {_LONGEST:g} Å"
    return None


def _problem_of_ranges(function):
    if function.cutoff_function not in (*SWITCHES, None):
        return f"cutoff_function={function.cutoff_function!r} is none of {', '.join(SWITCHES)}"
    if function.eta < 0.0:
        return f"eta={function.eta} is negative"
    if function.zeta < 1.0:
        return f"zeta={function.zeta} is below 1, where forces are not finite"
    if function.zeta > _HIGHEST_POWER:
        return f"zeta={function.zeta} is above {_HIGHEST_POWER}, where powers overflow"
    if abs(function.lambda_) > 1.0:
        return f"lambda_={function.lambda_} is not between -1 and 1"
    return None


def _problem_of_species(function):
    wanted = 1 if function.kind in RADIAL else 2
    if function.neighbors is not None:
        if function.weighted:
            return "neighbors are named, but a weighted function takes all species"
        if len(_as_tuple(function.neighbors)) != wanted:
            return f"{function.kind} needs {wanted} species of neighbors"
    return None


def _as_tuple(neighbors):
    return (neighbors,) if isinstance(neighbors, str) or np.ndim(neighbors) == 0 else neighbors


def _neighbors(function, species):
    """Return the combinations of neighbors' atomic numbers that a function stands for."""
    if function.weighted:
        return [()]
    n = 1 if function.kind in RADIAL else 2
    if function.neighbors is None:
        return list(combinations_with_replacement(species.tolist(), n))
    named = tuple(sorted(atomic_number(s) for s in _as_tuple(function.neighbors)))
    return [named] if set(named) <= set(species.tolist()) else []
