"""B-splines against scipy, and their straight continuation."""

import numpy as np
import pytest
from scipy.interpolate import BSpline

from skpot.core.splines import cubic_splines

R_MIN, SPACING, N = 0.8, 0.45, 9


def evaluate(r):
    """Return values and slopes of splines 0 ... N - 1, shape (2, N)."""
    first, *both = cubic_splines(r, R_MIN, SPACING)
    out = np.zeros((2, N + 4))
    for row, four in zip(out, both, strict=True):
        row[first : first + 4] = four
    return out[:, :N]


@pytest.mark.parametrize("r", [0.8, 0.801, 1.0, 1.25, 2.0, 3.3, 4.84])
def test_values_and_slopes_equal_scipy(r):
    knots = R_MIN + SPACING * np.arange(-3, N + 4)
    for n, (value, slope) in enumerate(evaluate(r).T):
        spline = BSpline(knots, np.eye(N + 3)[n], 3)
        assert value == pytest.approx(spline(r), abs=1e-14)
        assert slope == pytest.approx(spline.derivative()(r), abs=1e-13)


def test_below_the_knots_coefficients_go_on_in_a_line():
    w = np.random.default_rng(0).normal(size=N)
    more = 6
    extended = np.concatenate([w[0] + np.arange(more, 0, -1) * (w[0] - w[1]), w, np.zeros(3)])
    spline = BSpline(R_MIN + SPACING * np.arange(-3 - more, N + 4), extended, 3)
    for r in np.linspace(0.01, R_MIN, 20):
        value, slope = evaluate(r) @ w
        assert value == pytest.approx(spline(r))
        assert slope == pytest.approx(spline.derivative()(r))
    line = [evaluate(r)[0] @ w for r in (0.0, 0.1, 0.2)]
    assert np.diff(line, 2) == pytest.approx(0.0, abs=1e-13)


def test_the_last_spline_vanishes_with_two_derivatives_at_the_cutoff():
    cutoff = R_MIN + N * SPACING
    for delta in (1e-2, 1e-3):
        value, slope = evaluate(cutoff - delta)[:, -1]
        assert value == pytest.approx((delta / SPACING) ** 3 / 6, rel=1e-9)
        assert slope == pytest.approx(-(delta**2) / SPACING**3 / 2, rel=1e-9)
