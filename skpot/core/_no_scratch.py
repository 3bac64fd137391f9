"""The scratch functions of descriptors that need no scratch and keep nothing.

These are descriptors that go through pairs one by one.
"""

from typing import NamedTuple

import numpy as np

from ._arena import floats
from ._jit import array_jit, jit


class Scratch(NamedTuple):
    """An empty array, since a tuple of a compiled function needs a field."""

    unused: np.ndarray  # (0,)


@jit
def scratch_size(tables, n_neighbors):
    """Return how many numbers `scratch` cuts: none."""
    return 0


@array_jit
def scratch(tables, n_neighbors, arena):
    """Return empty scratch."""
    return Scratch(floats(0, arena))


@jit
def kept_size(tables):
    """Return how many numbers a center keeps from `values` for the pull-back: none."""
    return 0
