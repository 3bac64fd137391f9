"""Serial and parallel twins of the Coulomb terms."""

import numpy as np

from skpot.core import inverse_distances as kernels
from skpot.core.spectrum import triangle_columns


def test_twins_agree():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 6, 80)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    n = offsets[-1]
    geometry = rng.normal(0, 2, (n, 3)), offsets, rng.normal(size=n), triangle_columns(5)
    g = rng.normal(size=(80, 15))
    centres = rng.permutation(80)
    start = np.concatenate([[0], np.cumsum(sizes[centres])])

    def run(values, pull_back, jacobian):
        out = [np.zeros((80, 15)), np.zeros((n, 3)), np.zeros((80, 6))]
        out += [np.zeros((n, 3, 15)), np.zeros((80, 6, 15))]
        values(*geometry, out[0])
        pull_back(*geometry, g, *out[1:3])
        jacobian(centres, *geometry, start, *out[3:])
        return out

    parallel = run(kernels.values_parallel, kernels.pull_back_parallel, kernels.jacobian_parallel)
    serial = run(
        lambda *args: kernels.values_serial(0, 80, *args),
        lambda *args: kernels.pull_back_serial(0, 80, *args),
        lambda *args: kernels.jacobian_serial(0, 80, *args),
    )
    for one, other in zip(serial, parallel, strict=True):
        assert one.any()
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
