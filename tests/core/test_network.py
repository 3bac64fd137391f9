"""Networks in compiled form against plain loops."""

import numpy as np
import pytest

from skpot.core.network import sigmoid, tangent
from skpot.lowering._feature_trees import FeatureTree
from skpot.lowering._networks import network_term
from skpot.models import Networks
from tests.core.test_expansion import run_terms
from tests.naive import network as naive

SPECIES = np.array([8, 14])


def some_networks(rng, n, units, n_members, silu):
    """Return random networks of silicon and oxygen."""
    sizes = [n, *units, 1]
    shape = 2, n_members
    pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
    coefs = [rng.normal(size=(*shape, a, b)) / np.sqrt(a) for a, b in pairs]
    intercepts = [rng.normal(size=(*shape, b)) for _, b in pairs]
    linear, centers = rng.normal(size=(*shape, n)), rng.normal(size=(2, n))
    return Networks(silu, SPECIES, centers, coefs, intercepts, linear)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("units", "n_members", "silu"), [((13,), 1, True), ((5, 30, 7), 3, True), ((6, 4), 2, False)]
)
def test_equals_plain_loops(units, n_members, silu, kind):
    rng, n = np.random.default_rng(0), 11
    form = some_networks(rng, n, units, n_members, silu)
    scale, shift = rng.uniform(0.5, 1.5, n), rng.normal(size=n)
    tree = FeatureTree(None, n, 1.0, SPECIES, scale, shift)
    term = network_term(form, tree, 2, kind)
    x = rng.normal(size=(8, n + 3))
    energies, gradient = np.zeros(8), np.zeros(x.shape)
    assert run_terms(term, 1, x, 6, energies, gradient) == 0  # all of the arena is used
    expected, slopes = np.zeros(8), np.zeros(x.shape)
    name = "silu" if silu else "tanh"
    for i in range(6):
        y = scale * x[i, 2 : 2 + n] + shift - form.centers[1]
        for m in range(n_members):
            network = (
                [c[1, m].T for c in form.coefs[:-1]], [c[1, m] for c in form.intercepts[:-1]],
                form.coefs[-1][1, m, :, 0], form.intercepts[-1][1, m, 0], form.linear[1, m], name,
            )  # fmt: skip
            expected[i] += naive.energy(y, *network) / n_members
            g = np.array(naive.slopes(y, *network))
            slopes[i, 2 : 2 + n] += scale * g / n_members
    tolerance = 1e-9 if kind == np.float64 else 1e-5
    np.testing.assert_allclose(energies, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradient, slopes, rtol=tolerance, atol=tolerance)


def test_activations_do_not_overflow():
    x = np.array([-1e4, -750.0, -1.0, 0.0, 1.0, 750.0, 1e4])
    with np.errstate(over="ignore"):
        np.testing.assert_allclose([sigmoid(v) for v in x], 1.0 / (1.0 + np.exp(-x)), rtol=1e-14)
    np.testing.assert_allclose([tangent(v) for v in x], np.tanh(x), rtol=1e-14)
    assert np.isnan(sigmoid(np.nan)) and np.isnan(tangent(np.nan))
