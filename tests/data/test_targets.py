import copy
import os
import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
from sklearn import config_context
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, VotingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge
from sklearn.metrics import PredictionErrorDisplay, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    train_test_split,
    validation_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import resample, shuffle

from skpot.data import Targets
from skpot.exceptions import LabelWarning
from skpot.metrics import forces_rmse
from tests.project import ROOT
from tests.samples import crystal
from tests.toy import PairRidge, clusters, morse

RNG = np.random.default_rng(3)


def forces_of(sizes):
    return [None if n is None else RNG.normal(size=(n, 3)) for n in sizes]


@pytest.fixture
def y():
    """Five structures; energy of 1, forces of 2, stress of 0 and 3 are missing."""
    stress = [None, np.arange(6.0), np.diag([1.0, 2.0, 3.0]), None, np.ones(6)]
    return Targets([1.0, None, 3.0, 4.0, 5.0], forces_of([2, 3, None, 1, 2]), stress)


def same(a, b):
    """Whether two targets agree in every block."""
    return (
        np.array_equal(a.energy, b.energy, equal_nan=True)
        and np.array_equal(a.has_energy, b.has_energy)
        and np.array_equal(a.forces_flat, b.forces_flat)
        and np.array_equal(a.force_offsets, b.force_offsets)
        and (a.stress is None) == (b.stress is None)
        and (a.stress is None or np.array_equal(a.stress, b.stress, equal_nan=True))
        and np.array_equal(a.has_stress, b.has_stress)
    )


def test_blocks(y):
    np.testing.assert_array_equal(y.has_energy, [True, False, True, True, True])
    np.testing.assert_array_equal(y.has_forces, [True, True, False, True, True])
    np.testing.assert_array_equal(y.has_stress, [False, True, True, False, True])
    np.testing.assert_array_equal(y.force_offsets, [0, 2, 5, 5, 6, 8])
    assert y.forces[2] is None and y.forces[1].shape == (3, 3)
    assert y.forces_flat.shape == (8, 3)
    np.testing.assert_array_equal(y.stress[2], [1, 2, 3, 0, 0, 0])
    assert np.isnan(y.stress[0]).all() and np.isnan(y.energy[1])
    assert repr(y) == "Targets(n_structures=5, energy=4, forces=4 (8 atoms), stress=3)"


def test_voigt_order():
    matrix = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]])
    np.testing.assert_array_equal(Targets([0.0], stress=[matrix]).stress, [[1, 2, 3, 4, 5, 6]])


def test_absent_blocks_are_none():
    y = Targets(np.arange(3.0), forces=[None] * 3, stress=[None] * 3)
    assert y.forces is None and y.stress is None
    assert not y.has_forces.any() and not y.has_stress.any()
    assert same(y, Targets([0.0, 1.0, 2.0]))
    assert same(Targets([0.0], stress=np.full((1, 6), np.nan)), Targets([0.0]))


def test_parts_give_the_whole_again(y):
    energy = [e if has else None for e, has in zip(y.energy, y.has_energy, strict=True)]
    assert same(Targets(energy, y.forces, y.stress), y)
    assert same(Targets(y), y)
    assert not Targets(y, forces=[None] * 5).has_forces.any()
    assert not Targets(y.energy).has_stress.any()


