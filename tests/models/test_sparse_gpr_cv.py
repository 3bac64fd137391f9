"""Cross-validation by merged factors against one fit for each fold and setting."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from skpot import SOAP, SparseGPR, SparseGPRCV, Targets
from skpot.kernels import DotProduct
from skpot.metrics import energy_rmse, forces_rmse, stress_rmse
from skpot.processes.references import References
from skpot.rows import folds as fold_factors
from tests.samples import labeled

pytestmark = pytest.mark.filterwarnings("ignore:.*occur twice")

METRICS = {"energy": energy_rmse, "forces": forces_rmse, "stress": stress_rmse}
GRID = dict(sigma_energy=[0.01, 0.05], sigma_forces=[0.05, 0.5, 5.0], sigma_stress=[0.01, 0.02])


@pytest.fixture(scope="module")
def data():
    X, y = labeled(n=5)
    features = SOAP(cutoff=3.0, n_max=3, l_max=2, sigma=0.4).fit_transform(X)
    return features, y, np.arange(len(X)) % 5


class FixedReferences(SparseGPR):
    """SparseGPR that is given its references."""

    def _choose_references(self, training):
        return References(*self.given, self.kernel_)


def like(search, model):
    """Return the model with references and reference energies of another."""
    model.set_params(e0=search.e0_)
    model.given = search.reference_features_, search.reference_species_
    return model


def refit(search, params, features, y, weight=None):
    """Fit with the search's references and reference energies, by rows."""
    sigmas = {k: v for k, v in params.items() if k.startswith("sigma")}
    kernel = clone(search.kernel_).set_params(
        **{k.removeprefix("kernel__"): v for k, v in params.items() if k.startswith("kernel")}
    )
    return like(search, FixedReferences(kernel, **sigmas)).fit(features, y, weight)


@pytest.mark.parametrize("weighted", [False, True])
def test_equals_one_fit_for_each_fold_and_setting(data, weighted):
    features, y, groups = data
    weight = np.linspace(0.5, 2.0, len(y)) if weighted else None
    search = SparseGPRCV(n_sparse=25, kernel_params={"zeta": [1, 3]}, cv=3, **GRID)
    search.fit(features, y, weight, groups=groups)
    results = search.cv_results_
    assert len(results["params"]) == 2 * 12 and search.n_splits_ == 3
    for index in range(0, 24, 5):
        for k, (train, test) in enumerate(GroupKFold(3).split(groups, groups=groups)):
            model = refit(
                search, results["params"][index], features[train], y[train],
                None if weight is None else weight[train],
            )  # fmt: skip
            predicted = model.predict(features[test])
            for kind, metric in METRICS.items():
                w = None if weight is None else weight[test]
                error = metric(y[test], predicted, sample_weight=w)
                fast = -results[f"split{k}_test_neg_{kind}_rmse"][index]
                assert fast == pytest.approx(error, rel=1e-8)
    mean = results["mean_test_neg_forces_rmse"]
    assert search.best_score_ == mean.max() and search.best_index_ == mean.argmax()
    assert search.best_params_ == results["params"][mean.argmax()]


def test_learning_curves_are_those_of_fits_to_less(data):
    features, y, groups = data
    search = SparseGPRCV(n_sparse=24, cv=KFold(4), **GRID).fit(features, y)
    curves = search.learning_curves_
    folds = [test for _, test in KFold(4).split(groups)]
    assert curves["structures"]["number"].tolist() == [
        np.mean([sum(len(folds[(k + j) % 4]) for j in range(1, n + 1)) for k in range(4)])
        for n in (1, 2, 3)
    ]

    def errors(learned, kept=slice(None)):
        found = {kind: [] for kind in METRICS}
        for k in range(4):
            train = np.concatenate([folds[(k + j) % 4] for j in range(1, learned + 1)])
            model = like(search, FixedReferences(search.kernel_, **search.best_params_))
            model.given = tuple(a[kept] for a in model.given)
            predicted = model.fit(features[train], y[train]).predict(features[folds[k]])
            for kind, metric in METRICS.items():
                if getattr(y[folds[k]], f"has_{kind}").any():
                    found[kind].append(metric(y[folds[k]], predicted))
        return {kind: np.mean(values) for kind, values in found.items()}

    species = search.reference_species_
    half = np.concatenate([np.flatnonzero(species == z)[::2] for z in np.unique(species)])
    assert curves["references"]["number"][1:].tolist() == [len(half), len(species)]
    few, fewer, whole = errors(1), errors(3, half), errors(3)
    for kind in METRICS:
        assert curves["structures"][kind][0] == pytest.approx(few[kind], rel=1e-7)
        assert curves["structures"][kind][-1] == pytest.approx(whole[kind], rel=1e-7)
        assert curves["references"][kind][1] == pytest.approx(fewer[kind], rel=1e-5)
        assert curves["references"][kind][-1] == curves["structures"][kind][-1]


