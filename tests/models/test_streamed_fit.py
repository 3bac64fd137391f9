"""Fits to structures in files: the same models as of structures in memory."""

import importlib
import shutil
import warnings
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline, make_union

import skpot
from skpot.exceptions import (
    InputError,
    LabelError,
    LabelWarning,
    NumericalWarning,
    SkpotError,
    StructureError,
)
from tests.samples import crystals, labels_of_emt, oxide


def soap(**options):
    return skpot.SOAP(n_max=3, l_max=2, cutoff=4.5, **options)


def small_preset(name):
    """Return a preset as it is for large training sets, but for the number of references."""
    return skpot.make_potential(name).set_params(regressor__max_pairs=0, regressor__n_sparse=30)


MODELS = {
    "fast": lambda: skpot.make_potential("fast"),
    "sparse": lambda: make_pipeline(soap(), skpot.SparseGPR(n_sparse=30)),
    "random references": lambda: make_pipeline(
        soap(dtype="float32"), skpot.SparseGPR(n_sparse=20, selection="random")
    ),
    "likeliest noise": lambda: make_pipeline(
        soap(), skpot.SparseGPR(n_sparse=20, optimizer="fmin_l_bfgs_b", subsample=300)
    ),
    "linear": lambda: make_pipeline(
        make_union(
            skpot.PairBasis(5.0, r_min=1.5, n_splines=8), skpot.TripletBasis(4.0, n_splines=4)
        ),
        skpot.LinearRidge(),
    ),
    "quadratic": lambda: make_pipeline(
        soap(normalize=False, central_weight=0.0),
        skpot.PrincipalComponents(6),
        skpot.LinearRidge(alpha=1e-3, degree=2),
    ),
    "cross-validation": lambda: make_pipeline(
        soap(),
        skpot.SparseGPRCV(
            n_sparse=20, kernel_params={"zeta": [2, 4]}, sigma_forces=[0.02, 0.1], cv=3
        ),
    ),
    "network": lambda: make_pipeline(
        soap(),
        skpot.AtomicMLP((8,), n_members=2, n_components=20, max_iter=5, batch_size=4),
    ),
    "default": lambda: small_preset("default"),
    "accurate": lambda: small_preset("accurate"),
    "per atom": lambda: make_pipeline(
        soap(), skpot.SpeciesCoupling(), skpot.SparseGPR(n_sparse=20)
    ),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Alloys in a file: a species that few structures have, and labels that are missing."""
    X = [*crystals("Cu", 8), *crystals("Au", 4), *crystals("Cu", 8, first=30)]
    for atoms in X[14:]:
        atoms.numbers[0] = 79
    y = labels_of_emt(X)
    forces = [None if i in (3, 15) else f for i, f in enumerate(y.forces)]
    energy = [None if i in (2, 15) else e for i, e in enumerate(y.energy)]
    path = tmp_path_factory.mktemp("data") / "alloy.xyz"
    ase.io.write(path, skpot.Targets(energy, forces, y.stress).to_atoms(X))
    return path


@pytest.fixture(scope="module")
def labeled(stored):
    """The same in memory: files hold eight digits."""
    return skpot.read(stored)


@pytest.fixture
def in_parts_of(monkeypatch):
    """Return a function that sets how many atoms are worked on together."""

    def set_size(n_atoms):
        for name in ("_frames", "_streamed_features", "order"):
            module = importlib.import_module(f"skpot.data.{name}")
            monkeypatch.setattr(module, "ATOMS_AT_A_TIME", n_atoms)

    return set_size


def regressor(model):
    return getattr(model[-1], "model_", model[-1])


def assert_equal(one, other, X):
    a, b = one.predict(X), other.predict(X)
    scale = np.abs(a.forces_flat).max()
    assert np.abs(a.energy - b.energy).max() <= 1e-10 * np.abs(a.energy).max()
    assert np.abs(a.forces_flat - b.forces_flat).max() <= 1e-10 * scale
    first, second = regressor(one), regressor(other)
    for name in ("label_shares_", "largest_training_std_", "e0_", "n_labels_"):
        if name == "label_shares_" and isinstance(first, skpot.AtomicMLP):
            continue
        found, expected = getattr(second, name), getattr(first, name)
        assert found.keys() == expected.keys()
        assert np.allclose([*found.values()], [*expected.values()], rtol=1e-10, atol=1e-12)
    if hasattr(first, "cv_results_"):
        assert second.best_params_ == first.best_params_
        for name, values in first.cv_results_.items():
            if name != "params":
                assert np.allclose(second.cv_results_[name], values, rtol=1e-10)
    if hasattr(first, "reference_features_"):
        shape = first.reference_features_.shape
        assert second.reference_features_.shape == shape
        assert np.allclose(second.reference_features_, first.reference_features_, rtol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_the_same_model_for_any_number_of_parts_and_any_order(name, labeled, stored, in_parts_of):
    X = labeled[0]
    frames, labels = skpot.read(stored, lazy=True)
    in_memory = MODELS[name]().fit(*labeled)
    n_atoms = sum(map(len, X))
    for n_parts in (7,) if name == "default" else (1, 2, 7):  # that of "accurate" is larger
        in_parts_of(-(-n_atoms // n_parts))
        model = MODELS[name]()
        model.fit(frames, labels)
        assert_equal(in_memory, model, X)
    order = np.random.default_rng(0).permutation(len(X))
    assert_equal(in_memory, MODELS[name]().fit(frames[order], labels[order]), X)


def test_the_domain_is_the_same_to_the_last_bit(labeled, stored, in_parts_of, monkeypatch):
    """Blocks of rows end where parts of files do, of structures in memory as well."""
    in_parts_of(20)
    monkeypatch.setattr("skpot.data.tasks._ROWS", 16)
    one, other = (
        MODELS["sparse"]().fit(*data)[-1] for data in (labeled, skpot.read(stored, lazy=True))
    )
    assert np.array_equal(one.domain_factor_, other.domain_factor_)
    assert one.largest_training_std_ == other.largest_training_std_


def test_networks_are_the_same_to_the_last_bit(labeled, stored, in_parts_of, monkeypatch):
    def network(max_memory=None):
        options = {"n_members": 2, "n_components": 10, "max_iter": 2, "max_memory": max_memory}
        return make_pipeline(soap(), skpot.AtomicMLP((6,), **options))

    in_memory = network().fit(*labeled)[-1]
    frames, labels = skpot.read(stored, lazy=True)
    order = np.random.default_rng(0).permutation(len(frames))
    in_parts_of(20)
    inputs = importlib.import_module("skpot.processes.network_inputs")
    monkeypatch.setattr(inputs, "_AT_HAND", 10)
    monkeypatch.setattr(inputs, "_BLOCK_BYTES", 1e5)
    monkeypatch.setattr(skpot.data.LazyTargets, "forces_flat", property(lambda self: 1 / 0))
    monkeypatch.setattr(skpot.data.StreamedFeatures, "loaded", lambda self: 1 / 0)
    for max_memory in (1e9, 1e3):  # derivatives of the features in memory, and in a file
        model = network(max_memory).fit(frames[order], labels[order])[-1]
        assert np.array_equal(model.linear_coefs_, in_memory.linear_coefs_)
        for name in ("coefs_", "intercepts_"):
            for one, other in zip(getattr(model, name), getattr(in_memory, name), strict=True):
                assert np.array_equal(one, other)
        for kind, factors in in_memory.calibration_.items():
            assert np.allclose(model.calibration_[kind], factors, rtol=1e-9)
    # Beside a full disk they are computed again at each step.
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.warns(NumericalWarning, match="computed again at each step"):
        model = network(1e3).fit(frames, labels)[-1]
    assert np.allclose(model.linear_coefs_, in_memory.linear_coefs_, rtol=1e-3, atol=1e-5)


def test_labels_in_memory_and_weights_go_with_frames(labeled, stored, in_parts_of):
    X, y = labeled
    frames = skpot.Frames(stored)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    weight[4] = 0.0
    in_parts_of(20)
    one, other = (
        make_pipeline(soap(), skpot.SparseGPR(n_sparse=20)).fit(
            data, y, sparsegpr__sample_weight=weight
        )
        for data in (X, frames)
    )
    assert_equal(one, other, X)


def test_nothing_is_held_whole(stored, in_parts_of, monkeypatch):
    frames, labels = skpot.read(stored, lazy=True)
    in_parts_of(20)
    largest = []
    batch = skpot.Frames.batch

    def recorded(self, rows=None):
        found = batch(self, rows)
        if rows is not None:
            largest.append(len(found.numbers))
        return found

    monkeypatch.setattr(skpot.Frames, "batch", recorded)
    monkeypatch.setattr(skpot.data.LazyTargets, "forces_flat", property(lambda self: 1 / 0))
    whole = skpot.data.StreamedFeatures.loaded

    def refused(self):
        assert len(self) < len(frames), "the features of all structures were computed at once"
        return whole(self)

    monkeypatch.setattr(skpot.data.StreamedFeatures, "loaded", refused)
    for name in ("fast", "sparse", "linear", "cross-validation"):
        model = MODELS[name]().fit(frames, labels)
        assert len(model.predict(frames)) == len(frames)
        assert len(model.predict(frames, return_std=True)[1]) == len(frames)
    # Blocks of rows, which are larger than parts of features, are those of a fit in memory.
    assert largest.count(max(largest)) < len(largest)


def test_predictions_of_frames_are_those_of_lists(labeled, stored, in_parts_of):
    X, y = labeled
    model = make_pipeline(soap(), skpot.SparseGPR(n_sparse=20)).fit(X, y)
    in_parts_of(20)
    frames = skpot.Frames(stored)
    one, other = model.predict(X), model.predict(frames)
    assert np.allclose(one.forces_flat, other.forces_flat, rtol=0, atol=1e-12)
    assert np.allclose(one.energy, other.energy, rtol=0, atol=1e-11)
    std = [model.predict(data, return_std=True)[1] for data in (X, frames)]
    assert np.allclose(*std, rtol=1e-9)


def test_one_structure_and_a_small_exact_model(labeled, stored):
    X = labeled[0]
    frames, labels = skpot.read(f"{stored}@0:1", lazy=True)
    make_pipeline(soap(), skpot.SparseGPR(n_sparse=3)).fit(frames, labels).predict(frames)
    y = skpot.read(f"{stored}@0:6")[1]
    frames, labels = skpot.read(f"{stored}@0:6", lazy=True)
    one = skpot.make_potential("default").fit(X[:6], y)
    other = skpot.make_potential("default").fit(frames, labels)
    assert one[-1].exact_ and other[-1].exact_
    assert np.allclose(one.predict(X[:3]), other.predict(X[:3]), rtol=1e-10)


def test_a_bad_label_is_named_by_file_and_frame(labeled, stored, in_parts_of):
    X, y = labeled
    forces = y.forces
    forces[17] = np.full((len(X[17]), 3), np.inf)
    wrong = skpot.Targets(np.where(y.has_energy, y.energy, None), forces, y.stress)
    in_parts_of(20)
    model = make_pipeline(soap(), skpot.SparseGPR(n_sparse=20))
    with pytest.raises(LabelError, match=r"structure 17, frame 17 of .*alloy\.xyz: forces are not"):
        model.fit(skpot.Frames(stored), wrong)
    assert not hasattr(model[-1], "dual_coef_")
    with pytest.raises(LabelError, match="has 3 entries but X has 20"):
        model.fit(skpot.Frames(stored), wrong[:3])
    with pytest.raises(LabelError, match="no labels"):
        model.fit(skpot.Frames(stored), skpot.Targets([None] * 20))


@pytest.mark.parametrize(
    ("wrong", "targets", "expected"),
    [
        ({7: 0.0, 8: 0.0}, "auto", ["up to 500 eV/Å", "exactly zero in 2 structures"]),
        ({20: 40.0}, "auto", ["up to 500 eV/Å", "far from all others"]),
        ({20: 40.0}, ("energy", "stress"), []),
    ],
)
def test_warnings_are_those_of_a_fit_in_memory(tmp_path, in_parts_of, wrong, targets, expected):
    """Of single forces, of placeholders, and of energies that forces say are wrong."""
    X = crystals("Cu", 24)
    y = labels_of_emt(X)
    forces, energy = y.forces, y.energy.tolist()
    forces[3][1:] = np.nan
    forces[11][0] = [0.0, 300.0, 400.0]
    for i, value in wrong.items():
        energy[i] = value
    path = tmp_path / "odd.xyz"
    ase.io.write(path, skpot.Targets(energy, forces, y.stress).to_atoms(X))
    in_parts_of(20)

    def told(labeled):
        union = make_union(skpot.ZBL(outer=3.5), soap())  # a baseline of all atoms
        model = skpot.SparseGPR(n_sparse=10, baseline="zbl", targets=targets)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            make_pipeline(union, model).fit(*labeled)
        return sorted(str(w.message) for w in caught if w.category is LabelWarning)

    texts = told(skpot.read(path, lazy=True))
    assert texts == told(skpot.read(path))
    assert all(any(part in text for text in texts) for part in expected)
    assert expected or not any("forces" in text for text in texts)


def test_new_species_and_changed_files(labeled, stored, tmp_path, in_parts_of):
    in_parts_of(20)
    frames, labels = skpot.read(stored, lazy=True)
    model = make_pipeline(soap(), skpot.SparseGPR(n_sparse=10))
    with pytest.raises(StructureError, match=r"species Au in structures \["):
        model.fit(frames[:8], labels[:8]).predict(frames)
    path = tmp_path / "copy.xyz"
    path.write_text(stored.read_text())
    frames, labels = skpot.read(path, lazy=True)
    features = model[0].fit_transform(frames)
    path.write_text(stored.read_text() + stored.read_text())
    with pytest.raises(InputError, match=r"copy\.xyz has changed"):
        skpot.SparseGPR(n_sparse=10).fit(features, labels)


def test_an_interrupt_changes_nothing(labeled, stored, in_parts_of, monkeypatch):
    in_parts_of(20)
    frames, labels = skpot.read(stored, lazy=True)
    model = make_pipeline(soap(), skpot.SparseGPR(n_sparse=10)).fit(frames[:12], labels[:12])
    before = model[-1].dual_coef_.copy()
    calls, read = [], skpot.Frames.read

    def interrupted(self, rows):
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return read(self, rows)

    monkeypatch.setattr(skpot.Frames, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model[-1].fit(model[0].transform(frames), labels)
    assert np.array_equal(model[-1].dual_coef_, before)


def test_features_of_molecules_stream_too(tmp_path):
    X, y = [oxide(), oxide()], None
    X[1].rattle(0.05, seed=1)
    y = skpot.Targets([-10.0, -9.5], [np.zeros((len(a), 3)) for a in X])
    ase.io.write(tmp_path / "oxide.xyz", y.to_atoms(X))
    frames, labels = skpot.read(tmp_path / "oxide.xyz", lazy=True)
    model = make_pipeline(soap(), skpot.PerStructure(), skpot.SparseGPR(n_sparse=2))
    try:
        in_memory = model.fit(X, y).predict(X).energy
    except SkpotError as error:
        with pytest.raises(type(error)):
            model.fit(frames, labels)
    else:
        assert np.allclose(model.fit(frames, labels).predict(X).energy, in_memory, rtol=1e-10)
