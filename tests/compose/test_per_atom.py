"""Ordinary transformers on environments, with derivatives."""

import numpy as np
import pytest
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import VarianceThreshold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

from skpot import SOAP, PerAtom
from skpot.testing import check_descriptor, sample_structures

SMALL = dict(cutoff=3.0, n_max=3, l_max=2, sigma=0.4)


@pytest.fixture(scope="module")
def features():
    X = [atoms for seed in range(4) for atoms in sample_structures(random_state=seed)[:3]]
    return SOAP(**SMALL).fit_transform(X)


@pytest.mark.parametrize(
    "transformer",
    [
        StandardScaler(),
        MinMaxScaler(),
        RobustScaler(),
        PCA(6),
        PCA(6, whiten=True),
        TruncatedSVD(5),
        VarianceThreshold(1e-6),
        Normalizer(),
        make_pipeline(StandardScaler(), PCA(4)),
    ],
    ids=lambda t: str(t).replace("\n", ""),
)
def test_derivatives_go_through(transformer):
    X = [atoms for seed in range(4) for atoms in sample_structures(random_state=seed)[:3]]
    pipeline = make_pipeline(SOAP(**SMALL), PerAtom(transformer)).fit(X)
    skip = ("cutoff", "permutation", "cell", "rotation", "translation", "threads", "copies")
    known = set(check_descriptor.__globals__["_PROPERTIES"])
    check_descriptor(pipeline, X[:3], skip=[name for name in skip if name in known])


def test_values_are_those_of_the_transformer(features):
    step = PerAtom(PCA(3)).fit(features)
    expected = PCA(3).fit_transform(features.values)
    np.testing.assert_allclose(step.transform(features).values, expected, atol=1e-12)


@pytest.mark.parametrize("transformer", [PowerTransformer(), PolynomialFeatures()])
def test_what_is_not_affine_is_refused_with_advice(features, transformer):
    with pytest.raises(TypeError, match="register_jacobian"):
        PerAtom(transformer).fit(features)


def test_normalizer_with_kinks_is_refused(features):
    with pytest.raises(TypeError, match='norm="l2"'):
        PerAtom(Normalizer(norm="max")).fit(features)


def test_arrays_are_refused_with_advice():
    with pytest.raises(TypeError, match="put a descriptor"):
        PerAtom(PCA()).fit(np.ones((3, 2)))


def test_a_bare_transformer_is_told_how(features):
    with pytest.raises(TypeError, match=r"skpot.PerAtom\(StandardScaler\(\)\)"):
        StandardScaler().fit(features)


def test_feature_names_come_from_the_transformer():
    pipeline = make_pipeline(SOAP(**SMALL), PerAtom(PCA(2))).fit(sample_structures())
    assert list(pipeline.get_feature_names_out()) == ["pca0", "pca1"]
