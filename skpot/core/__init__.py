"""Compiled numerics: arrays and scalars in, arrays out.

Nothing in this layer knows structures, estimators or files. Functions take their work space
and their output from the caller, never write to their inputs, and raise nothing; whoever calls
them has validated the arguments.
"""
