"""What `SOAP` learns or tabulates in `fit`: radial functions of species pairs, mixed channels."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core import soap
from ..core.cutoffs import radial_scaling
from ..core.density import DensityTables
from ..core.harmonics import legendre_coefficients
from ..core.radial import grid_functions, knots, radial_functions, spline_table
from ..data import rows_of
from ..data.elements import SYMBOLS, alchemical_coordinates, atomic_number, by_number
from ..data.order import canonical_order
from ..exceptions import ParameterError
from ._limits import number_for

if TYPE_CHECKING:
    from typing import Any

    from skpot.data import StructureBatch
    from skpot.typing import FloatArray, IntArray, RandomState

_N_GRID = 48  # nodes of the radial grid that optimal functions are combinations of
_MAX_CENTERS = 10_000  # environments that covariances are taken from
_LEAST_CENTERS = 500  # of each species, however rare
_TABLE_BYTES, _TABLE_STEPS = 4e9, 4e9  # of radial functions; some ten seconds to make them
_BLOCK = 256  # environments held at a time


class Setting(NamedTuple):
    """Parameters of the density, checked and with their defaults filled in."""

    basis: str
    n_max: int
    l_max: int
    sigma: float  # Å; None for delta functions
    cutoff_width: float
    scaling: tuple
    central_weight: float
    species: np.ndarray  # (n_species,) atomic numbers
    cutoffs: np.ndarray  # (n_species, n_species) by center and neighbor, Å
    weights: np.ndarray  # (n_species,) of neighbors
    mixed: bool = False  # whether densities of species are added up

    @property
    def spacing(self) -> float:
        """Distance of the knots: relative interpolation errors near 1e-8."""
        if self.sigma is not None:
            return self.sigma / 25.0
        # An orthonormal function has up to n_max + l_max / 2 half waves.
        return float(self.cutoffs.max()) / (80.0 * (self.n_max + 0.5 * self.l_max))


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


def refuse_large(setting: Setting) -> None:
    """Raise `ParameterError` if tables of radial functions would fill the memory."""
    cutoff = float(setting.cutoffs.max())
    n_knots = cutoff / setting.spacing
    n_max = max(setting.n_max, _N_GRID) if setting.basis == "optimal" else setting.n_max
    pairs = len(setting.species) ** 2 if setting.basis == "optimal" else 1
    steps = 0.0 if setting.sigma is None else 100.0 + 8.0 * cutoff / setting.sigma  # of Bessel's
    n_bytes = 16.0 * pairs * n_knots * n_max * (setting.l_max + 1)
    if n_bytes > _TABLE_BYTES or 200 * n_knots * steps > _TABLE_STEPS:
        raise ParameterError(
            f"sigma={setting.sigma} Å is too small for a cutoff of {setting.cutoffs.max():g} Å: "
            f"tables of radial functions need {n_knots:.2g} knots. Raise sigma, or lower the "
            "cutoff, n_max or l_max."
        )


def density_tables(setting: Setting, batch: StructureBatch) -> DensityTables:
    """Tabulate the radial functions; those of the optimal basis are learned from the batch."""
    if setting.basis != "optimal":
        return _refuse_unstable(_tables(setting, _radial_values, setting.n_max), setting)
    grid = _tables(setting, _grid_values, _N_GRID)
    contraction = _optimal_contraction(setting, grid, batch)
    n_species = len(setting.species)
    pairs = [(a, b) for a in range(n_species) for b in range(n_species)]
    radial, center = [], []
    for a, b in pairs:
        which = grid.of_pair[a, b]
        shape = (*grid.radial.shape[1:3], setting.l_max + 1, _N_GRID)
        contracted = np.einsum(
            "ksln,lnq->kslq", grid.radial[which].reshape(shape), contraction[a, b], optimize=True
        )
        radial.append(contracted.reshape(*shape[:2], -1))
        center.append(grid.center[which] @ contraction[a, b, 0])
    tables = grid._replace(
        radial=np.array(radial),
        of_pair=np.arange(len(pairs)).reshape(n_species, n_species),
        cutoff=setting.cutoffs.ravel(),
        center=np.array(center),
        n_max=setting.n_max,
    )
    return _refuse_unstable(tables, setting)


def _refuse_unstable(tables, setting):
    """Return the tables; raise `ParameterError` if they are not finite."""
    if not np.isfinite(tables.radial).all() or not np.isfinite(tables.center).all():
        raise ParameterError(
            f"radial functions of n_max={setting.n_max}, sigma={setting.sigma} Å and a cutoff of "
            f"{setting.cutoffs.max():g} Å are not finite in double precision; lower n_max."
        )
    return tables


def _radial_values(r, setting, cutoff):
    s = setting
    return radial_functions(r, s.basis, s.n_max, s.l_max, cutoff, s.sigma)


def _grid_values(r, setting, cutoff):
    return grid_functions(r, _N_GRID, setting.l_max, cutoff, setting.sigma)


def _tables(setting, values_at, n):
    """Return the tables of radial functions `values_at`; pairs that agree share one."""
    keys = np.stack([setting.cutoffs, np.broadcast_to(setting.weights, setting.cutoffs.shape)])
    distinct, of_pair = np.unique(keys.reshape(2, -1), axis=1, return_inverse=True)
    r = knots(setting.spacing, setting.cutoffs.max())
    radial, center = [], []
    for cutoff, weight in distinct.T:
        values = weight * values_at(r, setting, cutoff)
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


def covariances(
    tables: DensityTables, species: IntArray, batch: StructureBatch, of_blocks: bool
) -> FloatArray:
    r"""Return :math:`\sum_i \sum_m c_{lm,q} c_{lm,q'}` by center species.

    Parameters
    ----------
    tables : DensityTables
        The expansion.
    species : ndarray of shape (n_atoms,)
        Index of each atom's species.
    batch : StructureBatch
        The structures, in any order; at most 10 000 environments are looked at, and of each
        species 500 if it has them.
    of_blocks : bool
        Whether only blocks of like neighbor species are wanted.

    Returns
    -------
    ndarray
        (n_species, l_max + 1, n_species, n_max, n_max) of blocks, else (n_species, l_max + 1, K, K)
        with K = n_species n_max.
    """
    n_species, n_max, l_max = tables.n_species, tables.n_max, tables.l_max
    n_channels = n_species * n_max
    shape = (n_species, n_max, n_max) if of_blocks else (n_channels, n_channels)
    out = np.zeros((n_species, l_max + 1, *shape))
    order = canonical_order(batch.keys())
    species, batch = species[rows_of(order, batch.offsets)[0]], batch.take(order)
    chosen, first = _looked_at(species), 0
    for block in batch.in_blocks():
        last = first + len(block.numbers)
        centers = chosen[(first <= chosen) & (chosen < last)] - first
        graph = block.neighbors(float(tables.cutoff.max()))
        for begin in range(0, len(centers), _BLOCK):
            block = centers[begin : begin + _BLOCK]
            _add_products(block, graph.pairs, species[first:last], tables, out)
        first = last
    return out


def _looked_at(species):
    """Return the environments that covariances are taken from, ascending."""
    evenly = [(np.arange(len(species)), _MAX_CENTERS)]
    evenly += [(np.flatnonzero(species == a), _LEAST_CENTERS) for a in np.unique(species)]
    parts = [
        members[np.linspace(0, len(members) - 1, min(len(members), most)).astype(np.int64)]
        for members, most in evenly
    ]
    return np.unique(np.concatenate(parts))


def _add_products(centers, pairs, species, tables, out):
    """Add the products of the coefficients of a few centers; see `covariances`."""
    n_species, n_max = tables.n_species, tables.n_max
    c = np.zeros((len(centers), (tables.l_max + 1) ** 2, n_species * n_max))
    soap.coefficients(centers, pairs, species, tables, c)
    for a in np.unique(species[centers]):
        mine = c[species[centers] == a]
        for l in range(tables.l_max + 1):
            rows = mine[:, l * l : (l + 1) * (l + 1)].reshape(-1, n_species * n_max)
            if out.ndim == 5:
                rows = rows.reshape(-1, n_species, n_max)
                out[a, l] += np.einsum("ibn,ibk->bnk", rows, rows, optimize=True)
            else:
                out[a, l] += rows.T @ rows


def leading(matrices: FloatArray, n: int) -> FloatArray:
    """Return the eigenvectors of the n largest eigenvalues, (..., size, n), signs fixed."""
    _, vectors = np.linalg.eigh(matrices)
    vectors = vectors[..., ::-1][..., :n]
    largest = np.abs(vectors).argmax(axis=-2, keepdims=True)
    return vectors * np.sign(np.take_along_axis(vectors, largest, axis=-2))


def _optimal_contraction(setting, grid, batch):
    """Return the contraction (center species, neighbor species, l_max + 1, n_grid, n_max)."""
    species = np.searchsorted(setting.species, batch.numbers)
    found = covariances(grid, species, batch, of_blocks=True)
    found = np.moveaxis(found, 2, 1)  # (center, neighbor, l, n, n)
    # Crystals have few distances, and some pairs may never meet: what the data leave open is
    # decided by neighbors at all distances alike.
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
    if setting.mixed:  # coefficients of different functions do not add up
        found = np.repeat(found.mean(axis=1, keepdims=True), grid.n_species, axis=1)
    return leading(found, setting.n_max)


def totals(tables: DensityTables) -> FloatArray:
    """Return the matrix (l_max + 1, K + n_max, K) that appends sums over species to K channels."""
    n_channels = tables.n_species * tables.n_max
    sums = np.tile(np.eye(tables.n_max), tables.n_species)
    return np.tile(np.vstack([np.eye(n_channels), sums]), (tables.l_max + 1, 1, 1))


def pseudo_elements(weights: FloatArray, tables: DensityTables) -> FloatArray:
    """Return the matrix (l_max + 1, k n_max, K) that mixes species by `weights` (n_species, k)."""
    return np.tile(np.kron(weights.T, np.eye(tables.n_max)), (tables.l_max + 1, 1, 1))


def alchemical_weights(species: IntArray, k: int, width: float = 1.0) -> FloatArray:
    r"""Return the weights (n_species, k) of pseudo-elements from similarity in the periodic table.

    :math:`\kappa_{ab} = \exp(-(\chi_a - \chi_b)^2/2 w^2 - (r_a - r_b)^2/2 w^2 s^2)` with Pauling
    electronegativities and covalent radii, s = 0.5 Å and the width w; its k leading eigenvectors
    times the roots of their eigenvalues (Willatt, Musil, Ceriotti, Phys. Chem. Chem. Phys. 20,
    29661 (2018)). With k = n_species dot products of power spectra are those of the kernel with
    coupling kappa; of fewer the squares of a species' weights add up to less than one.
    """
    places = alchemical_coordinates(species) / width
    kappa = np.exp(-0.5 * np.sum((places[:, None] - places) ** 2, axis=-1))
    vectors = leading(kappa, k)
    values = np.einsum("ae,ab,be->e", vectors, kappa, vectors)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def pseudo_elements_needed(species: IntArray, width: float, kept: float) -> int:
    """Return how many pseudo-elements keep that much of each species' squared length."""
    squares = alchemical_weights(species, len(species), width) ** 2
    enough = (np.cumsum(squares, axis=1) >= kept).all(axis=0)
    return int(np.argmax(enough)) + 1 if enough.any() else len(species)


