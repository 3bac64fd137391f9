"""Any labels and parameters give a model with right forces, or an error of ours."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import skpot
from skpot.data import Targets
from skpot.exceptions import SkpotError, SkpotWarning
from skpot.testing import sample_structures
from tests import registry
from tests.properties.drawn import SEEDS, VALUES, bounded, structures, targets
from tests.samples import random_labels

REGRESSORS = ["SparseGPR", "GPR", "LinearRidge", "AutoGPR"]
SOUND = sample_structures(["H", "O"])
STEP = 1e-4


def soap():
    return clone(registry.DESCRIPTORS["SOAP"])


def refused_by_us(error):
    """Return whether an error is ours, or scikit-learn's about a parameter."""
    return isinstance(error, SkpotError) or type(error).__name__ == "InvalidParameterError"


def fitted(model, X, y, **more):
    """Return a fitted model, or None if it was refused, which is for us to do."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning of another library is an error
        warnings.simplefilter("ignore", SkpotWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        try:
            return model.fit(X, y, **more)
        except Exception as error:
            if not refused_by_us(error):
                raise
            return None


def check_forces(model, X, seed):
    """Compare forces with differences of energies."""
    rng = np.random.default_rng(seed)
    y = model.predict(X)
    if not isinstance(y, Targets):
        assert np.isfinite(y).all()
        return
    assert np.isfinite(y.energy).all() and np.isfinite(y.forces_flat).all()
    along = [rng.normal(size=(len(atoms), 3)) for atoms in X]
    energies = []
    for step in (STEP, -STEP, STEP / 2, -STEP / 2):
        moved = [atoms.copy() for atoms in X]
        for atoms, direction in zip(moved, along, strict=True):
            atoms.positions += step * direction
        energies.append(model.predict(moved).energy)
    slope = (energies[2] - energies[3]) / STEP
    spread = np.abs(slope - (energies[0] - energies[1]) / (2 * STEP))
    expected = np.array([-(f * a).sum() for f, a in zip(y.forces, along, strict=True)])
    rounding = 1e-11 * np.abs(y.energy).max() / STEP
    scale = 1e-6 * (np.abs(expected) + np.abs(y.forces_flat).max())
    assert (np.abs(slope - expected) <= scale + 10 * spread + rounding).all()


@pytest.mark.parametrize("name", REGRESSORS)
def test_any_labels(name):
    @bounded(40)
    @given(st.data(), SEEDS)
    def check(data, seed):
        n = data.draw(st.integers(1, len(SOUND)))
        X = SOUND[:n]
        try:
            y = data.draw(targets(X))
        except SkpotError:
            return
        model = fitted(make_pipeline(soap(), clone(registry.REGRESSORS[name])), X, y)
        if model is not None:
            check_forces(model, X, seed)

    check()


@pytest.mark.parametrize("name", REGRESSORS)
def test_any_structures(name):
    @bounded(15)
    @given(st.lists(structures(most=3), min_size=1, max_size=4), SEEDS)
    def check(X, seed):
        rng = np.random.default_rng(seed)
        y = Targets(rng.normal(size=len(X)), [rng.normal(size=(len(a), 3)) for a in X])
        model = fitted(make_pipeline(soap(), clone(registry.REGRESSORS[name])), X, y)
        if model is not None and max(np.abs(a.positions).max() for a in X) < 1e3:
            check_forces(model, X, seed)

    check()


@pytest.mark.parametrize("name", REGRESSORS)
@pytest.mark.parametrize("weights", ["sound", "hostile"])
def test_any_weights(name, weights):
    values = [0.0, 0.5, 1.0, 2.0]
    if weights == "hostile":
        values = [0.0, 1.0, -1.0, np.nan, np.inf, 1e300, 1e-300]

    @bounded(8)
    @given(st.lists(st.sampled_from(values), min_size=4, max_size=6), SEEDS)
    def check(weight, seed):
        rng = np.random.default_rng(seed)
        y = Targets(rng.normal(size=4), [rng.normal(size=(len(a), 3)) for a in SOUND[:4]])
        step = clone(registry.REGRESSORS[name])
        more = {f"{type(step).__name__.lower()}__sample_weight": np.array(weight)}
        model = fitted(make_pipeline(soap(), step), SOUND[:4], y, **more)
        if model is not None:
            check_forces(model, SOUND[:4], seed)

    check()


PARAMETRIZED = sorted(registry.DESCRIPTORS | registry.REGRESSORS | registry.FEATURE_STEPS)


@pytest.mark.parametrize("name", PARAMETRIZED)
def test_any_parameter(name):
    """One parameter or two of an estimator have any value."""
    estimator = registry.ESTIMATORS[name]
    names = sorted(set(estimator.get_params()) - {"n_jobs", "verbose", "max_memory", "cache"})
    y = random_labels(SOUND[:4], per_atom=0.0, stress=None)

    @bounded(12)
    @given(st.dictionaries(st.sampled_from(names), VALUES, min_size=1, max_size=2), SEEDS)
    def check(values, seed):
        step = clone(estimator)
        try:
            step.set_params(**values)
        except (SkpotError, ValueError, AttributeError):  # of a kernel that is no kernel any more
            return
        steps = [step, skpot.LinearRidge()] if name in registry.DESCRIPTORS else [soap(), step]
        if name in registry.FEATURE_STEPS:
            steps.append(skpot.LinearRidge())
        model = fitted(make_pipeline(*steps), SOUND[:4], y)
        if model is not None:
            check_forces(model, SOUND[:4], seed)

    check()
