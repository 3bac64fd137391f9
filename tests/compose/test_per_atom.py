"""Ordinary transformers on environments, with derivatives."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, VarianceThreshold
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

from skpot import SOAP, PerAtom, PerStructure
from skpot.compose import _rows
from skpot.data import _derivatives
from skpot.exceptions import InputError, InputTypeError
from skpot.testing import check_descriptor, sample_structures
from tests.samples import small_structures

SMALL = dict(cutoff=3.0, n_max=3, l_max=2, sigma=0.4)


@pytest.fixture(scope="module")
def features():
    X = small_structures(n=4, lone_atom=False)
    return SOAP(**SMALL).fit_transform(X)


@pytest.mark.parametrize(
    "transformer",
    [
        StandardScaler(),
        MinMaxScaler(),
        MaxAbsScaler(),
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
    X = small_structures(n=4, lone_atom=False)
    pipeline = make_pipeline(SOAP(**SMALL), PerAtom(transformer)).fit(X)
    skip = ("cutoff", "permutation", "cell", "rotation", "translation", "threads", "copies")
    known = set(check_descriptor.__globals__["_PROPERTIES"])
    check_descriptor(pipeline, X[:3], skip=[name for name in skip if name in known])


def test_values_are_those_of_the_transformer(features):
    step = PerAtom(PCA(3)).fit(features)
    expected = PCA(3).fit_transform(features.values)
    np.testing.assert_allclose(step.transform(features).values, expected, atol=1e-12)


@pytest.mark.parametrize(
    "transformer",
    [
        PowerTransformer(),
        PolynomialFeatures(),
        FunctionTransformer(np.abs),
        MinMaxScaler(clip=True),
    ],
    ids=str,
)
def test_what_is_not_affine_is_refused_with_advice(features, transformer):
    with pytest.raises(TypeError, match="register_jacobian"):
        PerAtom(transformer).fit(features)


@pytest.mark.parametrize(
    "function, text", [(np.sqrt, "Transformer makes NaN"), (lambda x: 1j * x, "complex numbers")]
)
def test_what_makes_no_finite_numbers_is_told(features, function, text):
    centered = features.mapped(features.values - 0.5, features.derivatives)
    with pytest.raises((InputError, InputTypeError), match=text):
        PerAtom(FunctionTransformer(function)).fit(centered)


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


@pytest.mark.parametrize("name", ["FPS", "CUR", "StandardFlexibleScaler"])
def test_steps_of_scikit_matter(name):
    # It is no test dependency as long as it needs an older scikit-learn.
    pytest.importorskip("skmatter")
    from skmatter import feature_selection, preprocessing

    if name == "StandardFlexibleScaler":
        transformer = preprocessing.StandardFlexibleScaler()
    else:
        transformer = getattr(feature_selection, name)(n_to_select=5)
    X = small_structures(n=4, lone_atom=False)
    pipeline = make_pipeline(SOAP(**SMALL), PerAtom(transformer))
    check_descriptor(pipeline, X[:3])
    step = pipeline.fit(X)[-1]
    assert (step.matrix_ is None) == (name != "StandardFlexibleScaler")
    assert len(step.matrix_ if step.columns_ is None else step.columns_) in (5, 18)


def test_selectors_are_selections_and_scalers_are_factors(features):
    selection = PerAtom(VarianceThreshold(1e-3)).fit(features)
    expected = VarianceThreshold(1e-3).fit(features.values).get_support()
    assert selection.columns_.tolist() == np.flatnonzero(expected).tolist()
    assert selection.matrix_ is None
    for scaler in (StandardScaler(), MinMaxScaler(), RobustScaler(), MaxAbsScaler()):
        assert PerAtom(scaler).fit(features).matrix_.shape == (features.shape[1],)
    assert PerAtom(PCA(3)).fit(features).matrix_.shape == (features.shape[1], 3)


class Deceiver(TransformerMixin, BaseEstimator):
    """Claims to keep the first two columns but doubles them; scales little data by its columns."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def get_support(self):
        return np.arange(self.n_features_in_) < 2

    def transform(self, X):
        return 2.0 * X[:, :2]


