"""Calibrated standard deviations: of known errors, of fitted models, in a calculator."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline

import skpot
from skpot import CalibratedPotential, SparseGPR, Targets


class Known(BaseEstimator):
    """Predicts zeros, with the deviations that X holds."""

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X, return_std=False):
        zero = Targets(np.zeros(len(X)), [np.zeros((4, 3))] * len(X), np.zeros((len(X), 6)))
        std = Targets(X[:, 0], X[:, 1:13].reshape(-1, 4, 3), X[:, 13:])
        return (zero, std) if return_std else zero


def labels(X, factor=2.0, noise=0.0):
    """Return labels whose deviations are factor * X, with noise besides."""
    rng = np.random.default_rng(1)
    error = np.hypot(factor * X, noise) * rng.normal(size=X.shape)
    return Targets(error[:, 0], error[:, 1:13].reshape(-1, 4, 3), error[:, 13:])


@pytest.fixture
def deviations():
    return np.random.default_rng(0).lognormal(sigma=1.0, size=(4000, 19))


@pytest.mark.parametrize("factor, noise", [(2.0, 0.0), (0.1, 0.0), (3.0, 0.5), (2.0, 20.0)])
def test_factor_and_noise_are_found(deviations, factor, noise):
    model = CalibratedPotential(FrozenEstimator(Known()))
    model.fit(deviations, labels(deviations, factor, noise))
    found = model.calibrate(Known().predict(deviations, return_std=True)[1])
    expected = np.hypot(factor * deviations, noise)
    np.testing.assert_allclose(found.forces_flat.ravel(), expected[:, 1:13].ravel(), rtol=0.1)
    np.testing.assert_allclose(found.energy, expected[:, 0], rtol=0.3)
    if noise == 0.0:  # all there is to find is the mean of squares
        error = labels(deviations, factor).forces_flat / deviations[:, 1:13].reshape(-1, 3)
        found_factor = model.calibration_["forces"][0]
        np.testing.assert_allclose(found_factor, np.sqrt(np.mean(error**2)), rtol=0.02)


def test_labels_that_symmetry_fixes_leave_the_factor_alone(deviations):
    deviations[:2000, 1:13] = 1e-9  # a model of perfect crystals; the reference has some noise
    y = labels(deviations, 2.0, 1e-4)
    factor, noise = (
        CalibratedPotential(FrozenEstimator(Known())).fit(deviations, y).calibration_["forces"]
    )
    np.testing.assert_allclose([factor, noise], [2.0, 1e-4], rtol=0.05)


def test_isotonic_finds_any_increasing_map_and_goes_on_beyond(deviations):
    y = labels(np.sqrt(deviations))
    model = CalibratedPotential(FrozenEstimator(Known()), "isotonic").fit(deviations, y)
    inside = np.linspace(0.2, 5.0, 40)
    found = model.calibrate(
        Targets(inside, inside[:, None, None] * np.ones((40, 12, 3)))
    ).forces_flat
    np.testing.assert_allclose(found[::12, 0], 2.0 * np.sqrt(inside), rtol=0.25)
    ends = np.array([1e-9, 1e3, 2e3])
    low, high, higher = model.calibrate(ends)
    assert 0.0 < low < 1e-6
    np.testing.assert_allclose(higher / high, 2.0)


def test_what_is_missing_stays_missing(deviations):
    X = deviations[:50]
    y = Targets(labels(X).energy)
    model = CalibratedPotential(FrozenEstimator(Known())).fit(X, y)
    assert set(model.calibration_) == {"energy"}
    _, std = model.predict(X, return_std="all")
    np.testing.assert_array_equal(std.forces_flat.ravel(), X[:, 1:13].ravel())
    partly = Targets([1.0, 1.0], stress=[np.ones(6), None])
    assert model.calibrate(partly).has_stress.tolist() == [True, False]
    with pytest.raises(ValueError, match="no held-out structure has a label"):
        CalibratedPotential(FrozenEstimator(Known())).fit(X, Targets([None] * 50))


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline(skpot.SOAP(n_max=3, l_max=2), SparseGPR(n_sparse=40))


@pytest.fixture(scope="module")
def data():
    return skpot.datasets.load_silicon()


def test_folds_hold_out_whole_groups(pipeline, data):
    X, y, groups = data.X[:30], data.y[:30], np.array(data.groups[:30])
    n = min(3, len(np.unique(groups)))
    by_number = CalibratedPotential(pipeline, cv=n).fit(X, y, groups=groups)
    by_splitter = CalibratedPotential(pipeline, cv=GroupKFold(n)).fit(X, y, groups=groups)
    plain = CalibratedPotential(pipeline, cv=KFold(n)).fit(X, y)
    assert by_number.calibration_.keys() == {"energy", "forces", "stress"}
    for name, found in by_number.calibration_.items():
        np.testing.assert_array_equal(found, by_splitter.calibration_[name])
        assert not np.array_equal(found, plain.calibration_[name])
    # Predictions are those of a fit to all data.
    expected = pipeline.fit(X, y).predict(data.X_test)
    np.testing.assert_array_equal(by_number.predict(data.X_test).forces_flat, expected.forces_flat)


def test_calibration_lowers_the_calibration_error(pipeline, data):
    from skpot.metrics import calibration_error

    X, y = data.X[::2], data.y[::2]
    fitted = pipeline.fit(X, y)
    calibrated = CalibratedPotential(FrozenEstimator(fitted)).fit(data.X[1::2], data.y[1::2])
    before, after = (
        calibration_error(data.y_test, *m.predict(data.X_test, return_std="all"), quantity="forces")
        for m in (fitted, calibrated)
    )
    assert after < before and after < 0.1


@pytest.mark.parametrize("frozen", [True, False])
def test_in_a_calculator(pipeline, data, frozen):
    X, y = data.X[:24], data.y[:24]
    estimator = FrozenEstimator(pipeline.fit(X[:12], y[:12])) if frozen else pipeline
    model = CalibratedPotential(estimator, cv=2).fit(X, y)
    atoms = data.X_test[0].copy()
    atoms.calc = skpot.Calculator(model)
    predicted, std = model.predict([atoms], return_std="all")
    np.testing.assert_allclose(atoms.get_forces(), predicted.forces[0], atol=1e-9)
    assert atoms.calc.results["energy_std"] == pytest.approx(std.energy[0])
    get = atoms.calc.get_property
    np.testing.assert_allclose(get("forces_std", atoms), std.forces[0], rtol=1e-6)
    np.testing.assert_allclose(get("stress_std", atoms), std.stress[0], rtol=1e-6)
    with pytest.raises(TypeError, match="fitted pipeline"):
        skpot.Calculator(CalibratedPotential(FrozenEstimator(pipeline[-1])).fit(
            pipeline[0].transform(X), y
        ))  # fmt: skip
