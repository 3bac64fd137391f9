"""Farthest-point selection."""

from ._jit import jit


@jit
def nearest_squared(norms, overlap, norm, nearest, rounding):
    """Update the squared distances to the nearest chosen point; return the farthest row.

    `overlap` has the dot product of each row with the point that was chosen last, `norms` and
    `norm` are squared lengths. Of rows whose distances are equal within `rounding` and 1e-9, the
    first is returned.
    """
    best, winner = -1.0, 0
    for i in range(len(norms)):
        distance = max(norms[i] + norm - 2.0 * overlap[i], 0.0)
        if distance < nearest[i]:
            nearest[i] = distance
        if nearest[i] > best * (1.0 + 1e-9) + rounding:
            best, winner = nearest[i], i
    return winner
