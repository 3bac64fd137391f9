"""Variance of any label that a process leaves, by loops and dense algebra.

A label's name is "energy", (atom, axis), a Voigt index, or ("atom", i) for the energy of one atom.
"""

import numpy as np

from tests.naive.exact import combination, covariance


def label(features, structure, name):
    """Species and combination of feature rows that a label is."""
    if isinstance(name, tuple) and name[0] == "atom":
        ((_, rows),) = combination(features, structure, "energy")
        return structure.numbers[[name[1]]], [(1.0, rows[[name[1]]])]
    return structure.numbers, combination(features, structure, name)


def exact_variance(process, structure, name):
    """Variance that a fitted `ExactGP` leaves."""
    mine = label(process.features, structure, name)
    row = np.array([covariance(process.kernel, mine, other) for other in process.known])
    return covariance(process.kernel, mine, mine) - row @ np.linalg.solve(process.matrix, row)


def projected_variance(process, structure, name):
    """Variance that a fitted `SparseGP` leaves: prior - explained + remaining."""
    mine = label(process.features, structure, name)
    references = [([z], [(1.0, [q])]) for q, z in process.references]
    row = np.array([covariance(process.kernel, mine, other) for other in references])
    explained = row @ np.linalg.solve(process.k_mm, row)
    remaining = row @ np.linalg.solve(process.precision, row)
    return covariance(process.kernel, mine, mine) - explained + remaining
