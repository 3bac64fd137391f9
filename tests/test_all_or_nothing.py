"""Fits that fail or are interrupted, wherever it is, leave estimators as they were."""

import sys
from inspect import CO_GENERATOR
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import skpot
from tests import registry
from tests.test_contract import assert_identical, ids, input_of, labels_of, output

N_POINTS = 10
SOURCES = str(Path(skpot.__file__).parent)


class Interrupt:
    """Raise an error in the n-th call of a function of skpot; count calls where n is None."""

    def __init__(self, n=None, error=KeyboardInterrupt):
        self.n, self.error, self.count = n, error, 0

    def __call__(self, frame, event, arg):
        code, caller = frame.f_code, frame.f_back.f_code.co_filename
        counts = code.co_filename.startswith(SOURCES)
        # Where generators are closed and objects finalized, Python ignores errors.
        counts &= not code.co_flags & CO_GENERATOR and not caller.endswith("weakref.py")
        if event == "call" and counts:
            self.count += 1
            if self.count == self.n:
                raise self.error("in between")

    def during(self, function):
        before = sys.gettrace()
        sys.settrace(self)
        try:
            function()
        finally:
            sys.settrace(before)


def interrupt_everywhere(method, rehearsal):
    """Interrupt a call at many points, the first and the last among them.

    Both arguments do the same on different objects; the rehearsal counts functions.
    """
    counter = Interrupt()
    counter.during(rehearsal)
    points = np.unique(np.linspace(1, counter.count, N_POINTS).astype(int)).tolist()
    for k, n in enumerate(points):
        error = (KeyboardInterrupt, MemoryError)[k % 2]
        with pytest.raises(error, match="in between"):
            Interrupt(n, error).during(method)


def others_of(targets):
    """Return other labels of the same structures."""
    return skpot.Targets(2.0 * targets.energy + 1.0, [0.5 * f for f in targets.forces])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ids(registry.ESTIMATORS))
def test_an_interrupted_fit_changes_nothing(estimator, structures, features, targets):
    X = input_of(estimator, structures, features)
    y = labels_of(estimator, targets)
    X2, y2 = X[::-1], others_of(y)[::-1]
    fresh, other = clone(estimator), clone(estimator).fit(X2, y2)
    interrupt_everywhere(lambda: fresh.fit(X2, y2), lambda: other.fit(X2, y2))
    with pytest.raises(NotFittedError):
        check_is_fitted(fresh)
    assert vars(fresh).keys() == vars(clone(estimator)).keys()

    model = clone(estimator).fit(X, y)
    state, before = joblib.hash(model), output(model, X)
    interrupt_everywhere(lambda: model.fit(X2, y2), lambda: other.fit(X2, y2))
    assert joblib.hash(model) == state
    assert_identical(output(model, X), before)
    assert_identical(output(model.fit(X2, y2), X), output(other, X))


UPDATED = {
    name: model for name, model in registry.REGRESSORS.items() if hasattr(model, "partial_fit")
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", ids(UPDATED))
def test_an_update_that_fails_changes_nothing(estimator, features, targets):
    first, more = (features[:6], targets[:6]), (features[6:9], targets[6:9])
    model, other = clone(estimator).fit(*first), clone(estimator).fit(*first)
    state = joblib.hash(model)
    interrupt_everywhere(lambda: model.partial_fit(*more), lambda: other.partial_fit(*more))
    assert joblib.hash(model) == state
    for X, y in bad_updates(features, targets):
        with pytest.raises(ValueError):
            model.partial_fit(X, y)
        assert joblib.hash(model) == state
    assert_identical(output(model.partial_fit(*more), features), output(other, features))


def bad_updates(features, targets):
    """Yield what no update can learn from."""
    nan = features.values.copy()
    nan[-1, 0] = np.nan
    narrow = features.select(np.arange(features.shape[1] - 1))
    other = skpot.AtomicFeatures(
        features.values, features.offsets, features.species + 1, features.derivatives
    )
    yield narrow, targets
    yield other, targets
    yield features.mapped(nan, features.derivatives), targets
    yield features, targets[:5]
    yield features, skpot.Targets(np.full(len(features), np.nan))
    yield features, skpot.Targets(targets.energy, targets.forces[::-1])
    yield features, skpot.Targets(targets.energy, sigma_energy=np.full(len(features), 1e-200))
