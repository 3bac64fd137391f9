"""How much memory the arrays of an object take, by which schedulers decide what to send once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any


def array_bytes(thing: Any) -> int:
    """Return the bytes of all arrays in an object, in what it holds and so on, each once."""
    total, seen, waiting = 0, set(), [thing]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray):
            total += one.nbytes
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
        elif hasattr(one, "__dict__") and type(one).__module__.startswith("skpot."):
            waiting += vars(one).values()
    return total
