r"""Jacobian rows of power spectra times a matrix, without the rows themselves.

A feature is a product of two coefficients of the density (`skpot.core.invariants.Triangle`), so
that its derivatives along the coefficients are linear in them. Projected features
:math:`x_d = \sum_f p_f P_{fd}` have

.. math:: \frac{\partial x_d}{\partial c_{lm,k}} = \sum_{k'} W^l_{k'kd}\, c_{lm,k'}, \qquad
          W^l_{k'kd} = \frac{1 + \delta_{kk'}}{\sqrt{2l+1}}
                       \sqrt{2}^{\,1 - \delta_{kk'}}\, P_{(l,\{k,k'\})\, d}

and a neighbor of species a moves only the coefficients of its own channels,
:math:`\nabla c_{lm,n} = R'_{nl} \hat r Y_{lm} + R_{nl} \nabla Y_{lm}`. Two products of matrices in
place of one of the length of a row of features: with K channels, :math:`n_{lm}` harmonics,
:math:`n_{max}` radial functions and E atoms that move an environment, each column of P takes
:math:`K^2 n_{lm} + 3 E\, n_{max} n_{lm}` multiplications instead of :math:`3 E F` with
:math:`F = (l_{max} + 1) K (K + 1) / 2` features.
"""

import math

import numpy as np

from ._arena import arena, release
from ._jit import inline_jit, jit
from .density import expand, neighborhood, neighborhood_size, survey
from .harmonics import spherical_harmonics_gradient
from .invariants import Triangle
from .pairs import largest_of

_TOGETHER = 8  # centers whose derivatives along coefficients are held at a time
_WORTH = 0.8  # share of the multiplications below which the way through the density is taken


_SQRT2 = math.sqrt(2.0)


def saves(tables, n_columns, n_entries, n_centers):
    """Return whether the way through the density takes fewer multiplications.

    Parameters
    ----------
    tables : SoapTables
        Of the descriptor.
    n_columns : int
        Of the matrix.
    n_entries : int
        Atoms that move the centers, counted for each of them.
    n_centers : int
        How many these are.
    """
    density, mixing = tables.density, tables.mixing
    if not isinstance(tables.product, Triangle) or len(mixing.forward) or mixing.normalize:
        return False
    n_lm, n_channels = (density.l_max + 1) ** 2, density.n_species * density.n_max
    rows = 3.0 * n_entries + 6.0 * n_centers
    own = rows + 6.0 * n_centers * (density.n_species - 1)
    through = n_channels**2 * n_lm * float(n_centers) + density.n_max * n_lm * own
    return n_columns > 1 and through < _WORTH * tables.n_features * rows


def row_counts(density, start):
    """Return how many rows of `density_moves` each center has, given where its entries begin."""
    return 3 * (np.diff(start) - 1) + 6 * density.n_species


def row_length(density):
    """Return the length of a row of `density_moves`."""
    return (density.l_max + 1) ** 2 * density.n_max


@jit
def density_moves(lo, hi, centers, pairs, species, density, start, atom, first, c, moves):
    """Write coefficients of the densities of `centers[lo:hi]`, and how neighbors move them.

    Parameters
    ----------
    lo, hi, centers, pairs, species
        As in `skpot.core.soap.jacobian`.
    density : DensityTables
        See `skpot.core.density`.
    start : ndarray of int of shape (n_centers + 1,)
        Where the entries of each center begin, see `count_entries`.
    atom : ndarray of int of shape (n_entries,)
        Output: which atoms these are; the center, then the others, sorted by species.
    first : ndarray of int of shape (n_centers, n_species + 1)
        Output: the first entry of each species, and where they end.
    c : ndarray of shape (n_centers, (l_max + 1)^2, n_species * n_max)
        Output: the coefficients.
    moves : ndarray of shape (n_rows, (l_max + 1)^2 * n_max)
        Output: rows of each center, from
        `3 * (start[row] - row) + 6 * n_species * row` on, and of each species: the derivatives of
        this species' coefficients along the positions of its entries, three rows each, and along
        six strains in Voigt order.
    """
    l_max, n_species = density.l_max, density.n_species
    n = largest_of(centers[lo:hi], pairs)
    own = arena(neighborhood_size(n, density))
    near = neighborhood(n, density, own)
    legendre = np.empty((l_max + 1, l_max + 1))
    y_lm, normal = np.empty((l_max + 1) ** 2), np.empty((3, (l_max + 1) ** 2))
    move = np.empty((3, moves.shape[1]))
    slot = np.full(len(species), -1, dtype=np.int64)
    for row in range(lo, hi):
        i = centers[row]
        size = survey(i, pairs, species, density, near)
        expand(i, size, species, density, near, c[row])
        _sort_entries(i, pairs, species, n_species, start[row], slot, atom, first[row])
        begin = 3 * (start[row] - row) + 6 * n_species * row
        moves[begin : 3 * (start[row + 1] - row - 1) + 6 * n_species * (row + 1)] = 0.0
        for t in range(size):
            p = near.pair[t]
            j = pairs.neighbor[p]
            x, y, z = near.unit[0, t], near.unit[1, t], near.unit[2, t]
            spherical_harmonics_gradient(x, y, z, density.legendre, l_max, legendre, y_lm, normal)
            _move(t, density, near, y_lm, normal, move)
            b = species[j]
            top = begin + 3 * (first[row, b] - start[row] - 1) + 6 * b
            if j != i:  # an image of the center itself moves with it
                at = top + 3 * (slot[j] - first[row, b])
                for axis in range(3):
                    _add(1.0, move[axis], moves[at + axis])
            strain = top + 3 * (first[row, b + 1] - first[row, b])
            _add_strain(move, pairs.vector[p], moves[strain : strain + 6])
        for e in range(start[row], start[row + 1]):
            slot[atom[e]] = -1
    release(own)


