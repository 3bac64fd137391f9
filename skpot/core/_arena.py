"""Scratch that the caller supplies: kernels cut their arrays from one buffer.

A function that cuts allocates nothing, so the same code runs where nothing can: in a library
without Python, on threads, inside another program's time step.
"""

from typing import NamedTuple

import numpy as np

from ._jit import inline_jit, jit

_LINE = 8  # numbers in a cache line, on which every array begins


class Arena(NamedTuple):
    """A buffer of which the first `used[0]` numbers are taken."""

    buffer: np.ndarray  # (n,) float64
    used: np.ndarray  # (1,) int64


@jit
def new_arena(size):
    """Return an arena of `size` numbers, all free."""
    return Arena(np.empty(size), np.zeros(1, dtype=np.int64))


@inline_jit
def floats(n, arena):
    """Cut n float64 numbers; reshape them as needed. Their values are arbitrary."""
    begin = arena.used[0]
    arena.used[0] = begin + padded(n)
    return arena.buffer[begin : begin + n]


@inline_jit
def integers(n, arena):
    """Cut n int64 numbers. Their values are arbitrary."""
    return floats(n, arena).view(np.int64)


@jit
def padded(n):
    """Return how many numbers of an arena an array of n takes."""
    return (n + _LINE - 1) // _LINE * _LINE
