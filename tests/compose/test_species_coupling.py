"""Environments of different species that learn from each other."""

import numpy as np
import pytest
from ase.build import molecule
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union

import skpot
from skpot import GPR, SOAP, ZBL, PerAtom, SparseGPR, SpeciesCoupling
from skpot.kernels import RBF, DotProduct
from skpot.testing import check_descriptor, check_potential
from tests import samples
from tests.naive.exact import ExactGP
from tests.naive.kernel import gaussian, labeled_structures
from tests.samples import labeled

SMALL = dict(cutoff=3.0, n_max=2, l_max=2, sigma=0.4)
NOISE = dict(sigma_energy=0.02, sigma_forces=0.1, sigma_stress=0.01)
E0 = {"Si": -2.5, "O": -2.0}


def coupled(length=1.5, vectors=None, model=GPR, **more):
    kernel = RBF(0.7).on("soap") * RBF(length).on("species")
    return make_pipeline(
        SOAP(**SMALL), SpeciesCoupling(vectors), model(kernel, e0=E0, **NOISE, **more)
    )


def test_equals_sums_over_pairs_of_all_species():
    X, y = labeled(["Si", "O"], lone_atom=False, per_atom=-2.2)
    vectors = {"Si": [0.3, 1.0], "O": [1.1, 0.2]}
    model = coupled(vectors=vectors).fit(X, y)
    features = samples.features_of(model[0])
    structures = labeled_structures(X, y)
    vectors = {14: np.array(vectors["Si"]), 8: np.array(vectors["O"])}
    oracle = ExactGP(
        features, gaussian(0.7), {14: -2.5, 8: -2.0}, **NOISE,
        coupling=lambda s, t: np.exp(-np.sum((vectors[s] - vectors[t]) ** 2) / (2 * 1.5**2)),
    )  # fmt: skip
    oracle.fit(structures)
    predicted, std = model.predict(X, return_std=True)
    for i, a in enumerate(X):
        free = sum({14: -2.5, 8: -2.0}[int(z)] for z in a.numbers)
        energy, variance = oracle.predict(structures[i], "energy")
        np.testing.assert_allclose(predicted.energy[i] - free, energy, atol=1e-5)
        np.testing.assert_allclose(std[i] ** 2, variance, rtol=1e-3)
        force, _ = oracle.predict(structures[i], (1, 2))
        np.testing.assert_allclose(predicted.forces[i][1, 2], force, atol=1e-5)
        if y.has_stress[i]:
            stress, _ = oracle.predict(structures[i], 4)
            np.testing.assert_allclose(predicted.stress[i, 4], stress, atol=1e-6)


@pytest.mark.parametrize("model", [GPR, SparseGPR])
def test_species_far_apart_have_nothing_in_common(model):
    X, y = labeled(["Si", "O"], lone_atom=False, per_atom=-2.2)
    more = {"n_sparse": 1000, "selection": "random"} if model is SparseGPR else {}
    far = coupled(vectors={"Si": [0.0], "O": [100.0]}, model=model, **more).fit(X, y).predict(X)
    plain = make_pipeline(SOAP(**SMALL), model(RBF(0.7), e0=E0, **NOISE, **more)).fit(X, y)
    expected = plain.predict(X)
    np.testing.assert_allclose(far.energy, expected.energy, atol=1e-8)
    np.testing.assert_allclose(far.forces_flat, expected.forces_flat, atol=1e-8)
    np.testing.assert_allclose(far.stress, expected.stress, atol=1e-8)
    near = coupled(vectors={"Si": [0.0], "O": [0.1]}, model=model, **more).fit(X, y).predict(X)
    assert np.abs(near.energy - expected.energy).max() > 1e-4