def test_the_model_is_that_of_the_best_setting(data):
    features, y, _ = data
    search = SparseGPRCV(DotProduct(zeta=2), n_sparse=25, cv=4, **GRID).fit(features, y)
    model = refit(search, search.best_params_, features, y)
    a, std_a = search.predict(features, return_std=True)
    b, std_b = model.predict(features, return_std=True)
    np.testing.assert_allclose(a.energy, b.energy, rtol=1e-9)
    np.testing.assert_allclose(a.forces_flat, b.forces_flat, atol=1e-8)
    np.testing.assert_allclose(std_a, std_b, rtol=1e-6, atol=1e-8)
    assert search.label_shares_ == pytest.approx(model.label_shares_, rel=1e-7)
    assert search.n_labels_ == model.n_labels_ and search.n_rows_ == model.n_rows_
    more = features[:3], y[:3]
    np.testing.assert_allclose(
        search.partial_fit(*more).predict(features).energy,
        model.partial_fit(*more).predict(features).energy,
        rtol=1e-9,
    )


def test_hard_settings_fall_back_on_merged_factors(data, monkeypatch):
    features, y, groups = data
    options = dict(n_sparse=25, cv=3, sigma_energy=[1e-2, 1e-12], sigma_forces=[1e-12, 0.1])
    merged = []
    original = fold_factors.FoldFactors._merged
    monkeypatch.setattr(
        fold_factors.FoldFactors, "_merged", lambda *a: merged.append(a) or original(*a)
    )
    search = SparseGPRCV(**options).fit(features, y, groups=groups)
    assert 0 < len(merged) < 3 * 4
    monkeypatch.setattr(fold_factors, "_MAX_STEPS", 0)
    again = SparseGPRCV(**options).fit(features, y, groups=groups)
    for name, scores in search.cv_results_.items():
        if "test" in name:
            np.testing.assert_allclose(scores, again.cv_results_[name], rtol=1e-6)


def test_energies_alone(data):
    features, y, groups = data
    search = SparseGPRCV(n_sparse=10, cv=KFold(3, shuffle=True, random_state=0), **GRID)
    search.fit(features, y.energy)
    assert len(search.cv_results_["params"]) == 2  # levels of other labels change nothing
    assert type(search.predict(features)) is np.ndarray
    assert search.best_score_ == search.cv_results_["mean_test_neg_energy_rmse"].max()


def test_groups_of_y_make_the_folds(data):
    features, y, groups = data
    named = Targets(y, groups=[f"g{g}" for g in groups])
    a = SparseGPRCV(n_sparse=10, cv=5).fit(features, named)
    b = SparseGPRCV(n_sparse=10, cv=GroupKFold(5)).fit(features, y, groups=groups)
    np.testing.assert_array_equal(
        np.sort(a.cv_results_["mean_test_neg_forces_rmse"]),
        np.sort(b.cv_results_["mean_test_neg_forces_rmse"]),
    )
    c = SparseGPRCV(n_sparse=10, cv=5).fit(features, y)
    assert c.best_score_ != a.best_score_


@pytest.mark.parametrize(
    "options, labels, message",
    [
        (dict(cv=ShuffleSplit(3, random_state=0)), {}, "each structure into one fold"),
        (dict(sigma_forces=[]), {}, "sigma_forces must be positive numbers"),
        (dict(sigma_energy=[0.1, -1.0]), {}, "sigma_energy must be positive numbers"),
        (dict(), dict(sigma_forces=[0.1] * 20), "y has noise levels of its own"),
        (dict(kernel_params={"width": [1.0]}), {}, "Invalid parameter"),
        (dict(max_memory=2e4), {}, "max_memory allows"),
    ],
)
def test_bad_input_is_refused(data, options, labels, message):
    features, y, _ = data
    with pytest.raises(ValueError, match=message):
        SparseGPRCV(n_sparse=10, **options).fit(features, Targets(y, **labels))
    with pytest.raises(ValueError, match="no structure has a label to score"):
        SparseGPRCV(n_sparse=5, scoring="neg_stress_rmse").fit(features, y.energy)


@pytest.mark.parametrize("weighted", [False, True])
def test_leaving_one_structure_out_equals_refits(data, weighted):
    features, y, _ = data
    features, y = features[4:16], y[4:16]
    weight = np.linspace(0.0, 2.0, len(y)) if weighted else np.ones(len(y))
    y = y.relabeled([None, *y.energy[1:]], [*y.forces[:-1], None], y.stress)
    model = FixedReferences(n_sparse=15, e0={"Si": -3.0}, sigma_energy=0.02)
    model.given = features.values[::3].copy(), features.species[::3].copy()
    model.fit(features, y, weight)
    left_out = model.leave_one_out(features, y, weight)
    assert repr(left_out) == repr(y)
    for s in range(len(y)):
        others = np.delete(np.arange(len(y)), s)
        refitted = like(model, FixedReferences(**model.get_params(deep=False)))
        expected = refitted.fit(features[others], y[others], weight[others]).predict(features[s])
        if y.has_energy[s]:
            assert left_out.energy[s] == pytest.approx(expected.energy[0], rel=1e-8)
        if y.has_forces[s]:
            np.testing.assert_allclose(left_out.forces[s], expected.forces[0], atol=1e-7)
        if y.has_stress[s]:
            np.testing.assert_allclose(left_out.stress[s], expected.stress[0], atol=1e-8)
    plain = FixedReferences(**model.get_params(deep=False))
    plain.given = model.given
    energies = plain.fit(features[1:], y.energy[1:]).leave_one_out(features[1:], y.energy[1:])
    assert type(energies) is np.ndarray and np.isfinite(energies).all()
