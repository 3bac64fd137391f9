"""Farthest-point selection."""

from ._jit import jit


@jit
def nearest_squared(norms, overlap, norm, nearest):
    """Lower `nearest` by the squared distances to one more point; return the farthest row.

    `overlap` holds each row's dot product with the new point, `norm` its squared length.
    """
    best, winner = -1.0, 0
    for i in range(len(norms)):
        distance = max(norms[i] + norm - 2.0 * overlap[i], 0.0)
        if distance < nearest[i]:
            nearest[i] = distance
        if nearest[i] > best:
            best, winner = nearest[i], i
    return winner