def test_all_references_make_the_sparse_model_exact_on_energies():
    X, y = labeled(["Si", "O"], lone_atom=False, per_atom=-2.2)
    exact = coupled().fit(X, y.energy).predict(X)
    sparse = coupled(model=SparseGPR, n_sparse=1000, selection="random", jitter=1e-10)
    np.testing.assert_allclose(sparse.fit(X, y.energy).predict(X), exact, atol=1e-6)


def test_promises():
    X, y = labeled(["Si", "O"], per_atom=-2.2)
    check_descriptor(make_pipeline(SOAP(**SMALL), SpeciesCoupling()), X)
    check_potential(coupled(model=SparseGPR, n_sparse=20).fit(X, y), X)


def test_one_map_for_all_species_and_a_baseline():
    X, y = labeled(["Si", "O"], per_atom=-2.2)
    union = make_union(ZBL(), make_pipeline(SOAP(**SMALL), PerAtom(PCA(4))))
    kernel = RBF().on("soap") * DotProduct(1).on("species")
    model = make_pipeline(union, SpeciesCoupling(), GPR(kernel, baseline="zbl", e0=E0, **NOISE))
    features = model[:-1].fit_transform(X)
    assert list(features.blocks) == ["zbl", "soap", "species"] and not features.species.any()
    np.testing.assert_array_equal(features.numbers, np.concatenate([a.numbers for a in X]))
    grades = model.fit(X, y)[-1].extrapolation_grade(features)
    for z in (8, 14):  # each element has its own largest deviation
        assert grades[features.numbers == z].max() == pytest.approx(1.0)


def test_calculator_and_file(tmp_path):
    X, y = labeled(["Si", "O"], per_atom=-2.2)
    model = coupled(model=SparseGPR, n_sparse=20).fit(X, y)
    expected = model.predict(X[:1])
    X[0].calc = skpot.Calculator(model)
    assert X[0].calc.compiled_ is not None
    np.testing.assert_allclose(X[0].get_potential_energy(), expected.energy[0], atol=1e-9)
    np.testing.assert_allclose(X[0].get_forces(), expected.forces[0], atol=1e-9)
    skpot.dump(model, tmp_path / "model.skpot")
    again = skpot.load(tmp_path / "model.skpot").predict(X[:1])
    np.testing.assert_array_equal(again.energy, expected.energy)


def test_grid_search_over_the_coupling():
    X, y = labeled(["Si", "O"], per_atom=-2.2)
    grid = {"gpr__kernel__k2__length_scale": [0.1, 3.0]}
    search = GridSearchCV(coupled(), grid, cv=2, scoring="neg_energy_rmse").fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all() and scores[0] != scores[1]


def test_what_cannot_be_coupled_is_refused():
    X, y = labeled(["Si", "O"], lone_atom=False, per_atom=-2.2)
    features = SOAP(**SMALL).fit_transform(X)
    step = SpeciesCoupling().fit(features)
    with pytest.raises(ValueError, match="species_vectors has none of O"):
        SpeciesCoupling({"Si": [1.0]}).fit(features)
    with pytest.raises(ValueError, match="vectors of one length"):
        SpeciesCoupling({"Si": [1.0], "O": [1.0, 2.0]}).fit(features)
    with pytest.raises(ValueError, match="finite"):
        SpeciesCoupling({"Si": [1.0], "O": [np.nan]}).fit(features)
    with pytest.raises(ValueError, match="two entries for Si"):
        SpeciesCoupling({"Si": [1.0], "O": [0.0], 14: [2.0]}).fit(features)
    with pytest.raises(ValueError, match="species H did not occur in fit"):
        water = SOAP(**SMALL, species=["H", "O", "Si"]).fit([molecule("H2O")])
        SpeciesCoupling().fit(water.transform(X)).transform(water.transform([molecule("H2O")]))
    with pytest.raises(ValueError, match="after the union"):
        np.concatenate([step.transform(features), features], axis=1)
    with pytest.raises(ValueError, match="put PerStructure after it"):
        step.transform(skpot.PerStructure().fit_transform(features))
