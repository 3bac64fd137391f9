"""Neighbor list by trying every image that could be near enough."""

import itertools
import math

import numpy as np


def neighbor_list(positions, cell, pbc, cutoff):
    """List every pair closer than `cutoff`, each in both directions.

    Parameters
    ----------
    positions : (n_atoms, 3)
        Cartesian positions in Å, inside the cell or not.
    cell : (3, 3)
        Cell vectors as rows; those of open directions may be zero.
    pbc : (3,) of bool
    cutoff : float

    Returns
    -------
    list of (i, j, shift, vector)
        With ``vector = positions[j] + shift @ cell - positions[i]``, sorted by i, j, shift.
        An atom is not its own neighbor, but its periodic images are.
    """
    positions = np.asarray(positions, float)
    axes = [k for k in range(3) if pbc[k]]
    if axes:
        # Columns are the dual vectors b_k: the k-th image index of a vector d is d . b_k, so two
        # points of the same plane of images are at least 1/|b_k| apart.
        dual = np.linalg.pinv(np.asarray(cell, float)[axes])
    pairs = []
    for i in range(len(positions)):
        for j in range(len(positions)):
            direct = positions[j] - positions[i]
            ranges = [range(0, 1)] * 3
            for column, k in enumerate(axes):
                b = dual[:, column]
                reach = cutoff * math.sqrt(b @ b) + 1e-9
                ranges[k] = range(
                    math.ceil(-reach - direct @ b), math.floor(reach - direct @ b) + 1
                )
            for shift in itertools.product(*ranges):
                if i == j and shift == (0, 0, 0):
                    continue
                vector = direct + sum(shift[k] * np.asarray(cell[k], float) for k in axes)
                if math.sqrt(vector @ vector) < cutoff:
                    pairs.append((i, j, shift, vector))
    return pairs
