"""Whatever is not finite on the way is refused by what it is; no fitted model holds a NaN."""

import inspect
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

import skpot
from skpot._sklearn import InvalidParameterError
from skpot.exceptions import LabelError, NumericalError, SkpotError, SkpotWarning, StructureError
from skpot.solvers import TriangularFactor, jittered_cholesky
from tests import registry
from tests.test_contract import ids

REGRESSORS = registry.REGRESSORS
HUGE = (1e60, 1e160, 1e300, np.inf, -np.inf, np.nan)
UNKNOWN = {"cv_results_", "learning_curves_", "log_marginal_likelihood_"}  # NaN: there is none


def refused_or_sound(model, X, y, **options):
    """Return the error of a fit, or None after a look at all numbers of the fitted model."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", SkpotWarning)
        try:
            model.fit(X, y, **options)
        except (SkpotError, InvalidParameterError) as error:
            assert not any(name.endswith("_") for name in vars(model))
            return error
    for name, value in numbers_of(model):
        assert np.isfinite(value).all(), f"{name} of {model} is not finite"
    y = model.predict(X)
    assert np.isfinite(y.energy).all() and np.isfinite(y.forces_flat).all()
    return None


def numbers_of(value, name=""):
    """Yield all fitted numbers, those of nested estimators too."""
    if isinstance(value, BaseEstimator):
        fitted = {k: v for k, v in vars(value).items() if k.endswith("_") and k not in UNKNOWN}
        for key, part in fitted.items():
            yield from numbers_of(part, f"{name}.{key}")
    elif isinstance(value, dict):
        for key, part in value.items():
            if not str(key).startswith("sigma"):  # levels as given
                yield from numbers_of(part, f"{name}[{key}]")
    elif isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
        yield name, value


def with_feature(features, value):
    values = features.values.copy()
    values[features.offsets[4] + 1, 2] = value
    return features.mapped(values, features.derivatives, origin=features.origin)


@pytest.mark.parametrize("regressor", ids(REGRESSORS))
def test_every_method_refuses_features_that_the_model_cannot_know(regressor, features, targets):
    model = clone(regressor).fit(features, targets)
    nan = with_feature(features, np.nan)
    narrow = features.select(np.arange(features.shape[1] - 1))
    mirrored = features.select(np.arange(features.shape[1])[::-1])
    names = ["predict", "evaluate", "decompose", "energy_std", "energies_std", "predict_std"]
    for name in [*names, "extrapolation_grade", "predict_members"]:
        for other in (nan, narrow, mirrored) if hasattr(model, name) else ():
            with pytest.raises(ValueError, match="hold nan|was fitted with|differ from those"):
                getattr(model, name)(other)


@pytest.mark.parametrize("step", ids(registry.FEATURE_STEPS))
def test_steps_refuse_features_that_are_not_finite_by_structure(step, features):
    for value in HUGE:
        for method in (clone(step).fit, clone(step).fit(features).transform):
            with pytest.raises(StructureError, match="structure 4: features of row 1"):
                method(with_feature(features, value))


@pytest.mark.parametrize("regressor", ids(REGRESSORS))
def test_features_that_are_not_finite_are_refused_by_structure(regressor, features, targets):
    for value in HUGE:
        error = refused_or_sound(clone(regressor), with_feature(features, value), targets)
        assert isinstance(error, StructureError), value
        assert "structure 4: features of row 1 hold" in str(error)
    model = clone(regressor).fit(features, targets)
    with pytest.raises(StructureError, match="structure 4: features of row 1"):
        model.predict(with_feature(features, np.nan))


class Broken:
    """A chain whose derivatives are not finite in one structure."""

    def __init__(self, chain, value, offsets, structure):
        self.chain, self.value, self.offsets, self.structure = chain, value, offsets, structure

    def __getattr__(self, name):
        return getattr(self.chain, name)

    def take(self, structures):
        structures = np.asarray(structures)
        sizes = np.diff(self.offsets)[structures]
        place = np.flatnonzero(structures == self.structure)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        own = int(place[0]) if len(place) else -1
        return Broken(self.chain.take(structures), self.value, offsets, own)

    def jacobian(self, centers):
        block = self.chain.jacobian(centers)
        structure = np.searchsorted(self.offsets, np.asarray(centers), side="right") - 1
        values = block.values.copy()
        values[np.repeat(structure == self.structure, np.diff(block.start))] *= self.value
        return block._replace(values=values)


@pytest.mark.parametrize("name", ["SparseGPR", "SparseGPRCV", "GPR", "LinearRidge"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_derivatives_that_are_not_finite_are_refused(name, value, features, targets):
    chain = Broken(features.derivatives, value, features.offsets, 5)
    broken = features.mapped(features.values, chain)
    error = refused_or_sound(clone(REGRESSORS[name]), broken, targets)
    assert isinstance(error, NumericalError)
    if name != "GPR":  # which has all labels in one matrix
        assert str(error).startswith("the forces of structure 5 cannot be learned from")


@pytest.mark.parametrize("regressor", ids(REGRESSORS))
def test_huge_labels_leave_no_nan(regressor, targets, features):
    for value in (1e12, 1e60, 1e160, 1e300, -1e308):
        energy = targets.energy.copy()
        energy[2] = value
        forces = [f.copy() for f in targets.forces]
        forces[2][0, 0] = value
        for y in (
            skpot.Targets(energy, targets.forces),
            skpot.Targets(targets.energy, forces),
            skpot.Targets(np.full(len(energy), value), [np.full_like(f, value) for f in forces]),
        ):
            refused_or_sound(clone(regressor), features, y)


@pytest.mark.parametrize("regressor", ids(REGRESSORS))
def test_noise_and_weights_out_of_range_are_refused_by_structure(regressor, targets, features):
    for level in (1e-300, 1e-160, 1e160, 1e300):
        if "estimator" in regressor.get_params() or isinstance(regressor, skpot.SparseGPRCV):
            break  # has no such parameter, or takes no noise in y
        for kind in ("energy", "forces"):
            model = clone(regressor).set_params(**{f"sigma_{kind}": level})
            assert refused_or_sound(model, features, targets) is not None
        sigma = np.full(len(features), 0.1)
        sigma[4] = level
        y = skpot.Targets(targets, sigma_energy=sigma)
        error = refused_or_sound(clone(regressor), features, y)
        assert isinstance(error, LabelError) and "structure 4: " in str(error)
    if "sample_weight" not in inspect.signature(regressor.fit).parameters:
        return
    for value in (0.0, 1e-320, 1e-200, 1e200, 1e308, np.inf, np.nan, -1.0):
        weight = np.ones(len(features))
        weight[1] = value
        error = refused_or_sound(clone(regressor), features, targets, sample_weight=weight)
        assert (error is None) == (value == 0.0), value
        error = refused_or_sound(clone(regressor), features, targets, sample_weight=value * weight)
        assert error is not None, value


@pytest.mark.parametrize("regressor", ids(REGRESSORS))
def test_kernels_that_leave_the_range_of_numbers(regressor, targets, features):
    for scale in (1e-30, 1e10, 1e30, 1e45):
        large = features.mapped(scale * features.values, features.derivatives)
        refused_or_sound(clone(regressor), large, targets)
    for variance in (1e-40, 1e40):
        model = clone(regressor)
        names = [name for name in model.get_params() if name.endswith("variance")]
        if names:
            refused_or_sound(model.set_params(**{names[0]: variance}), features, targets)


def test_solvers_refuse_what_is_not_finite():
    for value in (np.nan, np.inf):
        rows = np.ones((4, 4))
        rows[1, 2] = value
        factor = TriangularFactor(np.eye(3))
        for take in (factor.fold, factor.merge):
            with pytest.raises(NumericalError, match="a row of the least-squares system"):
                take(rows.copy())
        np.testing.assert_array_equal(factor.matrix, np.eye(3))
        with pytest.raises(NumericalError, match="covariance of the references"):
            jittered_cholesky(rows)