def test_the_input_is_copied():
    energy, forces = np.zeros(1), np.zeros((1, 2, 3))
    y = Targets(energy, forces)
    energy[:] = forces[:] = 7
    assert not y.energy.any() and not y.forces_flat.any()
    np.asarray(y)[:] = 7
    assert not y.energy.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 2.0]],), r"structure 0: energy has shape \(2,\), not one number"),
        ((np.ones((1, 2)),), r"sequence of numbers, got shape \(1, 2\)"),
        ((3.0,), r"got shape \(\)"),
        (([1.0, 2.0], [np.zeros((2, 3))]), "2 energies but 1 arrays of forces"),
        (([1.0], [np.zeros(6)]), r"structure 0: forces have shape \(6,\), not \(n_atoms, 3\)"),
        (([1.0], [np.zeros((0, 3))]), r"structure 0: forces have shape \(0, 3\)"),
        (([1.0], ["abc"]), "structure 0: forces is 'abc', not real numbers"),
        (([1.0], [[[1, 2, 3], [4, 5]]]), "structure 0: forces is not an array of numbers"),
        (([1.0], [np.ones((2, 3), bool)]), "structure 0: forces .*not real numbers"),
        (([1.0], None, [["1"] * 6]), "structure 0: stress .*not real numbers"),
        (([1.0, 2.0], None, np.zeros((1, 6))), "2 energies but 1 stresses"),
        (([1.0], None, [np.zeros(5)]), r"structure 0: stress has shape \(5,\)"),
        (([1.0], None, [[[1, 9, 0], [0, 1, 0], [0, 0, 1]]]), "not symmetric"),
    ],
)
def test_wrong_shapes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Targets(*arguments)


@pytest.mark.parametrize(
    "key",
    [
        [4, 0, 2, 2],
        np.array([3, 1]),
        np.array([True, False, True, True, False]),
        [True, False, True, True, False],
        slice(1, None, 2),
        slice(None, None, -1),
        np.array([], dtype=int),
        Ellipsis,
    ],
    ids=str,
)
def test_rows_keep_their_blocks(y, key):
    rows = np.arange(5)[key]
    for part in (y[key], y[key, ...]):
        assert isinstance(part, Targets) and len(part) == len(rows)
        for k, i in enumerate(rows):
            assert part.has_energy[k] == y.has_energy[i]
            assert part.has_forces[k] == y.has_forces[i]
            assert part.has_stress[k] == y.has_stress[i]
            if y.has_forces[i]:
                np.testing.assert_array_equal(part.forces[k], y.forces[i])
            if y.has_stress[i]:
                np.testing.assert_array_equal(part.stress[k], y.stress[i])


def test_single_rows_and_new_axes_are_energies(y):
    assert y[2] == 3.0 and isinstance(y[2], float)
    assert y[np.int64(-1)] == 5.0
    assert type(y[:, None]) is np.ndarray and y[:, None].shape == (5, 1)
    assert y.reshape(-1, 1).shape == (5, 1) and y.ravel().shape == (5,)
    with pytest.raises(IndexError):
        y[5]


def test_concatenate_keeps_blocks(y):
    assert same(np.concatenate([y[:2], y[2:]]), y)
    assert same(np.concatenate([y[[0]], y[1:]], axis=0), y)
    without = Targets([7.0, 8.0])
    joined = np.concatenate([without, y])
    np.testing.assert_array_equal(joined.has_forces, [False, False, *y.has_forces])
    assert same(joined[2:], y) and same(joined[:2], without)
    assert type(np.concatenate([y, np.zeros(1)])) is np.ndarray


def test_functions_that_select_rows_keep_blocks(y):
    assert same(np.take(y, [3, 1]), y[[3, 1]])
    assert same(np.take(y, [3, 1], axis=0), y[[3, 1]])
    assert same(np.delete(y, [0, 2]), y[[1, 3, 4]])
    assert same(np.compress([True, False, True], y), y[[0, 2]])
    assert same(np.flip(y), y[::-1])
    assert same(np.roll(y, 1), y[[4, 0, 1, 2, 3]])
    assert same(np.repeat(y, 2), y[[0, 0, 1, 1, 2, 2, 3, 3, 4, 4]])
    assert same(np.copy(y), y)
    assert np.take(y, 2) == 3.0


@pytest.mark.parametrize(
    "operation",
    [
        lambda y: y - 1.0,
        lambda y: 2.0 * y,
        lambda y: -y,
        lambda y: y / y,
        lambda y: np.add(y, y),
        lambda y: np.sqrt(y),
        lambda y: y > 2.0,
        lambda y: np.where(np.isnan(y), 0.0, y),
        lambda y: np.sort(y),
        lambda y: np.stack([y, y]),
        lambda y: np.asarray(y),
        lambda y: y.astype(np.float32),
    ],
)
def test_arithmetic_gives_plain_energies(y, operation):
    result = operation(y)
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, operation(np.asarray(y)))


