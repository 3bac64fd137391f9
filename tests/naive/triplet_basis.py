"""Products of B-splines of the sides of triangles, one triangle at a time."""

import math

from tests.naive.neighbors import neighbor_list
from tests.naive.splines import splines


def triplet_basis(numbers, positions, cell, pbc, cutoff, r_min, n_splines):
    """For every atom, {(a, b, c, l, m, n): feature} with b <= c; zeros are left out.

    For b == c the key has l <= m.
    """
    pairs = neighbor_list(positions, cell, pbc, cutoff)
    n_third = 2 * n_splines + math.ceil(r_min * n_splines / (cutoff - r_min)) + 6
    out = []
    for i, center in enumerate(numbers):
        near = sorted(
            ((int(numbers[j]), vector) for k, j, _, vector in pairs if k == i), key=lambda t: t[0]
        )
        row = {}
        for q, (c, r_ik) in enumerate(near):
            for b, r_ij in near[:q]:
                first = splines(math.sqrt(r_ij @ r_ij), cutoff, r_min, n_splines, n_splines)
                second = splines(math.sqrt(r_ik @ r_ik), cutoff, r_min, n_splines, n_splines)
                side = r_ij - r_ik
                third = splines(math.sqrt(side @ side), cutoff, r_min, n_splines, n_third)
                for l, x in enumerate(first):
                    for m, y in enumerate(second):
                        for n, z in enumerate(third):
                            if x * y * z != 0.0:
                                lm = tuple(sorted((l, m))) if b == c else (l, m)
                                key = (int(center), b, c, *lm, n)
                                row[key] = row.get(key, 0.0) + x * y * z
        out.append(row)
    return out
