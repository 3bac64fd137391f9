"""Compiled numerics: arrays and scalars in, arrays out.

Nothing in this layer knows structures, estimators or files. Functions take their work space
and their output from the caller, never write to their inputs, and raise nothing; whoever calls
them has validated the arguments.
"""

from ._jit import n_threads, run_chunks
from ._scratch import borrow, give_back

__all__ = ["borrow", "give_back", "n_threads", "run_chunks"]
