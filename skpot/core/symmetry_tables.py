"""Tables that describe a set of symmetry functions to the compiled functions."""

from typing import NamedTuple

import numpy as np


class Factors(NamedTuple):
    """Distinct radial factors; those with the same switch stand together."""

    switch: np.ndarray  # (n_factors,) index into `switches`
    eta: np.ndarray  # (n_factors,) 1/Å²
    shift: np.ndarray  # (n_factors,) Å
    kappa: np.ndarray  # (n_factors,) 1/Å


class RadialTerms(NamedTuple):
    """Terms of a neighbor b of a center a: `start[a * n_species + b]` to the next."""

    start: np.ndarray  # (n_species^2 + 1,)
    column: np.ndarray  # (n_terms,) the feature that the term adds to
    factor: np.ndarray  # (n_terms,)
    weight: np.ndarray  # (n_terms,)


class AngularTerms(NamedTuple):
    """Terms of neighbors b, c of a center a: `start[(a * n_species + b) * n_species + c]` ..."""

    start: np.ndarray  # (n_species^3 + 1,)
    closed: np.ndarray  # (n_species^3,) first term that depends on r_jk; others come before it
    column: np.ndarray  # (n_terms,)
    factor: np.ndarray  # (n_terms,) in ascending order within each half
    weight: np.ndarray  # (n_terms,) 2^(1 - zeta) included
    angle: np.ndarray  # (n_terms,) index into `Angles`


class Angles(NamedTuple):
    """Distinct factors of the angle."""

    slope: np.ndarray  # (n_angles,) lambda
    power: np.ndarray  # (n_angles,) zeta
    integer: np.ndarray  # (n_angles,) zeta - 1 if that is a small integer, else -1


class SymmetryTables(NamedTuple):
    """A set of functions."""

    switches: np.ndarray  # (n_switches, 3) cutoff, width in Å, kind: cosine, polynomial or tanh
    radial_factors: Factors
    radial: RadialTerms
    angular_factors: Factors
    angular: AngularTerms
    angles: Angles
    reach: float  # largest cutoff of the angular terms, Å
    n_species: int
    n_columns: int


def nested_tables(flat):
    """Return the tables from a dictionary of their fields, with the part before the name."""

    def part(kind, prefix):
        return kind(*(flat[f"{prefix}_{name}"] for name in kind._fields))

    return SymmetryTables(
        flat["switches"],
        part(Factors, "radial"),
        part(RadialTerms, "radial"),
        part(Factors, "angular"),
        part(AngularTerms, "angular"),
        part(Angles, "angle"),
        flat["reach"],
        flat["n_species"],
        flat["n_columns"],
    )
