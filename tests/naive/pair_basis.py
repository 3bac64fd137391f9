"""B-splines of distances, one neighbor at a time."""

import math

from tests.naive.neighbors import neighbor_list
from tests.naive.splines import splines


def pair_basis(numbers, positions, cell, pbc, cutoff, r_min, n_splines):
    """For every atom, {(a, b, n): feature} with atomic numbers a <= b; zeros are left out."""
    out = [{} for _ in numbers]
    for i, j, _, vector in neighbor_list(positions, cell, pbc, cutoff):
        pair = tuple(sorted((int(numbers[i]), int(numbers[j]))))
        values = splines(math.sqrt(vector @ vector), cutoff, r_min, n_splines, n_splines)
        for n, value in enumerate(values):
            if value != 0.0:
                out[i][*pair, n] = out[i].get((*pair, n), 0.0) + value / 2
    return out
