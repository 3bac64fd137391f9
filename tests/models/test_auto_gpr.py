"""Noise, weights and kind of solution chosen from the labels."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from skpot import GPR, SOAP, AutoGPR, PrincipalComponents, SparseGPR, Targets, metrics
from skpot.data.order import canonical_order
from skpot.datasets import load_ethanol
from skpot.kernels import RBF, Matern
from skpot.processes.functionals import Functionals, covariance
from skpot.processes.held_out import held_out
from skpot.rows.memory import plan_memory
from tests import samples


@pytest.fixture(scope="module")
def silicon():
    soap = SOAP(cutoff=4.0, n_max=4, l_max=3, central_weight=0.0, normalize=False)
    return samples.silicon(make_pipeline(soap, PrincipalComponents(30)), n_train=24, n_test=3)


def test_is_the_model_that_it_chose(silicon):
    features, y, features_test, _ = silicon
    for auto, plain in [(AutoGPR(), GPR), (AutoGPR(max_pairs=0, n_sparse=50), SparseGPR)]:
        auto.fit(features, y)
        assert auto.exact_ == (plain is GPR)
        noise = {
            name: getattr(auto, f"{name}_")
            for name in ("sigma_energy", "sigma_forces", "sigma_stress")
        }
        sizes = (
            {"tol": 0.1} if auto.exact_ else {"n_sparse": 50, "selection": "cur", "jitter": 1e-7}
        )
        same = plain(auto.kernel_, **noise, **sizes).fit(features, y, auto.weight_)
        got, std = auto.predict(features_test, return_std=True)
        expected, expected_std = same.predict(features_test, return_std=True)
        np.testing.assert_allclose(got.energy, expected.energy, rtol=1e-12)
        np.testing.assert_allclose(got.forces_flat, expected.forces_flat, atol=1e-10)
        factor, noise = auto.calibration_["energy"]
        np.testing.assert_allclose(std, np.hypot(factor * expected_std, noise))


@pytest.mark.parametrize("few", [3000, 10])
def test_jacobians_are_made_once(silicon, monkeypatch, few):
    features, y, features_test, _ = silicon
    chain, made = type(features.derivatives), []
    jacobian = chain.jacobian
    monkeypatch.setattr(
        chain, "jacobian", lambda self, centers: made.extend(centers) or jacobian(self, centers)
    )
    monkeypatch.setattr("skpot.rows.memory._FEW_LABELS", few)  # by a factor, or by iterations
    model = AutoGPR(n_sparse=30).fit(features, y)
    assert model.exact_
    assert sorted(made) == list(range(len(features.values)))  # for choice, fit and calibration
    monkeypatch.setattr("skpot.processes.exact.with_jacobians", lambda *_: None)
    monkeypatch.setattr("skpot.models._gpr.with_jacobians", lambda *_: None)
    made.clear()
    other = AutoGPR(n_sparse=30).fit(features, y)
    assert len(made) > 2 * len(features.values)
    assert other.noise_factor_ == model.noise_factor_
    assert other.model_.n_iter_ == model.model_.n_iter_
    mine, theirs = model.predict(features_test), other.predict(features_test)
    # Rounding to single precision makes last digits of derivatives felt, below the tolerance.
    np.testing.assert_allclose(mine.energy, theirs.energy, rtol=3e-6)
    np.testing.assert_allclose(mine.forces_flat, theirs.forces_flat, atol=1e-3)


def test_number_of_pairs_decides(silicon):
    features, y, _, _ = silicon
    n_pairs = len(features.values) ** 2
    assert AutoGPR(max_pairs=n_pairs).fit(features, y).exact_
    assert not AutoGPR(max_pairs=n_pairs - 1, n_sparse=20).fit(features, y).exact_


def test_noise_follows_the_labels(silicon):
    features, y, _, _ = silicon
    auto = AutoGPR(noise=0.1, max_pairs=0, n_sparse=20).fit(features, y)
    np.testing.assert_allclose(auto.sigma_forces_, 0.1 * np.abs(y.forces_flat).mean())
    np.testing.assert_allclose(auto.sigma_energy_, 0.02 * auto.sigma_forces_)
    np.testing.assert_allclose(auto.sigma_stress_, 0.1 * auto.sigma_forces_)
    doubled = Targets(2 * y.energy, [2 * f for f in y.forces], 2 * y.stress)
    again = AutoGPR(noise=0.1, max_pairs=0, n_sparse=20).fit(features, doubled)
    np.testing.assert_allclose(again.sigma_forces_, 2 * auto.sigma_forces_)
    np.testing.assert_allclose(again.weight_, auto.weight_)
    energies = AutoGPR(noise=0.1, max_pairs=0, n_sparse=20).fit(features, y.energy)
    per_atom = y.energy / features.n_atoms
    per_atom -= energies.e0_[14]
    centered = per_atom - np.sort(per_atom)[len(per_atom) // 2 - 1]
    np.testing.assert_allclose(energies.sigma_energy_, 0.1 * np.abs(centered).mean())


@pytest.mark.parametrize("kind", ["energy", "forces", "stress"])
def test_extreme_structures_lose_weight(silicon, kind):
    features, y, _, _ = silicon
    energy, forces, stress = y.energy.copy(), [f.copy() for f in y.forces], y.stress.copy()
    ordinary = AutoGPR(max_pairs=0, n_sparse=20).fit(features, y).weight_
    if kind == "energy":
        energy[5] += 100.0 * features.n_atoms[5]
    elif kind == "forces":
        forces[5] += 1e3 * np.sign(forces[5])
    else:
        stress[5] += 1e3
    auto = AutoGPR(max_pairs=0, n_sparse=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of labels that are far from others
        weight = auto.fit(features, Targets(energy, forces, stress)).weight_
    assert weight[5] < 1e-3 * ordinary[5]
    others = ~np.isin(np.arange(len(weight)), [0, 5])  # the first is a free atom
    assert (weight[others] > 0.3 * ordinary[others]).all()


@pytest.mark.parametrize("kind", ["forces", "stress"])
def test_structures_without_a_label_do_not_count_in_what_is_usual_for_it(silicon, kind):
    features, y, _, _ = silicon
    labels = {"forces": [f.copy() for f in y.forces], "stress": y.stress.copy()}
    labels[kind][5] += 1e3 * np.sign(labels[kind][5])
    rows = np.r_[np.arange(24), np.arange(24)]
    weights = []
    for more in ([], [None] * 24):
        some = labels | {kind: [*labels[kind], *more]}
        other = {"forces": "stress", "stress": "forces"}[kind]
        some[other] = [labels[other][i] for i in rows[: len(some[kind])]]
        n = len(some[kind])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of copies, and of extreme labels
            auto = AutoGPR(max_pairs=0, n_sparse=20).fit(
                features[rows[:n]], Targets(y.energy[rows[:n]], **some)
            )
        weights.append(auto.weight_[:24])
    assert weights[0][5] < 0.1
    np.testing.assert_allclose(weights[1], weights[0])


def test_weights_multiply_and_repeat(silicon):
    features, y, _, _ = silicon
    rows = np.r_[np.arange(24), np.arange(20, 24)]
    weight = np.r_[np.ones(20), np.full(4, 2.0)]
    weighted = AutoGPR(noise=0.1).fit(features, y, weight)
    with pytest.warns(UserWarning):
        repeated = AutoGPR(noise=0.1).fit(features[rows], y[rows])
    np.testing.assert_allclose(weighted.sigma_forces_, repeated.sigma_forces_)
    np.testing.assert_allclose(weighted.weight_, weight * repeated.weight_[:24])


def test_forces_that_vanish_by_symmetry_leave_some_noise(silicon):
    features, y, features_test, _ = silicon
    still = Targets(y.energy, [np.zeros_like(f) for f in y.forces], y.stress)
    auto = AutoGPR(max_pairs=0, n_sparse=50).fit(features, still)
    assert auto.sigma_forces_ == 1e-3
    assert np.isfinite(auto.predict(features_test).forces_flat).all()


def test_noise_that_is_given_is_kept(silicon):
    features, y, _, _ = silicon
    sparse = {"max_pairs": 0, "n_sparse": 20}
    auto = AutoGPR(sigma_forces=0.2, **sparse).fit(features, y)
    given = auto.sigma_forces_, auto.sigma_energy_, auto.sigma_stress_
    np.testing.assert_allclose(given, (0.2, 0.004, 0.02))
    assert AutoGPR(sigma_energy=0.7, **sparse).fit(features, y).model_.sigma_energy == 0.7


def test_constant_labels():
    model = AutoGPR().fit(np.arange(6.0)[:, None], np.full(6, 3.0))
    np.testing.assert_allclose(model.predict(np.array([[2.5]])), 3.0)
    assert model.sigma_energy_ > 0.0


def test_unknown_baseline_is_refused(silicon):
    features, y, _, _ = silicon
    with pytest.raises(ValueError, match="zbl"):
        AutoGPR(baseline="zbl").fit(features, y)


def test_the_exact_model_takes_the_noise_of_a_process_with_that_noise(silicon):
    features, y, _, _ = silicon
    rng = np.random.default_rng(0)
    rule = AutoGPR(max_pairs=0, n_sparse=20).fit(features, y).sigma_forces_
    assert AutoGPR(max_pairs=0, n_sparse=20).fit(features, y).noise_factor_ == 1.0
    # Labels that the model can reproduce, and noise on them.
    smooth = GPR(sigma_energy=0.02, sigma_forces=0.3, sigma_stress=0.03).fit(features, y)
    exact = smooth.predict(features)
    n = np.sqrt(features.n_atoms)

    def factor(noise):
        sigma = noise * rule
        labels = Targets(
            exact.energy + 0.02 * sigma * n * rng.normal(size=len(n)),
            [f + sigma * rng.normal(size=f.shape) for f in exact.forces],
            exact.stress + 0.1 * sigma * rng.normal(size=exact.stress.shape),
        )
        auto = AutoGPR().fit(features, labels)
        # The rule follows the labels, which noise and smoothing change a little.
        return auto.noise_factor_, auto.sigma_forces_ / sigma

    assert factor(1.2)[1] == pytest.approx(1.0, rel=0.15)
    assert factor(1e-3)[0] == 0.25 and factor(30.0)[0] == pytest.approx(2.0)


def test_the_labels_choose_the_kernel_of_the_exact_model(silicon):
    features, y, _, _ = silicon
    some = 8 + canonical_order(features[8:].info.keys)  # as the labels are drawn
    few, labels = features[some], y[some]
    noise = {"sigma_energy": 1e-4, "sigma_forces": 0.005, "sigma_stress": 5e-4}

    def chosen(truth, **parameters):
        drawn = sample(truth, few, labels, noise)
        return AutoGPR(**parameters).fit(few, drawn).kernel_

    rough = RBF(1.0, 0.5) + Matern(2.0, 2.5, 0.5)
    assert str(chosen(RBF())) == str(RBF())
    assert str(chosen(rough)) == str(rough)
    assert str(chosen(rough, max_pairs=0, n_sparse=20)) == str(RBF())
    assert str(chosen(RBF(), kernel=RBF(0.5))) == str(RBF(0.5))
    # Where the noise is given, too.
    assert str(chosen(rough, **noise)) == str(rough)


def sample(kernel, features, labels, noise):
    """Return labels drawn from the process with a kernel, and noise on them."""
    model = GPR(kernel, **noise)
    training = model._prepare(features, labels, None)
    functionals, features = Functionals(training), training.features
    matrix = covariance(model.kernel_, functionals, features)
    rng = np.random.default_rng(1)
    values = np.linalg.cholesky(matrix + np.eye(len(matrix))) @ rng.normal(size=len(matrix))
    values /= functionals.scale
    energy, forces, stress = (values[part] for part in functionals.parts)
    forces = np.split(forces.reshape(-1, 3), features.offsets[1:-1])
    return Targets(energy, forces, stress.reshape(-1, 6))


def test_terms_add_up_to_the_energies(silicon):
    features, y, features_test, _ = silicon
    for auto in (AutoGPR(), AutoGPR(max_pairs=0, n_sparse=20)):
        parts = auto.fit(features, y).decompose(features_test)
        energies, _, _ = auto.evaluate(features_test)
        np.testing.assert_allclose(sum(parts.values()), energies, rtol=1e-10)


def test_given_noise_is_not_asked_for(silicon):
    features, y, _, _ = silicon
    auto = AutoGPR(sigma_forces=0.2).fit(features[:8], y[:8])
    assert auto.noise_factor_ == 1.0 and auto.sigma_forces_ == 0.2


def test_the_noise_of_energies_alone_is_asked_for(silicon):
    features, y, _, _ = silicon
    auto = AutoGPR().fit(features, y.energy)
    rule = AutoGPR(max_pairs=0, n_sparse=20).fit(features, y.energy).sigma_energy_
    assert auto.sigma_energy_ == pytest.approx(max(auto.noise_factor_ * rule, 1e-3))


def errors_and_deviations(y, predicted, std):
    """Return both by kind of label, flat."""
    return {
        kind: metrics.errors_and_deviations(y, predicted, std, kind)
        for kind in ("energy", "forces")
    }


@pytest.mark.parametrize("exact", [True, False])
def test_errors_without_a_structure_are_those_of_a_fit_without_it(silicon, exact):
    features, y, _, _ = silicon
    features, y, s = features[:8], y[:8], 3
    settings = {"sigma_energy": 0.01, "sigma_forces": 0.2, "sigma_stress": 0.01}
    settings |= {"e0": {"Si": -101.0}}
    model = (GPR(**settings) if exact else SparseGPR(RBF(), 40, **settings)).fit(features, y)
    training = model._more(features, y, None).in_order()
    plan = None if exact else plan_memory(None, training, 40)
    found = held_out(model.posterior_, model.expansion_, training, plan, np.arange(8))
    if not exact:  # the same references, but those of the structure
        rows = np.array(
            [
                np.flatnonzero((features.values == q).all(axis=1))[0]
                for q in model.reference_features_
            ]
        )
        of_others = (rows < features.offsets[s]) | (rows >= features.offsets[s + 1])
        assert 0 < np.count_nonzero(of_others) < len(rows)
        model = SparseGPR(RBF(), selection=np.sort(rows[of_others]), **settings)
    weight = np.ones(8)
    weight[s] = 0.0
    if exact:
        others = np.flatnonzero(weight)
        model = clone(model).fit(features[others], y[others])
    else:
        model.fit(features, y, sample_weight=weight)
    predicted, std = model.predict(features[[s]], return_std="all")
    for kind, expected in errors_and_deviations(y[[s]], predicted, std).items():
        for got, want in zip(found[kind][:2], expected, strict=True):
            nearest = np.abs(np.abs(got)[:, None] - np.abs(want)).min(axis=0)
            np.testing.assert_allclose(nearest, 0.0, atol=1e-4 * np.abs(want).max())


def test_errors_of_conjugate_gradients_are_those_of_a_fit_without_the_structures(silicon):
    features, y, _, _ = silicon
    settings = {"sigma_energy": 0.01, "sigma_forces": 0.2, "sigma_stress": 0.01}
    settings |= {"e0": {"Si": -101.0}, "solver": "cg", "tol": 1e-6, "n_precondition": 200}
    some = np.array([2, 5])
    model = GPR(**settings)
    training, _, errors = model._learn(features, y, None, lambda training: some)
    left = canonical_order(features.info.keys, y)[some]
    others = np.setdiff1d(np.arange(len(features)), left)
    again = GPR(**settings).fit(features[others], y[others])
    predicted = again.predict(features[left])
    inside = training.take(some)
    errors = errors * inside.noise()
    np.testing.assert_allclose(errors[:2], y[left].energy - predicted.energy, atol=1e-5)
    n = 2 + y[left].forces_flat.size
    forces = (y[left].forces_flat - predicted.forces_flat).ravel()
    np.testing.assert_allclose(errors[2:n], forces, atol=1e-5)
    plan = plan_memory(None, training, len(model.posterior_.posterior_factor))
    found = held_out(model.posterior_, model.expansion_, training, plan, some, errors)
    assert len(found["energy"][0]) == 2
    # Deviations are nearly those of the model without them, whose references are others.
    expected = np.median(again.predict_std(features[left]).forces_flat)
    assert 0.5 < np.median(found["forces"][1]) / expected < 2.0


@pytest.mark.parametrize("settings", [{}, {"max_pairs": 0, "n_sparse": 50}])
def test_deviations_cover_errors_on_other_structures(settings):
    soap = SOAP(cutoff=4.0, n_max=4, l_max=3, central_weight=0.0, normalize=False)
    steps = make_pipeline(soap, PrincipalComponents(30))
    features, y, features_test, y_test = samples.silicon(steps, n_train=40, n_test=30)
    auto = AutoGPR(**settings).fit(features, y)
    predicted, std = auto.predict(features_test, return_std="all")
    plain = auto.model_.predict_std(features_test)
    off, before = (
        metrics.calibration_error(y_test, predicted, s, kind="forces") for s in (std, plain)
    )
    assert off < 0.15 and off < 0.5 * before
    np.testing.assert_allclose(std.energy, auto.energy_std(features_test))
    np.testing.assert_allclose(
        std.forces_flat, np.hypot(auto.species_factors_[14] * plain.forces_flat,
                                  auto.calibration_["forces"][1])
    )  # fmt: skip
    np.testing.assert_allclose(
        auto.energies_std(features_test),
        auto.calibration_["energy"][0] * auto.model_.energies_std(features_test),
    )


@pytest.mark.parametrize("settings", [{}, {"max_pairs": 0, "n_sparse": 100}])
def test_free_atoms_have_their_energies(settings):
    soap = SOAP(cutoff=4.0, n_max=4, l_max=3, central_weight=0.0, normalize=False)
    steps = make_pipeline(soap, PrincipalComponents(30))
    X, y, _, _ = load_ethanol(return_X_y=True)
    lone = np.array([len(atoms) == 1 for atoms in X])
    assert lone.sum() == 3
    few = np.sort(np.concatenate([np.flatnonzero(lone), np.flatnonzero(~lone)[:20]]))
    X, y, lone = [X[i] for i in few], y[few], lone[few]
    auto = AutoGPR(**settings).fit(steps.fit_transform(X), y)
    np.testing.assert_array_equal(auto.weight_[lone], 1.0)
    predicted = auto.predict(steps.transform(X))
    np.testing.assert_allclose(predicted.energy[lone], y.energy[lone], atol=0.01)
