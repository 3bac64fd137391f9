"""Steps of Adam against plain loops."""

import numpy as np
import pytest

from skpot.core.adam import AdamState, AdamStep, adam_step
from tests.naive.adam import adam


@pytest.mark.parametrize(("kind", "tolerance"), [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_steps_are_those_of_plain_loops(kind, tolerance):
    rng = np.random.default_rng(0)
    start, decay = rng.normal(size=7), np.array([0.1, 0.0] * 3 + [0.3])
    gradients, rates = rng.normal(size=(5, 7)), [0.1, 0.3, 0.2, 0.1, 0.0]
    zeros = np.zeros(7, dtype=kind)
    weights = start.astype(kind)
    state = AdamState(weights, weights.copy(), zeros.copy(), zeros, decay.astype(kind))
    for n, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        scales = 1.0 / (1.0 - 0.9**n), 1.0 / (1.0 - 0.99**n)
        numbers = (rate, 0.9, 0.99, *scales, 1e-8, 0.3)
        adam_step(state, gradient.astype(kind), AdamStep(*(kind(number) for number in numbers)))
    expected, average = adam(start, gradients, rates, decay, 0.9, 0.99, 1e-8, 0.3)
    np.testing.assert_allclose(state.weights, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(state.average, average, rtol=tolerance, atol=tolerance)
