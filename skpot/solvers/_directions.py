"""Leading directions of the rows of a matrix, equal to the last bit on any number of threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh, qr

from ._gram import gram, rows_times
from ._threads import serial_blas

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FloatArray

_EXACT_SIZE = 500  # up to this many rows or columns (and 2 n_components) no projection is used
_EXTRA_COLUMNS = 10  # columns of the random projection beyond the directions asked for
_ITERATIONS = 5  # of the random projection
_ROUNDING = 1e-12  # directions below this share of the largest eigenvalue are rounding errors


def leading_directions(rows: FloatArray, n: int, rng: Any) -> tuple[FloatArray, FloatArray]:
    """Return squared singular values, descending, and right singular vectors as columns.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_columns)
        The matrix; its rows are not centered.
    n : int
        Largest number of directions; fewer are returned if the others are rounding errors.
    rng : RandomState
        Of the random projection by which the directions of large matrices are found (N. Halko et
        al., SIAM Rev. 53, 217 (2011)).

    Returns
    -------
    squares : ndarray of shape (n_directions,)
        Squared singular values.
    directions : ndarray of shape (n_columns, n_directions)
        Singular vectors, each with a sign that makes its largest entry positive.
    """
    if len(rows) >= rows.shape[1]:
        return directions_of_products(gram(rows), n, rng)
    if len(rows) > 2 * n + _EXACT_SIZE:
        return _with_signs(*_by_random_projection(rows, n, rng))
    return _with_signs(*_by_eigenvectors(rows, n))


def directions_of_products(products: FloatArray, n: int, rng: Any) -> tuple[FloatArray, FloatArray]:
    """Return the same as `leading_directions` of a matrix A of which only A^T A is known.

    Parameters
    ----------
    products : ndarray of shape (n_columns, n_columns)
        :math:`A^T A`, a sum over parts of the rows.
    n, rng
        As in `leading_directions`.
    """
    if len(products) <= 2 * n + _EXACT_SIZE:
        return _with_signs(*_last_eigenvectors(products, n))
    basis = rng.normal(size=(len(products), n + _EXTRA_COLUMNS))
    for _ in range(_ITERATIONS):
        basis = rows_times(products, basis)
        with serial_blas():
            basis, _ = qr(basis, mode="economic")
    with serial_blas():
        squares, turned = _last_eigenvectors(basis.T @ rows_times(products, basis), n)
        return _with_signs(squares, basis @ turned)


def _with_signs(squares, vectors):
    """Return directions that are no rounding errors, with signs that do not depend on LAPACK."""
    keep = squares > _ROUNDING * max(squares[0], np.finfo(float).tiny)
    squares, vectors = squares[keep], vectors[:, keep]
    if vectors.shape[1]:
        largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
        vectors = vectors * np.sign(largest)  # LAPACK leaves the signs open
    return squares, vectors


def _by_eigenvectors(rows, n):
    squares, vectors = _last_eigenvectors(gram(rows.T), n)
    with serial_blas():
        vectors = rows.T @ (vectors / np.sqrt(np.maximum(squares, np.finfo(float).tiny)))
    return squares, vectors


def _by_random_projection(rows, n, rng):
    """Return the same by subspace iteration, which takes n_rows n_features n products a step."""
    basis = rng.normal(size=(rows.shape[1], n + _EXTRA_COLUMNS))
    for _ in range(_ITERATIONS):
        basis = rows_times(rows.T, rows_times(rows, basis))
        with serial_blas():
            basis, _ = qr(basis, mode="economic")
    squares, turned = _last_eigenvectors(gram(rows_times(rows, basis)), n)
    with serial_blas():
        return squares, basis @ turned


def _last_eigenvectors(matrix, n):
    with serial_blas():
        size = len(matrix)
        squares, vectors = eigh(matrix, subset_by_index=[max(0, size - n), size - 1])
    return squares[::-1], vectors[:, ::-1]
