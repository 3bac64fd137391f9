"""Eigenvalues of small symmetric matrices of different sizes, and their derivatives."""

import numpy as np

_DEGENERATE = 1e-9  # eigenvalues that differ by less, relative to the largest, count as equal


def triangle_columns(n):
    """Return, for each element of a matrix (n, n), its index in the upper triangle, row by row."""
    column = np.zeros((n, n), dtype=np.int64)
    i, j = np.triu_indices(n)
    column[i, j] = column[j, i] = np.arange(len(i))
    return column


def eigensystem(triangles, n):
    """Diagonalize matrices of different sizes, which are padded with zeros to one size.

    Parameters
    ----------
    triangles : ndarray of shape (n_matrices, n (n + 1) / 2)
        Upper triangles, row by row. Rows and columns whose diagonal element is zero are padding and
        must be the last.
    n : int
        Size of the padded matrices.

    Returns
    -------
    values : ndarray of shape (n_matrices, n)
        Eigenvalues, descending, then zeros for the padding.
    vectors : ndarray of shape (n_matrices, n, n)
        Eigenvectors as columns; zero for the padding.
    """
    matrices = triangles[:, triangle_columns(n)]
    diagonal = np.arange(n)
    padding = matrices[:, diagonal, diagonal] == 0.0
    # Gershgorin's theorem bounds all eigenvalues from below. Those of the padding are put beyond
    # the bound, so that they come last.
    below = -1.0 - 2.0 * np.abs(matrices).sum(axis=2).max(axis=1, initial=0.0)
    matrices[:, diagonal, diagonal] += padding * below[:, None]
    values, vectors = np.linalg.eigh(matrices)
    values, vectors = values[:, ::-1], vectors[:, :, ::-1]
    values[padding] = 0.0
    return values, vectors * ~padding[:, None, :]


def average_degenerate(values, g):
    """Return g (n_matrices, n, ...) averaged over equal eigenvalues.

    Equal eigenvalues have no derivatives one by one, but their sum has. To share its derivative
    evenly is the only choice that keeps the symmetry that makes them equal.
    """
    scale = np.abs(values).max(axis=1, initial=0.0, keepdims=True)
    apart = values[:, :-1] - values[:, 1:] > _DEGENERATE * scale
    apart |= (values[:, :-1] == 0.0) | (values[:, 1:] == 0.0)  # padding is never averaged
    if apart.all():
        return g
    out = np.array(g)
    for s in np.flatnonzero(~apart.all(axis=1)):
        edges = [0, *(np.flatnonzero(apart[s]) + 1), values.shape[1]]
        for lo, hi in zip(edges[:-1], edges[1:], strict=True):
            out[s, lo:hi] = out[s, lo:hi].mean(axis=0)
    return out


def eigenvalue_vjp(triangles, n, g):
    """Return d(sum g_k lambda_k)/d(triangle), in the shape of `triangles`; g is (n_matrices, n)."""
    values, vectors = eigensystem(triangles, n)
    g = average_degenerate(values, g)
    full = np.matmul(vectors * g[:, None, :], vectors.transpose(0, 2, 1))
    i, j = np.triu_indices(n)
    return full[:, i, j] * np.where(i == j, 1.0, 2.0)


def eigenvalue_jvp(triangles, n, v):
    """Return the change (n_matrices, m, n) of the eigenvalues along v (n_matrices, m, n_tri)."""
    # Rows repeat a matrix for each atom it depends on: diagonalize each matrix only once.
    changed = np.any(triangles[1:] != triangles[:-1], axis=1)
    edges = np.flatnonzero(np.concatenate([[True], changed, [True]]))
    values, vectors = eigensystem(triangles[edges[:-1]], n)
    i, j = np.triu_indices(n)
    products = vectors[:, i, :] * vectors[:, j, :] * np.where(i == j, 1.0, 2.0)[:, None]
    products = average_degenerate(values, products.transpose(0, 2, 1))
    out = np.empty((*v.shape[:2], n))
    for k, (lo, hi) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        out[lo:hi] = v[lo:hi] @ products[k].T
    return out
