"""Queries against dense algebra; duplicates, orders, models of all kinds, what may be asked."""

import tracemalloc

import numpy as np
import pytest
from ase.io import write
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

import skpot
from skpot import SOAP, SparseGPR, Targets, active
from skpot.active import _greedy, _pool
from skpot.active._criteria import Information, LargestForce, MeanVariance
from skpot.active._knowledge import knowledge_of
from skpot.active._subject import Subject
from skpot.data.order import drawn_seed
from skpot.exceptions import InputError, InputTypeError, SkpotWarning
from skpot.kernels import RBF
from tests import samples
from tests.naive import active as naive
from tests.naive.kernel import gaussian, unlabeled
from tests.registry import REGRESSORS

SMALL = dict(cutoff=3.0, n_max=2, l_max=2, sigma=0.4)
NOISE = dict(sigma_energy=0.02, sigma_forces=0.1, sigma_stress=0.01)
QUERIES = [active.DOptimal, active.VOptimal, active.MaxForcesStd]
CRITERIA = {
    active.DOptimal: (Information, naive.information, 1.0),
    active.VOptimal: (MeanVariance, naive.fall_of_variance, 1.0),
    active.MaxForcesStd: (LargestForce, naive.largest_force, NOISE["sigma_forces"]),
}


def small_model(**options):
    gpr = SparseGPR(RBF(0.6, 2.0), n_sparse=6, e0={"Si": -2.5, "O": -2.0}, **NOISE, **options)
    return make_pipeline(SOAP(**SMALL), gpr)


@pytest.fixture(scope="module")
def asked():
    """Six candidates of two species, two labeled structures, and the oracle's rows of all."""
    X = samples.small_structures(["Si", "O"], 3, lone_atom=False)[:8]
    y = samples.random_labels(X, stress="volume")
    model = small_model().fit(X, y)
    features = model[0].transform(X)
    knowledge = knowledge_of(Subject(model), features, (features[:2], y[:2]), 12, drawn_seed(0))
    references = list(zip(knowledge.columns.values, knowledge.columns.species, strict=True))
    plain = gaussian(0.6, 2.0)
    of = samples.features_of(model[0])
    rows = [naive.rows(of, unlabeled(a), plain, references, tuple(NOISE.values())) for a in X]
    return X, y, model, naive.prior(plain, references), rows


@pytest.mark.parametrize("query", QUERIES)
def test_queries_are_greedy_choices_of_dense_algebra(asked, query):
    X, y, model, k_mm, rows = asked
    _, plain, unit = CRITERIA[query]
    forces = [slice(1, 1 + 3 * len(atoms)) for atoms in X[2:]]
    expected, gains = naive.greedy(plain, k_mm, rows[:2], rows[2:], forces, 3)
    chosen, utilities = query(model, n_references=12).query(
        X[:2], y[:2], candidates=X[2:], batch_size=3, return_utilities=True
    )
    assert chosen.tolist() == expected
    np.testing.assert_allclose(utilities[0], unit * gains[0], rtol=1e-3)
    picked = np.arange(3), chosen
    np.testing.assert_allclose(utilities[picked], unit * gains[picked], rtol=1e-3)
    assert np.isnan(utilities[1:, chosen[0]]).all()


def test_deviations_are_those_of_dense_algebra(asked):
    X, y, model, k_mm, rows = asked
    chosen = active.DOptimal(model, n_references=12).select(X[:2], y[:2], X[2:], 1)
    (i,) = chosen.indices
    left = naive.left_open(k_mm, rows[:2], rows[2 + i][1 : 1 + 3 * len(X[2 + i])])
    expected = NOISE["sigma_forces"] * np.sqrt(np.diag(left).reshape(-1, 3).sum(axis=1))
    np.testing.assert_allclose(chosen.forces_std[0], expected, rtol=1e-3)


def test_what_a_fitted_model_has_learned_is_known():
    X = samples.small_structures(["Si", "O"], 3, lone_atom=False)
    y = samples.random_labels(X, stress="volume")
    model = small_model().fit(X[:5], y[:5])
    features = model[0].transform(X)
    by_model = knowledge_of(Subject(model), features, None, 12, 0)
    by_labels = knowledge_of(Subject(model), features, (features[:5], y[:5]), 12, 0)
    assert len(by_model.triangle) > len(model[-1].posterior_factor_)
    own = [
        k
        for k, row in enumerate(by_model.columns.values)
        if (row == model[-1].reference_features_).all(axis=1).any()
    ]
    some = np.ix_(own, own)
    # In coefficients of its own references both know the same.
    gram = [k.triangle.T @ k.triangle for k in (by_model, by_labels)]
    np.testing.assert_allclose(gram[0][some], gram[1][some], rtol=1e-4, atol=1e-2)


