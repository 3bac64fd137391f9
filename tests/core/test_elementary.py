"""Fast elementary functions against those of the standard library."""

import math

import numpy as np
import pytest

from skpot.core.cutoffs import cosine_switch, polynomial_switch, tanh_switch
from skpot.core.elementary import cosine_and_sine, fast_exp, quarter_turn


def test_exponential():
    x = np.concatenate([np.linspace(-699, 699, 4001), [0.0, -0.0, 1e-300, -1e-9, 1e-9]])
    ratio = [fast_exp(v) * math.exp(-v) for v in x]
    # The error of exp itself grows with the rounding of its argument.
    assert max(abs(np.array(ratio) - 1.0) / (1.0 + abs(x) / 30)) < 3e-15
    assert fast_exp(-800.0) == 0.0 and fast_exp(-math.inf) == 0.0
    assert math.isnan(fast_exp(math.nan))


def test_quarter_turn():
    for x in np.linspace(0.0, 1.0, 2001):
        cosine, sine = quarter_turn(x)
        assert cosine == pytest.approx(math.cos(0.5 * math.pi * x), abs=5e-16)
        assert sine == pytest.approx(math.sin(0.5 * math.pi * x), abs=5e-16)


def test_cosine_and_sine():
    for x in np.concatenate([np.linspace(-50.0, 50.0, 4001), np.pi / 4 * np.arange(-9, 10)]):
        cosine, sine = cosine_and_sine(x)
        error = 1e-15 * (1.0 + abs(x))
        assert cosine == pytest.approx(math.cos(x), abs=error)
        assert sine == pytest.approx(math.sin(x), abs=error)
    assert math.isnan(cosine_and_sine(math.nan)[0])


@pytest.mark.parametrize("switch", [cosine_switch, polynomial_switch])
def test_switches_fall_from_one_to_zero_with_their_derivative(switch):
    assert switch(1.9, 5.0, 3.0) == (1.0, 0.0) and switch(5.0, 5.0, 3.0) == (0.0, 0.0)
    for r in np.linspace(2.0, 5.0, 50)[1:-1]:
        value, slope = switch(r, 5.0, 3.0)
        numerical = (switch(r + 1e-6, 5.0, 3.0)[0] - switch(r - 1e-6, 5.0, 3.0)[0]) / 2e-6
        assert 0.0 < value < 1.0
        assert slope == pytest.approx(numerical, abs=1e-9)
    assert switch(3.5, 5.0, 3.0)[0] == pytest.approx(0.5)


def test_the_hyperbolic_switch_vanishes_with_two_derivatives():
    assert tanh_switch(5.0, 5.0) == (0.0, 0.0) == tanh_switch(6.0, 5.0)
    for r in np.linspace(0.1, 4.999, 23):
        value, slope = tanh_switch(r, 5.0)
        assert value == pytest.approx(np.tanh(1 - r / 5.0) ** 3, rel=1e-14)
        numerical = (tanh_switch(r + 1e-6, 5.0)[0] - tanh_switch(r - 1e-6, 5.0)[0]) / 2e-6
        assert slope == pytest.approx(numerical, abs=1e-9)
    value, slope = tanh_switch(5.0 - 1e-3, 5.0)
    assert abs(value) < 1e-11 and abs(slope) < 1e-7  # as the cube and the square of 2e-4
