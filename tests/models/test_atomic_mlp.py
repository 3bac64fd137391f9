"""Neural networks against plain loops, finite differences and themselves."""

import copy
import os
import threading
from collections import namedtuple

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from threadpoolctl import threadpool_limits

import skpot
from skpot import SOAP, ZBL, AtomicMLP, Targets
from skpot.exceptions import NumericalWarning
from skpot.metrics import forces_rmse
from skpot.processes import jacobian_store, network_epochs, network_members
from skpot.processes.network_inputs import Components, network_inputs
from skpot.processes.network_layers import Layers
from skpot.processes.network_loss import LossLabels, NetworkLoss
from skpot.rows.noise import with_noise
from skpot.rows.training_set import TrainingSet
from skpot.testing import check_potential
from tests import samples
from tests.naive import network as naive
from tests.samples import labeled

pytestmark = pytest.mark.filterwarnings("ignore:.*occur twice")

SIGMA = dict(sigma_energy=0.05, sigma_forces=0.2, sigma_stress=0.01)


def soap():
    return SOAP(3.0, 2, 1, species=["O", "Si"], normalize=False)


def small(**options):
    defaults = dict(hidden_layer_sizes=(6, 4), n_components=5, n_members=2)
    return AtomicMLP(**(defaults | dict(max_iter=4, calibrate=False) | options))


def loss_of(X, y, layers=(6, 4), activation="silu", max_memory=None, kind=np.float64):
    """Return the loss of random networks, and their weights."""
    features = soap().fit_transform(X)
    y = with_noise(y, np.ones(len(X)), **SIGMA)
    training = TrainingSet(features, y, y.energy + 2.5 * features.n_atoms, np.arange(len(X)))
    maps = Components.of(features, 5, 0.3, 0)
    inputs = network_inputs(maps, training, max_memory, kind)
    shape = Layers((inputs.rows.shape[1], *layers), activation == "silu")
    loss = NetworkLoss(shape, inputs, LossLabels.of(training, inputs.order, 0.7), 2)
    rng = np.random.RandomState(0)
    return loss, 0.5 * rng.normal(size=loss.n_weights), maps, features


def some_labels():
    X, y = labeled(
        ["Si", "O"], 2, per_atom=-2.5, stress="volume", missing={"energy": [1], "forces": [2]}
    )
    mask = y.forces[0].copy()
    mask[1] = np.nan  # an atom without a label
    forces = [mask, *y.forces[1:]]
    energies = [e if known else None for e, known in zip(y.energy, y.has_energy, strict=True)]
    return X, Targets(energies, forces, y.stress)


@pytest.mark.parametrize("activation", ["silu", "tanh"])
def test_loss_is_that_of_plain_loops(activation):
    X, y = some_labels()
    loss, flat, maps, features = loss_of(X, y, activation=activation)
    value = loss.of(flat, np.arange(len(X)))[0] * loss.labels.per_label
    rows = maps.rows(features, float)
    networks = [loss.layers.views(w) for w in np.split(flat, 2)]
    g = np.zeros(rows.shape)
    energies = np.zeros(len(rows))
    for i, z in enumerate(features.species):
        w = networks[list(maps.species).index(z)]
        network = w.layers, w.offsets, w.last, w.constant[0], w.linear, activation
        energies[i] = 0.7 * naive.energy(rows[i], *network)
        g[i] = 0.7 * np.array(naive.slopes(rows[i], *network))
    forces, virials = maps.chain(features).pull_back(g)
    total, n_labels = 0.0, 0
    for s in range(len(X)):
        atoms = slice(*features.atom_offsets[s : s + 2])
        known = y.has_forces[s] and ~np.isnan(y.forces[s]).any(axis=1)
        labels = {
            "energy": y.energy[s] + 2.5 * len(X[s]) if y.has_energy[s] else None,
            "forces": y.forces[s][known].ravel() if y.has_forces[s] else None,
            "stress": y.stress[s] if y.has_stress[s] else None,
        }
        own = forces[atoms][known].ravel() if y.has_forces[s] else None
        stress = -virials[s] / features.volumes[s]
        sigmas = dict(energy=0.05, forces=0.2, stress=0.01)
        total += naive.loss(energies[atoms], own, stress, labels, sigmas)
        n_labels += sum(np.size(v) for v in labels.values() if v is not None)
    assert value == pytest.approx(total / n_labels, rel=1e-7)


