"""The bispectrum's terms: invariance, number and dot products."""

import itertools

import numpy as np
import pytest

from skpot.core.bispectrum import bispectrum_terms, gaunt_integrals
from tests.naive import soap as naive


def features(c, l_max):
    """Features of coefficients ((l_max + 1)^2, n_channels)."""
    _, first, index, weight = bispectrum_terms(c.shape[1], l_max)
    return np.add.reduceat(weight * c.ravel()[index].prod(axis=1), first[:-1])


def density(vectors, weights, l_max):
    """Coefficients of points of `weights` (n_points, n_channels) on the sphere."""
    return sum(
        np.outer(naive.real_harmonics(l_max, v), w) for v, w in zip(vectors, weights, strict=True)
    )


@pytest.mark.parametrize(("n_channels", "l_max"), [(1, 3), (3, 2), (2, 4)])
def test_features_do_not_change_with_rotation_or_inversion(n_channels, l_max):
    rng = np.random.default_rng(0)
    vectors, weights = rng.normal(size=(7, 3)), rng.normal(size=(7, n_channels))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    expected = features(density(vectors, weights, l_max), l_max)
    assert (abs(expected) > 1e-6).all()
    for other in (vectors @ turn, -vectors, -vectors @ turn):
        found = features(density(other, weights, l_max), l_max)
        np.testing.assert_allclose(found, expected, atol=1e-12 * abs(expected).max())


@pytest.mark.parametrize(("n_channels", "l_max"), [(1, 0), (1, 4), (2, 3), (3, 2)])
def test_number_of_features(n_channels, l_max):
    labels, first, index, weight = bispectrum_terms(n_channels, l_max)
    factors = itertools.product(range(l_max + 1), range(n_channels))
    expected = [
        three
        for three in itertools.combinations_with_replacement(sorted(factors), 3)
        if sum(l for l, _ in three) % 2 == 0 and three[2][0] <= three[0][0] + three[1][0]
    ]
    assert [tuple((l, k) for k, l in label) for label in labels] == expected
    assert len(first) == len(labels) + 1
    assert first[-1] == len(index) == len(weight)
    assert (np.diff(first) > 0).all()
    assert index.max() < (l_max + 1) ** 2 * n_channels


def test_dot_products_equal_those_of_the_full_array():
    l_max, n_channels = 2, 2
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, (l_max + 1) ** 2, n_channels))
    gaunt = gaunt_integrals(l_max)

    def full(c):
        out = []
        factors = list(itertools.product(range(l_max + 1), range(n_channels)))
        for (l1, k1), (l2, k2), (l3, k3) in itertools.product(factors, repeat=3):
            x, y, z = (slice(l * l, (l + 1) ** 2) for l in (l1, l2, l3))
            block = gaunt[x, y, z]
            size = np.sqrt((block**2).sum())
            if size > 1e-10:
                total = np.einsum("abc,a,b,c", block, c[x, k1], c[y, k2], c[z, k3])
                out.append(total / size)
        return np.array(out)

    assert features(a, l_max) @ features(b, l_max) == pytest.approx(full(a) @ full(b), rel=1e-12)


def test_gaunt_integrals_are_symmetric_and_know_the_constant():
    gaunt = gaunt_integrals(3)
    for order in itertools.permutations(range(3)):
        np.testing.assert_allclose(gaunt.transpose(order), gaunt, atol=1e-14)
    np.testing.assert_allclose(gaunt[0], np.eye(16) / np.sqrt(4 * np.pi), atol=1e-14)
