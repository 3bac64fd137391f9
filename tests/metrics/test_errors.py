import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.model_selection import GridSearchCV, cross_validate

from skpot import metrics
from skpot.data import Targets
from skpot.metrics import summary
from tests.toy import PairRidge, clusters, morse

RNG = np.random.default_rng(2)
SIZES = [2, 3, 1]


def targets(seed, **missing):
    rng = np.random.default_rng(seed)
    energy = list(rng.normal(size=3))
    forces = [rng.normal(size=(n, 3)) for n in SIZES]
    stress = list(rng.normal(size=(3, 6)))
    blocks = {"energy": energy, "forces": forces, "stress": stress}
    for block, rows in missing.items():
        for i in rows:
            blocks[block][i] = None
    return Targets(**blocks)


def test_by_hand():
    a, b = targets(0), targets(1)
    error = (a.energy - b.energy) / SIZES
    assert metrics.energy_rmse(a, b) == pytest.approx(np.sqrt(np.mean(error**2)))
    assert metrics.energy_mae(a, b) == pytest.approx(np.mean(np.abs(error)))
    error = a.forces_flat - b.forces_flat
    assert metrics.forces_rmse(a, b) == pytest.approx(np.sqrt(np.mean(error**2)))
    assert metrics.forces_mae(a, b) == pytest.approx(np.mean(np.abs(error)))
    error = a.stress - b.stress
    assert metrics.stress_rmse(a, b) == pytest.approx(np.sqrt(np.mean(error**2)))
    assert metrics.stress_mae(a, b) == pytest.approx(np.mean(np.abs(error)))


@pytest.mark.parametrize("name", ["energy_rmse", "forces_rmse", "stress_mae", "energy_mae"])
def test_weights_repeat_structures(name):
    metric = getattr(metrics, name)
    a, b = targets(0), targets(1)
    rows = [0, 1, 1, 1, 2]
    assert metric(a, b, sample_weight=[1, 3, 1]) == pytest.approx(metric(a[rows], b[rows]))
    with pytest.raises(ValueError, match="sample_weight has shape"):
        metric(a, b, sample_weight=[1, 3])


def test_missing_labels_do_not_count():
    a, b = targets(0, energy=[1], forces=[0], stress=[2]), targets(1)
    assert metrics.energy_rmse(a, b, n_atoms=SIZES) == pytest.approx(
        metrics.energy_rmse(targets(0)[[0, 2]], b[[0, 2]])
    )
    assert metrics.forces_mae(a, b) == pytest.approx(metrics.forces_mae(targets(0)[1:], b[1:]))
    assert metrics.stress_rmse(a, b) == pytest.approx(metrics.stress_rmse(targets(0)[:2], b[:2]))


def test_numbers_of_atoms():
    a, b = targets(0), targets(1)
    per_atom = metrics.energy_rmse(a, b)
    assert metrics.energy_rmse(a, b.energy) == pytest.approx(per_atom)
    assert metrics.energy_rmse(a.energy, b) == pytest.approx(per_atom)
    assert metrics.energy_rmse(a.energy, b.energy, n_atoms=SIZES) == pytest.approx(per_atom)
    total = np.sqrt(np.mean((a.energy - b.energy) ** 2))
    assert metrics.energy_rmse(a.energy, b.energy) == pytest.approx(total)
    with pytest.raises(ValueError, match="atoms of structures 2 is not known.*pass n_atoms"):
        metrics.energy_rmse(targets(0, forces=[2]), b.energy)
    with pytest.raises(ValueError, match="structure 0 has 2 atoms in one .* and 5 in another"):
        metrics.energy_rmse(a, b, n_atoms=[5, 3, 1])
    with pytest.raises(ValueError, match="same order"):
        metrics.forces_rmse(a, b[::-1])
    with pytest.raises(ValueError, match="3 positive numbers"):
        metrics.energy_rmse(a.energy, b.energy, n_atoms=[1, 2])


def test_what_cannot_be_compared():
    a = targets(0)
    with pytest.raises(ValueError, match="y_true has no forces"):
        metrics.forces_rmse(a.energy, a)
    with pytest.raises(ValueError, match="y_pred has no stress.*pass Targets with them to fit"):
        metrics.stress_rmse(a, a.energy)
    with pytest.raises(ValueError, match="3 structures, y_pred has 2"):
        metrics.energy_mae(a, a[:2])
    with pytest.raises(ValueError, match="no structure has forces in both"):
        metrics.forces_rmse(targets(0, forces=[0, 1]), targets(0, forces=[2]))
    with pytest.raises(ValueError, match="energies of y_true or y_pred hold NaN"):
        metrics.energy_rmse([1.0, np.nan], [1.0, 2.0])
    for score, block in (
        (metrics.energy_rmse, "energy"),
        (metrics.forces_rmse, "forces_flat"),
        (metrics.stress_rmse, "stress"),
    ):
        a, b = targets(0), targets(0)
        row = b.force_offsets[2] if block == "forces_flat" else 2
        getattr(b, block)[row] = np.inf
        with pytest.raises(ValueError, match=r"hold NaN or infinity: structures 2\."):
            score(a, b)


def test_summary():
    a, b = targets(0, stress=[0]), targets(1)
    table = summary(a, b)
    assert list(table) == ["energy", "forces", "stress"]
    assert [table[k]["count"] for k in table] == [3, 6, 2]
    assert [table[k]["unit"] for k in table] == ["meV/atom", "eV/Å", "GPa"]
    assert table["energy"]["rmse"] == pytest.approx(1000 * metrics.energy_rmse(a, b))
    assert table["forces"]["mae"] == pytest.approx(metrics.forces_mae(a, b))
    assert table["stress"]["rmse"] == pytest.approx(160.21766208 * metrics.stress_rmse(a, b))
    plain = summary(a.energy, b.energy)
    assert list(plain) == ["energy"] and plain["energy"]["unit"] == "meV"


NAMES = [
    f"neg_{label}_{kind}" for label in ("energy", "forces", "stress") for kind in ("rmse", "mae")
]


def test_scorers_have_names():
    assert set(NAMES) <= set(get_scorer_names())
    X = clusters(6)
    y = morse(X)
    model = PairRidge().fit(X, y)
    for name in NAMES[:4]:
        expected = -getattr(metrics, name.removeprefix("neg_"))(y, model.predict(X))
        assert get_scorer(name)(model, X, y) == expected


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_searches_know_the_scorers(n_jobs):
    X = clusters(12)
    y = morse(X)
    search = GridSearchCV(
        PairRidge(),
        {"width": [0.3, 0.6]},
        scoring=["neg_forces_rmse", "neg_energy_mae"],
        refit="neg_forces_rmse",
        cv=3,
        n_jobs=n_jobs,
    ).fit(X, y)
    assert (search.cv_results_["mean_test_neg_forces_rmse"] < 0).all()
    dummy = GridSearchCV(
        DummyRegressor(), {"strategy": ["mean", "median"]}, scoring="neg_energy_rmse", n_jobs=n_jobs
    ).fit(X, y)
    assert np.isfinite(dummy.best_score_)


def test_nested_searches_know_the_scorers_in_their_workers():
    X = clusters(12)
    search = GridSearchCV(PairRidge(), {"width": [0.3, 0.6]}, scoring="neg_forces_rmse", cv=2)
    result = cross_validate(
        search, X, morse(X), cv=2, scoring={"f": "neg_forces_mae"}, n_jobs=2, error_score="raise"
    )
    assert (result["test_f"] < 0).all()
