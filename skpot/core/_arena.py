"""Scratch that the caller supplies: kernels cut their arrays from one buffer.

A function that cuts allocates nothing, so the same code runs where nothing can: in a library
without Python, on threads, inside another program's time step. What is cut owns no memory: it is
good as long as someone holds the arena.
"""

from typing import NamedTuple

import numpy as np
from numba import extending
from numba.core import cgutils, types
from numba.np import arrayobj

from ._jit import array_jit, inline_jit, inner_jit, jit

_LINE = 8  # numbers in a cache line, on which every array begins


class Arena(NamedTuple):
    """A buffer of which the first `used[0]` numbers are taken."""

    buffer: np.ndarray  # (n,) float64
    used: np.ndarray  # (1,) int64


@jit
def arena(size):
    """Return an arena of `size` numbers, all free; hold it with `release` after the last use."""
    return Arena(np.empty(size), np.zeros(1, dtype=np.int64))


@inner_jit
def release(arena):
    """Free all that was cut. A compiled function drops what it mentions no more: mention it."""
    arena.used[0] = 0


@array_jit
def floats(n, arena):
    """Cut n float64 numbers. Their values are arbitrary."""
    return _view(arena.buffer, _take(n, arena), (n,), np.float64)


@array_jit
def integers(n, arena):
    """Cut n int64 numbers. Their values are arbitrary."""
    return _view(arena.buffer, _take(n, arena), (n,), np.int64)


@array_jit
def matrix(n, m, arena):
    """Cut float64 numbers of shape (n, m). Their values are arbitrary."""
    return _view(arena.buffer, _take(n * m, arena), (n, m), np.float64)


@inner_jit
def _take(n, arena):
    begin = arena.used[0]
    arena.used[0] = begin + padded(n)
    return begin


@inline_jit
def padded(n):
    """Return how many numbers of an arena an array of n takes."""
    return (n + _LINE - 1) // _LINE * _LINE


@array_jit
def shaped(array, shape):
    """Return the first of contiguous numbers in another shape; that there are enough is on trust.

    Like what is cut, they own no memory.
    """
    return _view(array, 0, shape, array.dtype)


@array_jit
def typed(array, like):
    """Return an array of float64 as one of the type of another, of the same length."""
    return _view(array, 0, array.shape, like.dtype)


@extending.intrinsic
def _view(context, array, begin, shape, dtype):
    """View contiguous numbers; `reshape` and `view` have checks that can raise."""
    result = types.Array(dtype.dtype, len(shape), "C")

    def build(context, builder, signature, args):
        source = context.make_array(signature.args[0])(context, builder, args[0])
        target = context.make_array(result)(context, builder)
        first = builder.gep(source.data, [context.cast(builder, args[1], begin, types.intp)])
        extents = [
            context.cast(builder, extent, kind, types.intp)
            for extent, kind in zip(cgutils.unpack_tuple(builder, args[2]), shape, strict=True)
        ]
        size = context.get_abi_sizeof(context.get_data_type(dtype.dtype))
        strides = [context.get_constant(types.intp, size)]
        for extent in extents[:0:-1]:
            strides.insert(0, builder.mul(strides[0], extent))
        arrayobj.populate_array(
            target,
            data=builder.bitcast(first, target.data.type),
            shape=extents,
            strides=strides,
            itemsize=size,
            meminfo=None,
        )
        return target._getvalue()

    return result(array, begin, shape, dtype), build