def test_in_place_arithmetic_leaves_the_labels_alone(y):
    z = y
    z -= 1.0
    assert type(z) is np.ndarray and y.energy[0] == 1.0 and z[0] == 0.0
    array = np.ones(5)
    array += Targets(np.ones(5))
    np.testing.assert_array_equal(array, 2.0)


def test_reductions(y):
    z = Targets([1.0, 2.0, 6.0], forces_of([1, 1, 1]))
    assert np.mean(z) == 3.0 and np.sum(z) == 9.0 and np.max(z) == 6.0
    assert list(z) == [1.0, 2.0, 6.0] and len(z) == z.size == 3
    assert z.shape == (3,) and z.ndim == 1 and z.dtype == np.float64


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda y: pickle.loads(pickle.dumps(y)), lambda y: y.copy()],
)
def test_copies_keep_blocks(y, duplicate):
    assert same(duplicate(y), y)


def test_hash_sees_every_block(y):
    variants = [
        y,
        Targets([1.0, None, 3.0, 4.0, 5.5], y.forces, y.stress),
        Targets(y.energy, [None, *y.forces[1:]], y.stress),
        Targets(y.energy, y.forces, 2 * y.stress),
    ]
    hashes = [joblib.hash(v) for v in variants]
    assert len(set(hashes)) == len(variants)
    assert joblib.hash(copy.deepcopy(y)) == joblib.hash(y.copy()) == hashes[0]


def test_joblib_round_trip_with_memory_maps(y, tmp_path):
    joblib.dump(y, tmp_path / "y.joblib")
    assert same(joblib.load(tmp_path / "y.joblib", mmap_mode="r")[[0, 1, 2, 3, 4]], y)


# The tools of scikit-learn. The toy has exact forces, so a model that really learned from forces
# of Morse clusters is told from one that did not by its force error.

X = clusters()
Y = morse(X)
GROUPS = np.repeat(np.arange(6), 4)


def test_toy_learns_from_forces():
    model = PairRidge().fit(X, Y)
    assert model.saw_forces_
    assert forces_rmse(Y, model.predict(X)) < 0.1 * np.std(Y.forces_flat)
    plain = PairRidge().fit(X, Y.energy)
    assert type(plain.predict(X)) is np.ndarray and not plain.saw_forces_


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_grid_search(n_jobs):
    search = GridSearchCV(
        PairRidge(), {"width": [0.2, 0.5]}, scoring="neg_forces_rmse", cv=3, n_jobs=n_jobs
    ).fit(X, Y)
    assert search.best_estimator_.saw_forces_
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert isinstance(search.predict(X), Targets)


def test_random_and_halving_search():
    random = RandomizedSearchCV(
        PairRidge(), {"width": [0.2, 0.5]}, n_iter=2, scoring="neg_energy_mae", random_state=0
    ).fit(X, Y)
    halving = HalvingGridSearchCV(
        PairRidge(), {"width": [0.2, 0.5]}, scoring="neg_forces_mae", cv=2, random_state=0
    ).fit(X, Y)
    assert random.best_estimator_.saw_forces_ and halving.best_estimator_.saw_forces_


def test_cross_validation_with_several_scores_and_groups():
    scoring = {
        "energy": "neg_energy_rmse",
        "forces": "neg_forces_rmse",
        "own": make_scorer(forces_rmse, greater_is_better=False),
        "r2": "r2",
    }
    result = cross_validate(
        PairRidge(), X, Y, groups=GROUPS, cv=GroupKFold(3), scoring=scoring, return_estimator=True
    )
    assert all(e.saw_forces_ for e in result["estimator"])
    np.testing.assert_array_equal(result["test_forces"], result["test_own"])
    assert (result["test_energy"] < 0).all()
    score = cross_val_score(PairRidge(), X, Y, cv=KFold(3), scoring="neg_forces_rmse", n_jobs=2)
    assert (score < 0).all()