def test_exact_models_know_what_they_were_fitted_to():
    X, y = samples.labeled(["Si"], 3, lone_atom=False, missing={"energy": [1], "forces": [2]})
    model = make_pipeline(SOAP(**SMALL), skpot.GPR(RBF(), e0={"Si": -3.0}, **NOISE)).fit(
        X[:5], y[:5]
    )
    features = model[0].transform(X)
    by_model = knowledge_of(Subject(model), features, None, 12, 0)
    by_labels = knowledge_of(Subject(model), features, (features[:5], y[:5]), 12, 0)
    gram = [k.triangle.T @ k.triangle for k in (by_model, by_labels)]
    np.testing.assert_allclose(gram[0], gram[1], rtol=1e-8, atol=1e-6)


def all_queries(model):
    yield from (query(model, n_references=40) for query in QUERIES)
    yield active.FarthestPoint(model)
    yield active.Random(model)
    yield active.Mixture(active.DOptimal(model, n_references=40), 0.5)


@pytest.mark.parametrize("k", range(6))
def test_near_duplicates_are_never_chosen_twice(k):
    X = samples.crystals(n=4)
    turned = [atoms.copy() for atoms in X]
    for atoms in turned:
        atoms.rotate(30, "z", rotate_cell=True)
        atoms.positions += 1e-4
    pool = X + samples.displaced(X, 1e-3) + turned
    query = list(all_queries(small_model().set_params(sparsegpr__e0=None)))[k]
    with pytest.warns(SkpotWarning, match="only 3 of the 12"):
        chosen = query.query(X[:1], samples.labels_of_emt(X[:1]), pool, batch_size=9)
    assert sorted(chosen % 4) == [1, 2, 3]


@pytest.mark.parametrize("k", range(6))
def test_choices_depend_neither_on_the_order_nor_on_earlier_questions(k):
    X = samples.small_structures(["Si", "O"], 4, lone_atom=False)
    query = list(all_queries(small_model()))[k]
    chosen = query.query(None, candidates=X, batch_size=4)
    order = np.random.default_rng(0).permutation(len(X))
    again = query.query(None, candidates=[X[i] for i in order], batch_size=4)
    assert order[again].tolist() == chosen.tolist()
    assert clone(query).query(None, candidates=X, batch_size=4).tolist() == chosen.tolist()


@pytest.mark.parametrize("fitted", [False, True])
def test_rare_structures_are_found_without_labels(fitted):
    X = samples.crystals(n=20, rattle=0.02) + samples.crystals(n=2, rattle=0.3, first=50)
    model = skpot.make_potential("fast")
    if fitted:
        model.fit(X[:3], samples.labels_of_emt(X[:3]))
    chosen = active.DOptimal(model, n_references=60).query(None, candidates=X, batch_size=3)
    assert {20, 21} < set(chosen.tolist())  # and one of the others, for the energy


def test_candidates_may_be_indices_or_what_has_no_label():
    X = samples.crystals(n=6)
    y = samples.labels_of_emt(X)
    query = active.DOptimal(skpot.make_potential("fast"), n_references=30)
    energy = y.energy.copy()
    energy[2:] = np.nan
    chosen = query.query(X, energy, batch_size=2)
    assert set(chosen) <= {2, 3, 4, 5}
    assert set(query.query(X, energy, candidates=[4, 5], batch_size=2)) == {4, 5}
    part = Targets([*y.energy[:2], *[None] * 4], [*y.forces[:2], *[None] * 4])
    assert set(query.query(X, part, batch_size=4)) == {2, 3, 4, 5}


@pytest.mark.parametrize("name", sorted(REGRESSORS))
def test_every_regressor_can_be_asked(name):
    X, X_test = samples.crystals(n=6, rattle=0.05), samples.crystals(n=5, rattle=0.2, first=20)
    y = samples.labels_of_emt(X)
    model = make_pipeline(SOAP(**SMALL), skpot.PerAtom(PCA(3)), clone(REGRESSORS[name]))
    new = active.DOptimal(model, n_references=20).query(X, y, X_test, 3)
    model.fit(X, y)
    known = active.DOptimal(model, n_references=20).query(None, candidates=X_test, batch_size=3)
    features = model[:-1].transform(X_test)
    of_features = active.DOptimal(model, n_references=20).query(
        None, candidates=features, batch_size=3
    )
    assert len(new) == len(known) == 3
    assert known.tolist() == of_features.tolist()


def test_memory_does_not_grow_with_the_number_of_candidates(monkeypatch):
    monkeypatch.setattr(_greedy, "_BYTES", 1e5)  # of about twenty candidates
    monkeypatch.setattr(_pool, "_ENVIRONMENTS", 400)
    query = active.DOptimal(small_model().set_params(sparsegpr__e0=None), n_references=20)
    pool, peaks = samples.crystals(n=600), []
    for n in (200, 600):
        query.query(None, candidates=pool[:n], batch_size=2)
        tracemalloc.start()
        query.query(None, candidates=pool[:n], batch_size=2)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 400 * 1000.0  # the rows of one candidate alone are 3000 bytes


