"""Jacobians held as numbers against the chain they come from."""

import numpy as np
import pytest
from ase.build import bulk

from skpot import SOAP, PairBasis
from skpot.data._stored import StoredJacobian, push_by_jacobian
from skpot.processes.nystrom import with_stored_jacobian
from skpot.testing import sample_structures


@pytest.fixture(scope="module")
def features():
    # Two atoms in the cell: images of one atom move an environment together.
    X = [*sample_structures(["Si"]), bulk("Si")]
    return SOAP(cutoff=4.0, n_max=2, l_max=2).fit_transform(X)


def motions(features, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(len(features.numbers), 3)), rng.normal(size=(len(features), 6))


def assert_alike(mine, other):
    g = np.random.default_rng(1).normal(size=other.values.shape)
    for a, b in zip(mine.pull_back(g), other.pull_back(g), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)
    u = motions(other)
    np.testing.assert_allclose(mine.push_forward(*u), other.push_forward(*u), atol=1e-11)


def test_equals_the_chain(features):
    stored = with_stored_jacobian(features)
    assert isinstance(stored.derivatives, StoredJacobian)
    assert_alike(stored, features)
    centers = [5, 0, 3]
    for a, b in zip(stored.jacobian(centers), features.jacobian(centers), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_selections_and_unions(features):
    stored = with_stored_jacobian(features)
    assert_alike(stored[[4, 1]], features[[4, 1]])
    assert_alike(np.concatenate([stored[:2], stored[2:]]), features)


def test_push_forward_by_jacobian(features, monkeypatch):
    u = motions(features)
    structure = np.repeat(np.arange(len(features)), features.n_atoms)
    monkeypatch.setattr("skpot.data._stored.BLOCK_BYTES", 5e4)
    change = push_by_jacobian(features.derivatives, structure, features.shape[1], *u)
    np.testing.assert_allclose(change, features.push_forward(*u), atol=1e-11)
    pairs = PairBasis(cutoff=3.0, n_splines=6).fit_transform(sample_structures(["Si"]))
    assert pairs.push_forward(*motions(pairs)).shape == pairs.values.shape
