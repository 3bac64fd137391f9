"""Descriptors that share checks and neighbor search."""

import numpy as np
import pytest
import sklearn
from ase import Atoms
from sklearn.base import clone
from sklearn.pipeline import FeatureUnion, make_pipeline

import skpot
from skpot.compose._shared_union import SharedUnion
from skpot.data import SharedBatch, as_batch
from skpot.exceptions import SkpotWarning, StructureError
from skpot.testing import sample_structures

PARTS = [
    ("soap", make_pipeline(skpot.SOAP(3.0, 2, 1), skpot.PrincipalComponents(2))),
    ("zbl", skpot.ZBL(outer=2.5)),
    ("pairs", skpot.PairBasis(cutoff=3.5, n_splines=6)),
]


def test_is_a_feature_union():
    X = sample_structures(["Si", "O"], random_state=0)
    shared, plain = (clone(kind(PARTS)).fit(X) for kind in (SharedUnion, FeatureUnion))
    a, b = shared.transform(X), plain.transform(X)
    np.testing.assert_allclose(a.values, b.values, rtol=1e-12, atol=1e-12)
    assert a.blocks == b.blocks and a.origin == b.origin
    assert a.info.keys.tolist() == b.info.keys.tolist()
    g = np.random.default_rng(0).normal(size=a.values.shape)
    for mine, theirs in zip(a.pull_back(g), b.pull_back(g), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(clone(SharedUnion(PARTS)).fit_transform(X).values, a.values)


def test_structures_are_named_by_their_place():
    X = sample_structures(["Si", "O"], random_state=0)
    union = SharedUnion(PARTS).fit(X)
    with pytest.raises(StructureError, match="structure 1: atoms 0 and 1"):
        union.transform([X[0], Atoms("SiO", [[0, 0, 0], [0, 0, 0.01]])])


def test_shorter_searches_are_parts_of_a_longer_one(monkeypatch):
    X = sample_structures(["Si", "O"], random_state=0)
    shared, batch = SharedBatch(as_batch(X)), as_batch(X)
    searches = []
    search = type(batch).search
    monkeypatch.setattr(
        type(batch), "search", lambda self, cutoff: searches.append(cutoff) or search(self, cutoff)
    )
    found = [shared.neighbors(cutoff) for cutoff in (3.0, 2.0, 3.0, 4.0, 3.0)]
    assert searches == [3.0, 4.0]
    for graph, cutoff in zip(found, (3.0, 2.0, 3.0, 4.0, 3.0), strict=True):
        alone = batch.neighbors(cutoff)
        np.testing.assert_array_equal(graph.pairs.start, alone.pairs.start)
        for i in range(batch.offsets[-1]):
            here = slice(*graph.pairs.start[i : i + 2])
            mine, theirs = (
                np.sort(np.linalg.norm(g.pairs.vector[here], axis=1)) for g in (graph, alone)
            )
            np.testing.assert_allclose(mine, theirs, rtol=1e-12)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_tables_that_scikit_learn_is_told_to_make_do_not_get_in_between(kind):
    X = sample_structures(["Si", "O"], random_state=0)
    expected = clone(SharedUnion(PARTS)).fit(X).transform(X)
    with sklearn.config_context(transform_output=kind):
        for found in (clone(SharedUnion(PARTS)).fit_transform(X), SharedUnion(PARTS).transform(X)):
            np.testing.assert_array_equal(found.values, expected.values)
            assert found.derivatives is not None
        plain = FeatureUnion(PARTS).set_output(transform="default")
        with pytest.warns(SkpotWarning, match=f"transform_output='{kind}'. asks a FeatureUnion"):
            np.testing.assert_allclose(plain.fit_transform(X).values, expected.values, rtol=1e-12)


def test_set_output_of_a_potential():
    X, y, _, _ = skpot.datasets.load_silicon(return_X_y=True)
    model = skpot.make_potential("fast")
    with pytest.warns(SkpotWarning, match="AtomicFeatures as they are"):
        assert model.set_output(transform="pandas") is model
    assert model.fit(X[:8], y[:8]).predict(X[:1]).forces is not None
