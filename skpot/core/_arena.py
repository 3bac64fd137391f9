"""Work space that the caller supplies: compiled functions cut their arrays from one buffer.

A function that cuts its arrays allocates nothing. The same code therefore also runs where memory
cannot be allocated: in a library without Python, or on threads of another program. Arrays that
are cut are views of the buffer, which they do not keep alive: they are valid as long as the
arena is.
"""

from typing import NamedTuple

import numpy as np
from numba import extending
from numba.core import cgutils, types
from numba.np import arrayobj

from ._jit import array_jit, inline_jit, inner_jit, jit

_LINE = 8  # numbers in a cache line, on which every array begins


class Arena(NamedTuple):
    """A buffer whose first `used[0]` numbers are in use."""

    buffer: np.ndarray  # (n,) float64
    used: np.ndarray  # (1,) int64


@jit
def arena(size):
    """Return an arena of `size` free numbers. Call `release` after its last use."""
    return Arena(np.empty(size), np.zeros(1, dtype=np.int64))


@inner_jit
def release(arena):
    """Free all arrays that were cut.

    Call this after the last use of them: otherwise Numba may free the buffer while views of it
    are still in use.
    """
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
    """Return the first numbers of a contiguous array in another shape.

    Whether there are enough of them is not checked. The result is a view that does not keep the
    array alive.
    """
    return _view(array, 0, shape, array.dtype)


@array_jit
def typed(array, like):
    """Return the memory of a float64 array as an array of the type of `like`, equally long."""
    return _view(array, 0, array.shape, like.dtype)


@extending.intrinsic
def _view(context, array, begin, shape, dtype):
    """Return a view of contiguous numbers. Unlike `reshape` and `view` it can never raise."""
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
