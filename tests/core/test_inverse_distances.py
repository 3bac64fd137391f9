"""The Coulomb terms in one piece and in many."""

import numpy as np

from skpot.core import inverse_distances as kernels
from skpot.core.spectrum import triangle_columns


def test_pieces_agree():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 6, 80)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    n = offsets[-1]
    geometry = rng.normal(0, 2, (n, 3)), offsets, rng.normal(size=n), triangle_columns(5)
    g = rng.normal(size=(80, 15))
    centers = rng.permutation(80)
    start = np.concatenate([[0], np.cumsum(sizes[centers])])

    def run(values, pull_back, jacobian):
        out = [np.zeros((80, 15)), np.zeros((n, 3)), np.zeros((80, 6))]
        out += [np.zeros((n, 3, 15)), np.zeros((80, 6, 15))]
        values(*geometry, out[0])
        pull_back(*geometry, g, *out[1:3])
        jacobian(centers, *geometry, start, *out[3:])
        return out

    def in_pieces(kernel):
        return lambda *args: [kernel(lo, min(80, lo + 7), *args) for lo in range(0, 80, 7)]

    functions = kernels.values, kernels.pull_back, kernels.jacobian
    pieces = run(*map(in_pieces, functions))
    whole = run(*(lambda *args, f=f: f(0, 80, *args) for f in functions))
    for one, other in zip(whole, pieces, strict=True):
        assert one.any()
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
