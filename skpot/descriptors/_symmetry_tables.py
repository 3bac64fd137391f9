"""Tables of the terms that symmetry functions are made of, for the compiled functions."""

from __future__ import annotations

from itertools import chain, product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ._symmetry_sets import ANGULAR, RADIAL

if TYPE_CHECKING:
    from typing import Any

    from skpot.descriptors._symmetry_sets import Column
    from skpot.typing import BoolArray, IntArray

_LARGEST_POWER = 64  # beyond, repeated multiplication loses digits that `pow` keeps


class Switch(NamedTuple):
    """A cutoff function, as a row of `core.symmetry_tables.SymmetryTables.switches`."""

    cutoff: float  # Å
    width: float  # Å
    kind: float  # index in `SWITCHES`


class Factor(NamedTuple):
    """A radial factor, as a row of `core.symmetry_tables.Factors`."""

    switch: int  # index among the distinct `Switch`
    eta: float
    shift: float
    kappa: float


class RadialTerm(NamedTuple):
    """What a neighbor adds to a feature, as a row of `core.symmetry_tables.RadialTerms`."""

    column: int
    factor: int
    weight: float


class Angle(NamedTuple):
    """A factor of the angle, as a row of `core.symmetry_tables.Angles`."""

    slope: float
    power: float


class AngularTerm(NamedTuple):
    """What a pair of neighbors adds to a feature, as a row of `core.symmetry_tables.AngularTerms`.

    Terms are sorted: those that need no distance of the neighbors come first, then by factor.
    """

    closed: bool  # whether the term depends on the distance of the neighbors
    factor: int
    column: int
    weight: float
    angle: Angle


def flat_tables(columns: list[Column], centers: BoolArray, species: IntArray) -> dict[str, Any]:
    """Return as a dictionary what `core.symmetry_tables.nested_tables` takes."""
    switches = sorted({_switch(column) for column in columns})
    radial = [k for k, column in enumerate(columns) if column.kind in RADIAL]
    angular = [k for k, column in enumerate(columns) if column.kind in ANGULAR]
    radial_factors, radial_of = _factors(columns, radial, switches)
    angular_factors, angular_of = _factors(columns, angular, switches)
    return {
        **_radial_fields(_radial_terms(columns, radial_of, centers, species)),
        **_angular_fields(_angular_terms(columns, angular_of, centers, species)),
        **{f"radial_{name}": values for name, values in radial_factors.items()},
        **{f"angular_{name}": values for name, values in angular_factors.items()},
        "switches": np.array(switches, dtype=float).reshape(-1, 3),
        "reach": float(max((columns[k].cutoff for k in angular), default=0.0)),
        "n_species": len(species),
        "n_columns": len(columns),
    }


def _switch(column):
    return Switch(column.cutoff, column.width, float(column.switch))


def _factors(columns, chosen, switches):
    """Return the distinct radial factors of the chosen columns, and that of each by column."""
    of_column = {}
    for k in chosen:
        c = columns[k]
        of_column[k] = Factor(switches.index(_switch(c)), c.eta, c.shift, c.kappa)
    distinct = sorted(set(of_column.values()))
    fields = _arrays(Factor, distinct, integers=("switch",))
    return fields, {k: distinct.index(factor) for k, factor in of_column.items()}


def _radial_terms(columns, factor_of, centers, species):
    """Return a list of terms for each pair of species, of center and neighbor."""
    n = len(species)
    terms = [[] for _ in range(n * n)]
    for k, factor in factor_of.items():
        neighbors = columns[k].neighbors
        for a in np.flatnonzero(centers[k]):
            for b, z in enumerate(species):
                if neighbors in ((), (z,)):
                    weight = 1.0 if neighbors else float(z)
                    terms[a * n + b].append(RadialTerm(k, factor, weight))
    return terms


def _angular_terms(columns, factor_of, centers, species):
    """Return a sorted list of terms for each three species, of center and two neighbors."""
    n = len(species)
    terms = [[] for _ in range(n**3)]
    for k, factor in factor_of.items():
        column = columns[k]
        angle = Angle(column.lambda_, column.zeta)
        for a in np.flatnonzero(centers[k]):
            for (b, z), (c, w) in product(enumerate(species), repeat=2):
                if column.neighbors in ((), (min(z, w), max(z, w))):
                    of_species = 1.0 if column.neighbors else float(z * w)
                    weight = 2.0 ** (1.0 - column.zeta) * of_species
                    term = AngularTerm(column.kind == "G4", factor, k, weight, angle)
                    terms[(a * n + b) * n + c].append(term)
    return [sorted(part) for part in terms]


def _radial_fields(lists):
    """Return the fields of the radial terms by name."""
    fields = _arrays(RadialTerm, chain.from_iterable(lists), integers=("column", "factor"))
    return {f"radial_{name}": values for name, values in fields.items()} | {
        "radial_start": _starts(lists)
    }


def _angular_fields(lists):
    """Return the fields of the angular terms and of their angles by name."""
    terms, start = list(chain.from_iterable(lists)), _starts(lists)
    angles = sorted({term.angle for term in terms})
    n_open = [sum(not term.closed for term in part) for part in lists]
    slope, power = np.array(angles, dtype=float).reshape(-1, 2).T.copy()
    repeated = (power == np.round(power)) & (power <= _LARGEST_POWER)
    return {
        "angular_start": start,
        "angular_closed": start[:-1] + np.array(n_open, dtype=np.int64),
        "angular_column": np.array([term.column for term in terms], dtype=np.int64),
        "angular_factor": np.array([term.factor for term in terms], dtype=np.int64),
        "angular_weight": np.array([term.weight for term in terms], dtype=float),
        "angular_angle": np.array([angles.index(term.angle) for term in terms], dtype=np.int64),
        "angle_slope": slope,
        "angle_power": power,
        "angle_integer": np.where(repeated, power - 1.0, -1.0).astype(np.int64),
    }


def _arrays(kind, rows, integers):
    """Return named tuples of one kind as an array for each of their fields."""
    rows = list(rows)
    return {
        name: np.array(
            [getattr(row, name) for row in rows], np.int64 if name in integers else float
        )
        for name in kind._fields
    }


def _starts(lists):
    """Return where each list begins when all stand behind each other, and where the last ends."""
    return np.concatenate([[0], np.cumsum([len(terms) for terms in lists])]).astype(np.int64)
