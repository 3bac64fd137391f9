"""Weights by rarity and by energy against their definitions."""

import math

import numpy as np
import pytest
from ase import Atoms

from skpot import SOAP, AtomicFeatures, Targets
from skpot.selection import energy_weights, rarity_weights
from tests.samples import small_structures


def naive_rarity(features, width, sharpness):
    """The formula of the docstring, in loops."""
    x, species = features.values, features.species
    rarity = []
    for i in range(len(x)):
        alike = [j for j in range(len(x)) if species[j] == species[i]]
        terms = [
            math.exp(
                -sum((a - b) ** 2 for a, b in zip(x[i], x[j], strict=True))
                / (2 * width**2 * x.shape[1])
            )
            for j in alike
        ]
        rarity.append((sum(terms) / len(alike)) ** -sharpness)
    pairs = zip(features.offsets[:-1], features.offsets[1:], strict=True)
    weight = np.array([np.mean(rarity[a:b]) for a, b in pairs])
    return weight / weight.mean()


def test_rarity_equals_its_definition():
    X = small_structures(["Si", "O"], 2)
    features = SOAP(cutoff=3.0, n_max=2, l_max=1).fit_transform(X)
    expected = naive_rarity(features, 0.02, 1.5)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(rarity_weights(features, width=0.02, sharpness=1.5), expected)
    order = np.random.default_rng(0).permutation(len(X))
    automatic = rarity_weights(features)
    np.testing.assert_allclose(rarity_weights(features[order]), automatic[order], rtol=1e-10)
    np.testing.assert_allclose(rarity_weights(features, sharpness=0.0), 1.0)


def test_the_odd_one_out_weighs_most():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 0.1, (60, 3)), [[2.0, 2.0, 2.0]]])
    features = AtomicFeatures(rows, np.arange(62), np.full(61, 14))
    weight = rarity_weights(features)
    assert weight.argmax() == 60 and weight[60] > 3 * np.median(weight)
    assert weight.mean() == pytest.approx(1.0)
    alike = AtomicFeatures(np.ones((4, 3)), np.arange(5), np.full(4, 14))
    np.testing.assert_allclose(rarity_weights(alike), 1.0)


def test_energy_weights_compare_like_with_like():
    def chain(symbols):
        return Atoms(symbols, [[2.0 * i, 0, 0] for i in range(len(symbols))])

    X = [chain(s) for s in (["Si"] * 2, ["Si"] * 4, ["Si", "O"], ["O", "Si"] * 2, ["Si"] * 2)]
    y = Targets([-8.0, -15.6, -12.0, -23.2, None])
    weight = energy_weights(y, X, scale=0.1, floor=0.01)
    expected = np.array([1.0, math.exp(-1.0), 1.0, math.exp(-2.0), 0.01])
    np.testing.assert_allclose(weight, expected / expected.mean())
    features = SOAP(cutoff=3.0, n_max=2, l_max=1).fit_transform(X)
    np.testing.assert_allclose(energy_weights(y, features, scale=0.1, floor=0.01), weight)
    assert energy_weights(y, X)[0] > energy_weights(y, X)[1]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda f: rarity_weights(f, width=0.0), "width must be positive"),
        (lambda f: rarity_weights(f, sharpness=-1.0), "sharpness must not be negative"),
        (lambda f: energy_weights([0.0, 1.0], f, scale=-1.0), "scale must be positive"),
        (lambda f: energy_weights([0.0, 1.0], f, floor=0.0), "floor must be above 0"),
        (lambda f: energy_weights([0.0], f), "y has 1 entries but X has"),
        (lambda f: energy_weights(Targets([None, None]), f), "no structure has an energy"),
    ],
)
def test_bad_settings_are_refused(call, message):
    features = AtomicFeatures(np.eye(2), np.arange(3), np.full(2, 14))
    with pytest.raises(ValueError, match=message):
        call(features)
