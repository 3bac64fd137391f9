"""The same data are the same model in any order, on any number of threads, within any memory."""

import numba
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

import skpot
from skpot import SOAP, CalibratedPotential, PrincipalComponents, SparseGPR, Targets
from skpot.data.order import canonical_order, environment_keys, keyed_uniform
from tests.registry import REGRESSORS

PRESETS = ("fast", "default", "accurate")
N = 60
MODELS = {name: lambda name=name: behind_soap(REGRESSORS[name]) for name in REGRESSORS}
MODELS |= {f"preset-{p}": lambda p=p: skpot.make_potential(p) for p in PRESETS}
SLOW = {"GPR-evidence", "CalibratedPotential", "CalibratedPotential-isotonic", "SparseGPRCV"}
SETTINGS = (
    "e0_", "sigma_energy_", "sigma_forces_", "sigma_stress_", "noise_factor_", "n_pairs_",
    "noise_scale_", "alpha_", "best_params_", "label_shares_", "largest_training_std_", "exact_",
    "n_iter_",
)  # fmt: skip


def behind_soap(regressor):
    soap = SOAP(cutoff=4.0, n_max=2, l_max=2, normalize=False)
    return make_pipeline(soap, PrincipalComponents(8), clone(regressor))


@pytest.fixture(scope="module")
def data():
    """Return alloys of one atom or two in a cell, a lone atom and a cluster, with labels of EMT."""
    rng = np.random.default_rng(0)
    X = []
    for seed in range(N - 2):
        atoms = bulk("Cu", "fcc", a=3.6 + 0.4 * rng.random()) * (1 + seed % 2, 1, 1)
        atoms.symbols = rng.choice(["Cu", "Au"], len(atoms))
        atoms.rattle(0.15, seed=seed)
        X.append(atoms)
    X += [Atoms("Au"), Atoms("Cu3", [[0, 0, 0], [2.4, 0, 0], [1.2, 2.1, 0.2]])]
    for atoms in X:
        atoms.calc = EMT()
    return X, Targets.from_atoms(X)


@pytest.fixture(scope="module")
def order():
    return np.random.default_rng(1).permutation(N)


def fitted(model, data, order=None, max_memory=4e9, n_threads=2):
    """Return a model fitted to the data in an order, and its predictions of the first and last."""
    X, y = data
    order = np.arange(N) if order is None else order
    limits = [name for name in model.get_params() if name.endswith("max_memory")]
    model.set_params(**dict.fromkeys(limits, max_memory))
    before = numba.get_num_threads()
    numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
    try:
        with threadpool_limits(n_threads, user_api="blas"):
            model.fit([X[i] for i in order], y[order])
            return model, model.predict(X[:6] + X[-2:])
    finally:
        numba.set_num_threads(before)


def inner(model):
    regressor = model[-1]
    for name in ("estimator_", "model_"):
        regressor = getattr(regressor, name, regressor)
    return regressor


def require_alike(a, b, atol, rtol):
    """Assert that two fitted models have the same settings, references and predictions."""
    (one, y), (other, z) = a, b
    for outer in (lambda m: m[-1], inner):
        for name in SETTINGS:
            x = getattr(outer(one), name, None)
            same = x if isinstance(x, bool | int | None) else pytest.approx(x, rel=rtol, abs=1e-9)
            assert getattr(outer(other), name, None) == same
        if hasattr(outer(one), "kernel_"):
            theta = [outer(m).kernel_.theta for m in (one, other)]
            np.testing.assert_allclose(*theta, rtol=rtol)
    if hasattr(inner(one), "reference_features_"):
        references = [inner(m).reference_features_ for m in (one, other)]
        np.testing.assert_allclose(*references, rtol=0, atol=1e-9)
    n_atoms = np.array([1, 2, 1, 2, 1, 2, 1, 3])
    np.testing.assert_allclose(y.energy / n_atoms, z.energy / n_atoms, rtol=0, atol=atol)
    np.testing.assert_allclose(y.forces_flat, z.forces_flat, rtol=0, atol=atol)


