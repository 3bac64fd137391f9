"""scikit-learn's tools on lists of structures, with forces scored."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.pipeline import FeatureUnion, make_pipeline

from skpot import SOAP, SparseGPR, Targets
from skpot.descriptors import descriptor_cache
from skpot.kernels import DotProduct
from skpot.metrics import energy_rmse, forces_rmse, stress_rmse
from skpot.testing import sample_structures

SCORERS = ["neg_energy_rmse", "neg_forces_rmse", "neg_stress_rmse"]


@pytest.fixture(scope="module")
def data():
    """Return bulk and cluster structures with forces of a Lennard-Jones-like pair potential."""
    X = [a for seed in range(12) for a in sample_structures(random_state=seed)[:3:2]]
    energy, forces, stress = [], [], []
    for atoms in X:
        pairs = SOAP(cutoff=4.0).fit([atoms]).transform([atoms]).derivatives.graph.pairs
        r = np.linalg.norm(pairs.vector, axis=1)
        slope = -4 * (r - 4.0) ** 3 * 0.05
        energy.append(-0.025 * np.sum((r - 4.0) ** 4) - 3.0 * len(atoms))
        first = np.repeat(np.arange(len(atoms)), np.diff(pairs.start))
        f = np.zeros((len(atoms), 3))
        np.add.at(f, first, slope[:, None] * pairs.vector / r[:, None])
        forces.append(f)
        virial = np.einsum("p,pa,pb->ab", 0.5 * slope / r, pairs.vector, pairs.vector)
        stress.append(virial / atoms.get_volume() if atoms.pbc.all() else None)
    return X, Targets(energy, forces, stress), np.repeat(np.arange(12), 2)


@pytest.fixture
def model():
    soap = SOAP(cutoff=4.0, n_max=4, l_max=2)
    return make_pipeline(soap, SparseGPR(DotProduct(zeta=2), n_sparse=30))


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_grid_search_by_name(data, model, n_jobs):
    X, y, groups = data
    grid = {"sparsegpr__kernel__zeta": [1, 2], "sparsegpr__sigma_forces": [0.01, 10.0]}
    search = GridSearchCV(
        model, grid, scoring=SCORERS, refit="neg_forces_rmse", cv=GroupKFold(3), n_jobs=n_jobs
    )
    search.fit(X, y, groups=groups)
    assert search.best_params_["sparsegpr__sigma_forces"] == 0.01
    assert isinstance(search.predict(X[:2]), Targets)
    for name in SCORERS:
        assert np.all(search.cv_results_[f"mean_test_{name}"] < 0)
    best = search.cv_results_["mean_test_neg_forces_rmse"].max()
    by_hand = [
        forces_rmse(y[test], clone(search.best_estimator_).fit(_at(X, train), y[train]).predict(
            _at(X, test)))
        for train, test in GroupKFold(3).split(X, y, groups)
    ]  # fmt: skip
    assert -best == pytest.approx(np.mean(by_hand), rel=1e-6)


def _at(X, rows):
    return [X[i] for i in rows]


def test_forces_are_learned_better_with_forces(data, model):
    X, y, _ = data
    model.set_params(sparsegpr__sigma_forces=0.01)
    both = cross_validate(model, X, y, scoring="neg_forces_rmse", cv=KFold(3))
    plain = Targets(y.energy)
    folds = list(KFold(3).split(X))
    energies_only = [
        forces_rmse(y[test], clone(model).fit(_at(X, train), plain[train]).predict(_at(X, test)))
        for train, test in folds
    ]
    assert -both["test_score"].mean() < 0.7 * np.mean(energies_only)


@pytest.mark.parametrize(
    "search",
    [
        lambda m: RandomizedSearchCV(
            m, {"sparsegpr__n_sparse": [5, 10, 20]}, n_iter=2, random_state=0,
            scoring="neg_forces_rmse", cv=3,
        ),
        lambda m: HalvingGridSearchCV(
            m, {"sparsegpr__n_sparse": [5, 20]}, scoring="neg_forces_rmse", cv=3, min_resources=12,
            random_state=0,
        ),
    ],
)  # fmt: skip
def test_other_searches(data, model, search):
    X, y, _ = data
    fitted = search(model).fit(X, y)
    assert np.isfinite(fitted.best_score_) and fitted.best_score_ < 0


def test_cross_val_predict_keeps_forces_and_stress(data, model):
    X, y, groups = data
    predicted = cross_val_predict(model, X, y, groups=groups, cv=GroupKFold(4))
    assert isinstance(predicted, Targets)
    assert predicted.has_forces.all()
    for metric in (energy_rmse, forces_rmse, stress_rmse):
        assert 0 < metric(y, predicted) < 1


def test_learning_and_validation_curves(data, model):
    X, y, _ = data
    _, _, score = learning_curve(
        model, X, y, train_sizes=[0.2, 1.0], cv=3, scoring="neg_forces_rmse"
    )
    assert score[1].mean() > score[0].mean()
    _, score = validation_curve(
        model, X, y, param_name="sparsegpr__n_sparse", param_range=[2, 30], cv=3,
        scoring="neg_forces_rmse",
    )  # fmt: skip
    assert score[1].mean() > score[0].mean()


def test_feature_union_in_a_search(data):
    X, y, _ = data
    union = FeatureUnion([("near", SOAP(3.0, 3, 2)), ("far", SOAP(4.5, 3, 2))])
    model = make_pipeline(union, SparseGPR(n_sparse=20))
    grid = {"featureunion__near__n_max": [2, 3]}
    search = GridSearchCV(model, grid, scoring="neg_forces_rmse", cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_pipeline_memory(data, model, tmp_path):
    X, y, _ = data
    cached = clone(model).set_params(memory=str(tmp_path))
    for estimator in (cached, clone(cached)):
        predicted = estimator.fit(X, y).predict(X)
        expected = clone(model).fit(X, y).predict(X)
        np.testing.assert_allclose(predicted.forces_flat, expected.forces_flat, atol=1e-9)
    other = Targets(y.energy)  # the same energies without forces must not meet the old cache entry
    assert cached.fit(X, other)[-1].n_rows_ == len(X)


def test_features_are_an_x(data, model):
    X, y, groups = data
    features = model[0].fit_transform(X)
    search = GridSearchCV(
        model[-1], {"n_sparse": [5, 20]}, scoring="neg_forces_rmse", cv=GroupKFold(3)
    ).fit(features, y, groups=groups)
    whole = GridSearchCV(
        model, {"sparsegpr__n_sparse": [5, 20]}, scoring="neg_forces_rmse", cv=GroupKFold(3)
    ).fit(X, y, groups=groups)
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], whole.cv_results_["mean_test_score"], rtol=1e-6
    )


def test_a_search_computes_every_descriptor_once(data, model):
    X, y, _ = data
    descriptor_cache.clear()
    GridSearchCV(
        model, {"sparsegpr__n_sparse": [5, 10, 20]}, scoring="neg_forces_rmse", cv=KFold(4)
    ).fit(X, y)
    assert descriptor_cache.misses == len(X)
    assert descriptor_cache.hits > 10 * len(X)


def test_the_cache_changes_nothing(data, model):
    X, _, _ = data
    cached, fresh = model[0].fit(X), SOAP(cutoff=4.0, n_max=4, l_max=2, cache=False).fit(X)
    cached.transform(X[::2])
    a, b = cached.transform(X), fresh.transform(X)
    assert np.array_equal(a.values, b.values)
    g = np.random.default_rng(0).normal(size=a.values.shape)
    for mine, theirs in zip(a.pull_back(g), b.pull_back(g), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)
    moved = [X[0].copy()]
    moved[0].positions[0, 0] += 1e-3
    assert not np.array_equal(cached.transform(moved).values, a[0].values)


def test_routed_sample_weight_and_groups(data, model):
    X, y, groups = data
    weight = np.linspace(0.1, 2.0, len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        gpr = SparseGPR(n_sparse=20).set_fit_request(sample_weight=True)
        routed = make_pipeline(SOAP(cutoff=4.0, n_max=4, l_max=2), gpr)
        result = cross_validate(
            routed, X, y, cv=GroupKFold(3),
            scoring=get_scorer("neg_forces_rmse").set_score_request(sample_weight=True),
            params={"sample_weight": weight, "groups": groups}, return_estimator=True,
        )  # fmt: skip
    train, _ = next(GroupKFold(3).split(X, y, groups))
    by_hand = SparseGPR(n_sparse=20).fit(
        routed[0].fit_transform(_at(X, train)), y[train], sample_weight=weight[train]
    )
    np.testing.assert_allclose(
        result["estimator"][0][-1].predict(routed[0].fit(_at(X, train)).transform(X)).energy,
        by_hand.predict(routed[0].transform(X)).energy,
        rtol=1e-9,
    )
