"""Parameters set after a fit change nothing; steps that were not fitted together are refused."""

import numpy as np
import pytest
from ase.build import bulk
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils._param_validation import Interval, StrOptions

import skpot
from skpot import kernels
from skpot.descriptors import SymmetryFunction, descriptor_cache
from skpot.exceptions import InputError
from skpot.testing import sample_structures
from tests import registry
from tests.samples import crystals
from tests.test_contract import molecules

STEPS = registry.DESCRIPTORS | registry.MOLECULAR | registry.FEATURE_STEPS
OTHER = {  # valid values of parameters whose constraints do not tell one
    "pair_cutoffs": {("Si", "Si"): 2.0},
    "species_weights": {"Si": 0.5},
    "species": ["C", "Si"],
    "random_state": 7,
    "functions": [SymmetryFunction("G1")],
    "zetas": (2.0,),
    "species_vectors": {"Si": [1.0, 2.0]},
    "transformer": MinMaxScaler(),
    "radial_scaling": (2.0, 3.0),
}


def other_value(estimator, name):
    """Return a valid value that differs from the present one."""
    old = getattr(estimator, name)
    if name in OTHER:
        return OTHER[name]
    for constraint in type(estimator)._parameter_constraints[name]:
        if constraint == "boolean":
            return not old
        if isinstance(constraint, StrOptions):
            return next(v for v in sorted(constraint.options) if v != old)
        if isinstance(constraint, Interval):
            value = 2.0 if constraint.type.__name__ != "Integral" else 2
            value = value + 1 if old == value else value
            return value if value in constraint else 0.5
    raise AssertionError(f"add a valid value of {name} to OTHER")


def input_of(name):
    if name in registry.DESCRIPTORS:
        return sample_structures(["Si"])
    if name in registry.MOLECULAR:
        return molecules()[:3]
    return registry.DESCRIPTORS["SOAP"].fit_transform(sample_structures(["Si"]))


def output(step, X):
    descriptor_cache.clear()
    features = step.transform(X)
    g = np.random.default_rng(0).normal(size=features.values.shape)
    block = features.jacobian(np.arange(min(3, len(features.values))))
    names = step.get_feature_names_out()
    return features.values, *features.pull_back(g), *block, names, features.origin


@pytest.mark.parametrize("name", STEPS)
def test_parameters_set_after_the_fit_change_nothing(name):
    X = input_of(name)
    step = clone(STEPS[name]).fit(X)
    before = output(step, X)
    for parameter in step.get_params(deep=False):
        set_later = clone(step)
        set_later.__dict__ = dict(vars(step))
        set_later.set_params(**{parameter: other_value(step, parameter)})
        for a, b in zip(before, output(set_later, X), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=parameter)


