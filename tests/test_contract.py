"""What scikit-learn expects of every estimator."""

import copy
import functools
import importlib.util
import inspect
import pickle

import joblib
import numpy as np
import pytest
import sklearn
from ase import Atoms
from ase.build import molecule
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

import skpot
from skpot import kernels, persistence
from skpot.exceptions import SkpotWarning
from tests import registry, samples

ALL = registry.ESTIMATORS | registry.KERNELS
TRANSFORMERS = registry.DESCRIPTORS | registry.MOLECULAR | registry.FEATURE_STEPS


def ids(mapping):
    return [pytest.param(value, id=name) for name, value in mapping.items()]


@functools.cache
def molecules():
    return samples.displaced(12 * [molecule("CH3OH")], 0.05, seed=1)


def input_of(estimator, structures, features):
    """Return what an estimator of this kind takes."""
    for group, X in (
        (registry.DESCRIPTORS | registry.STRUCTURE_REGRESSORS, structures),
        (registry.MOLECULAR, molecules()),
        (registry.MOLECULAR_REGRESSORS, skpot.InverseDistances().fit_transform(molecules())),
    ):
        if type(estimator) in {type(member) for member in group.values()}:
            return X
    return features


def labels_of(estimator, targets):
    """Return labels of what `input_of` returns."""
    if type(estimator) not in map(type, registry.MOLECULAR_REGRESSORS.values()):
        return targets
    return samples.random_labels(molecules(), per_atom=0.0, stress=None, seed=2)


def fitted(estimator, structures, features, targets):
    """Fit a copy on what its kind takes and return it with its input."""
    estimator = clone(estimator)
    X = input_of(estimator, structures, features)
    estimator.fit(X, labels_of(estimator, targets))
    return estimator, X


def output(estimator, X):
    if hasattr(estimator, "predict"):
        y = estimator.predict(X)
        return [np.asarray(y), *y.forces]
    result = estimator.transform(X)
    return [result.values, *result.pull_back(np.ones_like(result.values))]


