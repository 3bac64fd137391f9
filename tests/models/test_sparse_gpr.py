"""The sparse process against dense algebra, finite differences and bad input."""

import numpy as np
import pytest
from ase import Atoms
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import FeatureUnion, make_pipeline

from skpot import GPR, SOAP, ZBL, PairBasis, PerAtom, SparseGPR, Targets
from skpot.kernels import RBF, DotProduct
from skpot.testing import check_potential
from tests import samples
from tests.naive.kernel import (
    SparseGP,
    Structure,
    compare_with_oracle,
    dot_product,
    labeled_structures,
    least_squares_e0,
)
from tests.samples import labeled

SMALL = dict(cutoff=3.0, n_max=3, l_max=2, sigma=0.4)


def fitted(symbols, *steps, **options):
    X, y = labeled(symbols, 3)
    model = make_pipeline(SOAP(**SMALL), *steps, SparseGPR(n_sparse=12, **options))
    with pytest.warns(UserWarning) if len(symbols) == 4 else _nothing():
        return model.fit(X, y), X, y


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *args):
        return None


@pytest.mark.parametrize("symbols", [["Si"], ["Si", "O"]], ids="-".join)
def test_equals_dense_normal_equations(symbols):
    X, y = labeled(symbols, 2)
    # Mixed labels: one structure without forces, one without energy.
    energy = list(y.energy)
    energy[1] = None
    y = Targets(energy, [None, *y.forces[1:]], [y.stress[i] for i in range(len(X))])
    options = dict(sigma_energy=0.05, sigma_forces=0.2, sigma_stress=0.01)
    e0 = {z: -2.5 for z in symbols}
    model = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=6, e0=e0, jitter=1e-12, **options))
    model.fit(X, y)
    soap, gpr = model[0], model[1]
    features = samples.features_of(soap)

    references = list(zip(gpr.reference_features_, gpr.reference_species_, strict=True))
    oracle = SparseGP(
        features, dot_product(4), references, {int(z): -2.5 for z in gpr.e0_}, **options
    )
    oracle.fit(labeled_structures(X, y))
    compare_with_oracle(model, X[:3], oracle, 2e-6, variance_atol=1e-6)


@pytest.mark.parametrize("symbols", [["Si"], ["H", "C", "N", "O"]], ids="-".join)
def test_keeps_the_promises_of_a_potential(symbols):
    model, X, _ = fitted(symbols)
    check_potential(model, X[:4])


@pytest.mark.parametrize(
    "steps, options",
    [
        ([PerAtom(PCA(8))], {}),
        ([PerAtom(PCA(8))], {"kernel": RBF(length_scale=0.5)}),
        ([], {"kernel": DotProduct(zeta=2), "selection": "fps"}),
    ],
)
def test_forces_follow_through_maps_and_kernels(steps, options):
    model, X, _ = fitted(["Si", "O"], *steps, **options)
    others = ("rotation", "translation", "permutation", "cell", "inputs", "threads", "copies")
    check_potential(model, X[:3], skip=others)


def test_forces_follow_through_a_union_of_two_scales():
    X, y = labeled(["Si"], 3)
    union = FeatureUnion([("short", SOAP(2.8, 3, 2, 0.4)), ("long", SOAP(4.0, 3, 2, 0.6))])
    model = make_pipeline(union, SparseGPR(n_sparse=12)).fit(X, y)
    check_potential(model, X[:3], skip=("inputs", "threads", "copies"))


@pytest.mark.parametrize("model", [SparseGPR(n_sparse=12), GPR()], ids=["SparseGPR", "GPR"])
def test_forces_follow_through_terms_on_blocks(model):
    X, y = labeled(["Si", "O"], 1)
    soap = make_pipeline(SOAP(**SMALL), PerAtom(PCA(6)))
    union = FeatureUnion([("p", PairBasis(3.0, 6)), ("zbl", ZBL(outer=3.0)), ("s", soap)])
    kernel = RBF(0.8).on("pair_basis") + 0.5 * (
        RBF(1.2).on("soap") * DotProduct(1).on("pair_basis")
    )
    model = make_pipeline(union, model.set_params(kernel=kernel, baseline="zbl")).fit(X, y)
    fitted = model[-1]
    assert fitted.kernel_.k2.k1.block[1] == fitted.n_features_in_ - 1  # the baseline lay between
    others = ("rotation", "translation", "permutation", "cell", "inputs", "threads", "copies")
    check_potential(model, X[:3], skip=others)


def test_blocks_of_any_size_give_the_same_model():
    X, y = labeled(["Si"], 3)
    features = SOAP(**SMALL).fit_transform(X)
    free = SparseGPR(n_sparse=12).fit(features, y)
    tight = SparseGPR(n_sparse=12, max_memory=2.5e5).fit(features, y)
    np.testing.assert_allclose(
        tight.predict(features).energy, free.predict(features).energy, rtol=1e-10
    )


