"""What Numba does here: threads, their layer, and where compiled functions are kept."""

import os

import numba

from . import soap


def n_threads_available():
    """Return how many threads parallel functions may use."""
    return numba.config.NUMBA_NUM_THREADS


def threading_layer():
    """Return the name of the layer that runs threads, None if no parallel function has run."""
    try:
        return numba.threading_layer()
    except ValueError:
        return None


def compiled_cache():
    """Return the folder of compiled functions and whether it can be written to."""
    folder = getattr(getattr(soap.values_serial, "_cache", None), "cache_path", None)
    if folder is None:
        return None, False
    existing = folder
    while not os.path.isdir(existing) and os.path.dirname(existing) != existing:
        existing = os.path.dirname(existing)  # it is made with the first function
    return folder, os.access(existing, os.W_OK)
