"""Compiled numerics: arrays and scalars in, arrays out.

Nothing in this layer knows about structures, estimators or files. Functions get their work space
and the arrays for their results from the caller, never write to their inputs, and raise nothing:
the caller has checked the arguments.
"""

from ._jit import n_threads, run_blocks
from ._scratch import borrow, give_back

__all__ = ["borrow", "give_back", "n_threads", "run_blocks"]
