r"""References that carry derivatives of their kernels too.

Beside its kernel :math:`k(x, q_m)`, reference m has the functions
:math:`t_{md} \cdot \partial_q k(x, q_m)` along a few directions of feature space: the leading right
singular vectors of the Jacobian of its own features, those along which moving atoms move them. With
the notation of `skpot.kernels._functions`,

.. math:: t \cdot \partial_q k = \sum_s f_s r_s, \qquad r_s = (x - \tau_s q) \cdot S_s^2 t

and its gradient

.. math:: \partial_x (t \cdot \partial_q k) = \sum_s f_s S_s^2 t
          + \sum_{st} f_{st} r_t S_s^2 (q - \tau_s x)

so that training rows take one product of the Jacobian with references and directions alike: M
references with D directions cost the multiplications of M (1 + D) plain ones.
Functions of this kind for a sparse process: M. Lázaro-Gredilla, A. Figueiras-Vidal, Adv. Neural
Inf. Process. Syst. 22, 1087 (2009).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh

from ..core.similarity import add_direction_rows, add_rows, add_segments
from .expansion import Expansion, species_groups
from .references import TILE, References

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from skpot.data import AtomicFeatures
    from skpot.kernels import Waves
    from skpot.kernels.contracts import Covariance, Kernel
    from skpot.typing import FloatArray, IntArray

_FLAT = 1e-6  # of the largest singular value, or of the prior deviation: below, no direction
_JACOBIAN_BYTES = 16e6


class GradientReferences(References):
    """References with derivatives of their kernels along directions.

    The coefficients of a species are those of its kernels, then those of the derivatives.

    Parameters
    ----------
    values, species, kernel
        As in `References`.
    directions : ndarray of shape (n_directions, n_features)
        Directions, reference after reference.
    counts : ndarray of int of shape (n_references,)
        How many each reference has.
    """

    def __init__(
        self,
        values: FloatArray,
        species: IntArray,
        kernel: Covariance,
        directions: FloatArray,
        counts: IntArray,
    ) -> None:
        super().__init__(values, species, kernel)
        self.directions = directions
        self.counts = np.asarray(counts)
        self.first = np.concatenate([[0], np.cumsum(counts)])
        edges = np.arange(len(self.first)) + self.first
        self.coefficients = {
            z: slice(int(edges[c.start]), int(edges[c.stop])) for z, c in self.columns.items()
        }

    def __len__(self):
        """Return the number of coefficients."""
        return len(self.values) + len(self.directions)

    def fold(self, coefficients: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Return the scalar and the vector of each reference that coefficients mean."""
        scalars, vectors = np.empty(len(self.values)), np.zeros(self.values.shape)
        for columns in self.columns.values():
            own, derived = self._places(columns)
            scalars[columns] = coefficients[own]
            along = self._directions(columns) * coefficients[derived][:, None]
            np.add.at(vectors[columns], self._owners(columns), along)
        return scalars, vectors

    def one_by_one(self) -> Expansion:
        """Return an expansion with one reference for each coefficient; see `References`."""
        owners = np.empty(len(self), dtype=int)
        scalars, vectors = np.zeros(len(self)), np.zeros((len(self), self.values.shape[1]))
        for columns in self.columns.values():
            own, derived = self._places(columns)
            owners[own] = np.arange(columns.start, columns.stop)
            owners[derived] = columns.start + self._owners(columns)
            scalars[own], vectors[derived] = 1.0, self._directions(columns)
        q, species = self.values[owners], self.species[owners]
        return Expansion(self.kernel, q, species, scalars, vectors)

    def _directions(self, tile):
        return self.directions[self.first[tile.start] : self.first[tile.stop]]

    def _owners(self, tile):
        """Return which reference of a tile each of its directions belongs to."""
        counts = np.diff(self.first[tile.start : tile.stop + 1])
        return np.repeat(np.arange(len(counts)), counts)

    def _places(self, tile):
        """Return the columns of the kernels and of the derivatives of some references."""
        columns = self.columns[int(self.species[tile.start])]
        begin = self.coefficients[int(self.species[tile.start])].start
        shift = begin - columns.start
        behind = begin + columns.stop - columns.start - self.first[columns.start]
        derived = slice(int(behind + self.first[tile.start]), int(behind + self.first[tile.stop]))
        return slice(tile.start + shift, tile.stop + shift), derived

    def _tiles(self, columns, size=TILE):
        most = int(np.diff(self.first[columns.start : columns.stop + 1]).max())
        return super()._tiles(columns, max(1, size // (1 + most)))

    def _moves(self, s, x, tile):
        """Return how similarities with x change along the directions, shape (n, n_directions)."""
        t = self._directions(tile)
        moves = s.products(x, t)
        if s.centered:
            q = s.turned(self.values[tile])[self._owners(tile)]
            moves -= np.einsum("kp,kp->k", s.against(s.turned(t)), s.take(q))
        return moves

    def _moves_of(self, s, tile, q):
        """Return how similarities of the tile with q change along its own directions."""
        t = self._directions(tile)
        moves = s.products(t, q)
        if s.centered:
            x = s.take(self.values[tile])[self._owners(tile)]
            moves -= np.einsum("kp,kp->k", s.against(t), x)[:, None]
        return moves

    def covariance(self) -> Iterator[tuple[slice, FloatArray]]:
        """Return the blocks of K_MM, one for each species, as (columns, matrix)."""
        for z, columns in self.columns.items():
            begin = self.coefficients[z].start
            n = self.coefficients[z].stop - begin
            matrix = np.zeros((n, n))
            tiles = self._tiles(columns)
            for k, left in enumerate(tiles):
                for right in tiles[: k + 1]:
                    self._put(matrix, begin, left, right)
            yield self.coefficients[z], matrix

    def _put(self, matrix, begin, left, right):
        block = self._between(left, right)
        if left == right:
            block = 0.5 * (block + block.T)
        rows, columns = (
            np.concatenate([np.arange(p.start, p.stop) for p in self._places(tile)]) - begin
            for tile in (left, right)
        )
        matrix[np.ix_(rows, columns)] = block
        matrix[np.ix_(columns, rows)] = block.T

    def _between(self, left, right):
        """Return the covariance of the functions of two tiles, kernels before derivatives."""
        x, q = self.values[left], self.values[right]
        i, m = self._owners(left), self._owners(right)
        f, slopes, curvatures = self.kernel.with_curvature(x, q)
        n_x, n_q = f.shape
        out = np.zeros((n_x + len(i), n_q + len(m)))
        out[:n_x, :n_q] = f
        for s, slope in slopes.items():
            out[:n_x, n_q:] += slope[:, m] * self._moves(s, x, right)
            out[n_x:, :n_q] += slope[i] * self._moves_of(s, left, q)
            both = s.products(self._directions(left), self._directions(right))
            out[n_x:, n_q:] += slope[np.ix_(i, m)] * both
        for (s, t), curvature in curvatures.items():
            change = self._moves_of(s, left, q)[:, m] * self._moves(t, x, right)[i]
            out[n_x:, n_q:] += curvature[np.ix_(i, m)] * change
        return out

    def add_functions(self, z: int, waves: Waves, weights: FloatArray, out: FloatArray) -> None:
        """Add what coefficients of one species see of sums of waves; see `References`."""
        columns = self.columns[z]
        own, derived = self._places(columns)
        q = self.values[columns]
        out[own] += waves.values(q) @ weights
        along = self._directions(columns) @ waves.directions.T
        out[derived] += (waves.values(q, 1)[self._owners(columns)] * along) @ weights

    def sums(self, features: AtomicFeatures, out: FloatArray, limit: int = 256) -> None:
        """Add each structure's summed functions to `out` (n_structures, n_coefficients)."""
        segment = np.repeat(np.arange(len(features)), features.n_rows)
        for members, columns in species_groups(self.columns, features.species, limit):
            x = features.values[members]
            for tile in self._tiles(columns):
                own, derived = self._places(tile)
                kernel, slopes = self.kernel.with_slope(x, self.values[tile])
                add_segments(kernel, segment[members], out[:, own])
                for s, slope in slopes.items():
                    change = slope[:, self._owners(tile)] * self._moves(s, x, tile)
                    add_segments(change, segment[members], out[:, derived])

    def _add_tile(self, motions, x, tile):
        own, derived = self._places(tile)
        q, owners, first = self.values[tile], self._owners(tile), self.first
        first = first[tile.start : tile.stop + 1] - first[tile.start]
        _, slopes, curvatures = self.kernel.with_curvature(x, q)
        moves = {s: self._moves(s, x, tile) for s in slopes}
        both = np.concatenate([q, self._directions(tile)])
        for s, slope in slopes.items():
            bend = sum(
                curvature[:, owners] * moves[t]
                for (other, t), curvature in curvatures.items()
                if other == s
            )
            for motion in motions:
                product, along = s.products(motion.rows, both), motion.along[s]
                slope_of, place = motion.sign * slope, (s.centered, motion.start, motion.triple)
                add_rows(
                    slope_of, *place, np.ascontiguousarray(product[:, : len(q)]), along,
                    motion.out[:, own],
                )  # fmt: skip
                add_direction_rows(
                    slope_of, motion.sign * bend, first, *place, product, along,
                    motion.out[:, derived],
                )  # fmt: skip


def references_with(
    values: FloatArray,
    species: IntArray,
    kernel: Covariance,
    directions: FloatArray | None,
    counts: Any,
) -> References:
    """Return references, with derivatives unless `directions` is None."""
    if directions is None:
        return References(values, species, kernel)
    return GradientReferences(values, species, kernel, directions, counts)


def leading_directions(
    features: AtomicFeatures, chosen: IntArray, kernel: Kernel, n_directions: int
) -> tuple[FloatArray, IntArray]:
    """Return directions along which environments change most as atoms move.

    They are scaled so that derivatives along them vary as much as the energies do, in the prior.

    Parameters
    ----------
    features : AtomicFeatures
        Structures.
    chosen : ndarray of int
        Environments.
    kernel : kernel object
        What measures the variances.
    n_directions : int
        Most directions of each environment.

    Returns
    -------
    directions : ndarray of shape (n, n_features)
        Directions, environment after environment.
    counts : ndarray of int of shape (len(chosen),)
        How many each has; fewer where the Jacobian is of lower rank.
    """
    sizes = features.neighborhood_sizes()[chosen]
    step = max(1, int(_JACOBIAN_BYTES / (24.0 * features.shape[1] * sizes.max(initial=1))))
    parts = [np.zeros((0, features.shape[1]))]
    counts = np.zeros(len(chosen), dtype=np.int64)
    for begin in range(0, len(chosen), step):
        block = features.jacobian(chosen[begin : begin + step])
        for k, (lo, hi) in enumerate(zip(block.start[:-1], block.start[1:], strict=True), begin):
            unit = _right_vectors(block.values[lo:hi].reshape(-1, features.shape[1]), n_directions)
            parts.append(_scaled(unit, features.values[chosen[k]].astype(float), kernel))
            counts[k] = len(parts[-1])
    return np.concatenate(parts), counts


def _right_vectors(rows, n):
    """Return at most n leading right singular vectors, shape (n, n_columns)."""
    wide = len(rows) <= rows.shape[1]
    gram = rows @ rows.T if wide else rows.T @ rows
    size = len(gram)
    squares, vectors = eigh(gram, subset_by_index=[max(0, size - n), size - 1])
    steep = squares > _FLAT**2 * squares[-1]
    vectors = vectors[:, steep][:, ::-1]
    if wide:
        vectors = rows.T @ (vectors / np.sqrt(squares[steep][::-1]))
    return vectors.T


def _scaled(directions, q, kernel):
    """Return those directions along which the process varies, scaled to vary as its value does."""
    one = GradientReferences(q[None], np.zeros(1, int), kernel, directions, [len(directions)])
    variances = np.diag(one._between(slice(0, 1), slice(0, 1)))
    value, slopes = variances[0], variances[1:]
    varies = (slopes > _FLAT**2 * value) & (value > 0)
    return directions[varies] * np.sqrt(value / slopes[varies])[:, None]
