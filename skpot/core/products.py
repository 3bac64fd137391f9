"""Matrix products of blocks that stay in cache, without a BLAS library.

Twelve sums are computed at a time, so that each number that is loaded serves three or four of
them. This is as fast as a BLAS on one core, and also works in libraries that have none.
"""

from ._jit import inline_jit, jit

ROWS, COLUMNS = 4, 3  # the numbers of rows of a and of b must be multiples of these
SUMMANDS = 6  # rows that are added up at a time
_SPAN = 512  # columns at a time, so that four rows of sums of them stay in the first-level cache


@jit
def add_products(a, b, out):
    """Add a b^T to out.

    Parameters
    ----------
    a : ndarray of shape (n, k)
        n is a multiple of `ROWS`.
    b : ndarray of shape (m, k)
        m is a multiple of `COLUMNS`.
    out : ndarray of shape (n, m)
        Added to, of the type of a. Numbers of b in single precision are converted on the way, which
        halves the memory that is read.
    """
    size = a.shape[1]
    for i in range(0, a.shape[0], 4):
        a0, a1, a2, a3 = a[i], a[i + 1], a[i + 2], a[i + 3]
        o0, o1, o2, o3 = out[i], out[i + 1], out[i + 2], out[i + 3]
        for j in range(0, b.shape[0], 3):
            b0, b1, b2 = b[j], b[j + 1], b[j + 2]
            s00, s01, s02 = o0[j], o0[j + 1], o0[j + 2]
            s10, s11, s12 = o1[j], o1[j + 1], o1[j + 2]
            s20, s21, s22 = o2[j], o2[j + 1], o2[j + 2]
            s30, s31, s32 = o3[j], o3[j + 1], o3[j + 2]
            for t in range(size):
                y0, y1, y2 = b0[t], b1[t], b2[t]
                s00 += a0[t] * y0
                s01 += a0[t] * y1
                s02 += a0[t] * y2
                s10 += a1[t] * y0
                s11 += a1[t] * y1
                s12 += a1[t] * y2
                s20 += a2[t] * y0
                s21 += a2[t] * y1
                s22 += a2[t] * y2
                s30 += a3[t] * y0
                s31 += a3[t] * y1
                s32 += a3[t] * y2
            o0[j], o0[j + 1], o0[j + 2] = s00, s01, s02
            o1[j], o1[j + 1], o1[j + 2] = s10, s11, s12
            o2[j], o2[j + 1], o2[j + 2] = s20, s21, s22
            o3[j], o3[j + 1], o3[j + 2] = s30, s31, s32


@jit
def add_scaled_rows(weights, b, out):
    """Add weights b to out, where b is as `add_products` takes it and not its transpose.

    Parameters
    ----------
    weights : ndarray of shape (n, m)
        n is a multiple of `ROWS`, m of `SUMMANDS`.
    b : ndarray of shape (m, k)
        The rows that are added up.
    out : ndarray of shape (n, k)
        Added to, of the type of weights; b may be in single precision.
    """
    for begin in range(0, b.shape[1], _SPAN):
        end = min(begin + _SPAN, b.shape[1])
        for i in range(0, weights.shape[0], 4):
            _add_four(i, begin, end, weights, b, out)


@inline_jit
def _add_four(i, begin, end, weights, b, out):
    """Add columns begin to end - 1 of four rows."""
    w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
    o0, o1 = out[i, begin:end], out[i + 1, begin:end]
    o2, o3 = out[i + 2, begin:end], out[i + 3, begin:end]
    for j in range(0, b.shape[0], 6):
        b0, b1, b2 = b[j, begin:end], b[j + 1, begin:end], b[j + 2, begin:end]
        b3, b4, b5 = b[j + 3, begin:end], b[j + 4, begin:end], b[j + 5, begin:end]
        w00, w01, w02, w03, w04, w05 = _six(w0, j)
        w10, w11, w12, w13, w14, w15 = _six(w1, j)
        w20, w21, w22, w23, w24, w25 = _six(w2, j)
        w30, w31, w32, w33, w34, w35 = _six(w3, j)
        for t in range(o0.shape[0]):
            y0, y1, y2, y3, y4, y5 = b0[t], b1[t], b2[t], b3[t], b4[t], b5[t]
            o0[t] += w00 * y0 + w01 * y1 + w02 * y2 + w03 * y3 + w04 * y4 + w05 * y5
            o1[t] += w10 * y0 + w11 * y1 + w12 * y2 + w13 * y3 + w14 * y4 + w15 * y5
            o2[t] += w20 * y0 + w21 * y1 + w22 * y2 + w23 * y3 + w24 * y4 + w25 * y5
            o3[t] += w30 * y0 + w31 * y1 + w32 * y2 + w33 * y3 + w34 * y4 + w35 * y5


@inline_jit
def _six(row, j):
    return row[j], row[j + 1], row[j + 2], row[j + 3], row[j + 4], row[j + 5]


@inline_jit
def rounded(n, step):
    """Return the smallest multiple of `step` that is at least n."""
    return (n + step - 1) // step * step