def learned_weights(
    tables: DensityTables, species: IntArray, batch: StructureBatch, k: int
) -> FloatArray:
    """Return the k leading directions among species of the coefficients of the batch."""
    joint = covariances(tables, species, batch, of_blocks=False).sum(axis=(0, 1))
    blocks = joint.reshape(tables.n_species, tables.n_max, tables.n_species, tables.n_max)
    return leading(np.einsum("anbn->ab", blocks), k)


def leading_channels(
    tables: DensityTables, species: IntArray, batch: StructureBatch, k: int
) -> FloatArray:
    """Return the matrix (l_max + 1, k, K) of the k leading directions of each degree."""
    joint = covariances(tables, species, batch, of_blocks=False).sum(axis=0)
    return np.swapaxes(leading(joint, k), 1, 2)


def random_channels(tables: DensityTables, k: int, random_state: RandomState) -> FloatArray:
    r"""Return a random matrix (l_max + 1, k, K), Gaussian with variance :math:`k^{-1/2}`.

    Then features of many channels have lengths that do not depend on k. The same numbers for all
    degrees would do as well; different ones mix less.
    """
    rng = np.random.default_rng(random_state)
    shape = (tables.l_max + 1, k, tables.n_species * tables.n_max)
    return rng.normal(scale=k**-0.25, size=shape)
