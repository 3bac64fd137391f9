"""Large arrays that are reused instead of freed.

The operating system clears new pages of memory one by one, for one thread at a time. In a force
evaluation of some thousand atoms this takes a tenth of the time of one thread, and more of what
two threads could gain.
"""

import math
from collections import deque

import numpy as np

_SMALLEST, _LARGEST = 1e5, 32e6  # bytes; smaller arrays are not worth keeping, larger ones too big
_spare = deque(maxlen=4)  # operations of a deque are atomic: no lock is needed


def borrow(shape):
    """Return a float64 array with arbitrary contents; call `give_back` after its last use."""
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
    """Let `borrow` reuse the memory of an array that it returned and that is no longer needed."""
    if _SMALLEST <= array.base.nbytes <= _LARGEST:
        _spare.append(array.base)