@pytest.fixture
def full_disk(monkeypatch):
    monkeypatch.setattr(jacobian_store.shutil, "disk_usage", lambda _: FullDisk(0))


FullDisk = namedtuple("FullDisk", "free")
RECOMPUTED = pytest.mark.filterwarnings("ignore:derivatives of the features take")


@RECOMPUTED
@pytest.mark.parametrize("stored", [True, False], ids=["stored", "recomputed"])
@pytest.mark.parametrize("activation", ["silu", "tanh"])
@pytest.mark.parametrize("layers", [(6,), (6, 4, 3)])
def test_gradient_of_the_loss(layers, activation, stored, full_disk):
    X, y = some_labels()
    loss, flat, *_ = loss_of(X, y, layers, activation, None if stored else 1.0)
    assert (loss.inputs.parts is not None) == stored
    some = np.array([0, 2, 3, 5, 6])
    _, gradient = loss.of(flat, some, energies=0.3)
    rng, step = np.random.RandomState(1), 1e-4
    for _ in range(6):
        along = rng.normal(size=len(flat))
        values = {k: loss.of(flat + k * step * along, some, 0.3)[0] for k in (-2, -1, 1, 2)}
        slope = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * step)
        assert gradient @ along == pytest.approx(slope, rel=1e-6)


@RECOMPUTED
def test_stored_and_recomputed_derivatives_give_one_gradient(full_disk):
    X, y = some_labels()
    loss, flat, *_ = loss_of(X, y)
    other = loss_of(X, y, max_memory=1.0)[0]
    everything = np.arange(len(X))
    for mine, its in zip(loss.of(flat, everything), other.of(flat, everything), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-9)


@pytest.mark.parametrize("options", [{}, dict(activation="tanh", hidden_layer_sizes=7)])
def test_forces_and_stress_are_derivatives(options):
    X, y = labeled(["Si", "O"], 2, per_atom=-2.5)
    model = make_pipeline(make_union(soap(), ZBL(species=["O", "Si"])), small(baseline="zbl"))
    check_potential(
        model.set_params(**{f"atomicmlp__{k}": v for k, v in options.items()}).fit(X, y), X
    )


@pytest.fixture(scope="module")
def silicon():
    return samples.silicon(SOAP(hypers="fast", central_weight=0.0, normalize=False), 40, 12)


def test_learns_silicon(silicon):
    features, y, test, y_test = silicon
    model = AtomicMLP(n_members=2, max_iter=60).fit(features, y)
    zero = y_test.relabeled(y_test.energy, [0 * f for f in y_test.forces])
    assert forces_rmse(y_test, model.predict(test)) < 0.2 * forces_rmse(y_test, zero)
    assert model.loss_curve_[-1] < 0.2 * model.loss_curve_[0]
    assert len(model.loss_curve_) == model.n_iter_ == 60
    assert model.validation_scores_ is None


def outcome(model, test):
    return [*model.coefs_, model.linear_coefs_, model.predict(test).forces_flat]