def test_cross_val_predict_returns_targets_in_order():
    predicted = cross_val_predict(PairRidge(), X, Y, cv=KFold(4, shuffle=True, random_state=0))
    assert isinstance(predicted, Targets)
    np.testing.assert_array_equal(predicted.force_offsets, Y.force_offsets)
    assert forces_rmse(Y, predicted) < 0.5


def test_curves():
    sizes, train, _ = learning_curve(
        PairRidge(), X, Y, scoring="neg_forces_rmse", cv=3, train_sizes=[0.5, 1.0]
    )
    assert train.shape == (2, 3) and np.isfinite(train).all()
    train, _ = validation_curve(
        PairRidge(),
        X,
        Y,
        param_name="width",
        param_range=[0.3, 0.6],
        scoring="neg_forces_rmse",
        cv=3,
    )
    assert np.isfinite(train).all()


def test_permutation_keeps_sizes_together_or_says_so():
    n_atoms = np.array([len(atoms) for atoms in X])
    options = {
        "scoring": "neg_forces_rmse",
        "n_permutations": 3,
        "cv": GroupKFold(3),
        "random_state": 0,
    }
    score, null, _ = permutation_test_score(PairRidge(), X, Y, groups=n_atoms, **options)
    assert (null < score).all()
    with pytest.raises(ValueError, match="groups=n_atoms"):
        PairRidge().fit(X, Y[np.random.default_rng(0).permutation(len(Y))])


def test_splitting_and_resampling():
    a, b, y_a, y_b = train_test_split(X, Y, test_size=0.25, random_state=1)
    for part, labels in ((a, y_a), (b, y_b), shuffle(X, Y, random_state=0), resample(X, Y)):
        assert isinstance(labels, Targets)
        assert [len(s) for s in part] == [len(f) for f in labels.forces]


def test_pipeline_with_memory_keys_on_forces(tmp_path):
    model = make_pipeline(FunctionTransformer(), PairRidge(), memory=str(tmp_path)).fit(X, Y)
    assert isinstance(model.predict(X), Targets)
    assert model.score(X, Y) > 0.9


def test_meta_estimators_that_strip_forces_are_noticed():
    for wrap in (
        TransformedTargetRegressor,
        lambda model: VotingRegressor([("a", model)]),
        lambda model: GridSearchCV(TransformedTargetRegressor(model), {"check_inverse": [False]}),
    ):
        with pytest.warns(LabelWarning, match="Regressor takes the energies of y only"):
            wrap(PairRidge()).fit(X, Y)  # energies only, as nothing was demanded
        with warnings.catch_warnings():
            warnings.simplefilter("error", LabelWarning)
            wrap(PairRidge()).fit(X, Y.energy)  # nothing is lost
    table = np.arange(len(Y))[:, None]
    with pytest.warns(LabelWarning, match="Ridge takes the energies of y only"):
        make_pipeline(StandardScaler(), Ridge()).fit(table, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LabelWarning)
        StandardScaler().fit(table, Y)
        make_pipeline(StandardScaler(), Ridge()).fit(table, Targets(Y.energy))  # nothing to lose
        make_pipeline(FunctionTransformer(), PairRidge()).fit(X, Y)
        GridSearchCV(PairRidge(), {"width": [0.3, 0.5]}, cv=3).fit(X, Y)
    with pytest.raises(ValueError, match="TransformedTargetRegressor"):
        TransformedTargetRegressor(PairRidge(targets=("energy", "forces"))).fit(X, Y)


@pytest.mark.parametrize(
    "function",
    [
        lambda X, y: BaggingRegressor(PairRidge(), n_estimators=2).fit(X, y),
        lambda X, y: permutation_importance(PairRidge().fit(X, y), X, y),
    ],
)
def test_functions_for_tables_say_why_they_cannot_take_structures(function):
    rows = [i for i, atoms in enumerate(X) if len(atoms) == 3]
    with pytest.raises(TypeError, match="permutation_importance.*Committee"):
        function([X[i] for i in rows], Y[rows])


