"""Sets of symmetry functions: their description, automatic choice and flat tables."""

from __future__ import annotations

from itertools import combinations_with_replacement
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data.elements import SYMBOLS, atomic_number
from ..exceptions import InputTypeError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skpot.typing import BoolArray, IntArray

_RADIAL = ("G1", "G2", "G3")
_ANGULAR = ("G4", "G5")
_PARAMETERS = {  # that a kind depends on
    "G1": (),
    "G2": ("eta", "shift"),
    "G3": ("kappa",),
    "G4": ("eta", "shift", "zeta", "lambda_"),
    "G5": ("eta", "shift", "zeta", "lambda_"),
}
SWITCHES = ("cosine", "polynomial", "tanh")  # as core.symmetry_tables numbers them
_LONGEST = 100.0  # Å
_HIGHEST_POWER = 500  # (1 + lambda cos)^zeta would overflow
_LARGEST_POWER = 64  # beyond, repeated multiplication loses digits that `pow` keeps


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
        Width in Å over which the cutoff function goes from 1 to 0; None is all of the cutoff, and
        all that "tanh" can have.
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
    """What defines a feature, whatever the center; atomic numbers, floats and flags."""

    kind: str
    neighbors: tuple  # atomic numbers, ascending; empty if weighted
    eta: float
    shift: float
    zeta: float
    lambda_: float
    kappa: float
    cutoff: float
    switch: int  # index in `SWITCHES`
    width: float

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
        Tuples of the same fields will do.
    species : ndarray of shape (n_species,)
        Atomic numbers, ascending.
    cutoff : float
        In Å, of functions that name none.
    cutoff_function : {"cosine", "polynomial", "tanh"}
        Of functions that name none.

    Returns
    -------
    columns : list of Column
        Functions that differ in the center alone share a column.
    centers : ndarray of shape (n_columns, n_species)
        Whether atoms of a species have the function.

    Raises
    ------
    TypeError, ValueError
        If a function is not valid; the message names it.
    """
    found = {}
    for index, function in enumerate(functions):
        try:
            function = SymmetryFunction(*function)
        except TypeError as error:
            raise InputTypeError(
                f"functions[{index}] is {function!r}; give "
                "skpot.descriptors.SymmetryFunction('G2', eta=..., shift=...)"
            ) from error
        problem = _problem(function)
        if problem:
            raise ParameterError(f"functions[{index}]: {problem} in {function}")
        if function.center is None:
            mask = np.ones(len(species), dtype=bool)
        else:
            mask = species == atomic_number(function.center)
        own_cutoff = float(cutoff if function.cutoff is None else function.cutoff)
        width = own_cutoff if function.cutoff_width is None else float(function.cutoff_width)
        if not 0.0 < width <= own_cutoff:
            raise ParameterError(
                f"functions[{index}]: cutoff_width={width} Å must be positive and at most the "
                f"cutoff, {own_cutoff} Å"
            )
        used = _PARAMETERS[function.kind]
        parameters = [
            float(getattr(function, name)) if name in used else 0.0 for name in Column._fields[2:7]
        ]
        switch = SWITCHES.index(function.cutoff_function or cutoff_function)
        if SWITCHES[switch] == "tanh" and width != own_cutoff:
            raise ParameterError(
                f"functions[{index}]: cutoff_function='tanh' has no cutoff_width, got {width} Å"
            )
        for neighbors in _neighbors(function, species):
            column = Column(
                function.kind,
                neighbors,
                *parameters,
                own_cutoff,
                switch,
                width,
            )
            found[column] = found.get(column, False) | mask
    centers = np.array(list(found.values()), dtype=bool).reshape(len(found), len(species))
    keep = centers.any(axis=1)
    return [c for c, k in zip(found, keep, strict=True) if k], centers[keep]


def _problem(function):
    """Return what is wrong with a function, None if nothing is."""
    if function.kind not in _RADIAL + _ANGULAR:
        return f"kind={function.kind!r} is none of {', '.join(_RADIAL + _ANGULAR)}"
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
    wanted = 1 if function.kind in _RADIAL else 2
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
    n = 1 if function.kind in _RADIAL else 2
    if function.neighbors is None:
        return list(combinations_with_replacement(species.tolist(), n))
    named = tuple(sorted(atomic_number(s) for s in _as_tuple(function.neighbors)))
    return [named] if set(named) <= set(species.tolist()) else []


def flat_tables(columns: list[Column], centers: IntArray, species: IntArray) -> dict[str, Any]:
    """Return as a dictionary what `core.symmetry_tables.nested_tables` takes."""
    switches = sorted({(c.cutoff, c.width, float(c.switch)) for c in columns})
    radial = [k for k, c in enumerate(columns) if c.kind in _RADIAL]
    angular = [k for k, c in enumerate(columns) if c.kind in _ANGULAR]
    radial_factors, radial_of = _factors([columns[k] for k in radial], switches)
    angular_factors, angular_of = _factors([columns[k] for k in angular], switches)
    radial_of = dict(zip(radial, radial_of, strict=True))
    angular_of = dict(zip(angular, angular_of, strict=True))
    n = len(species)
    lists = [[] for _ in range(n * n)]
    for k in radial:
        for a in np.flatnonzero(centers[k]):
            for b, z in enumerate(species):
                if columns[k].neighbors in ((), (z,)):
                    weight = 1.0 if columns[k].neighbors else float(z)
                    lists[a * n + b].append((k, radial_of[k], weight))
    terms = sum(lists, [])
    fields = {
        "radial_start": _starts(lists),
        "radial_column": np.array([t[0] for t in terms], dtype=np.int64),
        "radial_factor": np.array([t[1] for t in terms], dtype=np.int64),
        "radial_weight": np.array([t[2] for t in terms], dtype=float),
    }
    lists = [[] for _ in range(n**3)]
    for k in angular:
        c = columns[k]
        for a in np.flatnonzero(centers[k]):
            for b, z in enumerate(species):
                for d, w in enumerate(species):
                    if c.neighbors in ((), (min(z, w), max(z, w))):
                        weight = 2.0 ** (1.0 - c.zeta) * (1.0 if c.neighbors else float(z * w))
                        key = (c.kind == "G4", angular_of[k])
                        lists[(a * n + b) * n + d].append((*key, k, weight, c.lambda_, c.zeta))
    for terms in lists:
        terms.sort()
    terms = sum(lists, [])
    start = _starts(lists)
    angles = sorted({t[4:] for t in terms})
    slope, power = np.array(angles, dtype=float).reshape(-1, 2).T.copy()
    repeated = (power == np.round(power)) & (power <= _LARGEST_POWER)
    fields |= {
        "angular_start": start,
        "angular_closed": start[:-1]
        + np.array([sum(not t[0] for t in part) for part in lists], dtype=np.int64),
        "angular_column": np.array([t[2] for t in terms], dtype=np.int64),
        "angular_factor": np.array([t[1] for t in terms], dtype=np.int64),
        "angular_weight": np.array([t[3] for t in terms], dtype=float),
        "angular_angle": np.array([angles.index(t[4:]) for t in terms], dtype=np.int64),
        "angle_slope": slope,
        "angle_power": power,
        "angle_integer": np.where(repeated, power - 1.0, -1.0).astype(np.int64),
    }
    return {
        **fields,
        **{f"radial_{name}": values for name, values in radial_factors.items()},
        **{f"angular_{name}": values for name, values in angular_factors.items()},
        "switches": np.array(switches, dtype=float).reshape(-1, 3),
        "reach": float(max((columns[k].cutoff for k in angular), default=0.0)),
        "n_species": n,
        "n_columns": len(columns),
    }


def _factors(columns, switches):
    """Return the distinct radial factors of some columns, and which each column has."""
    keys = [
        (
            switches.index((c.cutoff, c.width, float(c.switch))),
            c.eta,
            c.shift,
            c.kappa,
        )
        for c in columns
    ]
    distinct = sorted(set(keys))
    table = np.array(distinct, dtype=float).reshape(-1, 4)
    names = ("switch", "eta", "shift", "kappa")
    fields = {name: np.ascontiguousarray(table[:, q]) for q, name in enumerate(names)}
    fields["switch"] = fields["switch"].astype(np.int64)
    return fields, [distinct.index(key) for key in keys]


def _starts(lists):
    return np.concatenate([[0], np.cumsum([len(terms) for terms in lists])]).astype(np.int64)