def test_the_same_seed_gives_the_same_model_bit_for_bit():
    X, y = labeled(["Si"], 3)
    model = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=8, random_state=3))
    first, second = clone(model).fit(X, y), clone(model).fit(X, y)
    assert np.array_equal(first[-1].dual_coef_, second[-1].dual_coef_)
    third = clone(model).set_params(sparsegpr__random_state=4).fit(X, y)
    assert not np.array_equal(first[-1].reference_features_, third[-1].reference_features_)


def test_predict_returns_the_kind_of_y_seen_in_fit():
    X, y = labeled(["Si"], 3)
    model = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=8))
    assert isinstance(model.fit(X, y).predict(X), Targets)
    energies = model.fit(X, y.energy).predict(X)
    assert type(energies) is np.ndarray and energies.shape == (len(X),)


def test_small_noise_reproduces_energies():
    X, y = labeled(["Si"], 3)
    bulk = [i for i, atoms in enumerate(X) if len(atoms) > 1]
    X, energy = [X[i] for i in bulk], y.energy[bulk]
    model = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=100, sigma_energy=1e-6))
    predicted, std = model.fit(X, energy).predict(X, return_std=True)
    np.testing.assert_allclose(predicted, energy, atol=1e-3)
    assert std.max() < 0.01


def test_uncertainty_grows_away_from_the_data():
    X, y = labeled(["Si"], 3)
    model = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=50)).fit(X, y)
    _, near = model.predict(X[:1], return_std=True)
    strange = X[0].copy()
    strange.positions[0] += [0.9, 0.4, 0.7]
    _, far = model.predict([strange], return_std=True)
    assert far[0] > 3 * near[0]


def test_sample_weight_acts_as_repetition():
    X, y = labeled(["Si"], 3)
    features = SOAP(**SMALL).fit_transform(X)
    rows = [0, 0, 0, *range(1, len(X))]
    weight = np.ones(len(X))
    weight[0] = 3.0
    options = dict(n_sparse=1000, e0={"Si": -3.0}, selection="fps")
    weighted = SparseGPR(**options).fit(features, y, sample_weight=weight)
    repeated = SparseGPR(**options).fit(features[rows], y[rows])
    np.testing.assert_allclose(
        weighted.predict(features).energy, repeated.predict(features).energy, rtol=1e-6
    )


def test_e0_comes_from_isolated_atoms_else_from_least_squares():
    X, y = labeled(["Si"], 3)
    model = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=8))
    gpr = model.fit(X, y)[-1]
    assert gpr.e0_source_ == "isolated"
    np.testing.assert_allclose(gpr.e0_[14], y.energy[[len(a) == 1 for a in X]].mean())
    bulk = [i for i, a in enumerate(X) if len(a) > 1]
    gpr = model.fit([X[i] for i in bulk], y[bulk])[-1]
    assert gpr.e0_source_ == "least_squares"
    structures = [Structure(X[i].numbers, X[i].positions, 0, 0, y.energy[i]) for i in bulk]
    np.testing.assert_allclose(gpr.e0_[14], least_squares_e0(structures, [14])[0], rtol=1e-10)
    with pytest.raises(ValueError, match="no structure is an isolated atom of Si"):
        model.set_params(sparsegpr__e0="isolated").fit([X[i] for i in bulk], y[bulk])
    with pytest.raises(ValueError, match="e0 has no energy for Si"):
        model.set_params(sparsegpr__e0={"O": 1.0}).fit(X, y)


def test_compositions_that_leave_e0_open_are_reported():
    X = [a for a in labeled(["Si", "O"], 3)[0] if len(a) == 4]
    y = np.arange(len(X)) * 0.1
    with pytest.warns(UserWarning, match="determine only 1 of 2"):
        make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=8)).fit(X, y)


def test_bad_labels_are_all_named():
    X, y = labeled(["Si"], 3)
    model = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=8))
    forces = list(y.forces)
    forces[2] = forces[2].copy()
    forces[2][1, 0] = np.nan
    forces[4] = forces[4][:-1]
    with pytest.raises(ValueError, match="(?s)structure 2.*not finite.*structure 4.*atoms"):
        model.fit(X, Targets(y.energy, forces))
    with pytest.raises(ValueError, match="names labels that y lacks"):
        model.set_params(sparsegpr__targets=("energy", "forces")).fit(X, y.energy)
    with pytest.raises(ValueError, match="11 entries but X has 12"):
        model.set_params(sparsegpr__targets="auto").fit(X, y[:11])


def test_bad_structures_are_refused():
    X, y = labeled(["Si"], 3)
    model = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse=8)).fit(X, y)
    with pytest.raises(ValueError, match="species Ge in structures"):
        model.predict([Atoms("Ge2", [[0, 0, 0], [0, 0, 2.4]])])
    with pytest.raises(TypeError, match="single structure"):
        model.predict(X[0])
    with pytest.raises(ValueError):
        model.predict([])
    with pytest.raises(ValueError, match="(?s)structure 1.*0 and 1"):
        model.fit([X[0], Atoms("Si2", [[0, 0, 0], [0, 0, 0]])], y[:2])