def assert_same(mine, its):
    for a, b in zip(mine, its, strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_change_no_bit(silicon):
    features, y, test, _ = silicon
    found = [outcome(small(n_members=3, n_jobs=n).fit(features, y), test) for n in (None, 1, 2)]
    assert_same(found[0], found[1])
    assert_same(found[0], found[2])
    assert_same(found[0], outcome(small(n_members=3).fit(features[::-1], y[::-1]), test))


def test_threads_of_blas_change_no_bit(silicon):
    features, y, test, _ = silicon
    found = []
    for n in (1, 2):
        with threadpool_limits(n, user_api="blas"):
            model = AtomicMLP(600, n_members=2, max_iter=1, n_jobs=n).fit(features, y)
        numbers = [*model.calibration_.values(), *model.intercepts_]
        found.append([*model.coefs_, model.linear_coefs_, *numbers])
    assert_same(*found)


def test_members_do_not_depend_on_each_other(silicon):
    features, y, *_ = silicon
    one, two = (small(n_members=n).fit(features, y) for n in (1, 2))
    for a, b in zip(one.coefs_, two.coefs_, strict=True):
        np.testing.assert_array_equal(a, b[:, :1])
    assert not np.array_equal(two.coefs_[0][:, 0], two.coefs_[0][:, 1])


def test_memory_changes_no_bit(silicon):
    features, y, test, _ = silicon
    held, in_files = (small(max_memory=m).fit(features, y) for m in (1e9, 1.0))
    assert_same(outcome(held, test), outcome(in_files, test))


def test_full_disk(silicon, full_disk):
    features, y, test, _ = silicon
    held = small().fit(features, y)
    with pytest.warns(NumericalWarning, match="0 bytes left: they are computed again"):
        computed = small(max_memory=1.0).fit(features, y)
    errors = held.predict(test).forces_flat - computed.predict(test).forces_flat
    assert 0.0 < np.abs(errors).max() < 0.02  # rounding errors grow in training


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_disk_that_fills_up(silicon, monkeypatch):
    features, y, *_ = silicon
    monkeypatch.setattr(jacobian_store.tempfile, "TemporaryFile", lambda: open("/dev/full", "wb"))
    with pytest.warns(NumericalWarning, match="No space left on device.*computed again"):
        small(max_memory=1.0, max_iter=1).fit(features, y)


def test_no_folder_for_temporary_files(silicon, monkeypatch):
    def nowhere():
        raise FileNotFoundError("No usable temporary directory")

    features, y, *_ = silicon
    monkeypatch.setattr(jacobian_store.tempfile, "gettempdir", nowhere)
    small(max_iter=1).fit(features, y)  # which needs none
    with pytest.warns(NumericalWarning, match="No usable temporary directory.*computed again"):
        small(max_memory=1.0, max_iter=1).fit(features, y)


def test_spread_of_members(silicon):
    features, y, test, _ = silicon
    model = small(n_members=3).fit(features, y)
    singles = [AtomicMLP.evaluate(small_of(model, m), test) for m in range(3)]
    energies = [np.add.reduceat(e, test.offsets[:-1]) for e, _, _ in singles]
    mean, std = model.predict(test, return_std="all")
    np.testing.assert_allclose(mean.energy, np.mean(energies, axis=0))
    np.testing.assert_allclose(std.energy, np.std(energies, axis=0, ddof=1))
    forces = np.var([f for _, f, _ in singles], axis=0, ddof=1).mean(axis=1)
    np.testing.assert_allclose(std.forces_flat, np.sqrt(forces)[:, None] * np.ones(3))
    with pytest.raises(ValueError, match="n_members=4"):
        small(n_members=1).fit(features, y).predict(test, return_std=True)


def small_of(model, m):
    """Return a model of one member."""
    one = copy.copy(model)
    one.coefs_ = [coef[:, [m]] for coef in model.coefs_]
    one.intercepts_ = [offset[:, [m]] for offset in model.intercepts_]
    one.linear_coefs_ = model.linear_coefs_[:, [m]]
    return one


def test_coefs_are_layers_on_the_features(silicon):
    features, y, test, _ = silicon
    model = small(n_members=1).fit(features, y)
    x = test.values[0] - model.centers_[0]
    layers = [c[0, 0].T for c in model.coefs_[:-1]]
    offsets = [c[0, 0] for c in model.intercepts_[:-1]]
    last, constant = model.coefs_[-1][0, 0, :, 0], model.intercepts_[-1][0, 0, 0]
    energy = naive.energy(x, layers, offsets, last, constant, model.linear_coefs_[0, 0], "silu")
    assert model.evaluate(test)[0][0] == pytest.approx(energy + model.e0_[14], rel=1e-10)


def test_warm_start_goes_on(silicon):
    features, y, *_ = silicon
    model = small(warm_start=True, learning_rate_init=1e-3).fit(features, y)
    first = model.loss_curve_
    again = clone(model).fit(features, y)
    assert again.loss_curve_ == first
    model.fit(features, y)
    assert model.loss_curve_[0] < first[0] and model.loss_curve_[-1] < first[-1]
    with pytest.raises(ValueError, match="warm_start=False"):
        model.set_params(hidden_layer_sizes=(3,)).fit(features, y)
    cold = model.set_params(hidden_layer_sizes=(6, 4), warm_start=False).fit(features, y)
    assert cold.loss_curve_ == first


def test_partial_fit_goes_once_through_structures(silicon):
    features, y, test, _ = silicon
    model = small(warm_start=False)
    losses = []
    for begin in (0, 20, 0, 20):
        part = slice(begin, begin + 20)
        model.partial_fit(features[part], y[part])
        losses += model.loss_curve_
    assert len(losses) == 4 and losses[2] < losses[0]
    assert model.n_iter_ == 1
    grades = model.extrapolation_grade(features)
    assert grades.max() < 1.0 + 1e-6


def test_early_stopping_keeps_the_best(silicon):
    features, y, *_ = silicon
    options = dict(early_stopping=True, n_iter_no_change=3, n_members=1, learning_rate_init=0.02)
    model = small(max_iter=200, validation_fraction=0.25, **options).fit(features, y)
    assert len(model.validation_scores_) == model.n_iter_ < 200
    best = int(np.argmax(model.validation_scores_))
    assert (
        best == model.n_iter_ - 4
        or model.validation_scores_[best] - max(model.validation_scores_[: best - 1]) < model.tol
    )
    with pytest.raises(ValueError, match="smaller validation_fraction"):
        small(**options | dict(validation_fraction=0.99)).fit(features[:4], y[:4])


@pytest.fixture
def interrupt(monkeypatch):
    """A function that lets the user press Ctrl-C in the n-th training, and counts trainings."""
    begun, calls = threading.Event(), []

    def in_training(n):
        def results(waiting, stop, found=network_members._results):
            calls.append(len(waiting))
            return found([Interrupting(begun), *waiting] if len(calls) == n else waiting, stop)

        def train(*args, train=network_members.train):
            begun.set()
            return train(*args)

        monkeypatch.setattr(network_members, "_results", results)
        monkeypatch.setattr(network_members, "train", train)
        return calls

    return in_training


class Interrupting:
    """A result during the first wait for which the user presses Ctrl-C."""

    def __init__(self, begun):
        self.begun, self.waited = begun, False

    def result(self):
        if not self.waited:
            self.waited = True
            self.begun.wait()
            raise KeyboardInterrupt


def test_interrupt_keeps_what_was_learned(silicon, interrupt):
    features, y, test, _ = silicon
    calls = interrupt(1)
    with pytest.warns(NumericalWarning, match="interrupted when"):
        model = small(max_iter=5000, n_members=3, calibrate=True).fit(features, y)
    assert len(calls) == 1 and 0 < model.n_iter_ < 5000
    assert 1 <= model.coefs_[0].shape[1] <= 3 and not model.calibration_
    assert np.isfinite(model.predict(test).forces_flat).all()


def test_interrupt_of_the_calibration_keeps_the_networks(silicon, interrupt):
    features, y, test, _ = silicon
    plain = small().fit(features, y)
    calls = interrupt(2)
    with pytest.warns(NumericalWarning, match="deviations are not calibrated"):
        model = small(calibrate=True).fit(features, y)
    assert len(calls) == 2 and not model.calibration_
    assert_same(outcome(model, test), outcome(plain, test))


def test_trials_decide_on_the_number_of_epochs(silicon, monkeypatch):
    features, y, test, _ = silicon
    monkeypatch.setattr(network_epochs, "TRIALS", (2, 4))
    monkeypatch.setattr(network_epochs, "MOST_EPOCHS", 32)
    auto = small(max_iter="auto").fit(features, y)
    assert 8 <= auto.n_iter_ <= 32
    assert_same(outcome(auto, test), outcome(small(max_iter=auto.n_iter_).fit(features, y), test))
    backwards = small(max_iter="auto").fit(features[::-1], y[::-1])
    assert_same(outcome(auto, test), outcome(backwards, test))
    few = small(max_iter="auto", n_members=1).fit(features[:1], y[:1])  # nothing can be held out
    assert few.n_iter_ == 8


@pytest.mark.parametrize(
    ("losses", "expected"), [((1.0, 1.2), 100), ((1.0, 0.8), 200), ((1.0, 0.3), 400), ((0, 0), 100)]
)
def test_epochs_follow_the_gain_of_the_trials(losses, expected):
    assert network_epochs._epochs_for(*losses) == expected


def test_interrupt_of_the_trials_changes_nothing(silicon, interrupt):
    features, y, *_ = silicon
    interrupt(1)
    model = small(max_iter="auto")
    with pytest.raises(KeyboardInterrupt):
        model.fit(features, y)
    assert not hasattr(model, "coefs_")


def test_labels_decide_on_noise(silicon):
    features, y, *_ = silicon
    model = small().fit(features, y)
    forces = y.forces_flat
    size = np.mean(np.abs(forces))
    assert model.sigma_forces_ == pytest.approx(0.015 * size)
    assert model.sigma_energy_ == pytest.approx(0.05 * model.sigma_forces_)
    assert model.sigma_stress_ == pytest.approx(0.3 * model.sigma_forces_)
    follows = small(sigma_forces=0.3).fit(features, y)
    assert follows.sigma_energy_ == pytest.approx(0.05 * 0.3)
    assert follows.sigma_stress_ == pytest.approx(0.3 * 0.3)
    given = small(sigma_energy=0.02, sigma_forces={"default": 0.3}, sigma_stress=0.1)
    groups = ["a"] * len(y)
    given.fit(features, Targets(y.energy, y.forces, y.stress, groups=groups))
    assert given.sigma_energy_ == 0.02 and given.sigma_forces_ == {"default": 0.3}


def test_search_over_layers(silicon):
    features, y, *_ = silicon
    grid = {"hidden_layer_sizes": [4, (6, 4)], "whitening": [0.0]}
    search = GridSearchCV(small(n_members=1), grid, scoring="neg_forces_rmse", cv=2)
    assert set(search.fit(features, y).best_params_) == set(grid)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(hidden_layer_sizes=()), "LinearRidge"),
        (dict(hidden_layer_sizes=(3, 0)), "at least 1"),
        (dict(hidden_layer_sizes=(3.5,)), "numbers of units"),
        (dict(learning_rate_init=1e20), "smaller learning_rate_init"),
    ],
)
def test_what_cannot_be_is_refused(options, message, silicon):
    features, y, *_ = silicon
    with pytest.raises(ValueError, match=message):
        small(**options).fit(features, y)


def test_compiled_form_equals_predict():
    X, y = labeled(["Si", "O"], 2, per_atom=-2.5)
    model = make_pipeline(make_union(ZBL(species=["O", "Si"]), soap()), small(baseline="zbl"))
    model.set_params(atomicmlp__activation="tanh", atomicmlp__hidden_layer_sizes=(13, 5, 3))
    assert max(skpot.compile(model.fit(X, y), X, grades=True).errors_) < 1e-9
    single = skpot.compile(model, X, dtype="float32")
    assert single.dtype == "float32" and 0.0 < max(single.errors_) < 1e-4
