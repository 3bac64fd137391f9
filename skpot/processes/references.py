"""Reference environments, as training rows and the prior see them."""

from __future__ import annotations

import copy
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from ..core.similarity import add_rows, add_segments
from ..data import AtomicFeatures
from ..data.elements import SYMBOLS, by_number
from ..data.order import drawn_seed, environment_keys
from ..data.tasks import results_of_environments
from ..exceptions import NumericalWarning, ParameterError, warn_once
from ..selection import select_from_parts, structure_kinds
from ..solvers import jittered_cholesky
from .expansion import Expansion, species_groups, species_slices

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self

    from skpot.kernels import Waves
    from skpot.kernels.contracts import Covariance
    from skpot.rows.contracts import GradientRows
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray, RandomState

TILE = 256  # columns a matrix product makes at a time; the product then stays in cache


class References:
    """Environments that the kernel compares with, grouped by species.

    Only environments of one species are compared; others have zero covariance.

    Parameters
    ----------
    values : ndarray of shape (n_references, n_features)
        Their features, species after species.
    species : ndarray of shape (n_references,)
        Atomic numbers, ascending.
    kernel : kernel object
        See `skpot.kernels`.
    """

    # Of references that carry derivatives of their kernels, see `GradientReferences`.
    directions: FloatArray | None = None
    counts: IntArray | None = None

    def __init__(self, values: FloatArray, species: IntArray, kernel: Covariance) -> None:
        self.values = values
        self.species = species
        self.kernel = kernel
        self.columns = species_slices(species)
        self.coefficients = self.columns  # columns of training rows, by species

    def __len__(self):
        """Return the number of coefficients."""
        return len(self.values)

    def fold(self, coefficients: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Return the scalar and the vector, or None, of each reference that coefficients mean."""
        return coefficients, None

    def one_by_one(self) -> Expansion:
        """Return an expansion with one reference for each coefficient, in their order.

        Its scalars and vectors are those that a coefficient of one means.
        """
        return Expansion(self.kernel, self.values, self.species, np.ones(len(self)), None)

    def with_kernel(self, kernel: Covariance) -> Self:
        """Return the same references with another kernel."""
        other = copy.copy(self)
        other.kernel = kernel
        return other

    def expansion(self, coefficients: FloatArray) -> Expansion:
        """Return the energies that coefficients of training rows mean."""
        return Expansion(self.kernel, self.values, self.species, *self.fold(coefficients))

    def covariance(self) -> Iterator[tuple[slice, FloatArray]]:
        """Return the blocks of K_MM, one for each species, as (columns, matrix)."""
        for columns in self.columns.values():
            q = self.values[columns]
            k = self.kernel(q, q)
            yield columns, 0.5 * (k + k.T)

    def cholesky(self, jitter: float) -> tuple[FloatArray, float]:
        """Return the lower Cholesky factor of K_MM and the largest jitter that it needed."""
        m = len(self)
        factor, largest = np.zeros((m, m)), 0.0
        for columns, covariance in self.covariance():
            factor[columns, columns], needed = jittered_cholesky(covariance, jitter)
            largest = max(largest, needed)
        return factor, largest

    def whiten(self, rows: FloatArray, factor: FloatArray) -> None:
        """Replace rows k by k L^-T, in coefficients whose prior is the unit matrix.

        The prior's rows then have a scale that rounding of the much larger label rows leaves alone.
        Columns beyond those of the references stay as they are.
        """
        for columns in self.coefficients.values():
            part = np.ascontiguousarray(rows[:, columns]).T
            rows[:, columns] = solve_triangular(
                factor[columns, columns], part, lower=True, overwrite_b=True, check_finite=False
            ).T

    def sums(self, features: AtomicFeatures, out: FloatArray, limit: int = 1024) -> None:
        """Add each structure's summed kernel with every reference to `out` (n_structures, m)."""
        segment = np.repeat(np.arange(len(features)), features.n_rows)
        for members, columns in species_groups(self.columns, features.species, limit):
            kernel = self.kernel(features.values[members], self.values[columns])
            add_segments(kernel, segment[members], out[:, columns])

    def add_functions(self, z: int, waves: Waves, weights: FloatArray, out: FloatArray) -> None:
        """Add what coefficients of one species see of sums of waves to `out`.

        Parameters
        ----------
        z : int
            Atomic number.
        waves : Waves
            Functions of feature rows.
        weights : ndarray of shape (n_waves, n_sums)
            Their factors.
        out : ndarray of shape (n_coefficients, n_sums)
            Values at references, and derivatives along their directions if they have any.
        """
        out[self.columns[z]] += waves.values(self.values[self.columns[z]]) @ weights

    def environment_rows(
        self, features: AtomicFeatures, limit: int = 256
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield environments, of one species and at most `limit` at a time, and their rows.

        Yields
        ------
        members : ndarray of int of shape (n,)
            Which environments.
        rows : ndarray of shape (n, n_references)
            Covariance of each one's energy with the references.
        """
        for z in np.unique(features.species):
            all_members = np.flatnonzero(features.species == z)
            for begin in range(0, len(all_members), limit):
                members = all_members[begin : begin + limit]
                rows = np.zeros((len(members), len(self)))
                self.sums(one_by_one(features, members), rows)
                yield members, rows

    def gradient_rows(
        self, features: AtomicFeatures, out: GradientRows, n_bytes: float, map_tiles: Any = map
    ) -> None:
        """Add -dk/dr and dk/d(strain) of all environments to rows of a training block.

        Parameters
        ----------
        features : AtomicFeatures
            Structures of one block.
        out : GradientRows
            The rows.
        n_bytes : float
            Size of the dense Jacobian held at a time.
        map_tiles : callable, default=map
            Applies a function to tiles of references, which are independent; see `tile_threads`.
        """
        structure = np.repeat(np.arange(len(features)), features.n_rows)
        row_bytes = 24.0 * self.values.shape[1]
        sizes = features.neighborhood_sizes()
        limit = max(1, int(n_bytes / (row_bytes * max(1, sizes.max(initial=1)))))
        for members, columns in species_groups(self.columns, features.species, limit):
            block = features.jacobian(members)
            x = features.values[members]
            motions = self._motions(x, block, structure[members], *out)
            add = partial(self._add_tile, motions, x)
            for _ in map_tiles(add, self._tiles(columns)):
                pass

    def _tiles(self, columns, size=TILE):
        begins = range(columns.start, columns.stop, size)
        return [slice(b, min(b + size, columns.stop)) for b in begins]

    def _add_tile(self, motions, x, tile):
        q = self.values[tile]
        _, slopes = self.kernel.with_slope(x, q)
        for s, slope in slopes.items():
            for motion in motions:
                add_rows(
                    motion.sign * slope, s.centered, motion.start, motion.triple,
                    s.products(motion.rows, q), motion.along[s], motion.out[:, tile],
                )  # fmt: skip

    def _motions(self, x, block, structure, forces, strain):
        """Return motions of atoms, whose derivatives are minus the forces, and strains."""
        rows, strain_rows = (a.reshape(-1, x.shape[1]) for a in (block.values, block.strain))
        triples = 2 * np.arange(len(structure) + 1)  # six strains are two
        places = (2 * structure[:, None] + [0, 1]).ravel()
        return [
            Motion(sign, rows, self._along(x, rows, start), start, triple, out)
            for sign, rows, start, triple, out in (
                (-1.0, rows, block.start, block.atom, forces),
                (1.0, strain_rows, triples, places, strain),
            )
        ]

    def _along(self, x, rows, start):
        out = {}
        for s in self.kernel.similarities:
            out[s] = np.empty(len(rows) if s.centered else 0)  # otherwise not read
            if s.centered:
                own, moved = s.against(x), s.take(rows)
                for c, (lo, hi) in enumerate(zip(3 * start[:-1], 3 * start[1:], strict=True)):
                    out[s][lo:hi] = moved[lo:hi] @ own[c]
        return out


def every_environment(features: AtomicFeatures, kernel: Covariance) -> tuple[References, IntArray]:
    """Return all environments as references, and which environment each of them is."""
    order = np.argsort(features.species, kind="stable")
    values = features.values[order].astype(float)  # they may be float32
    return References(values, features.species[order], kernel), order


def chosen_references(
    training: TrainingSet, n: int | dict[Any, int], selection: str, random_state: RandomState
) -> IntArray:
    """Return environments that a rule of `SparseGPR` chooses for references, by their rows.

    Parameters
    ----------
    training : TrainingSet
        The structures.
    n : int or dict
        `n_sparse` of `SparseGPR`.
    selection : {"cur", "fps", "random"}
        How they are chosen.
    random_state : int, RandomState or None
        Seed of the choice.
    """
    features = training.features
    kinds = structure_kinds(features, training.labels.groups)
    return select_from_parts(
        partial(results_of_environments, features=features), features.species,
        _numbers_by_species(n), selection,
        np.random.default_rng(drawn_seed(random_state)), environment_keys(features),
        np.repeat(kinds, features.n_rows),
    )  # fmt: skip


def _numbers_by_species(n_sparse):
    """Return the number of references, or a dict of numbers by atomic number."""
    if not isinstance(n_sparse, dict):
        return n_sparse
    wrong = {
        z: n
        for z, n in n_sparse.items()
        if not isinstance(n, Integral) or isinstance(n, bool) or n < 1
    }
    if wrong or not n_sparse:
        raise ParameterError(
            f"n_sparse must give positive integers by chemical symbol, got {wrong or n_sparse!r}"
        )
    return {z: int(n) for z, n in by_number("n_sparse", n_sparse).items()}


def one_by_one(features: AtomicFeatures, rows: IntArray) -> AtomicFeatures:
    """Return environments as structures of one each, without derivatives."""
    return AtomicFeatures(features.values[rows], np.arange(len(rows) + 1), features.species[rows])


def warn_of_missing(species: IntArray, reference_species: IntArray) -> None:
    """Warn of atoms whose species has no reference."""
    missing = np.setdiff1d(species, reference_species)
    if len(missing):
        warn_once(
            "species without references",
            f"there are no references of {', '.join(SYMBOLS[z] for z in missing)}: the model "
            "knows nothing of these atoms but the energy of free ones.",
            NumericalWarning,
        )


class Motion(NamedTuple):
    """Motions of some centers, three by three, and the rows that derivatives along them go to."""

    sign: float
    rows: np.ndarray  # (3 * n_triples, n_features) how the centers' features change
    along: dict  # products of rows with the centers' own features, by similarity
    start: np.ndarray  # (n_centers + 1,) triples of each center
    triple: np.ndarray  # (n_triples,) where each goes, in threes
    out: np.ndarray  # (n_out, n_columns)
