"""Large arrays that are used again instead of freed.

The system fills the pages it gives anew one by one, for one thread at a time. In a force evaluation
of some thousand atoms that takes a tenth of the work, and more of what two threads could gain.
"""

import math
from collections import deque

import numpy as np

_SMALLEST, _LARGEST = 1e5, 32e6  # bytes that are worth keeping, and that may be kept
_spare = deque(maxlen=4)  # its operations are atomic: no lock that a fork could leave closed


def borrow(shape):
    """Return a float64 array whose contents are arbitrary; see `give_back`."""
    size = math.prod(shape)
    for _ in range(len(_spare)):
        try:
            flat = _spare.popleft()
        except IndexError:  # another thread took it
            break
        if size <= flat.size <= 2 * size:
            return flat[:size].reshape(shape)
        _spare.append(flat)
    return np.empty(size)[:].reshape(shape)


def give_back(array):
    """Let `borrow` use the memory of an array that it returned, and that no one needs any more."""
    if _SMALLEST <= array.base.nbytes <= _LARGEST:
        _spare.append(array.base)
