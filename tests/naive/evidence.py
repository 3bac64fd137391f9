"""Log density of the labels of fitted processes, with dense covariances."""

import math

import numpy as np


def log_density(y, covariance):
    """Logarithm of the normal density of y with mean zero."""
    sign, logarithm = np.linalg.slogdet(covariance)
    assert sign > 0
    square = float(y @ np.linalg.solve(covariance, y))
    return -0.5 * (square + logarithm + len(y) * math.log(2 * math.pi))


def sparse_evidence(process):
    """Of a fitted `SparseGP`: labels have the covariance K_NM K_MM^-1 K_MN and their noise."""
    prior = process.k_nm @ np.linalg.solve(process.k_mm, process.k_nm.T)
    return log_density(process.y, prior + np.diag(process.noise**2))


def exact_evidence(process):
    """Of a fitted `ExactGP`."""
    return log_density(process.y, process.matrix)
