"""Products of tall matrices, equal to the last bit on any number of threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._threads import serial_blas, tile_threads

if TYPE_CHECKING:
    from skpot.typing import FloatArray

_COLUMNS, _ROWS = 128, 512  # columns and rows of a tile, whatever the number of threads
_LANES = 32  # rows that BLAS may treat together; a tile is filled up to a multiple
_BLOCK = 2048  # rows whose products are one term of a sum


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


class Products:
    """The products of all columns of a matrix with each other, whose rows come in parts.

    The sum is the same to the last bit however an order of rows is divided into parts.

    Parameters
    ----------
    n_columns : int
        Number of columns.
    """

    def __init__(self, n_columns: int) -> None:
        self._products, self._sums = np.zeros((n_columns, n_columns)), np.zeros(n_columns)
        self._rest: list[FloatArray] = [np.empty((0, n_columns))]

    def add(self, rows: FloatArray) -> None:
        """Add rows, shape (n, n_columns)."""
        self._rest.append(rows)
        if sum(map(len, self._rest)) >= _BLOCK:
            rows = np.concatenate(self._rest)
            whole = len(rows) - len(rows) % _BLOCK
            for begin in range(0, whole, _BLOCK):
                self._fold(rows[begin : begin + _BLOCK])
            self._rest = [rows[whole:].copy()]

    def _fold(self, block):
        self._products += gram(block)
        self._sums += block.sum(axis=0)

    def total(self) -> tuple[FloatArray, FloatArray]:
        """Return the products, shape (n_columns, n_columns), and the sum of all rows."""
        rest = np.concatenate(self._rest)
        return self._products + gram(rest), self._sums + rest.sum(axis=0)


def rows_times(rows: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return a matrix with many rows times another.

    The product of a row is the same to the last bit wherever the row stands.

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
        tile = rows[begin : begin + _ROWS]
        if missing := -len(tile) % _LANES:  # BLAS sums in another order where rows are left over
            tile = np.concatenate([tile, np.zeros((missing, tile.shape[1]))])
            out[begin : begin + _ROWS] = np.matmul(tile, matrix)[:-missing]
        else:
            np.matmul(tile, matrix, out=out[begin : begin + _ROWS])

    begins = range(0, len(rows), _ROWS)
    with serial_blas(), tile_threads(len(begins)) as map_tiles:
        list(map_tiles(fill, begins))
    return out