@inline_jit
def _sort_entries(i, pairs, species, n_species, begin, slot, atom, first):
    """Give each atom that center i depends on an entry: the center, then species by species."""
    slot[i], atom[begin] = begin, i
    used = begin + 1
    for b in range(n_species):
        first[b] = used
        for p in range(pairs.start[i], pairs.start[i + 1]):
            j = pairs.neighbor[p]
            if species[j] == b and slot[j] < 0:
                slot[j], atom[used] = used, j
                used += 1
    first[n_species] = used


@inline_jit
def _move(t, density, near, y_lm, normal, move):
    """Write the gradient of what neighbor t adds to the coefficients to `move`."""
    n_max, inverse = density.n_max, near.inverse[t]
    unit = near.unit
    for l in range(density.l_max + 1):
        radial = near.radial[t, l * n_max : (l + 1) * n_max]
        slopes = near.slopes[t, l * n_max : (l + 1) * n_max]
        for lm in range(l * l, (l + 1) * (l + 1)):
            along = 0.0  # the radial part of the polynomial's gradient is removed
            for axis in range(3):
                along += normal[axis, lm] * unit[axis, t]
            for axis in range(3):
                stretch = unit[axis, t] * y_lm[lm]
                turn = (normal[axis, lm] - along * unit[axis, t]) * inverse
                row = move[axis, lm * n_max : (lm + 1) * n_max]
                for q in range(n_max):
                    row[q] = stretch * slopes[q] + turn * radial[q]


@inline_jit
def _add(factor, source, target):
    for d in range(source.shape[0]):
        target[d] += factor * source[d]


@inline_jit
def _add_strain(move, vector, strain):
    """Add the derivative along a symmetric strain, Voigt order, to six rows."""
    for axis in range(3):
        _add(vector[axis], move[axis], strain[axis])
        k, q = (axis + 1) % 3, (axis + 2) % 3
        _add(0.5 * vector[k], move[q], strain[3 + axis])
        _add(0.5 * vector[q], move[k], strain[3 + axis])


def project(density, entries, c, moves, matrix, some, out):
    """Write Jacobian rows times a matrix.

    Parameters
    ----------
    density : DensityTables
        See `skpot.core.density`.
    entries : tuple
        `start` and `first` of `density_moves`.
    c, moves
        See `density_moves`.
    matrix : ndarray of shape (n_features, n_columns)
        What rows are multiplied by.
    some : ndarray of int
        The centers whose matrix this is.
    out : list of tuple
        For each of these the rows of its entries (n_entries, 3, n_columns) and of strain
        (6, n_columns), which are written.
    """
    n_species, n_max, l_max = density.n_species, density.n_max, density.l_max
    pair, parts = _places(n_species * n_max), np.split(matrix, l_max + 1)
    factors = _SQRT2 / np.sqrt(2.0 * np.arange(l_max + 1) + 1.0)
    c = c[some] * np.repeat(factors, 2 * np.arange(l_max + 1) + 1)[:, None]
    start, first = entries[0][some], entries[1][some]
    for values, strain in out:
        values[0], strain[:] = 0.0, 0.0
    for b in range(n_species):
        begin = 3 * (first[:, b] - 1 - some) + 6 * (n_species * some + b)
        end = begin + 3 * (first[:, b + 1] - first[:, b]) + 6
        own = [moves[lo:hi] for lo, hi in zip(begin, end, strict=True)]
        # Images of the center alone have strain, but no entry.
        met = np.array([k for k, rows in enumerate(own) if len(rows) > 6 or rows.any()], dtype=int)
        channels = slice(b * n_max, (b + 1) * n_max)
        weights = (
            [_weights(part, pair[:, channels], channels) for part in parts] if len(met) else []
        )
        for begin in range(0, len(met), _TOGETHER):
            few = met[begin : begin + _TOGETHER]
            for k, slopes in zip(few, _slopes(c[few], weights, n_max), strict=True):
                values, strain = out[k]
                rows = own[k] @ slopes
                forces = rows[:-6].reshape(-1, *values.shape[1:])
                values[first[k, b] - start[k] : first[k, b + 1] - start[k]] = forces
                values[0] -= forces.sum(axis=0)
                strain += rows[-6:]


def _places(n):
    """Return where the product of two channels stands in the triangle of one degree."""
    place = np.zeros((n, n), dtype=np.int64)
    place[np.triu_indices(n)] = np.arange(n * (n + 1) // 2)
    return np.maximum(place, place.T)


def _weights(part, pair, channels):
    """Return derivatives along the channels as a matrix (n_channels, n_max * n_columns)."""
    weights = part[pair]  # (n_channels, n_max, n_columns)
    weights[np.arange(channels.start, channels.stop), np.arange(pair.shape[1])] *= _SQRT2
    return weights.reshape(len(pair), -1)


def _slopes(c, weights, n_max):
    """Return derivatives along the coefficients of one species.

    Those of each center (n_lm * n_max, n_columns) are in the order of `density_moves`, so that one
    product with its rows sums over all degrees. `c` (n_centers, n_lm, n_channels) are coefficients.
    """
    n_columns = weights[0].shape[1] // n_max
    slopes = np.empty((len(c), c.shape[1], n_max * n_columns))
    for l, weight in enumerate(weights):
        lm = slice(l * l, (l + 1) * (l + 1))
        found = c[:, lm].reshape(-1, c.shape[2]) @ weight
        slopes[:, lm] = found.reshape(len(c), -1, weight.shape[1])
    return slopes.reshape(len(c), -1, n_columns)