@pytest.mark.parametrize("name", MODELS)
def test_the_same_data_are_the_same_model(data, order, name):
    first = fitted(MODELS[name](), data)
    if name not in SLOW:  # of which parts are tested by others
        require_alike(first, fitted(MODELS[name](), data, order), 1e-9, rtol=1e-7)
    everything = fitted(MODELS[name](), data, order[::-1], max_memory=5e7, n_threads=1)
    require_alike(first, everything, 1e-6, rtol=1e-5)


def test_deviations_and_folds_do_not_depend_on_the_order(data, order):
    X, y = data
    groups = np.arange(N) % 7
    models = [
        behind_soap(skpot.Committee(SparseGPR(n_sparse=30), 4)),
        behind_soap(CalibratedPotential(SparseGPR(n_sparse=30))),
        behind_soap(CalibratedPotential(SparseGPR(n_sparse=30), cv=3)),
    ]
    for model in models:
        stds = [
            fitted(clone(model), data, o)[0].predict(X, return_std="all")[1] for o in (None, order)
        ]
        np.testing.assert_allclose(stds[0].forces_flat, stds[1].forces_flat, rtol=1e-9, atol=1e-12)
    for cv, given in ((3, None), (3, groups), (GroupKFold(4), groups)):
        search = behind_soap(skpot.SparseGPRCV(n_sparse=20, cv=cv))
        curves = [
            clone(search).fit([X[i] for i in o], y[o], **params)[-1].learning_curves_
            for o in (np.arange(N), order)
            for params in [{} if given is None else {"sparsegprcv__groups": given[o]}]
        ]
        for kind in ("structures", "references"):
            np.testing.assert_allclose(
                curves[0][kind]["forces"], curves[1][kind]["forces"], rtol=1e-8
            )


def test_labels_weights_groups_and_given_references_go_with_their_structures(data, order):
    X, y = data
    steps = make_pipeline(SOAP(4.0, 2, 2, normalize=False), PrincipalComponents(8))
    twice = np.concatenate([np.arange(N), [3, 3, 8]])  # with other labels and weights
    features, y = steps.fit_transform(X)[twice], y[twice]
    rng = np.random.default_rng(0)
    forces = [f + 0.1 * rng.normal(size=f.shape) for f in y.forces]
    stress = [s if known else None for s, known in zip(y.stress, y.has_stress, strict=True)]
    groups = rng.choice(["a", "b"], len(twice))
    y = Targets(y.energy + rng.normal(size=len(y)), forces, stress, groups=groups)
    weight = rng.uniform(0.0, 2.0, len(y))
    shuffled = rng.permutation(len(twice))
    rows = np.concatenate([features.offsets[s] + np.arange(features.n_rows[s]) for s in shuffled])
    chosen = np.array([2, 5, 30, 41, 60, 0, 1])
    noise = dict(sigma_forces={"a": 0.05, "b": 0.2})
    for model, more in (
        (SparseGPR(n_sparse=20, **noise), {}),
        (SparseGPR(selection=chosen, **noise), {"selection": rows.argsort()[chosen]}),
        (skpot.GPR(**noise), {}),
        (skpot.GPR(solver="cg", **noise), {}),
        (skpot.LinearRidge(**noise), {}),
    ):
        one = clone(model).fit(features, y, weight).predict(features)
        other = clone(model).set_params(**more)
        other.fit(features[shuffled], y[shuffled], weight[shuffled])
        np.testing.assert_allclose(
            other.predict(features).forces_flat, one.forces_flat, rtol=0, atol=1e-9
        )


def test_leaving_out_reports_in_the_order_given(data, order):
    X, y = data
    features = SOAP(4.0, 2, 2).fit_transform(X)
    model = SparseGPR(n_sparse=20).fit(features, y)
    left_out = model.leave_one_out(features, y)
    shuffled = model.leave_one_out(features[order], y[order])
    np.testing.assert_allclose(left_out[order].forces_flat, shuffled.forces_flat, atol=1e-10)
    np.testing.assert_allclose(left_out[order].energy, shuffled.energy, atol=1e-10)


