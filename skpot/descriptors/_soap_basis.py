"""Radial bases of `SOAP`: those given by a formula, and the one learned from the structures.

`RADIAL_BASES` has a `skpot.descriptors.contracts.RadialBasis` for each name.
"""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.cutoffs import radial_scaling
from ..core.density import DensityTables
from ..core.harmonics import legendre_coefficients
from ..core.radial import BASES, grid_functions, knots, radial_functions, spline_table
from ..data.elements import SYMBOLS, atomic_number, by_number
from ..exceptions import ParameterError
from ._limits import number_for
from ._soap_covariances import covariances, leading

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.data import StructureBatch
    from skpot.descriptors.contracts import RadialBasis
    from skpot.typing import FloatArray, IntArray

_N_GRID = 48  # nodes of the radial grid that optimal functions are combinations of
_TABLE_BYTES, _TABLE_STEPS = 4e9, 4e9  # most that tables may take: about ten seconds to make them


class DensitySetting(NamedTuple):
    """Parameters of the density, checked and with their defaults filled in."""

    n_max: int
    l_max: int
    sigma: float  # Å
    cutoff_width: float  # Å
    scaling: tuple | None
    central_weight: float
    species: np.ndarray  # (n_species,) atomic numbers
    cutoffs: np.ndarray  # (n_species, n_species) by center and neighbor, Å
    weights: np.ndarray  # (n_species,) of neighbors
    adds_species: bool = False  # whether densities of species are added up

    @property
    def spacing(self) -> float:
        """Distance of the knots in Å, at which interpolation has relative errors near 1e-8."""
        return self.sigma / 25.0


def pair_cutoffs(cutoff: float, given: Any, species: IntArray) -> FloatArray:
    """Return the cutoffs of all pairs, shape (n_species, n_species).

    Raises
    ------
    ValueError
        If `given` names a species that the descriptor does not know, or one pair twice.
    """
    out = np.full((len(species), len(species)), float(cutoff))
    seen = set()
    for pair, value in (given or {}).items():
        numbers = [atomic_number(s) for s in pair] if isinstance(pair, tuple) else []
        missing = [z for z in numbers if z not in species]
        if missing or len(numbers) != 2 or frozenset(numbers) in seen:
            raise ParameterError(
                f"pair_cutoffs has the key {pair!r}: it must be two of the species "
                f"{species.tolist()} (atomic numbers), in either order, and occur once."
            )
        seen.add(frozenset(numbers))
        a, b = np.searchsorted(species, numbers)
        out[a, b] = out[b, a] = number_for("pair_cutoffs", pair, value, 0.1, 100.0)
    return out


def neighbor_weights(given: Any, species: IntArray) -> FloatArray:
    """Return the weight of each species' neighbors, shape (n_species,)."""
    out = np.ones(len(species))
    for number, value in by_number("species_weights", given or {}).items():
        weight = number_for("species_weights", SYMBOLS[number], value, 0.0, 1000.0)
        if number in species:
            out[np.searchsorted(species, number)] = weight
    return out


def scaling_problems(scaling: Any) -> list[str]:
    """Return in a list what is wrong with `radial_scaling`, which may be None."""
    if scaling is None:
        return []
    numbers = [v for v in scaling if isinstance(v, Real) and not isinstance(v, bool)]
    if len(numbers) == len(scaling) == 2:
        if 0.1 <= numbers[0] <= 100.0 and 0.0 < numbers[1] <= 30.0:
            return []
    return [
        f"radial_scaling={scaling} must be (r0 in Å, exponent), both positive, r0 from 0.1 to 100 "
        "and the exponent up to 30"
    ]


