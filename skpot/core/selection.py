"""Farthest-point selection."""

from ._jit import jit


@jit
def nearest_squared(norms, overlap, norm, nearest, rounding):
    """Lower `nearest` by the squared distances to one more point; return the farthest row.

    `overlap` holds each row's dot product with the new point, `norm` its squared length. Of
    rows that are equally far within `rounding`, and 1e-9 of the distance, the first is returned.
    """
    best, winner = -1.0, 0
    for i in range(len(norms)):
        distance = max(norms[i] + norm - 2.0 * overlap[i], 0.0)
        if distance < nearest[i]:
            nearest[i] = distance
        if nearest[i] > best * (1.0 + 1e-9) + rounding:
            best, winner = nearest[i], i
    return winner