def test_a_selector_is_not_taken_at_its_word(features):
    step = PerAtom(Deceiver()).fit(features)
    assert step.columns_ is None
    np.testing.assert_allclose(step.matrix_, 2.0 * np.eye(features.shape[1])[:, :2], atol=1e-9)


def test_one_row_does_not_pass_for_a_scaler():
    # On a single row every transformer agrees with some factors.
    swap = FunctionTransformer(lambda x: x[:, ::-1])
    one = SOAP(**SMALL).fit_transform(sample_structures()[3:])
    matrix = PerAtom(swap).fit(one).matrix_
    np.testing.assert_allclose(matrix, np.eye(one.shape[1])[::-1], atol=1e-9)


def test_the_probe_is_cut_into_blocks(features, monkeypatch):
    class Recorder(PCA):
        largest = 0

        def transform(self, X):
            Recorder.largest = max(Recorder.largest, len(X))
            return super().transform(X)

    whole = PerAtom(PCA(3)).fit(features).matrix_
    monkeypatch.setattr(_rows, "_BLOCK_BYTES", 4 * 8 * features.shape[1])
    step = PerAtom(Recorder(3)).fit(features)
    assert Recorder.largest == 4
    np.testing.assert_allclose(step.matrix_, whole, atol=1e-12)


@pytest.mark.parametrize(
    "transformer", [SelectKBest(), RFE(Ridge()), PLSRegression(), SelectFromModel(Ridge())], ids=str
)
def test_steps_that_need_labels_are_refused_with_advice(features, transformer):
    name = type(transformer).__name__
    with pytest.raises(TypeError, match=rf"needs a label for each row.*PerStructure\({name}"):
        PerAtom(transformer).fit(features, np.zeros(len(features)))


def test_names_of_a_transformer_without_any(features):
    step = PerAtom(FunctionTransformer(lambda x: 2.0 * x[:, :2])).fit(features)
    names = step.get_feature_names_out()
    assert list(names) == ["functiontransformer0", "functiontransformer1"]


@pytest.mark.parametrize("transformer", [PCA(3), VarianceThreshold(1e-3), Normalizer()], ids=str)
def test_the_wider_jacobian_before_the_map_is_never_held_at_once(
    features, transformer, monkeypatch
):
    mapped = PerAtom(transformer).fit_transform(features)
    asked = []
    leaf = type(features.derivatives)

    def recorded(self, centers, jacobian=leaf.jacobian):
        asked.append(len(centers))
        return jacobian(self, centers)

    centers = [5, 0, 3, 1, 2, 7]
    whole = mapped.jacobian(centers)
    monkeypatch.setattr(leaf, "jacobian", recorded)
    largest = features.neighborhood_sizes()[centers].max()
    monkeypatch.setattr(_derivatives, "BLOCK_BYTES", 2 * 24.0 * features.shape[1] * largest)
    parts = mapped.jacobian(centers)
    assert sum(asked) == 6 and max(asked) < 6
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)


def _doubled_in_single_precision(rows):
    return (2 * rows).astype(np.float32)


@pytest.mark.parametrize("wrapper", [PerAtom, PerStructure])
@pytest.mark.parametrize(
    "transformer",
    [
        StandardScaler(),
        PCA(2),
        VarianceThreshold(1e-4),
        FunctionTransformer(_doubled_in_single_precision),
    ],
    ids=lambda step: type(step).__name__,
)
def test_features_in_single_precision(wrapper, transformer):
    X = sample_structures()[:3]
    double = SOAP(3.0, 2, 1, normalize=False).fit_transform(X)
    single = SOAP(3.0, 2, 1, normalize=False, dtype="float32").fit_transform(X)
    expected = wrapper(transformer).fit(double).transform(double)
    features = wrapper(transformer).fit(single).transform(single)
    size = np.abs(expected.values).max()
    np.testing.assert_allclose(features.values, expected.values, atol=1e-5 * size)
    g = np.ones_like(features.values)
    for mine, other in zip(features.pull_back(g), expected.pull_back(g), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4 * np.abs(other).max())