@pytest.mark.parametrize("name", registry.DESCRIPTORS)
def test_kernels_are_not_entered_with_arrays_that_do_not_agree(name):
    X = input_of(name)
    descriptor = clone(STEPS[name]).set_params(cache=False).fit(X)
    descriptor.transform(X)
    arrays = {k: v for k, v in vars(descriptor).items() if isinstance(v, np.ndarray) and v.size}
    tables = vars(descriptor).get("terms_", {})
    for key, value in [*arrays.items(), *tables.items(), ("n_features_out_", 3)]:
        if key == "species_" or np.ndim(value) == 0 and key != "n_features_out_":
            continue
        broken = clone(descriptor)
        broken.__dict__ = dict(vars(descriptor))
        changed = value[: len(value) // 2] if np.ndim(value) else value
        if key in arrays or key == "n_features_out_":
            setattr(broken, key, changed)
        else:
            broken.terms_ = tables | {key: changed}
        try:
            broken.transform(X)
        except InputError:
            continue
        raise AssertionError(f"{key} was halved, and nobody noticed")


@pytest.mark.parametrize("name", STEPS)
def test_the_same_content_has_the_same_origin_and_other_content_another(name):
    X = input_of(name)
    step = clone(STEPS[name]).fit(X)
    features = step.transform(X)
    assert features.origin is not None
    assert features[1:].origin == features.origin == step.transform(X[:1]).origin
    assert np.concatenate([features[:1], features[1:]]).origin == features.origin
    assert clone(STEPS[name]).fit(X).transform(X).origin == features.origin
    others = [n for n in STEPS if n != name and type(STEPS[n]) is not type(STEPS[name])]
    assert all(
        clone(STEPS[n]).fit(input_of(n)).origin_[0] != features.origin.key for n in others[::4]
    )


# Mixtures of steps that were not fitted together -------------------------------------------------

FRAMES = crystals("Si")
ENERGIES = np.array([frame.positions[0].sum() for frame in FRAMES])

OF_EQUAL_WIDTH = {  # the same descriptor or step with another parameter
    "SOAP": (skpot.SOAP(3.0, 2, 1), {"sigma": 0.4}),
    "SOAP-normalize": (skpot.SOAP(3.0, 2, 1), {"normalize": False}),
    "SOAP-optimal": (skpot.SOAP(3.0, 2, 1, radial_basis="optimal"), {"cutoff": 3.5}),
    "PairBasis": (skpot.PairBasis(3.0, 6), {"cutoff": 4.0}),
    "TripletBasis": (skpot.TripletBasis(3.0, 4), {"r_min": 0.4}),
    "SymmetryFunctions": (skpot.SymmetryFunctions(3.0, 3, 1), {"cutoff_function": "tanh"}),
}


def regressors():
    # No more than one estimator of a kind: the check is the same for all.
    return {
        "SparseGPR": skpot.SparseGPR(n_sparse=5),
        "GPR": skpot.GPR(),
        "LinearRidge": skpot.LinearRidge(),
        "Committee": skpot.Committee(skpot.SparseGPR(kernels.RBF(), n_sparse=5), n_members=2),
        "SparseGPRCV": skpot.SparseGPRCV(n_sparse=5, cv=2, kernel_params={"zeta": [1, 2]}),
        "AutoGPR": skpot.AutoGPR(kernels.RBF()),
    }


@pytest.mark.parametrize("name", OF_EQUAL_WIDTH)
def test_features_of_another_descriptor_of_equal_width_are_refused(name):
    descriptor, changed = OF_EQUAL_WIDTH[name]
    model = make_pipeline(clone(descriptor), skpot.SparseGPR(n_sparse=5)).fit(FRAMES, ENERGIES)
    expected = model.predict(FRAMES)
    model[0].set_params(**changed)
    np.testing.assert_array_equal(model.predict(FRAMES), expected)
    other = model[0].fit(FRAMES).transform(FRAMES)
    for attempt in (
        lambda: model.predict(FRAMES),
        lambda: skpot.compile(model),
        lambda: skpot.Calculator(model).get_potential_energy(FRAMES[0]),
        lambda: np.concatenate([clone(descriptor).fit_transform(FRAMES), other]),
    ):
        with pytest.raises(InputError, match="fitted again"):
            attempt()
    model[0].set_params(**descriptor.get_params()).fit(FRAMES)  # as it was: all is well again
    np.testing.assert_array_equal(model.predict(FRAMES), expected)
    skpot.compile(model)


@pytest.mark.parametrize("name", regressors())
def test_every_regressor_refuses_features_of_another_origin(name):
    first, second = (skpot.PairBasis(c, 6).fit_transform(FRAMES) for c in (3.0, 3.5))
    model = regressors()[name].fit(first, ENERGIES)
    model.predict(first[2:])
    unknown = skpot.AtomicFeatures(first.values, first.offsets, first.species)
    with pytest.raises(InputError, match="differ from those .* fitted again"):
        model.predict(second)
    with pytest.raises(InputError, match="do not tell what made them"):
        model.predict(unknown)
    model.fit(unknown, ENERGIES).predict(first)


@pytest.mark.parametrize(
    "step",
    [
        skpot.PerAtom(StandardScaler()),
        skpot.PerAtom(PCA(3)),
        skpot.PrincipalComponents(3),
        skpot.PerStructure(StandardScaler()),
        skpot.SpeciesCoupling(),
    ],
    ids=str,
)
def test_steps_that_were_not_fitted_together_are_refused(step):
    model = make_pipeline(skpot.PairBasis(3.0, 6), clone(step), skpot.GPR(kernels.RBF()))
    model.fit(FRAMES, ENERGIES).predict(FRAMES)
    other = model[0].transform(FRAMES[:2])
    model[1].fit(skpot.PairBasis(3.1, 6).fit_transform(FRAMES))
    with pytest.raises(InputError, match=f"this {type(step).__name__} was fitted on"):
        model[1].transform(other)
    model[0].set_params(cutoff=3.1).fit(FRAMES)
    model[1].transform(model[0].transform(FRAMES))
    with pytest.raises(InputError, match="this GPR was fitted on"):
        model.predict(FRAMES)


def test_unions_and_interrupted_fits_of_a_pipeline(monkeypatch):
    parts = [("pairs", skpot.PairBasis(3.0, 6)), ("soap", skpot.SOAP(3.0, 2, 1))]
    model = make_pipeline(FeatureUnion(parts), skpot.PerAtom(StandardScaler()), skpot.LinearRidge())
    expected = model.fit(FRAMES, ENERGIES).predict(FRAMES)
    np.testing.assert_array_equal(model.predict(FRAMES), expected)
    skpot.compile(model, FRAMES[:1])
    model.set_params(featureunion__pairs__cutoff=3.3)
    monkeypatch.setattr(skpot.LinearRidge, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(FRAMES, ENERGIES)
    for attempt in (lambda: model.predict(FRAMES), lambda: skpot.compile(model)):
        with pytest.raises(InputError, match="interrupted"):
            attempt()


def interrupted(self, X, y=None):
    raise KeyboardInterrupt


def test_files_copies_and_the_cache_keep_the_origin(tmp_path):
    model = make_pipeline(skpot.SOAP(3.0, 2, 1), skpot.SparseGPR(n_sparse=5))
    model.fit(FRAMES, ENERGIES)
    skpot.dump(model, tmp_path / "model.skpot")
    loaded = skpot.load(tmp_path / "model.skpot")
    features = model[0].transform(FRAMES)
    expected = model.predict(FRAMES)
    np.testing.assert_array_equal(loaded[-1].predict(features), expected)
    np.testing.assert_array_equal(model[-1].predict(loaded[0].transform(FRAMES)), expected)
    mixed = [FRAMES[0], bulk("Si"), *FRAMES[1:]]  # some are cached, one is not
    assert loaded[0].transform(mixed).origin == features.origin
