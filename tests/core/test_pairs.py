"""Counts of pairs against all distances."""

import numpy as np
import pytest

from skpot.core.pairs import count_close


@pytest.mark.parametrize(("n", "edge"), [(1, 1.0), (7, 3.0), (300, 20.0), (50, 1000.0)])
def test_close_pairs_are_counted(n, edge):
    positions = np.random.default_rng(n).uniform(-edge, edge, (n, 3)) * [1.0, 1.0, 0.2]
    n_centers = n // 2 + 1
    distances = np.linalg.norm(positions[:n_centers, None] - positions, axis=-1)
    expected = np.count_nonzero(distances < 4.0) - n_centers  # without themselves
    assert count_close(positions, n_centers, 4.0) == expected
