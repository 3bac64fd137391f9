"""An estimator after any sequence of good and bad calls is as good as a new one."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from skpot.data import Targets
from skpot.exceptions import SkpotError
from skpot.testing import sample_structures
from tests import registry
from tests.properties.drawn import bounded
from tests.samples import random_labels

X = sample_structures(["H", "O"])[:4]
FEATURES = clone(registry.DESCRIPTORS["SOAP"]).fit_transform(X)
OTHER = clone(registry.DESCRIPTORS["SOAP"]).set_params(n_max=3).fit_transform(X)
PARTS = [slice(0, 3), slice(1, 4), slice(0, 4)]

MODELS = {
    name: registry.REGRESSORS[name] for name in ("SparseGPR", "GPR", "LinearRidge", "Committee")
}
# For each model a parameter, good values, and one that is refused when it is fitted.
PARAMETERS = {
    "SparseGPR": ("sigma_energy", [0.001, 0.01], -1.0),
    "GPR": ("sigma_forces", [0.05, 0.5], "much"),
    "LinearRidge": ("alpha", [1e-3, 1.0], 0.0),
    "Committee": ("n_members", [2, 3], -1),
}


def labels(part, seed=0):
    return random_labels(X, per_atom=0.0, stress=None, seed=seed)[part]


def bad_labels(part, kind):
    y = labels(part)
    energy, forces = y.energy.copy(), [f.copy() for f in y.forces]
    if kind == "nan":
        energy[0] = np.nan
        forces[0][:] = np.inf
    elif kind == "short":
        return y[:-1]
    elif kind == "shape":
        forces[0] = forces[0][:-1]
    elif kind == "huge":
        energy[:] = 1e300
    return Targets(energy, forces)


class Calls(RuleBasedStateMachine):
    """Calls on one regressor; a new one that saw only what succeeded is what is right."""

    name = None

    @initialize()
    def begin(self):
        self.model = clone(MODELS[self.name])
        self.calls = []  # of the fit that stands, and what was added to it
        self.parameter = self.model.get_params()[PARAMETERS[self.name][0]]

    def expected(self):
        parameter, _, _ = PARAMETERS[self.name]
        fresh = clone(MODELS[self.name])
        for method, value, part, seed in self.calls:
            fresh.set_params(**{parameter: value})
            getattr(fresh, method)(FEATURES[part], labels(part, seed))
        return fresh.predict(FEATURES)

    def check(self):
        if not self.calls:
            with pytest.raises(NotFittedError):
                self.model.predict(FEATURES)
            return
        found, expected = self.model.predict(FEATURES), self.expected()
        np.testing.assert_allclose(found.energy, expected.energy, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.forces_flat, expected.forces_flat, rtol=1e-9, atol=1e-9)

    @rule(part=st.sampled_from(PARTS), seed=st.integers(0, 3))
    def fit(self, part, seed):
        try:
            self.model.fit(FEATURES[part], labels(part, seed))
        except (SkpotError, ValueError):
            assert self.parameter == PARAMETERS[self.name][2]
        else:
            self.calls = [("fit", self.parameter, part, seed)]
        self.check()

    @rule(part=st.sampled_from(PARTS), kind=st.sampled_from(["nan", "short", "shape", "huge"]))
    def fit_bad_labels(self, part, kind):
        with pytest.raises((SkpotError, ValueError)):
            self.model.fit(FEATURES[part], bad_labels(part, kind))
        self.check()

    @rule(part=st.sampled_from(PARTS), seed=st.integers(0, 3))
    def partial_fit(self, part, seed):
        if not hasattr(self.model, "partial_fit"):
            return
        try:
            self.model.partial_fit(FEATURES[part], labels(part, seed))
        except (SkpotError, ValueError):
            assert self.parameter == PARAMETERS[self.name][2]
        else:
            self.calls.append(("partial_fit", self.parameter, part, seed))
        self.check()

    @rule(part=st.sampled_from(PARTS), kind=st.sampled_from(["nan", "short", "shape"]))
    def partial_fit_bad_labels(self, part, kind):
        if hasattr(self.model, "partial_fit"):
            with pytest.raises((SkpotError, ValueError)):
                self.model.partial_fit(FEATURES[part], bad_labels(part, kind))
            self.check()

    @rule(k=st.integers(0, 2))
    def set_parameter(self, k):
        name, good, bad = PARAMETERS[self.name]
        self.parameter = [*good, bad][k]
        self.model.set_params(**{name: self.parameter})
        self.check()

    @rule()
    def set_nonsense(self):
        with pytest.raises(ValueError, match="Invalid parameter"):
            self.model.set_params(nonsense=1)
        self.check()

    @rule()
    def refuse_other_features(self):
        with pytest.raises((SkpotError, NotFittedError)):
            self.model.predict(OTHER)
        self.check()

    @rule(part=st.sampled_from(PARTS))
    def interrupt(self, part):
        """Stop where labels are read, as Ctrl-C may."""

        class Stopping(Targets):
            @property
            def energy(self):
                raise KeyboardInterrupt

        y = labels(part)
        stopping = copy.copy(y)
        stopping.__class__ = Stopping
        with pytest.raises(KeyboardInterrupt):
            self.model.fit(FEATURES[part], stopping)
        self.check()

    @rule(how=st.sampled_from([copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]))
    def go_on_with_a_copy(self, how):
        self.model = how(self.model)
        self.check()


@pytest.mark.parametrize("name", MODELS)
def test_any_sequence_of_calls_is_as_good_as_a_new_model(name):
    machine = type("CallsOfModel", (Calls,), {"name": name})
    run_state_machine_as_test(machine, settings=bounded(10, stateful_step_count=15))


def test_any_sequence_of_fits_of_a_pipeline():
    """After any of them, a pipeline predicts as a new one or says that it has to be fitted."""

    class Pipelines(RuleBasedStateMachine):
        @initialize()
        def begin(self):
            self.model = _pipeline()
            self.good = None

        @rule(part=st.sampled_from(PARTS), seed=st.integers(0, 2), n_max=st.integers(1, 3))
        def fit(self, part, seed, n_max):
            self.model.set_params(soap__n_max=n_max).fit(X[part], labels(part, seed))
            self.good = part, seed, n_max
            self.check(must=True)

        @rule(part=st.sampled_from(PARTS), kind=st.sampled_from(["nan", "short", "shape", "huge"]))
        def fit_bad(self, part, kind):
            with pytest.raises((SkpotError, ValueError)):
                self.model.fit(X[part], bad_labels(part, kind))
            self.check()

        @rule(n_max=st.sampled_from([-1, 0, 1, 3, "many"]))
        def set_parameter(self, n_max):
            self.model.set_params(soap__n_max=n_max)
            self.check()

        def check(self, must=False):
            try:
                found = self.model.predict(X)
            except (SkpotError, NotFittedError):
                assert not must
                return
            part, seed, n_max = self.good
            expected = _pipeline().set_params(soap__n_max=n_max).fit(X[part], labels(part, seed))
            expected = expected.predict(X)
            np.testing.assert_allclose(found.energy, expected.energy, rtol=1e-9)
            np.testing.assert_allclose(found.forces_flat, expected.forces_flat, atol=1e-9)

    run_state_machine_as_test(Pipelines, settings=bounded(8, stateful_step_count=10))


def _pipeline():
    steps = registry.DESCRIPTORS["SOAP"], registry.REGRESSORS["SparseGPR"]
    return make_pipeline(*map(clone, steps))
