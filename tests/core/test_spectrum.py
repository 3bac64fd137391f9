"""Eigenvalues of padded matrices."""

import numpy as np

from skpot.core.spectrum import average_degenerate, eigensystem, triangle_columns


def test_columns_of_a_triangle():
    assert triangle_columns(3).tolist() == [[0, 1, 2], [1, 3, 4], [2, 4, 5]]


def test_padding_stands_last_even_after_negative_eigenvalues():
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(6, 4, 4))
    matrices += matrices.transpose(0, 2, 1)
    triangles = np.zeros((6, 21))
    for k, matrix in enumerate(matrices):
        padded = np.zeros((6, 6))
        padded[:4, :4] = matrix
        triangles[k] = padded[np.triu_indices(6)]
    values, vectors = eigensystem(triangles, 6)
    np.testing.assert_allclose(values[:, :4], np.linalg.eigvalsh(matrices)[:, ::-1], atol=1e-13)
    assert not values[:, 4:].any()
    assert not vectors[:, :, 4:].any() and not vectors[:, 4:].any()


def test_equal_eigenvalues_share_their_derivative():
    values = np.array([[3.0, 3.0 - 1e-12, 1.0, 0.0, 0.0], [5.0, 4.0, 3.0, 2.0, 1.0]])
    g = np.arange(10.0).reshape(2, 5)
    averaged = average_degenerate(values, g)
    assert averaged.tolist() == [[0.5, 0.5, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0, 9.0]]
