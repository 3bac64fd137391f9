"""Reference environments: the fitted form of every kernel model."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from ..core.similarity import add_rows, add_segments
from ..data import AtomicFeatures
from ..data.elements import SYMBOLS
from ..exceptions import NumericalWarning, warn_once
from ..solvers import jittered_cholesky, tile_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from skpot.kernels.contracts import Covariance
    from skpot.typing import FloatArray, IntArray

TILE = 256  # columns a matrix product makes at a time; the product then stays in cache
_MEMBERS = 256  # environments that `expand` treats together


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

    def __init__(self, values: FloatArray, species: IntArray, kernel: Covariance) -> None:
        self.values = values
        self.species = species
        self.kernel = kernel
        kinds, first = np.unique(species, return_index=True)
        ends = [*first[1:], len(species)]
        self.columns = {
            int(z): slice(int(lo), int(hi)) for z, lo, hi in zip(kinds, first, ends, strict=True)
        }
        self.coefficients = self.columns  # columns of training rows, by species

    def __len__(self):
        """Return the number of coefficients."""
        return len(self.values)

    def fold(self, coefficients: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Return the scalar and the vector, or None, of each reference that coefficients mean."""
        return coefficients, None

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

    def groups(self, species: IntArray, limit: int) -> Iterator[tuple[IntArray, slice]]:
        """Yield (environments, columns): indices of one species, at most `limit` at a time."""
        for z, columns in self.columns.items():
            members = np.flatnonzero(species == z)
            for begin in range(0, len(members), limit):
                yield members[begin : begin + limit], columns

    def sums(self, features: AtomicFeatures, out: FloatArray, limit: int = 1024) -> None:
        """Add each structure's summed kernel with every reference to `out` (n_structures, m)."""
        segment = np.repeat(np.arange(len(features)), features.n_rows)
        for members, columns in self.groups(features.species, limit):
            kernel = self.kernel(features.values[members], self.values[columns])
            add_segments(kernel, segment[members], out[:, columns])

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

    def compared(self, x: FloatArray, species: IntArray) -> list[Any]:
        """Return what `expand` compares, for environments that it is to see again and again."""
        groups = list(self.groups(species, limit=_MEMBERS))

        def compare(group):
            members, columns = group
            return self.kernel.compared(x[members], self.values[columns])

        with tile_threads(len(groups)) as map_tiles:
            return list(map_tiles(compare, groups))

    def expand(
        self,
        x: FloatArray,
        species: IntArray,
        coefficients: FloatArray,
        vectors: FloatArray | None = None,
        slopes: bool = True,
        compared: list[Any] | None = None,
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return energies of environments and, with `slopes`, their derivatives.

        Parameters
        ----------
        x : ndarray of shape (n_environments, n_features)
            Features of the environments.
        species : ndarray of shape (n_environments,)
            Their atomic numbers.
        coefficients : ndarray of shape (n_references,)
            A scalar for each reference.
        vectors : ndarray of shape (n_references, n_features) or None
            A vector for each reference, along which its kernel is differentiated.
        slopes : bool, default=True
            Whether derivatives are wanted.
        compared : list, optional
            ``compared(x, species)``, of use where there are vectors.

        Returns
        -------
        energies : ndarray of shape (n_environments,)
            Zero for species without references.
        gradient : ndarray of shape (n_environments, n_features) or None
            dE/d(features).
        """
        energies = np.zeros(len(x))
        gradient = np.zeros(x.shape) if slopes else None

        def add(k):
            members, columns = groups[k]
            q, alpha = self.values[columns], coefficients[columns]
            if vectors is None:
                e, g = self._plain(x[members], q, alpha, slopes)
            else:
                known = compared[k] if compared else None
                e, g = self.kernel.expansion(x[members], q, alpha, vectors[columns], known)
            energies[members] = e
            if slopes:
                gradient[members] = g

        groups = list(self.groups(species, limit=_MEMBERS))
        with tile_threads(len(groups)) as map_tiles:
            for _ in map_tiles(add, range(len(groups))):
                pass
        return energies, gradient

    def _plain(self, x, q, alpha, slopes):
        if not slopes:
            return self.kernel(x, q) @ alpha, None
        kernel, by_similarity = self.kernel.with_slope(x, q)
        return kernel @ alpha, _gradient(by_similarity, x, q, alpha)

    def expand_sets(
        self, x: FloatArray, species: IntArray, coefficients: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return energies and derivatives for several sets of coefficients at once.

        Parameters
        ----------
        x, species
            As in `expand`.
        coefficients : ndarray of shape (n_coefficients, n_sets)
            As training rows have columns.

        Returns
        -------
        energies : ndarray of shape (n_sets, n_environments)
            As of `expand`.
        gradients : ndarray of shape (n_sets, n_environments, n_features)
            dE/d(features).
        """
        n_sets = coefficients.shape[1]
        energies, gradients = np.zeros((n_sets, len(x))), np.zeros((n_sets, *x.shape))

        def add(group):
            members, columns = group
            q, alpha, rows = self.values[columns], coefficients[columns], x[members]
            kernel, by_similarity = self.kernel.with_slope(rows, q)
            energies[:, members] = (kernel @ alpha).T
            for k in range(n_sets):
                gradients[k, members] = _gradient(by_similarity, rows, q, alpha[:, k])

        groups = list(self.groups(species, limit=256))
        with tile_threads(len(groups)) as map_tiles:
            for _ in map_tiles(add, groups):
                pass
        return energies, gradients

    def gradient_rows(
        self,
        features: AtomicFeatures,
        forces: FloatArray,
        strain: FloatArray,
        jacobian_bytes: float,
        map_tiles: Callable[..., Any] = map,
    ) -> None:
        """Add -dk/dr and dk/d(strain) of all environments to rows of a training block.

        Parameters
        ----------
        features : AtomicFeatures
            Structures of one block.
        forces : ndarray of shape (3 * n_atoms, n_references)
            Row 3 i + axis belongs to atom i.
        strain : ndarray of shape (6 * n_structures, n_references)
            Row 6 s + v belongs to structure s.
        jacobian_bytes : float
            Size of the dense Jacobian held at a time.
        map_tiles : callable, default=map
            Applies a function to tiles of references, which are independent; see `tile_threads`.
        """
        structure = np.repeat(np.arange(len(features)), features.n_rows)
        row_bytes = 24.0 * self.values.shape[1]
        sizes = features.neighborhood_sizes()
        limit = max(1, int(jacobian_bytes / (row_bytes * max(1, sizes.max(initial=1)))))
        for members, columns in self.groups(features.species, limit):
            block = features.jacobian(members)
            x = features.values[members]
            motions = self._motions(x, block, structure[members], forces, strain)
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


def one_by_one(features: AtomicFeatures, rows: IntArray) -> AtomicFeatures:
    """Return environments as structures of one each, without derivatives."""
    return AtomicFeatures(features.values[rows], np.arange(len(rows) + 1), features.species[rows])


def warn_of_missing(species: IntArray, reference_species: IntArray) -> None:
    """Warn of atoms of species of which there is no reference."""
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


def _gradient(slopes, x, q, alpha):
    """Return the gradient of the sum of alpha k, given slopes from `with_slope`."""
    gradient = np.zeros(x.shape)
    for s, slope in slopes.items():
        part, weights = s.take(gradient), slope * alpha
        part += weights @ s.against(s.turned(q))
        if s.centered:
            part -= weights.sum(axis=1)[:, None] * s.against(x)
    return gradient
