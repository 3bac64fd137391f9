"""Calibrated standard deviations: of known errors, of fitted models, in a calculator."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline

import skpot
from skpot import CalibratedPotential, SparseGPR, Targets
from skpot.data.order import canonical_order, content_keys


class Known(BaseEstimator):
    """Predicts zeros, with the deviations in X."""

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X, return_std=False):
        zero = Targets(np.zeros(len(X)), [np.zeros((4, 3))] * len(X), np.zeros((len(X), 6)))
        std = Targets(X[:, 0], X[:, 1:13].reshape(-1, 4, 3), X[:, 13:])
        return (zero, std) if return_std else zero


def labels(X, factor=2.0, noise=0.0):
    """Return labels with deviations factor * X, and additional noise."""
    rng = np.random.default_rng(1)
    error = np.hypot(factor * X, noise) * rng.normal(size=X.shape)
    return Targets(error[:, 0], error[:, 1:13].reshape(-1, 4, 3), error[:, 13:])


@pytest.fixture
def deviations():
    return np.random.default_rng(0).lognormal(sigma=1.0, size=(4000, 19))


@pytest.mark.parametrize("factor, noise", [(2.0, 0.0), (0.1, 0.0), (3.0, 0.5), (2.0, 20.0)])
def test_factor_and_noise_are_found(deviations, factor, noise):
    model = CalibratedPotential(FrozenEstimator(Known()), "scale")
    model.fit(deviations, labels(deviations, factor, noise))
    found = model.calibrate(Known().predict(deviations, return_std=True)[1])
    expected = np.hypot(factor * deviations, noise)
    np.testing.assert_allclose(found.forces_flat.ravel(), expected[:, 1:13].ravel(), rtol=0.1)
    np.testing.assert_allclose(found.energy, expected[:, 0], rtol=0.3)
    if noise == 0.0:  # the result is the mean of squares
        error = labels(deviations, factor).forces_flat / deviations[:, 1:13].reshape(-1, 3)
        found_factor = model.calibration_["forces"][0]
        np.testing.assert_allclose(found_factor, np.sqrt(np.mean(error**2)), rtol=0.02)


@pytest.mark.parametrize("method", ["coverage", "scale"])
def test_labels_that_symmetry_fixes_leave_the_factor_alone(deviations, method):
    deviations[:2000, 1:13] = 1e-9  # perfect crystals, for which the labels have some noise
    y = labels(deviations, 2.0, 1e-4)
    model = CalibratedPotential(FrozenEstimator(Known()), method).fit(deviations, y)
    np.testing.assert_allclose(model.calibration_["forces"], [2.0, 1e-4], rtol=0.05)


def test_coverage_of_forces_is_right_whatever_the_distribution(deviations):
    from skpot.metrics import calibration_error, reliability_curve

    error = deviations * np.random.default_rng(1).standard_t(2.0, size=deviations.shape)

    def fitted():
        y = Targets(error[:, 0], error[:, 1:13].reshape(-1, 4, 3), error[:, 13:])
        return y, CalibratedPotential(FrozenEstimator(Known())).fit(deviations, y)

    y, model = fitted()
    sides = y, *model.predict(deviations, return_std="all")
    _, observed = reliability_curve(*sides, kind="forces", n_levels=1000)
    np.testing.assert_allclose(np.mean(observed), 0.5, atol=0.001)
    for quantity in ("energy", "forces", "stress"):
        assert calibration_error(*sides, kind=quantity) < 0.1
    # A single large error would make the factor of largest likelihood far too large.
    error[::1000] = 1e6
    _, again = fitted()
    np.testing.assert_allclose(
        again.calibration_["forces"], model.calibration_["forces"], rtol=0.01
    )


def test_energies_and_stress_have_the_factor_of_all_labels(deviations):
    X, factors = deviations[:500], {"energy": 4.0, "forces": 2.0, "stress": 1.0}
    y = labels(X, 1.0)
    forces = [factors["forces"] * f for f in y.forces]
    y = Targets(factors["energy"] * y.energy, forces, factors["stress"] * y.stress)
    found = CalibratedPotential(FrozenEstimator(Known())).fit(X, y).calibration_
    mean = np.mean(list(factors.values()))
    assert found["energy"][0] == found["stress"][0] == pytest.approx(mean, rel=0.05)
    assert found["forces"][0] == pytest.approx(2.0, rel=0.05)
    alone = CalibratedPotential(FrozenEstimator(Known())).fit(X, Targets(y.energy))
    assert alone.calibration_["energy"][0] == pytest.approx(4.0, rel=0.1)


class KnownForces(BaseEstimator):
    """Predicts zeros for molecules, all deviations being one."""

    def fit(self, X, y):
        self.seen_ = {z for atoms in X for z in atoms.numbers}
        return self

    def predict(self, X, return_std=False):
        if not {z for atoms in X for z in atoms.numbers} <= self.seen_:
            raise ValueError("unknown species")
        zero, one = (
            Targets(np.full(len(X), c), [np.full((len(atoms), 3), c) for atoms in X])
            for c in (0.0, 1.0)
        )
        return (zero, one) if return_std else zero


def test_forces_have_a_factor_for_each_species():
    from ase import Atoms

    rng = np.random.default_rng(0)
    X = [Atoms("OH2", rng.normal(size=(3, 3))) for _ in range(300)]
    X.append(Atoms("FH2", rng.normal(size=(3, 3))))
    factors = {1: 0.5, 8: 4.0, 9: 300.0}
    forces = [
        np.array([factors[z] for z in atoms.numbers])[:, None] * rng.normal(size=(len(atoms), 3))
        for atoms in X
    ]
    y = Targets(rng.normal(size=len(X)), forces)
    model = CalibratedPotential(FrozenEstimator(KnownForces().fit(X, y))).fit(X, y)
    for z in (1, 8):  # as well as few forces allow
        np.testing.assert_allclose(model.species_factors_[z], factors[z], rtol=0.15)
    common = model.calibration_["forces"][0]
    assert common < model.species_factors_[9] < 2.0 * common  # three components hardly count
    _, std = model.predict(X[:2], return_std="all")
    np.testing.assert_array_equal(
        std.forces[1][:, 0], [model.species_factors_[z] for z in (8, 1, 1)]
    )
    water = Atoms("SH2", np.eye(3))
    anew = model.calibrate(Targets([1.0], [np.ones((3, 3))]), [water])
    np.testing.assert_array_equal(
        anew.forces[0][0], common
    )  # for a species that was never held out
    unsaid = model.calibrate(Targets([1.0], [np.ones((3, 3))]))
    np.testing.assert_array_equal(unsaid.forces[0], common)
    # Only one half has fluorine, which the model of the other half does not know.
    assert set(CalibratedPotential(KnownForces()).fit(X, y).species_factors_) == {1, 8}
    for array in forces[::10]:  # atoms without a label do not change other factors
        array[0] = np.nan
    gaps = CalibratedPotential(FrozenEstimator(KnownForces().fit(X, y)))
    gaps.fit(X, Targets(y.energy, forces))
    for z in (1, 8):
        np.testing.assert_allclose(gaps.species_factors_[z], factors[z], rtol=0.15)


def test_masked_forces_do_not_count(deviations):
    X = deviations[:200]
    y = labels(X)
    model = CalibratedPotential(FrozenEstimator(Known())).fit(X, y)
    forces = [np.array(f) for f in y.forces]
    forces[0][1] = np.nan
    masked = CalibratedPotential(FrozenEstimator(Known())).fit(
        X, Targets(y.energy, forces, y.stress)
    )
    for name, found in masked.calibration_.items():
        np.testing.assert_allclose(found, model.calibration_[name], rtol=0.01)


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
    X, y, groups = (
        data.X[1:31],
        data.y[1:31],
        np.array(data.groups[1:31]),
    )  # without the isolated atom
    n = min(3, len(np.unique(groups)))
    by_number = CalibratedPotential(pipeline, cv=n).fit(X, y, groups=groups)
    by_splitter = CalibratedPotential(pipeline, cv=GroupKFold(n)).fit(X, y, groups=groups)
    plain = CalibratedPotential(pipeline, cv=KFold(n)).fit(X, y)
    assert by_number.calibration_.keys() == {"energy", "forces", "stress"}
    for name, found in by_number.calibration_.items():
        np.testing.assert_allclose(found, by_splitter.calibration_[name])
        assert not np.allclose(found, plain.calibration_[name])
    # Predictions are those of a fit to all data.
    expected = pipeline.fit(X, y).predict(data.X_test)
    np.testing.assert_array_equal(by_number.predict(data.X_test).forces_flat, expected.forces_flat)


def test_by_default_halves_are_held_out(pipeline, data):
    X, y, groups = data.X[1:13], data.y[1:13], np.repeat([0, 1, 2], 4)
    default = CalibratedPotential(pipeline).fit(X, y)
    order = canonical_order(content_keys(X))
    splits = [(order[train], order[test]) for train, test in KFold(2).split(order)]
    halves = CalibratedPotential(pipeline, cv=splits).fit(X, y)
    grouped = CalibratedPotential(pipeline).fit(X, y, groups=groups)
    of_groups = CalibratedPotential(pipeline, cv=GroupKFold(2)).fit(X, y, groups=groups)
    for name, found in default.calibration_.items():
        np.testing.assert_allclose(found, halves.calibration_[name])
        np.testing.assert_allclose(grouped.calibration_[name], of_groups.calibration_[name])


def test_calibration_lowers_the_calibration_error(pipeline, data):
    from skpot.metrics import calibration_error

    X, y = data.X[::2], data.y[::2]
    fitted = pipeline.fit(X, y)
    calibrated = CalibratedPotential(FrozenEstimator(fitted)).fit(data.X[1::2], data.y[1::2])
    before, after = (
        calibration_error(data.y_test, *m.predict(data.X_test, return_std="all"), kind="forces")
        for m in (fitted, calibrated)
    )
    assert after < before and after < 0.1


@pytest.mark.parametrize("frozen", [True, False])
def test_in_a_calculator(pipeline, data, frozen):
    X, y = data.X[:24], data.y[:24]
    estimator = FrozenEstimator(pipeline.fit(X[:12], y[:12])) if frozen else pipeline
    model = CalibratedPotential(estimator, cv=2).fit(X, y)
    atoms = data.X_test[0].copy()
    atoms.calc = skpot.Calculator(model, uncertainty=True)
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