@pytest.mark.parametrize("query", [active.DOptimal, active.FarthestPoint, active.Random])
def test_candidates_may_stay_in_their_files(tmp_path, query):
    X, y = samples.crystals(n=3), samples.labels_of_emt(samples.crystals(n=3))
    write(tmp_path / "pool.xyz", samples.crystals(n=12, rattle=0.1, first=20))
    frames = skpot.Frames(tmp_path / "pool.xyz")
    ask = query(small_model().set_params(sparsegpr__e0=None))
    in_memory = ask.query(X, y, candidates=list(frames), batch_size=4)
    assert ask.query(X, y, candidates=frames, batch_size=4).tolist() == in_memory.tolist()
    assert len(ask.query(frames, batch_size=2)) == 2


def test_what_cannot_be_asked_is_refused():
    X = samples.crystals(n=3)
    query = active.DOptimal(small_model().set_params(sparsegpr__e0=None), n_references=20)
    with pytest.raises(InputError, match="no candidates"):
        query.query(X, samples.labels_of_emt(X))
    with pytest.raises(InputError, match="index 7 but X has 3"):
        query.query(X, candidates=[7])
    for candidates, told in (
        ([0.5], r"numbers of shape \(1,\) and type float64"),
        (iter(X), "list_iterator, which can be gone through only once: pass list"),
        (X[0], "single structure .*: put it in a list"),
        ("pool.xyz", "text 'pool.xyz': read structures"),
        ([True, False], r"mask of 2 booleans: pass np.flatnonzero\(mask\)"),
        ([[0], [1, 2]], "list"),
    ):
        with pytest.raises(InputTypeError, match=f"candidates must be .*got .*{told}"):
            query.query(X, candidates=candidates)
    with pytest.raises(InputTypeError, match=r"pass list\(X\)"):
        query.query(iter(X))
    with pytest.raises(InputError, match="X has 0 structures but y has labels of 3"):
        query.query(None, np.zeros(3), X)
    with pytest.raises(InputTypeError, match="y must be Targets, or an array of energies"):
        query.query(X, "energies")
    with pytest.raises(InputTypeError, match="base must be a query.* got 'DOptimal'"):
        active.Mixture("DOptimal").query(X)
    with pytest.raises(InputTypeError, match="base must be a query.* got SparseGPR"):
        active.Mixture(skpot.SparseGPR()).query(X)
    for model, told in ("fast", "'fast'"), (None, "None"), (SOAP, "the class SOAP"):
        with pytest.raises(InputTypeError, match=f"must be an estimator.*got {told}"):
            active.DOptimal(model).query(X)
    with pytest.raises(InputTypeError, match="ends in a regressor"):
        active.DOptimal(make_pipeline(SOAP(**SMALL))).query(X)
    with pytest.raises(InputError, match="labels of 2"):
        query.query(X, np.zeros(2))
    energies = samples.labels_of_emt(X).energy
    network = make_pipeline(SOAP(**SMALL), skpot.AtomicMLP(4, max_iter=2)).fit(X[:2], energies[:2])
    for model in (query.model, network):
        with pytest.raises(InputError, match="a model that learns from forces"):
            active.MaxForcesStd(model, n_references=20).query(X[:2], energies[:2], X[2:])


def test_near_duplicates_are_found_as_by_a_look_at_all():
    """The grid finds what a look at every point finds, and looks at few of them."""
    from skpot.active._pool import _LIKE, Likeness, Mean

    rng = np.random.default_rng(0)
    modes = rng.normal(size=(6, 50))
    points = 10.0 + rng.normal(size=(1500, 6)) * np.geomspace(1.0, 0.05, 6) @ modes
    points[700::3] = points[::3][: len(points[700::3])] + rng.normal(
        scale=0.99 * _LIKE * np.linalg.norm(points[0]) / np.sqrt(50), size=(len(points[700::3]), 50)
    )
    known, found, expected, looked = Likeness(), [], [], 0
    for k, point in enumerate(points):
        mean = Mean(((14,), (8,)), point)
        near = np.linalg.norm(points[:k] - point, axis=1) <= _LIKE * np.linalg.norm(point)
        expected.append(bool(near.any()))
        found.append(known.has(mean))
        if k:
            grid = known._known[mean.composition]
            looked += len(grid._around(point, _LIKE * np.linalg.norm(point)))
        known.add(mean)
    assert found == expected and 50 < sum(expected) < 1000
    assert looked < 0.05 * len(points) ** 2 / 2
    assert not known.has(Mean(((14,), (9,)), points[0]))