def test_routed_weights_and_groups():
    weight = np.linspace(1.0, 2.0, len(X))
    with config_context(enable_metadata_routing=True):
        model = (
            PairRidge().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        )
        search = GridSearchCV(model, {"width": [0.3, 0.5]}, cv=GroupKFold(3))
        search.fit(X, Y, sample_weight=weight, groups=GROUPS)
    assert search.best_estimator_.saw_forces_


def test_prediction_error_display():
    pytest.importorskip("matplotlib")
    PredictionErrorDisplay.from_predictions(Y, PairRidge().fit(X, Y).predict(X))


def test_array_api_dispatch():
    code = """
import numpy as np, sklearn
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from tests.toy import clusters, morse
X = clusters()
sizes = np.array([[float(len(atoms))] for atoms in X])
with sklearn.config_context(array_api_dispatch=True):
    print((cross_val_score(Ridge(), sizes, morse(X), cv=3) > 0.5).all())
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == "True", result.stderr


def test_groups_and_noise_ride_along():
    y = Targets(
        [0.0, 1.0, 2.0],
        [np.zeros((2, 3)), None, np.ones((3, 3))],
        groups=["a", None, "long name"],
        sigma_energy=[0.1, None, 0.3],
        sigma_forces=[0.5, None, [1.0, 2.0, 3.0]],
        sigma_stress=[1.0, 2.0, 3.0],
    )
    picked = np.concatenate([y[[2, 0]], Targets([5.0], [np.ones((1, 3))]), y[1:2]])
    assert picked.groups.tolist() == ["long name", "a", "", ""]
    np.testing.assert_array_equal(picked.sigma_energy, [0.3, 0.1, np.nan, np.nan])
    np.testing.assert_array_equal(picked.sigma_forces_flat, [1, 2, 3, 0.5, 0.5, np.nan])
    np.testing.assert_array_equal(picked.sigma_stress, [3, 1, np.nan, 2])
    assert [s is None for s in picked.sigma_forces] == [False, False, False, True]
    again = Targets(picked)
    assert joblib.hash(again) == joblib.hash(picked)
    assert joblib.hash(Targets(y, sigma_energy=[0.1, 0.2, 0.3])) != joblib.hash(y)
    other = y.relabeled(y.energy + 1.0)
    assert other.groups.tolist() == y.groups.tolist() and other.sigma_forces is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"groups": ["a"]}, "got 2 energies but 1 groups"),
        ({"sigma_energy": [1.0, 0.0]}, "sigma_energy must be positive, got 0.0 for structure 1"),
        ({"sigma_forces": [None, [1.0]]}, "structure 1: sigma_forces has shape"),
        ({"sigma_forces": [-1.0, None]}, "structure 0: sigma_forces must be positive"),
    ],
)
def test_bad_groups_and_noise_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Targets([0.0, 1.0], [np.zeros((2, 3)), np.zeros((2, 3))], **options)


def test_labels_go_to_atoms_and_come_back():
    X = [crystal("Cu", seed=seed) for seed in range(3)]
    rng = np.random.default_rng(0)
    y = Targets(
        [1.0, None, 3.0],
        [rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), None],
        [rng.normal(size=6), None, None],
    )
    labeled = y.to_atoms(X)
    assert [atoms.calc for atoms in X] == [None] * 3
    again = Targets.from_atoms(labeled)
    np.testing.assert_array_equal(again.energy, y.energy)
    np.testing.assert_array_equal(again.forces_flat, y.forces_flat)
    np.testing.assert_array_equal(again.stress, y.stress)
    assert labeled[0].get_potential_energy() == 1.0
    assert labeled[1].calc.results.keys() == {"forces"}
    labeled[0].get_forces()[:] = 0.0
    assert y.forces_flat.all()
    assert Targets([None]).to_atoms(X[:1])[0].calc is None


def test_labels_of_other_structures_are_refused():
    X = [crystal("Cu"), crystal("Cu", repeat=2)]
    with pytest.raises(ValueError, match="1 labels do not fit 2 structures"):
        Targets([1.0]).to_atoms(X)
    with pytest.raises(ValueError, match="structure 1: has 32 atoms, but forces of 4"):
        Targets([1.0, 2.0], [np.zeros((4, 3))] * 2).to_atoms(X)
