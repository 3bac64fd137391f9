"""A bounded store of the descriptors of single structures."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from skpot.data import StructureBatch


class DescriptorCache:
    """Least-recently-used store, keyed by hyperparameters and the structure's arrays.

    A descriptor with `cache=True` looks up each structure in the store of its process. A search
    over parameters of the regressor then computes the features of every structure once, although
    the folds differ.

    Parameters
    ----------
    max_bytes : int, default=256_000_000
        When the stored arrays exceed this size, those used longest ago are removed.

    Examples
    --------
    >>> import skpot
    >>> skpot.DescriptorCache(max_bytes=10**6)
    DescriptorCache(0 structures, 0.0 of 1.0 MB)
    """

    def __init__(self, max_bytes: int = 256_000_000) -> None:
        self.max_bytes = max_bytes
        self.hits = 0
        self.misses = 0
        self._entries = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._entries)

    def __repr__(self):
        return (
            f"DescriptorCache({len(self)} structures, {self._bytes / 1e6:.1f} of "
            f"{self.max_bytes / 1e6:.1f} MB)"
        )

    def get(self, key: Any) -> Any:
        """Return the entry, or None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self.misses += 1
                return None
            self.hits += 1
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Any, value: Any, n_bytes: int) -> None:
        """Store a value of `n_bytes`, unless it is larger than the whole store."""
        if n_bytes > self.max_bytes:
            return
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = (value, n_bytes)
            self._bytes += n_bytes
            while self._bytes > self.max_bytes:
                _, (_, dropped) = self._entries.popitem(last=False)
                self._bytes -= dropped

    def clear(self) -> None:
        """Forget everything, the counts of hits and misses too."""
        with self._lock:
            self._entries.clear()
            self._bytes = self.hits = self.misses = 0


def structure_key(hyperparameters: bytes, batch: StructureBatch, structure: int) -> bytes:
    """Return a digest of what a structure's descriptor depends on."""
    rows = slice(batch.offsets[structure], batch.offsets[structure + 1])
    digest = hashlib.blake2b(hyperparameters, digest_size=16)
    for array in (
        batch.positions[rows],
        batch.numbers[rows],
        batch.cells[structure],
        batch.pbc[structure],
    ):
        digest.update(array.tobytes())
    return digest.digest()


#: The store that every descriptor with `cache=True` uses in this process.
descriptor_cache = DescriptorCache()
