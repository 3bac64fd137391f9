"""Terms of a prediction add up to it, and each is what its name says."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import FeatureUnion

import skpot
from skpot import GPR, SOAP, ZBL, PairBasis, SparseGPR
from skpot.kernels import RBF, DotProduct
from tests import samples

TWO = RBF(3.0).on("pair_basis") + 0.1 * DotProduct(2).on("soap")


@pytest.fixture(scope="module")
def silicon():
    union = FeatureUnion(
        [
            ("pairs", PairBasis(cutoff=4.0, n_splines=6)),
            ("soap", SOAP(cutoff=3.5, n_max=3, l_max=2)),
            ("zbl", ZBL(outer=2.5)),
        ]
    )
    return samples.silicon(union, n_train=8, n_test=4)[:3]


@pytest.mark.parametrize(
    "model, names",
    [
        (SparseGPR(TWO, 20, baseline="zbl"), {"zbl", "kernel__k1", "kernel__k2"}),
        (SparseGPR(TWO, 20, n_directions=2), {"kernel__k1", "kernel__k2"}),
        (GPR(TWO + RBF(5.0)), {"kernel__k1__k1", "kernel__k1__k2", "kernel__k2"}),
        (GPR(RBF(2.0) * DotProduct(1)), {"kernel"}),
    ],
    ids=["baseline", "directions", "nested", "product"],
)
def test_terms_add_up(silicon, model, names):
    features, y, test = silicon
    model.fit(features, y)
    parts = model.decompose(test)
    assert set(parts) == {"free_atoms"} | names
    energies, _, _ = model.evaluate(test)
    np.testing.assert_allclose(sum(parts.values()), energies, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(parts["free_atoms"], [model.e0_[14]] * len(energies))
    for name in names - {"zbl"}:
        assert np.ptp(parts[name]) > 1e-6, name


def test_each_term_is_what_its_kernel_makes_of_the_coefficients(silicon):
    features, y, test = silicon
    model = SparseGPR(TWO, 20, baseline="zbl").fit(features, y)
    parts = model.decompose(test)
    q, a = model.reference_features_, model.dual_coef_
    pairs = features.blocks["pair_basis"]
    x = test.values[:, pairs]
    expected = [
        sum(w * np.exp(-np.sum((row - p[pairs]) ** 2) / 18.0) for p, w in zip(q, a, strict=True))
        for row in x
    ]
    np.testing.assert_allclose(parts["kernel__k1"], expected, rtol=1e-8)
    np.testing.assert_allclose(parts["zbl"], test.values[:, test.blocks["zbl"]].sum(axis=1))


@pytest.mark.parametrize("degree", [1, 2])
def test_linear_models_have_one_term(silicon, degree):
    features, y, test = silicon
    model = skpot.LinearRidge(0.1, degree=degree, baseline="zbl").fit(features, y)
    parts = model.decompose(test)
    assert set(parts) == {"free_atoms", "zbl", "features"}
    np.testing.assert_allclose(sum(parts.values()), model.evaluate(test)[0], rtol=1e-12)


def test_molecules_and_refusals():
    X, y, _, _ = skpot.datasets.load_ethanol(return_X_y=True)
    X, y = X[-6:], y[-6:]
    features = skpot.InverseDistances().fit_transform(X)
    with pytest.raises(NotFittedError):
        GPR().decompose(features)
    model = GPR(RBF(1.0)).fit(features, y)
    parts = model.decompose(features)
    assert all(part.shape == (6,) for part in parts.values())
    np.testing.assert_allclose(sum(parts.values()), model.evaluate(features)[0], rtol=1e-12)