def assert_identical(mine, other):
    for a, b in zip(mine, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_registry_is_complete():
    known = {type(estimator) for estimator in ALL.values()}
    public = [getattr(skpot, name) for name in skpot.__all__]
    public += [getattr(kernels, name) for name in kernels.__all__]
    missing = [
        value.__name__
        for value in public
        if inspect.isclass(value) and issubclass(value, BaseEstimator) and value not in known
    ]
    assert not missing, f"add them to tests/registry.py: {missing}"


@pytest.mark.parametrize("estimator", ids(ALL))
def test_parameters(estimator):
    parameters = estimator.get_params(deep=False)
    signature = inspect.signature(type(estimator)).parameters
    assert set(parameters) == set(signature)
    copied = clone(estimator)
    assert copied is not estimator
    assert repr(copied) == repr(estimator)
    assert type(estimator)(**parameters).get_params(deep=False) == parameters
    copied.set_params(**parameters)
    with pytest.raises(ValueError, match="Invalid parameter 'no_such'"):
        copied.set_params(no_such=1)
    stored = vars(copied)
    assert set(stored) == set(parameters), "__init__ sets more than its parameters"


@pytest.mark.parametrize("estimator", ids(registry.ESTIMATORS))
def test_html_repr(estimator):
    assert type(estimator).__name__ in estimator_html_repr(estimator)


@pytest.mark.parametrize("estimator", ids(registry.ESTIMATORS))
def test_parameters_are_validated_in_fit(estimator, structures, features, targets):
    for name, constraint in type(estimator)._parameter_constraints.items():
        broken = clone(estimator).set_params(**{name: object()})
        with pytest.raises((ValueError, TypeError), match=name):
            broken.fit(input_of(estimator, structures, features), targets)
        assert constraint, f"{name} has no constraint"
    assert set(type(estimator)._parameter_constraints) == set(estimator.get_params(deep=False))


@pytest.mark.parametrize("estimator", ids(registry.ESTIMATORS))
def test_unfitted_is_refused(estimator, structures, features):
    unfitted = clone(estimator)
    X = input_of(estimator, structures, features)
    with pytest.raises(NotFittedError):
        unfitted.predict(X) if hasattr(unfitted, "predict") else unfitted.transform(X)


@pytest.mark.parametrize("estimator", ids(registry.ESTIMATORS))
@pytest.mark.parametrize("way", ["pickle", "joblib", "deepcopy", "skops"])
def test_round_trip(estimator, way, structures, features, targets, tmp_path):
    model, X = fitted(estimator, structures, features, targets)
    path = tmp_path / "model"
    if way == "pickle":
        again = pickle.loads(pickle.dumps(model))
    elif way == "deepcopy":
        again = copy.deepcopy(model)
    elif way == "joblib":
        joblib.dump(model, path)
        again = joblib.load(path, mmap_mode="r")  # read-only arrays, as workers get them
    else:
        persistence.dump(model, path)
        again = persistence.load(path, trusted=registry.TRUSTED)
    assert_identical(output(model, X), output(again, X))


@pytest.mark.parametrize("estimator", ids(registry.ESTIMATORS))
def test_fitting_leaves_parameters_and_input_alone(estimator, structures, features, targets):
    before = joblib.hash((features, targets, [a.positions for a in structures]))
    model, X = fitted(estimator, structures, features, targets)
    assert repr(model) == repr(estimator)
    output(model, X)
    assert joblib.hash((features, targets, [a.positions for a in structures])) == before


@pytest.mark.parametrize("estimator", ids(registry.ESTIMATORS))
def test_fitting_twice_gives_the_same_bits(estimator, structures, features, targets):
    model, X = fitted(estimator, structures, features, targets)
    first = output(model, X)
    assert_identical(first, output(model.fit(X, labels_of(estimator, targets)), X))
    assert_identical(first, output(fitted(estimator, structures, features, targets)[0], X))


@pytest.mark.parametrize("estimator", ids(TRANSFORMERS))
def test_feature_names_and_output(estimator, structures, features, targets):
    model, X = fitted(estimator, structures, features, targets)
    names = model.get_feature_names_out()
    assert names.dtype == object
    assert len(set(names)) == model.transform(X).shape[1]
    table = model.transform(X).to_pandas(names)
    assert list(table.columns) == list(names) and table.index.names[0] == "structure"
    for kind in ("pandas", "polars"):
        with pytest.warns(SkpotWarning, match="AtomicFeatures as they are"):
            assert model.set_output(transform=kind) is model
        assert isinstance(model.transform(X), skpot.AtomicFeatures)
        if importlib.util.find_spec(kind) is None:  # scikit-learn refuses it then
            continue
        with sklearn.config_context(transform_output=kind):
            assert isinstance(clone(model).fit_transform(X), skpot.AtomicFeatures)


@pytest.mark.parametrize("regressor", ids(registry.REGRESSORS))
def test_predict_returns_what_fit_has_seen(regressor, features, targets):
    energies = np.asarray(targets)
    with_forces = clone(regressor).fit(features, targets).predict(features)
    without = clone(regressor).fit(features, energies).predict(features)
    assert isinstance(with_forces, skpot.Targets)
    assert with_forces.forces is not None
    assert type(without) is np.ndarray


@pytest.mark.parametrize("regressor", ids(registry.REGRESSORS))
def test_score_is_r2_of_energies(regressor, features, targets):
    model = clone(regressor).fit(features, targets)
    y = np.asarray(targets)
    expected = 1 - np.mean((np.asarray(model.predict(features)) - y) ** 2) / np.var(y)
    assert model.score(features, targets) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("regressor", ids(registry.REGRESSORS))
def test_workers_give_the_same_search(regressor, structures, targets):
    model = make_pipeline(registry.DESCRIPTORS["SOAP"], regressor)
    (name,) = (name for name in model.get_params() if name.endswith("__sigma_forces"))
    grid = {name: [0.05, 0.5]}
    scores = [
        GridSearchCV(model, grid, scoring="neg_forces_rmse", cv=2, n_jobs=n, error_score="raise")
        .fit(structures, targets)
        .cv_results_["mean_test_score"]
        for n in (1, 2)
    ]
    assert np.isfinite(scores).all()
    # BLAS may split its sums differently in a worker; the references of the RBF kernel are nearly
    # dependent here, and their large coefficients amplify that.
    np.testing.assert_allclose(*scores, rtol=1e-8)


@pytest.mark.parametrize("regressor", ids(registry.REGRESSORS))
def test_cross_val_predict_keeps_forces(regressor, structures, targets):
    model = make_pipeline(registry.DESCRIPTORS["SOAP"], regressor)
    y = cross_val_predict(model, structures, targets, cv=3)
    assert [f.shape for f in y.forces] == [(len(atoms), 3) for atoms in structures]


# scikit-learn's own suite ------------------------------------------------------------------------


class OnRows:
    """Let the suite feed arrays: each row becomes a small chain of atoms, summed over again."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags

    def fit(self, X, y=None):
        rows = validate_data(self, X, dtype=float)
        learned = {k: v for k, v in vars(self).items() if k.endswith("_in_")}  # the fit is anew
        super().fit(self._convert(rows), y)
        vars(self).update(learned)
        return self

    def transform(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=float, reset=False)
        features = super().transform(self._convert(X))
        return np.add.reduceat(features.values, features.offsets[:-1])

    def fit_transform(self, X, y=None):
        return self.fit(X, y).transform(X)


class Structures(OnRows):
    def _convert(self, X):
        gaps = 1.0 + 1.0 / (1.0 + np.exp(-np.clip(X, -30, 30)))
        along = np.hstack([np.zeros((len(X), 1)), np.cumsum(gaps, axis=1)])
        return [Atoms(["Si"] * len(row), [[x, 0, 0] for x in row]) for row in along]


class Features(OnRows):
    def _convert(self, X):
        n = len(X)
        return skpot.AtomicFeatures(X, np.arange(n + 1), np.zeros(n, dtype=np.int64))


def adapted(estimator, adapter):
    """Return the estimator as an instance of a new class of this module, where pickle finds it."""
    name = f"{type(estimator).__name__}On{adapter.__name__}"
    if name not in globals():
        globals()[name] = type(name, (adapter, type(estimator)), {"__module__": __name__})
    return globals()[name](**estimator.get_params(deep=False))


SUITE = {
    **{k: adapted(v, Structures) for k, v in registry.DESCRIPTORS.items()},
    **{k: adapted(v, Structures) for k, v in registry.MOLECULAR.items()},
    **{k: adapted(v, Features) for k, v in registry.FEATURE_STEPS.items()},
    **registry.REGRESSORS,
}


def expected_failures(estimator):
    name = next(k for k, v in SUITE.items() if repr(v) == repr(estimator))
    return registry.EXPECTED_FAILURES.get(name, {})


@parametrize_with_checks(
    list(SUITE.values()), expected_failed_checks=expected_failures, xfail_strict=True
)
def test_scikit_learn_suite(estimator, check):
    check(estimator)
