"""Products of tall matrices, equal to the last bit on any number of threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._threads import serial_blas, tile_threads

if TYPE_CHECKING:
    from skpot.typing import FloatArray

_COLUMNS, _ROWS = 128, 512  # columns and rows of a tile, whatever the number of threads


def gram(rows: FloatArray) -> FloatArray:
    """Return the products of all columns of a matrix with each other.

    Parameters
    ----------
    rows : ndarray of shape (n, p)
        The matrix A.

    Returns
    -------
    ndarray of shape (p, p)
        :math:`A^T A`.
    """
    p = rows.shape[1]
    out = np.empty((p, p), dtype=rows.dtype)

    def fill(begin):
        tile, rest = slice(begin, begin + _COLUMNS), slice(begin, p)
        out[rest, tile] = rows[:, rest].T @ rows[:, tile]
        out[tile, rest] = out[rest, tile].T

    begins = range(0, p, _COLUMNS)
    with serial_blas(), tile_threads(len(begins)) as map_tiles:
        list(map_tiles(fill, begins))
    return out


def rows_times(rows: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return a matrix with many rows times another.

    Parameters
    ----------
    rows : ndarray of shape (n, p)
        The first.
    matrix : ndarray of shape (p, k)
        The second.

    Returns
    -------
    ndarray of shape (n, k)
    """
    out = np.empty((len(rows), matrix.shape[1]))

    def fill(begin):
        np.matmul(rows[begin : begin + _ROWS], matrix, out=out[begin : begin + _ROWS])

    begins = range(0, len(rows), _ROWS)
    with serial_blas(), tile_threads(len(begins)) as map_tiles:
        list(map_tiles(fill, begins))
    return out