def test_structures_without_descriptor_get_advice():
    X, y = labeled(["Si"], 3)
    with pytest.raises(TypeError, match="put a descriptor before it"):
        SparseGPR().fit(X, y)


def test_features_of_another_descriptor_are_refused():
    X, y = labeled(["Si"], 3)
    gpr = SparseGPR(n_sparse=5).fit(SOAP(**SMALL).fit_transform(X), y)
    with pytest.raises(ValueError, match="use the same descriptor"):
        gpr.predict(SOAP(n_max=2, l_max=1).fit_transform(X))


def test_too_little_memory_is_an_error_before_the_work():
    X, y = labeled(["Si"], 3)
    with pytest.raises(ValueError, match="max_memory allows"):
        make_pipeline(SOAP(**SMALL), SparseGPR(max_memory=1e4)).fit(X, y)


def test_n_sparse_by_species():
    X, y = labeled(["Si", "O"], 3)
    gpr = make_pipeline(SOAP(**SMALL), SparseGPR(n_sparse={"Si": 5, "O": 3})).fit(X, y)[-1]
    assert (gpr.reference_species_ == 14).sum() == 5
    assert (gpr.reference_species_ == 8).sum() == 3


def test_references_can_be_given():
    X, y = labeled(["Si"], 3)
    features = SOAP(**SMALL).fit_transform(X)
    gpr = SparseGPR(selection=np.array([9, 2, 4])).fit(features, y)
    found = [np.flatnonzero((features.values == q).all(axis=1))[0] for q in gpr.reference_features_]
    assert sorted(found) == [2, 4, 9]  # in an order that is not that of the structures
    assert clone(gpr).fit(features, y).predict(features).energy.shape == (len(X),)


def test_parameters_of_the_default_kernel_can_be_set():
    gpr = SparseGPR().set_params(kernel__zeta=2)
    assert gpr.kernel.zeta == 2
    assert SparseGPR(RBF()).set_params(kernel__length_scale=2.0).kernel.length_scale == 2.0
    with pytest.raises(ValueError, match="Invalid parameter"):
        SparseGPR().set_params(kernel__width=2)


def test_rounding_is_not_amplified():
    """The order of structures changes forces by rounding only, near-singular kernel or not."""
    X, y = labeled(["Si"], 6)
    model = make_pipeline(SOAP(cutoff=3.0, n_max=2, l_max=1), SparseGPR(n_sparse=1000))
    order = np.random.default_rng(0).permutation(len(X))
    forward = model.fit(X, y).predict(X).forces_flat
    shuffled = model.fit([X[i] for i in order], y[order]).predict(X).forces_flat
    assert np.linalg.cond(model[-1].covariance_factor_) > 1e4
    np.testing.assert_allclose(shuffled, forward, atol=1e-8)


@pytest.mark.parametrize("kinds", [3, 1], ids=["all labels", "energies first"])
def test_partial_fit_equals_a_fit_to_all(kinds, monkeypatch):
    X, y = labeled(["Si"], 3)
    X, y = X[::-1], y[::-1]  # isolated atoms first, so that e0 does not depend on what comes later
    features = SOAP(**SMALL).fit_transform(X)
    first = y[:7] if kinds == 3 else Targets(y.energy[:7])
    parts = [(features[:7], first), (features[7:9], y[7:9]), (features[9:], y[9:])]
    weight = np.linspace(0.5, 2.0, len(y))
    options = dict(n_sparse=12, sigma_energy=0.02, e0={"Si": -2.5})
    grown, begin = SparseGPR(**options), 0
    for x, labels in parts:
        assert grown.partial_fit(x, labels, weight[begin : begin + len(x)]) is grown
        begin += len(x)
    whole = clone(grown)
    references = grown.posterior_.references
    monkeypatch.setattr(SparseGPR, "_choose_references", lambda *_: references)
    whole.fit(features, np.concatenate([first, y[7:]]), weight)
    a, std_a = grown.predict(features, return_std=True)
    b, std_b = whole.predict(features, return_std=True)
    np.testing.assert_allclose(a.energy, b.energy, rtol=1e-8)
    np.testing.assert_allclose(a.forces_flat, b.forces_flat, atol=1e-8)
    np.testing.assert_allclose(std_a, std_b, rtol=1e-7, atol=1e-8)
    assert grown.n_labels_ == whole.n_labels_ and grown.n_rows_ == whole.n_rows_
    assert grown.label_shares_ == pytest.approx(whole.label_shares_, rel=1e-7)


def test_partial_fit_refuses_new_species_and_leaves_the_model_alone():
    X, y = labeled(["Si"], 3)
    soap = SOAP(**SMALL, species=["Si", "O"])
    gpr = SparseGPR(n_sparse=5).fit(soap.fit_transform(X), y)
    before = gpr.dual_coef_.copy()
    others, labels = labeled(["O"], 3)
    with pytest.raises(ValueError, match="species O did not occur in fit"):
        gpr.partial_fit(soap.transform(others), labels)
    assert np.array_equal(gpr.dual_coef_, before)
