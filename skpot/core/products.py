"""Matrix products of blocks that stay in cache, without a BLAS library.

Twelve sums are computed at a time, so that each number that is loaded serves three or four of
them. This is as fast as a BLAS on one core, and also works in libraries that have none.
"""

from ._jit import inline_jit, jit

ROWS, COLUMNS = 4, 3  # the numbers of rows of a and of b must be multiples of these


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
        Added to, of the type of a and b.
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


@inline_jit
def rounded(n, step):
    """Return the smallest multiple of `step` that is at least n."""
    return (n + step - 1) // step * step
