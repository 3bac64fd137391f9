"""Settings for tests and doctests; read before anything imports numba."""

import os

# Two threads are enough to compare a serial with a parallel run; pytest-xdist uses the cores.
os.environ.setdefault("NUMBA_NUM_THREADS", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
