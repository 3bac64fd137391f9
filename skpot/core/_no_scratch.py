"""What descriptors need that work on one pair after another: no scratch, and nothing to keep."""

from typing import NamedTuple

import numpy as np

from ._arena import floats
from ._jit import array_jit, jit


class Scratch(NamedTuple):
    """Nothing."""

    unused: np.ndarray  # (0,)


@jit
def scratch_size(tables, n_neighbors):
    """Return how many numbers `scratch` cuts: none."""
    return 0


@array_jit
def scratch(tables, n_neighbors, arena):
    """Return scratch, of which there is none."""
    return Scratch(floats(0, arena))


@jit
def kept_size(tables):
    """Return how many numbers a center keeps between values and pull-back: none."""
    return 0
