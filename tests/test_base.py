import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import make_pipeline

import skpot
from skpot._base import ContainerOutput, VersionedEstimator
from skpot.exceptions import ParameterError, SkpotWarning
from tests.project import ROOT


class Bag(list):
    pass


class Packer(ContainerOutput, VersionedEstimator, TransformerMixin, BaseEstimator):
    def __init__(self, size=1):
        self.size = size

    def fit(self, X, y=None):
        self.n_features_in_ = 1
        return self

    def transform(self, X):
        return Bag(X)

    def get_feature_names_out(self, input_features=None):
        return np.array(["x"], dtype=object)


def test_the_version_is_stamped_and_taken_off_again():
    packer = Packer(3).fit([1])
    assert packer.__getstate__()["_skpot_version"] == skpot.__version__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = pickle.loads(pickle.dumps(packer))
        clone(packer)
    assert vars(again) == vars(packer)


@pytest.mark.parametrize("old", ["0.0.1", None])
def test_another_version_warns_and_names_both(old):
    state = Packer(3).__getstate__()
    if old is None:
        del state["_skpot_version"]
    else:
        state["_skpot_version"] = old
    packer = Packer.__new__(Packer)
    message = f"Packer of skpot from version {old or 'unknown'}.*version {skpot.__version__}"
    with pytest.warns(InconsistentVersionWarning, match=message):
        packer.__setstate__(state)
    assert packer.size == 3 and not hasattr(packer, "_skpot_version")


def test_containers_are_never_turned_into_data_frames():
    packer = Packer().fit([1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in (None, "default"):
            assert packer.set_output(transform=kind) is packer
    for kind in ("pandas", "polars"):
        with pytest.warns(SkpotWarning, match="AtomicFeatures as they are.*to_pandas()"):
            assert packer.set_output(transform=kind) is packer
        assert type(packer.transform([1, 2])) is Bag
        with config_context(transform_output=kind):
            assert type(Packer().fit_transform([1, 2])) is Bag
    with pytest.raises(ParameterError, match="transform='panda' is not one of 'default', 'pandas'"):
        packer.set_output(transform="panda")


def test_a_pipeline_says_once_that_its_steps_return_containers():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        pipeline = make_pipeline(Packer(), Packer()).set_output(transform="pandas")
    assert [w.category for w in shown] == [SkpotWarning]
    assert type(pipeline.fit_transform([1, 2])) is Bag


def test_public_names():
    assert set(skpot.__all__) <= set(dir(skpot))
    assert skpot.Targets is skpot.data.Targets
    with pytest.raises(AttributeError, match="no attribute 'SOUP'"):
        skpot.SOUP  # noqa: B018


def run(code):
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_scorers_are_known_to_what_scikit_learn_had_imported_before():
    code = """
from sklearn.model_selection import GridSearchCV, cross_val_score, learning_curve
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge
import skpot, numpy as np
X, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20.0)
skpot.Targets
print(GridSearchCV(Ridge(), {"alpha": [1.0]}, scoring="neg_energy_rmse").fit(X, y).best_score_ < 0)
print((cross_val_score(Ridge(), X, y, scoring="neg_energy_mae") < 0).all())
learning_curve(Ridge(), X, y, scoring="neg_energy_mae")
permutation_importance(Ridge().fit(X, y), X, y, scoring="neg_energy_mae")
"""
    assert run(code).split() == ["True", "True"]


@pytest.mark.parametrize("package", ["data", "descriptors", "models", "compose", "metrics"])
def test_every_door_registers_the_scorers(package):
    scorer = "from sklearn.metrics import get_scorer; get_scorer('neg_stress_mae')"
    run(f"import skpot.{package}; {scorer}")


class Adder(VersionedEstimator, BaseEstimator):
    """Sums what it is given, and fails in between if told to."""

    def __init__(self, fail=None):
        self.fail = fail

    def fit(self, X, y=None):
        assert not hasattr(self, "total_")
        self.total_ = 0.0
        return self.partial_fit(X)

    def partial_fit(self, X, y=None):
        self.total_ = self.total_ + sum(X)
        if self.fail is not None:
            raise self.fail
        self.n_ = getattr(self, "n_", 0) + len(X)
        return self


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError, SystemExit])
def test_a_method_that_fails_changes_nothing(error):
    adder = Adder(error)
    with pytest.raises(error):
        adder.fit([1])
    assert vars(adder) == {"fail": error}
    adder.set_params(fail=None)
    assert adder.fit([1, 2]) is adder and adder.partial_fit([3]) is adder
    before = dict(vars(adder.set_params(fail=error)))
    for method in (adder.fit, adder.partial_fit):
        with pytest.raises(error):
            method([4])
        assert vars(adder) == before and (adder.total_, adder.n_) == (6.0, 3)


class Doubled(Adder):
    """Sets something before and after the fit of its base."""

    def fit(self, X, y=None):
        self.factor_ = 2
        super().fit([self.factor_ * x for x in X])
        self.offset_ = self.factor_ + self.n_
        return self


def test_subclasses_may_set_something_before_their_base_fits():
    model = Doubled()
    assert model.fit([1, 2]) is model
    assert vars(model) == {"fail": None, "factor_": 2, "total_": 6.0, "n_": 2, "offset_": 4}


def test_a_fit_begins_anew_and_keeps_what_is_no_result_of_a_fit():
    adder = Adder().fit([1, 2])
    adder.stale_, adder._note = True, "kept"
    assert vars(adder.fit([5])) == {"fail": None, "_note": "kept", "total_": 5.0, "n_": 1}