class FormulaBasis:
    """Functions that `skpot.core.radial.BASES` has a formula for.

    Parameters
    ----------
    name : str
        A key of `BASES`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def n_tabulated(self, setting: DensitySetting) -> int:
        """Return how many functions of each degree are tabulated."""
        return setting.n_max

    def tables(self, setting: DensitySetting, batch: StructureBatch) -> DensityTables:
        """Tabulate the functions; nothing is learned from the batch."""
        s = setting

        def values_at(r, cutoff):
            return radial_functions(r, self.name, s.n_max, s.l_max, cutoff, s.sigma)

        return _tabulate(setting, values_at, s.n_max)


class OptimalBasis:
    """Principal components of the density around atoms, for each pair of species and degree."""

    def n_tabulated(self, setting: DensitySetting) -> int:
        """Return how many functions of each degree are tabulated."""
        return len(setting.species) ** 2 * max(setting.n_max, _N_GRID)

    def tables(self, setting: DensitySetting, batch: StructureBatch) -> DensityTables:
        """Learn the functions from the batch and tabulate them."""
        grid = grid_tables(setting)
        contraction = optimal_contraction(setting, grid, batch)
        n_species = len(setting.species)
        pairs = [(a, b) for a in range(n_species) for b in range(n_species)]
        radial, center = [], []
        for a, b in pairs:
            which = grid.of_pair[a, b]
            shape = (*grid.radial.shape[1:3], setting.l_max + 1, _N_GRID)
            of_grid = grid.radial[which].reshape(shape)
            contracted = np.einsum("ksln,lnq->kslq", of_grid, contraction[a, b], optimize=True)
            radial.append(contracted.reshape(*shape[:2], -1))
            center.append(grid.center[which] @ contraction[a, b, 0])
        return grid._replace(
            radial=np.array(radial),
            of_pair=np.arange(len(pairs)).reshape(n_species, n_species),
            cutoff=setting.cutoffs.ravel(),
            center=np.array(center),
            n_max=setting.n_max,
        )


RADIAL_BASES: dict[str, RadialBasis] = {name: FormulaBasis(name) for name in BASES}
RADIAL_BASES["optimal"] = OptimalBasis()


def density_tables(
    basis: RadialBasis, setting: DensitySetting, batch: StructureBatch
) -> DensityTables:
    """Return the tables of a basis; raise `ParameterError` if they are too large or not finite."""
    _refuse_large(basis, setting)
    tables = basis.tables(setting, batch)
    if not np.isfinite(tables.radial).all() or not np.isfinite(tables.center).all():
        raise ParameterError(
            f"radial functions of n_max={setting.n_max}, sigma={setting.sigma} Å and a cutoff of "
            f"{setting.cutoffs.max():g} Å are not finite in double precision; lower n_max."
        )
    return tables


def _refuse_large(basis, setting):
    """Raise `ParameterError` if tables of radial functions would fill the memory."""
    cutoff = float(setting.cutoffs.max())
    n_knots = cutoff / setting.spacing
    steps = 100.0 + 8.0 * cutoff / setting.sigma  # of the recurrence of Bessel functions
    n_bytes = 16.0 * n_knots * basis.n_tabulated(setting) * (setting.l_max + 1)
    if n_bytes > _TABLE_BYTES or 200 * n_knots * steps > _TABLE_STEPS:
        raise ParameterError(
            f"sigma={setting.sigma} Å is too small for a cutoff of {setting.cutoffs.max():g} Å: "
            f"tables of radial functions need {n_knots:.2g} knots. Raise sigma, or lower the "
            "cutoff, n_max or l_max."
        )


def grid_tables(setting: DensitySetting) -> DensityTables:
    """Return the tables of the functions that optimal ones are combinations of."""

    def values_at(r, cutoff):
        return grid_functions(r, _N_GRID, setting.l_max, cutoff, setting.sigma)

    return _tabulate(setting, values_at, _N_GRID)


def _tabulate(
    setting: DensitySetting, values_at: Callable[[FloatArray, float], FloatArray], n: int
) -> DensityTables:
    """Return the tables of n functions; pairs of the same cutoff and weight share one."""
    keys = np.stack([setting.cutoffs, np.broadcast_to(setting.weights, setting.cutoffs.shape)])
    distinct, of_pair = np.unique(keys.reshape(2, -1), axis=1, return_inverse=True)
    r = knots(setting.spacing, setting.cutoffs.max())
    radial, center = [], []
    for cutoff, weight in distinct.T:
        values = weight * values_at(r, cutoff)
        center.append(setting.central_weight * values[0, 0])
        if setting.scaling is not None:
            values *= radial_scaling(r, *setting.scaling)[:, None, None]
        radial.append(spline_table(values, setting.spacing))
    return DensityTables(
        np.array(radial),
        of_pair.reshape(setting.cutoffs.shape).astype(np.int64),
        distinct[0].copy(),
        setting.cutoff_width,
        setting.spacing,
        np.array(center),
        legendre_coefficients(setting.l_max),
        n,
        setting.l_max,
        len(setting.species),
    )


def optimal_contraction(
    setting: DensitySetting, grid: DensityTables, batch: StructureBatch
) -> FloatArray:
    """Return the contraction (center species, neighbor species, l_max + 1, n_grid, n_max)."""
    species = np.searchsorted(setting.species, batch.numbers)
    found = covariances(grid, species, batch, of_blocks=True)
    found = np.moveaxis(found, 2, 1)  # (center, neighbor, l, n, n)
    # Crystals have few distances, and some pairs of species may never meet. A small share of
    # neighbors at all distances decides what the data leave open.
    r = grid.spacing * np.arange(grid.radial.shape[1])
    for a in range(grid.n_species):
        for b in range(grid.n_species):
            which = grid.of_pair[a, b]
            inside = r < grid.cutoff[which]
            rows = grid.radial[which, inside, 0].reshape(-1, grid.l_max + 1, grid.n_max)
            everywhere = np.einsum("rln,rlk,r->lnk", rows, rows, r[inside] ** 2, optimize=True)
            for l in range(grid.l_max + 1):
                size = max(np.trace(found[a, b, l]), np.finfo(float).tiny)
                found[a, b, l] += 1e-6 * size / np.trace(everywhere[l]) * everywhere[l]
                found[a, b, l] /= np.trace(found[a, b, l])
    if setting.adds_species:  # coefficients of different functions could not be added
        found = np.repeat(found.mean(axis=1, keepdims=True), grid.n_species, axis=1)
    return leading(found, setting.n_max)
