"""Tables that describe a set of symmetry functions to its kernels."""

from typing import NamedTuple

import numpy as np

from ._jit import jit


class Factors(NamedTuple):
    """Distinct radial factors; those with the same switch stand together."""

    switch: np.ndarray  # (n_factors,) index into `switches`
    eta: np.ndarray  # (n_factors,) 1/Å^2
    shift: np.ndarray  # (n_factors,) Å
    kappa: np.ndarray  # (n_factors,) 1/Å


class RadialTerms(NamedTuple):
    """Terms of a neighbour b of a centre a: `start[a * n_species + b]` to the next."""

    start: np.ndarray  # (n_species^2 + 1,)
    column: np.ndarray  # (n_terms,) the feature that the term adds to
    factor: np.ndarray  # (n_terms,)
    weight: np.ndarray  # (n_terms,)


class AngularTerms(NamedTuple):
    """Terms of neighbours b, c of a centre a: `start[(a * n_species + b) * n_species + c]` ..."""

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
    """A set of functions: the fields of the parts above, flat, because threads take no nest."""

    switches: np.ndarray  # (n_switches, 3) cutoff and width in Å, 1 for polynomial
    radial_switch: np.ndarray
    radial_eta: np.ndarray
    radial_shift: np.ndarray
    radial_kappa: np.ndarray
    radial_start: np.ndarray
    radial_column: np.ndarray
    radial_factor: np.ndarray
    radial_weight: np.ndarray
    angular_switch: np.ndarray
    angular_eta: np.ndarray
    angular_shift: np.ndarray
    angular_kappa: np.ndarray
    angular_start: np.ndarray
    angular_closed: np.ndarray
    angular_column: np.ndarray
    angular_factor: np.ndarray
    angular_weight: np.ndarray
    angular_angle: np.ndarray
    angle_slope: np.ndarray
    angle_power: np.ndarray
    angle_integer: np.ndarray
    reach: float  # largest cutoff of the angular terms, Å
    n_species: int
    n_columns: int


class Parts(NamedTuple):
    """`SymmetryTables` with its parts as tuples."""

    switches: np.ndarray
    radial_factors: Factors
    radial: RadialTerms
    angular_factors: Factors
    angular: AngularTerms
    angles: Angles
    reach: float
    n_species: int
    n_columns: int


@jit
def parts_of(t):
    """Return `Parts` of `SymmetryTables`."""
    return Parts(
        t.switches,
        Factors(t.radial_switch, t.radial_eta, t.radial_shift, t.radial_kappa),
        RadialTerms(t.radial_start, t.radial_column, t.radial_factor, t.radial_weight),
        Factors(t.angular_switch, t.angular_eta, t.angular_shift, t.angular_kappa),
        AngularTerms(
            t.angular_start,
            t.angular_closed,
            t.angular_column,
            t.angular_factor,
            t.angular_weight,
            t.angular_angle,
        ),
        Angles(t.angle_slope, t.angle_power, t.angle_integer),
        t.reach,
        t.n_species,
        t.n_columns,
    )
