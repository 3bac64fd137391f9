"""How large objects say that they are, by which schedulers decide what to send once."""

import pickle
import sys

import numpy as np
import pytest

import skpot
from skpot.datasets import load_silicon


@pytest.mark.parametrize("steps", [[], [skpot.PrincipalComponents(5)]])
def test_features_are_about_as_large_as_their_pickles(steps):
    X = load_silicon().X[:20]
    features = skpot.SOAP(n_max=3, l_max=2).fit_transform(X)
    for step in steps:
        features = step.fit_transform(features)
    size = len(pickle.dumps(features, protocol=5))
    assert 0.7 * size < sys.getsizeof(features) < 1.4 * size


def test_what_is_held_twice_counts_once():
    values = np.zeros((1000, 10))
    features = skpot.AtomicFeatures(values, np.array([0, 1000]), np.zeros(1000, dtype=int))
    size = sys.getsizeof(features)
    features.more = [values, {"again": (values,)}]
    assert sys.getsizeof(features) - size < 1000