@pytest.mark.parametrize(
    "soap",
    [
        SOAP(4.0, 3, 2, radial_basis="optimal"),
        SOAP(4.0, 3, 2, compression="tensor", n_channels=5),
        SOAP(4.0, 3, 1, body_order=4, n_channels=2),
        SOAP(hypers="accurate"),
    ],
    ids=str,
)
def test_descriptors_learn_the_same_to_the_last_bit(data, order, soap):
    X, _ = data
    shuffled = [X[i] for i in order]
    one, other = clone(soap).fit(X), clone(soap).fit(shuffled)
    assert one.hypers_ == other.hypers_
    np.testing.assert_array_equal(one.transform(X).values, other.transform(X).values)


def test_descriptors_are_the_same_whatever_the_number_of_threads(data):
    X, _ = data
    soap = SOAP(6.0, 10, 8, radial_basis="optimal")  # its products are large enough for threads
    origins = set()
    for n in (1, 2):
        with threadpool_limits(n, "blas"):
            origins.add(clone(soap).fit(X).origin_)
    assert len(origins) == 1


def test_molecules_and_their_permutations(order):
    X, y = skpot.datasets.load_ethanol(return_X_y=True)[:2]
    X, y = X[-20:], y[-20:]
    o = np.random.default_rng(2).permutation(20)
    model = make_pipeline(skpot.InverseDistances(), skpot.SymmetricGPR())
    one, other = clone(model).fit(X, y), clone(model).fit([X[i] for i in o], y[o])
    np.testing.assert_array_equal(one[-1].permutations_, other[-1].permutations_)
    np.testing.assert_array_equal(one.predict(X).forces_flat, other.predict(X).forces_flat)


def test_frames_held_out_in_distillation_are_the_same(data, order):
    X, y = data
    teacher = make_pipeline(SOAP(4.0, 2, 2), SparseGPR(n_sparse=20)).fit(X, y)
    one = skpot.distill(teacher, X, SparseGPR(n_sparse=20), test_size=0.3)
    other = skpot.distill(teacher, [X[i] for i in order], SparseGPR(n_sparse=20), test_size=0.3)
    assert sorted(order[other.distillation_test_]) == sorted(one.distillation_test_)
    assert one.distillation_loss_ == pytest.approx(other.distillation_loss_, rel=1e-9)


def test_a_random_state_stands_for_one_seed(data):
    X, y = data
    features = SOAP(4.0, 2, 2).fit_transform(X)
    for model in (SparseGPR(n_sparse=10, selection="random"), skpot.GPR(solver="cg")):
        found = [
            clone(model).set_params(random_state=seed).fit(features, y).predict(features).energy
            for seed in (np.random.RandomState(7), np.random.RandomState(7), 7, 8)
        ]
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])
    assert not np.array_equal(found[2], found[3])


def test_keys_tell_structures_places_and_seeds_apart(data):
    X, _ = data
    features = SOAP(4.0, 2, 2).fit_transform(X)
    keys = environment_keys(features)
    assert len(np.unique(keys)) == len(keys)
    shuffled = features[::-1]
    assert set(environment_keys(shuffled)) == set(keys)
    many = keyed_uniform(np.arange(20_000, dtype=np.uint64), 3)
    assert (many > 0.0).all() and (many < 1.0).all()
    np.testing.assert_allclose(np.histogram(many, 10)[0] / 2000, 1.0, atol=0.1)
    again = keyed_uniform(np.arange(20_000, dtype=np.uint64), 4)
    assert abs(np.corrcoef(many, again)[0, 1]) < 0.03
    assert abs(np.corrcoef(many[:-1], many[1:])[0, 1]) < 0.03


def test_equal_structures_are_ordered_by_their_labels():
    keys = np.array([5, 2, 5, 5], dtype=np.uint64)
    y = Targets([3.0, 0.0, 1.0, 2.0])
    for o in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        np.testing.assert_array_equal(
            y.energy[o][canonical_order(keys[o], y[o])], y.energy[canonical_order(keys, y)]
        )
