"""Objects as bytes, on their way to other processes."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


class Packed:
    """An object as bytes, which travel with every task.

    What a scheduler keeps on a worker instead, to send it only once, is lost with the worker.
    Arrays that schedulers unpack may begin at any byte of what came through the network. Compiled
    functions and BLAS treat these differently, which would change the last bits of results.
    """

    __slots__ = ("bytes",)  # and no weak references, by which joblib finds what to keep

    def __init__(self, content: Any) -> None:
        self.bytes = pickle.dumps(content, protocol=4)  # the last that copies arrays

    def content(self) -> Any:
        """Return the object."""
        return self.unpacked(self.bytes)

    @staticmethod
    def unpacked(packed: bytes) -> Any:
        """Return the object of `bytes`."""
        return pickle.loads(packed)
