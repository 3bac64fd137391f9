"""Metrics of uncertainty against their definitions."""

import numpy as np
import pytest
from scipy.stats import norm

from skpot import Targets
from skpot.metrics import (
    ReliabilityDisplay,
    calibration_error,
    error_correlation,
    reliability_curve,
)


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    std = rng.lognormal(size=5000)
    return std * rng.normal(size=5000), np.zeros(5000), std


def test_curve_counts_labels_within_intervals(sample):
    y, y_pred, std = (a[:60] for a in sample)
    nominal, observed = reliability_curve(y, y_pred, std, n_levels=7)
    for p, share in zip(nominal, observed, strict=True):
        half = norm.ppf(0.5 + 0.5 * p)
        inside = sum(abs(e) <= half * s for e, s in zip(y, std, strict=True))
        assert share == pytest.approx(inside / 60)


@pytest.mark.parametrize("factor", [0.2, 0.5, 1.0, 3.0])
def test_calibration_error_of_normal_errors(sample, factor):
    y, y_pred, std = sample
    p = (np.arange(2000) + 0.5) / 2000
    expected = np.mean(np.abs(2 * norm.cdf(factor * norm.ppf(0.5 + 0.5 * p)) - 1 - p))
    assert calibration_error(y, y_pred, factor * std) == pytest.approx(expected, abs=0.015)


def test_the_ends_of_the_scale(sample):
    y, y_pred, std = sample
    assert calibration_error(y, y_pred, 1e-9 * std) == pytest.approx(0.5)
    assert calibration_error(y, y_pred, 1e9 * std) == pytest.approx(0.5)


def test_correlation_ranks_atoms_by_length():
    error = np.array([[3.0, 0, 0], [0, 1.0, 1.0], [0.5, 0, 0]])
    std = np.array([[0.1, 2.0, 0.1], [1.0, 0.2, 0.1], [0.3, 0.3, 0.3]])
    y, y_pred = (Targets([0.0], [f]) for f in (error, 0 * error))
    found = [
        error_correlation(y, y_pred, Targets([1.0], [s]), kind="forces")
        for s in (std, std[::-1], np.ones((3, 3)))
    ]
    np.testing.assert_allclose(found, [1.0, -1.0, np.nan])


def test_labels_that_are_missing_do_not_count():
    y = Targets([1.0, None, 3.0], [None, np.ones((2, 3)), np.ones((1, 3))])
    y_pred = Targets([0.0, 0.0, 0.0], [np.zeros((n, 3)) for n in (1, 2, 1)])
    std = Targets([2.0, 1.0, 0.1], [np.ones((n, 3)) for n in (1, 2, 1)])
    assert reliability_curve(y, y_pred, std, n_levels=1)[1] == [0.5]
    forces = dict(kind="forces")
    assert reliability_curve(y, y_pred, std, n_levels=1, **forces)[1] == [0.0]
    with pytest.raises(ValueError, match="no structure has stress"):
        calibration_error(y, y_pred, std, kind="stress")
    with pytest.raises(ValueError, match='return_std="all"'):
        calibration_error(y, y_pred, std.energy, kind="forces")


def test_zero_deviation_counts_against_an_error_only():
    assert reliability_curve([0.0, 1.0], [0.0, 0.0], [0.0, 1.0], n_levels=5)[1][-1] == 1.0
    assert reliability_curve([1.0, 1.0], [0.0, 0.0], [0.0, 1.0], n_levels=5)[1][-1] == 0.5
    with pytest.raises(ValueError, match="are zero"):
        calibration_error([0.0], [0.0], [0.0])


@pytest.mark.parametrize(
    "y, y_pred, std, options, message",
    [
        ([0.0], [0.0, 1.0], [1.0], {}, "different lengths: 1, 2, 1"),
        ([0.0], [0.0], [-1.0], {}, "not be negative"),
        ([0.0], [np.nan], [1.0], {}, "NaN or infinity"),
        ([0.0], [0.0], [1.0], {"kind": "virial"}, "kind must be one of"),
    ],
)
def test_bad_input_is_refused(y, y_pred, std, options, message):
    with pytest.raises(ValueError, match=message):
        calibration_error(y, y_pred, std, **options)


def test_display(sample, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    y, y_pred, std = sample

    class Model:
        def predict(self, X, return_std):
            assert return_std is True
            return y_pred, std

    display = ReliabilityDisplay.from_estimator(Model(), None, y, color="k")
    np.testing.assert_array_equal(display.line_.get_ydata(), display.observed)
    assert display.line_.get_color() == "k" and display.figure_ is display.ax_.figure
    (text,) = display.ax_.get_legend().get_texts()
    error = calibration_error(y, y_pred, std)
    assert text.get_text() == f"Model, energy, calibration error {error:.3f}"
    again = display.plot(ax=display.ax_, name="other")
    assert again is display and len(display.ax_.get_legend().get_texts()) == 2
    matplotlib.pyplot.close(display.figure_)


def test_labels_that_symmetry_fixes_leave_deviations_as_they_are():
    from skpot.metrics import coverage_factors

    nothing = np.zeros(3), np.zeros(3), np.full(3, 14)
    for pooled in (True, False):
        factors, by_species = coverage_factors({"energy": nothing, "forces": nothing}, pooled)
        assert {kind: both.tolist() for kind, both in factors.items()} == {
            "energy": [1.0, 0.0],
            "forces": [1.0, 0.0],
        }
        assert by_species == {}
