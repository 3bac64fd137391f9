"""What Numba does here: threads, and where compiled functions are kept."""

import os

import numba

from . import soap


def n_threads_available():
    """Return how many threads kernels may use."""
    return numba.config.NUMBA_NUM_THREADS


def compiled_cache():
    """Return the folder of compiled functions and whether it can be written to."""
    folder = getattr(getattr(soap.values, "_cache", None), "cache_path", None)
    if folder is None:
        return None, False
    existing = folder
    while not os.path.isdir(existing) and os.path.dirname(existing) != existing:
        existing = os.path.dirname(existing)  # it is made with the first function
    return folder, os.access(existing, os.W_OK)
