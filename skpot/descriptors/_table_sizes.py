"""Checks that tables fit each other, since compiled functions read wherever their indices say."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np

from ..core.invariants import Bispectrum
from ..core.pair_basis import PairTables
from ..core.repulsion import RepulsionTables
from ..core.soap import SoapTables
from ..core.symmetry_tables import SymmetryTables
from ..core.triplet_basis import TripletTables
from ..exceptions import InputError

if TYPE_CHECKING:
    from typing import Any


def checked(tables: Any, n_species: int, n_features: int) -> Any:
    """Return the tables of a fitted descriptor.

    Raises
    ------
    InputError
        If their sizes do not agree, because fitted attributes were changed: compiled functions
        would read beyond the ends of arrays.
    """
    try:
        sound = _agree(tables, n_species, n_features)
    except (ValueError, IndexError, TypeError):  # arrays without elements, or of other dimensions
        sound = False
    if not sound:
        raise InputError(
            f"the fitted attributes of this descriptor ({type(tables).__name__}) do not agree with "
            "each other: were they changed after fit? Fit it again."
        )
    return tables


@singledispatch
def _agree(tables, n_species, n_features):
    raise NotImplementedError(type(tables).__name__)


def _within(index, n):
    return not index.size or (index.min() >= 0 and index.max() < n)


@_agree.register
def _(tables: SoapTables, n_species, n_features):
    density, (forward, back, _), product = tables.density, tables.mixing, tables.product
    degrees, channels = density.l_max + 1, n_species * density.n_max
    n_tables, n_knots = density.radial.shape[:2]
    reach = density.cutoff.max() / density.spacing
    mixed = channels if not len(forward) else forward.shape[1]
    return (
        density.n_species == n_species
        and density.radial.shape == (n_tables, n_knots, 2, degrees * density.n_max)
        and density.of_pair.shape == (n_species, n_species)
        and _within(density.of_pair, n_tables)
        and density.cutoff.shape == (n_tables,)
        and density.center.shape == (n_tables, density.n_max)
        and reach + 2 <= n_knots
        and forward.shape in ((0, 0, 0), (degrees, mixed, channels))
        and back.shape == (len(forward), *forward.shape[:0:-1])
        and (product.n_channels, product.l_max) == (mixed, density.l_max)
        and (not isinstance(product, Bispectrum) or _terms_agree(product, n_features))
        and tables.n_features == n_features
    )


def _terms_agree(product, n_features):
    first, (n_terms, n_factors) = product.first, product.index.shape
    return (
        first.shape == (n_features + 1,)
        and first[0] == 0
        and first[-1] == n_terms
        and bool((np.diff(first) >= 0).all())
        and n_factors == 3
        and product.weight.shape == (n_terms,)
        and _within(product.index, (product.l_max + 1) ** 2 * product.n_channels)
    )


@_agree.register
def _(tables: PairTables, n_species, n_features):
    last = tables.column.max() + tables.n_splines
    shapes = tables.column.shape == (n_species, n_species)
    return shapes and tables.column.min() >= 0 and last <= tables.n_columns == n_features


@_agree.register
def _(tables: TripletTables, n_species, n_features):
    start = tables.center_start
    return (
        tables.base.shape == (n_species**3 * tables.n_splines**2,)
        and start.shape == (n_species + 1,)
        and start[0] == 0
        and start[-1] == n_features
        and bool((np.diff(start) >= 0).all())
        and tables.base.max() < n_features
    )


@_agree.register
def _(tables: SymmetryTables, n_species, n_features):
    radial, angular = tables.radial, tables.angular
    rows = tables.radial_factors, tables.angular_factors, tables.angles
    return (
        all(len({len(field) for field in fields}) == 1 for fields in rows)
        and tables.n_species == n_species
        and tables.n_columns == n_features
        and radial.start.shape == (n_species**2 + 1,)
        and angular.start.shape == (n_species**3 + 1,)
        and angular.closed.shape == (n_species**3,)
        and radial.start[-1] == len(radial.column) == len(radial.factor) == len(radial.weight)
        and angular.start[-1] == len(angular.column) == len(angular.factor)
        and angular.start[-1] == len(angular.weight) == len(angular.angle)
        and _within(radial.column, n_features)
        and _within(angular.column, n_features)
        and _within(radial.factor, len(tables.radial_factors.switch))
        and _within(angular.factor, len(tables.angular_factors.switch))
        and _within(angular.angle, len(tables.angles.slope))
        and _within(tables.radial_factors.switch, len(tables.switches))
        and _within(tables.angular_factors.switch, len(tables.switches))
    )


@_agree.register
def _(tables: RepulsionTables, n_species, n_features):
    return n_features == 1 and all(a.shape == (n_species, n_species) for a in tables)
