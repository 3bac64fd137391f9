"""Inverse distances, Coulomb matrices and eigenvalues, one element at a time."""

import math


def inverse_distances(positions):
    """1 / r_ij for i < j, row by row."""
    n = len(positions)
    return [1 / math.dist(positions[i], positions[j]) for i in range(n) for j in range(i + 1, n)]


def coulomb_matrix(numbers, positions, size):
    """The matrix as nested lists, zeros beyond the molecule."""
    matrix = [[0.0] * size for _ in range(size)]
    for i, z in enumerate(numbers):
        for j, other in enumerate(numbers):
            if i == j:
                matrix[i][j] = 0.5 * float(z) ** 2.4
            else:
                matrix[i][j] = int(z) * int(other) / math.dist(positions[i], positions[j])
    return matrix


def eigenvalues(matrix, sweeps=30):
    """Eigenvalues of a symmetric matrix, descending, by Jacobi rotations."""
    a = [list(row) for row in matrix]
    n = len(a)
    for _ in range(sweeps):
        for p in range(n):
            for q in range(p + 1, n):
                if a[p][q] == 0.0:
                    continue
                angle = 0.5 * math.atan2(2 * a[p][q], a[q][q] - a[p][p])
                c, s = math.cos(angle), math.sin(angle)
                for k in range(n):
                    a[k][p], a[k][q] = c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]
                for k in range(n):
                    a[p][k], a[q][k] = c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]
    return sorted((a[k][k] for k in range(n)), reverse=True)
