"""Cubic B-splines on equidistant knots, by recursion."""

import math


def recursive_spline(knots, degree, x):
    """B-spline on `degree + 2` knots, by the recursion of de Boor and Cox."""
    if degree == 0:
        return 1.0 if knots[0] <= x < knots[1] else 0.0
    left = (x - knots[0]) / (knots[-2] - knots[0])
    right = (knots[-1] - x) / (knots[-1] - knots[1])
    return left * recursive_spline(knots[:-1], degree - 1, x) + right * recursive_spline(
        knots[1:], degree - 1, x
    )


def splines(r, cutoff, r_min, n_splines, n):
    """Values of splines 0 ... n - 1 at r, splines that begin below r_min folded into 0 and 1."""
    h = (cutoff - r_min) / n_splines

    def spline(k):
        return recursive_spline([r_min + (k - 3 + t) * h for t in range(5)], 3, r)

    out = [spline(k) for k in range(n)]
    for k in range(1, 8 + math.ceil(r_min / h)):  # c_-k = c_0 + k (c_0 - c_1)
        value = spline(-k)
        out[0] += (1 + k) * value
        out[1] -= k * value
    return out
