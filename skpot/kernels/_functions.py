r"""Functions of two environments' feature rows, with all derivatives that models need.

A term compares two rows by a similarity s of some of their columns, with weights S^2,

    w_s(x, q) = x . S^2 q              (tau_s = 0)
    w_s(x, q) = -(x - q) . S^2 (x - q) / 2        (tau_s = 1, "centered")

where columns that are left out have weight zero. Then

    dw_s/dx = S^2 (q - tau x),    dw_s/dq = S^2 (x - tau q),    d2w_s/dx dq = S^2.

If there is a permutation P of the columns, it acts on q (and, transposed, on dw_s/dq).
Sums, products and powers of terms are a function f(w_1 ... w_L), and by the chain rule

    dk/dx      = sum_s f_s S_s^2 (q - tau_s x)
    d2k/dx dq  = sum_s f_s S_s^2 + sum_st f_st [S_s^2 (q - tau_s x)] [S_t^2 (x - tau_t q)]^T

with f_s = df/dw_s and f_st = d2f/dw_s dw_t. A kernel only computes arrays of the size of k. All
that has the length of a feature row is one matrix product for each similarity, and terms of equal
similarity, such as Gaussians of several lengths, share it. Covariances of derivatives are never
formed, but only multiplied with vectors: see `expansion`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.similarity import center, expand

if TYPE_CHECKING:
    from typing import Any

    from skpot.kernels.contracts import Compared
    from skpot.typing import FloatArray

_TILE = 256  # references at a time, so that the arrays of a tile stay in cache


class Similarity(NamedTuple):
    """How two feature rows are compared; the function of a kernel acts on the result."""

    columns: tuple | None  # (start, stop); None for all
    weights: tuple | None  # squared factors of these columns; None for ones
    centered: bool  # minus half the squared distance instead of the product
    permutation: tuple | None = None  # order in which columns of q are compared with those of x

    def turned(self, q: FloatArray) -> FloatArray:
        """Return reference rows, on the last axis, in the order in which they are compared."""
        return q if self.permutation is None else q[..., np.array(self.permutation)]

    def take(self, rows: FloatArray) -> FloatArray:
        """Return a view of the columns that are compared, on the last axis."""
        return rows if self.columns is None else rows[..., slice(*self.columns)]

    def against(self, rows: FloatArray) -> FloatArray:
        """Return the columns that are compared times their weights: the right side of products."""
        rows = self.take(rows)
        return rows if self.weights is None else rows * np.array(self.weights)

    def squares(self, rows: FloatArray) -> FloatArray:
        """Return x . S^2 x of each row."""
        return np.einsum("...j,...j->...", self.take(rows), self.against(rows))

    def products(self, rows: FloatArray, q: FloatArray) -> FloatArray:
        """Return x . S^2 q for all pairs."""
        return self.take(rows) @ self.against(self.turned(q)).T

    def __call__(self, x, q):
        """Return w of all pairs of rows, shape (n, m)."""
        w = self.products(x, q)
        if self.centered:
            center(w, self.squares(x), self.squares(self.turned(q)))
        return w

    def diag(self, x: FloatArray) -> FloatArray:
        """Return w of each row with itself, shape (n,)."""
        turned = self.turned(x)
        if not self.centered:
            return np.einsum("ij,ij->i", self.take(x), self.against(turned))
        return np.zeros(len(x)) - 0.5 * self.squares(turned - x)


class Sides(NamedTuple):
    """References of one similarity as environments are multiplied with them; see `expansion`."""

    points: np.ndarray  # (n_references, n_columns) S^2 (q - shift)
    vectors: np.ndarray  # (n_references, n_columns) S^2 v
    offsets: np.ndarray  # (n_references,) v . S^2 (q - shift) tau
    shift: Any  # of environments and references alike, so that rounding spares what they share


class Jet(NamedTuple):
    """Value of f and the derivatives that were asked for; those that are absent are zero."""

    value: np.ndarray
    first: dict  # f_s by similarity
    second: dict  # f_st by pair of similarities, in both orders


class CovarianceFunction:
    """A symmetric function of two rows that acts through similarities.

    A subclass has `similarities`, a tuple of distinct `Similarity`, and `jet(w, order)`, which
    turns their values, a dict by similarity, into a `Jet`.
    """

    def _jet(self, x, q, order):
        x, q = np.asarray(x, dtype=float), np.asarray(q, dtype=float)  # rows may be float32
        return self.jet({s: s(x, q) for s in self.similarities}, order)

    def __call__(self, x, q):
        """Return the matrix k(x_i, q_m)."""
        return self._jet(x, q, 0).value

    def diag(self, x: FloatArray) -> FloatArray:
        """Return k(x_i, x_i)."""
        x = np.asarray(x, dtype=float)
        return self.jet({s: s.diag(x)[:, None] for s in self.similarities}, 0).value[:, 0]

    def with_slope(
        self, x: FloatArray, q: FloatArray
    ) -> tuple[FloatArray, dict[Similarity, FloatArray]]:
        """Return k (n, m) and the derivatives f_s of the same shape, by similarity.

        The arrays are new: callers may change them.
        """
        return self._jet(x, q, 1)[:2]

    def with_curvature(self, x: FloatArray, q: FloatArray) -> Any:
        """Return k, the derivatives f_s, and f_st by pairs of similarities, in both orders."""
        return self._jet(x, q, 2)

    def compared(self, x: FloatArray, q: FloatArray, derive: bool = False) -> list[Any]:
        """Return the similarities of all pairs of rows, in the tiles that `expansion` takes.

        With `derive`, return the function of them and its derivatives instead.
        """
        x, q = np.asarray(x, dtype=float), np.asarray(q, dtype=float)
        tiles = (q[begin : begin + _TILE] for begin in range(0, len(q), _TILE))
        found = ({s: s(x, tile) for s in self.similarities} for tile in tiles)
        return [self.jet(w, 2) if derive else w for w in found]

    def sides(self, q: FloatArray, v: FloatArray, dtype: Any = np.float64) -> Any:
        """Return references and their vectors as `expansion` multiplies environments with them.

        Parameters
        ----------
        q, v
            See `expansion`.
        dtype : type, default=float64
            Single or double precision of products of the length of a row.
        """
        q, found = np.asarray(q, dtype=float), {}
        for s in self.similarities:
            points, vectors = s.take(s.turned(q)), s.against(s.turned(v))
            # Differences of rows, which alone count, may be far smaller than the rows.
            shift = points.mean(axis=0) if s.centered and dtype != np.float64 else 0.0
            points = points - shift if np.ndim(shift) else points
            offsets = np.einsum("mi,mi->m", vectors, points) * s.centered
            points = points if s.weights is None else points * np.array(s.weights)
            points, vectors = (side.astype(dtype, copy=False) for side in (points, vectors))
            found[s] = Sides(points, vectors, offsets, shift)
        return found

    def expansion(
        self,
        x: FloatArray,
        q: FloatArray,
        a: FloatArray,
        v: FloatArray,
        compared: Compared = None,
        sides: Any = None,
    ) -> tuple[FloatArray, FloatArray]:
        r"""Apply the function and its derivatives to one scalar and one vector per reference.

        .. math:: u(x) = \sum_m [a_m + v_m \cdot \partial_q] k(x, q_m)

        In single precision, products of rows and the derivatives of k are rounded, but neither k
        itself, of which a is a factor, nor sums over tiles.

        Parameters
        ----------
        x : ndarray of shape (n, n_features)
            Environments.
        q : ndarray of shape (n_references, n_features)
            Reference environments.
        a : ndarray of shape (n_references,)
            Coefficients of the kernels.
        v : ndarray of shape (n_references, n_features)
            Coefficients of their derivatives with respect to q.
        compared : list, optional
            What ``compared(x, q)`` returned, if it was called before.
        sides : dict, optional
            What ``sides(q, v)`` returned, likewise; its precision is that of the products.

        Returns
        -------
        u : ndarray of shape (n,)
            The sums.
        gradient : ndarray of shape (n, n_features)
            Their derivatives with respect to x.
        """
        x, q = np.asarray(x, dtype=float), np.asarray(q, dtype=float)
        sides = self.sides(q, v) if sides is None else sides
        u, gradient = np.zeros(len(x)), np.zeros(x.shape)
        dtype = next(iter(sides.values())).points.dtype
        rows = {s: s.take(x) - side.shift for s, side in sides.items()}
        rounded = {s: rows[s].astype(dtype, copy=False) for s in sides}
        pulls = {s: np.zeros(len(x)) for s in sides}
        for k, begin in enumerate(range(0, len(q), _TILE)):
            tile = slice(begin, begin + _TILE)
            known = compared[k] if compared else self.compared(x, q[tile])[0]
            known = known if isinstance(known, Jet) else self.jet(known, 2)
            f, slopes, curvatures = _derivatives_as(dtype, known)
            u += f @ a[tile]
            moves, weights = {}, {}
            for s, slope in slopes.items():
                offset, bend = sides[s].offsets[tile], curvatures[s, s]
                moves[s] = rounded[s] @ sides[s].vectors[tile].T
                weights[s] = np.empty(slope.shape, moves[s].dtype)
                expand(slope, bend, moves[s], offset, a[tile], weights[s], u)
            for (s, t), curvature in curvatures.items():
                if s != t:
                    weights[s] += curvature * moves[t]
            for s, slope in slopes.items():
                part = s.take(gradient)
                part += weights[s] @ sides[s].points[tile]
                part += slope @ sides[s].vectors[tile]
                pulls[s] += weights[s].sum(axis=1, dtype=float)
        for s, pull in pulls.items():
            if s.centered:
                weighted = rows[s] if s.weights is None else rows[s] * np.array(s.weights)
                s.take(gradient)[...] -= pull[:, None] * weighted
        return u, gradient


def _derivatives_as(dtype, jet):
    """Return a jet whose derivatives are of a type."""
    first, second = (
        {key: of_key.astype(dtype, copy=False) for key, of_key in part.items()}
        for part in (jet.first, jet.second)
    )
    return Jet(jet.value, first, second)


def sum_of(a: Jet, b: Jet) -> Jet:
    """Return the jet of a sum."""
    return Jet(a.value + b.value, _added(a.first, b.first), _added(a.second, b.second))


def product_of(a: Jet, b: Jet) -> Jet:
    """Return the jet of a product."""
    f, g = a.value, b.value
    first = _added(
        {s: slope * g for s, slope in a.first.items()},
        {s: slope * f for s, slope in b.first.items()},
    )
    second = _added(
        {pair: bend * g for pair, bend in a.second.items()},
        {pair: bend * f for pair, bend in b.second.items()},
    )
    if second:  # not empty in jets of order two
        for s, slope in a.first.items():
            for t, other in b.first.items():
                both = slope * other
                second = _added(second, {(s, t): both})
                second = _added(second, {(t, s): both})
    return Jet(f * g, first, second)


def power_of(a: Jet, n: int) -> Jet:
    """Return the jet of a power n >= 1."""
    if n == 1:
        return a
    f = a.value
    outer = n * f ** (n - 1)
    second = {pair: bend * outer for pair, bend in a.second.items()}
    if second:
        bend = n * (n - 1) * f ** (n - 2)
        second = _added(
            {(s, t): bend * a.first[s] * a.first[t] for s in a.first for t in a.first}, second
        )
    return Jet(f**n, {s: slope * outer for s, slope in a.first.items()}, second)


def _added(a, b):
    """Return two dicts of arrays as one; values of keys that are in both are added."""
    out = a | b
    for key in a.keys() & b.keys():
        out[key] = a[key] + b[key]
    return out
