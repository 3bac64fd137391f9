"""Tables of cross-validation and searches."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.pipeline import make_pipeline

import skpot
from skpot.exceptions import InputTypeError, MissingDependencyError
from skpot.metrics import score_table, summary

SCORING = ["neg_energy_rmse", "neg_forces_rmse", "neg_stress_mae", "r2"]
GRID = {"sparsegpr__n_sparse": [5, 30], "sparsegpr__sigma_forces": [0.05]}
TIMES = ["fit_time (s)", "score_time (s)"]


@pytest.fixture(scope="module")
def data():
    data = skpot.datasets.load_silicon()
    return data.X[20:44], data.y[20:44]


@pytest.fixture
def model():
    return make_pipeline(skpot.SOAP(4.0, 4, 2), skpot.SparseGPR(n_sparse=20))


def test_pandas_takes_the_results_as_they_are(data, model):
    found = cross_validate(model, *data, scoring=SCORING, cv=3)
    frame = pd.DataFrame(found)
    assert frame.shape == (3, 6) and (frame["test_neg_forces_rmse"] < 0).all()
    search = GridSearchCV(model, GRID, scoring=SCORING, refit="neg_forces_rmse", cv=2).fit(*data)
    frame = pd.DataFrame(search.cv_results_)
    assert (frame["mean_test_neg_stress_mae"] < 0).all() and len(frame) == 2


def test_errors_of_folds_are_those_of_summary(data, model):
    X, y = data
    table = score_table(cross_validate(model, X, y, scoring=SCORING, cv=KFold(3)))
    names = ["energy_rmse (meV/atom)", "forces_rmse (eV/Å)", "stress_mae (GPa)", "r2"]
    assert list(table.columns) == names + TIMES and table.index.name == "fold"
    predicted = cross_val_predict(model, X, y, cv=KFold(3))
    for k, (_, test) in enumerate(KFold(3).split(X)):
        errors = summary(y[test], predicted[test])
        for name, kind, which in zip(names, errors, ("rmse", "rmse", "mae"), strict=False):
            assert table.loc[k, name] == pytest.approx(errors[kind][which], rel=1e-6)
            assert errors[kind]["unit"] in name


def test_training_errors_have_columns_of_their_own(data, model):
    results = cross_validate(
        model, *data, scoring=SCORING[:2], cv=2, return_train_score=True, return_estimator=True
    )
    table = score_table(results)
    assert set(table.columns) == {
        f"{part}{name}"
        for part in ("", "train ")
        for name in ("energy_rmse (meV/atom)", "forces_rmse (eV/Å)")
    } | set(TIMES)
    column = "train forces_rmse (eV/Å)"
    np.testing.assert_array_equal(table[column], -results["train_neg_forces_rmse"])


def test_candidates_of_a_search_come_in_their_order(data, model):
    search = GridSearchCV(model, GRID, scoring=SCORING, refit="neg_forces_rmse", cv=2).fit(*data)
    table = score_table(search)
    results = search.cv_results_
    first = table.iloc[0]
    assert table.index[0] == search.best_index_ and table.index.name == "candidate"
    assert first["sparsegpr__n_sparse"] == search.best_params_["sparsegpr__n_sparse"]
    assert first["forces_rmse (eV/Å)"] == -search.best_score_
    assert list(table["forces_rmse rank"]) == [1, 2]
    i = search.best_index_
    assert first["energy_rmse std (meV/atom)"] == pytest.approx(
        1000.0 * results["std_test_neg_energy_rmse"][i], rel=1e-12
    )
    assert first["fit_time (s)"] == results["mean_fit_time"][i]
    assert table.drop(columns=TIMES).equals(
        score_table(results).loc[table.index, table.columns[:-2]]
    )


def test_a_single_score(data, model):
    search = GridSearchCV(model, GRID, scoring="neg_energy_mae", cv=2).fit(*data)
    name = "energy_mae (meV or meV/atom)"
    assert score_table(search).iloc[0][name] == pytest.approx(-1000.0 * search.best_score_)
    assert name in score_table(search.cv_results_, "neg_energy_mae")
    assert score_table(search.cv_results_)["score"].max() == search.best_score_
    folds = cross_validate(model, *data, scoring="neg_forces_rmse", cv=2)
    assert (
        score_table(folds, "neg_forces_rmse")["forces_rmse (eV/Å)"] == -folds["test_score"]
    ).all()
    assert "score" in score_table(
        cross_validate(Ridge(), [[0.0], [1.0], [2.0], [4.0]], [0, 1, 2, 4], cv=2)
    )


def test_halving_searches_keep_their_rounds(data, model):
    search = HalvingGridSearchCV(
        model, {"sparsegpr__n_sparse": [5, 10, 30]}, scoring="neg_forces_rmse", cv=2,
        min_resources=8, random_state=0,
    ).fit(*data)  # fmt: skip
    table = score_table(search)
    assert list(table.columns[:2]) == ["iter", "n_resources"]
    assert table.iloc[0]["forces_rmse rank"] == 1


@pytest.mark.parametrize("wrong", [GridSearchCV(Ridge(), {}), {}, {"fit_time": [1.0]}, 3, None])
def test_what_has_no_scores_is_refused(wrong):
    with pytest.raises(InputTypeError, match="results must be what cross_validate returned"):
        score_table(wrong)


def test_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependencyError, match="tables need pandas"):
        score_table({"test_score": [0.0]})
