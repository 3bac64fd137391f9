"""Invariants: formulas, gradients and moves on random coefficients."""

import numpy as np
import pytest
from numba import njit

from skpot.core import invariants as module
from skpot.core import pair_moves as moves
from skpot.core.bispectrum import bispectrum_terms
from skpot.core.invariants import (
    Bispectrum,
    Diagonal,
    Linear,
    Rectangle,
    Triangle,
    n_features,
)
from tests.naive import soap as naive

L_MAX, N = 2, 6
PRODUCTS = {
    "Linear": Linear(N, L_MAX),
    "Triangle": Triangle(N, L_MAX),
    "Rectangle": Rectangle(N, L_MAX, 4),
    "Diagonal": Diagonal(N, L_MAX),
    "Bispectrum": Bispectrum(N, L_MAX, *bispectrum_terms(N, L_MAX)[1:]),
}


@pytest.fixture(params=PRODUCTS)
def product(request):
    return PRODUCTS[request.param]


@njit  # not cached: the cache would not notice changes of what is tested
def _values(product, c, out, work):
    module.invariants(product, c, out, work)


@njit
def _gradient(product, c, g, dc, square):
    module.invariants_gradient(product, c, g, dc, square)


@njit
def _moves(product, c, pair, out):
    work = moves.move_scratch(product, out.shape[1])
    moves.prepare_moves(product, c, work)
    moves.invariants_moves(product, c, pair, work, out)


@njit
def _change(product, c, dc, out):
    work = np.empty((2, product.n_channels, 2 * (product.l_max + 1) ** 2))
    module.invariants_change(product, c, dc, out, work)


def values(product, c):
    out = np.full(n_features(product), np.nan)
    _values(product, c, out, np.empty(c.shape[::-1]))
    return out


def random_coefficients():
    return np.random.default_rng(0).normal(size=((L_MAX + 1) ** 2, N))


def test_values_equal_the_formula(product):
    c = random_coefficients()
    expected = {
        Linear: lambda: c[0],
        Triangle: lambda: naive.triangle(c.T, L_MAX),
        Rectangle: lambda: [
            naive.product_of_two(c.T, k, q, l)
            for l in range(L_MAX + 1)
            for k in range(4)
            for q in (4, 5)
        ],
        Diagonal: lambda: naive.diagonal(c.T, L_MAX),
        Bispectrum: lambda: naive.bispectrum(c.T, L_MAX),
    }[type(product)]()
    np.testing.assert_allclose(values(product, c), expected, atol=1e-12)


def test_gradients_equal_finite_differences(product):
    c, step = random_coefficients(), 1e-5
    g = np.random.default_rng(1).normal(size=n_features(product))
    dc = np.full(c.shape, np.nan)
    _gradient(product, c, g, dc, np.empty((N, N)))
    for place in np.ndindex(c.shape):
        ends = []
        for sign in (1, -1):
            moved = c.copy()
            moved[place] += sign * step
            ends.append(g @ values(product, moved))
        assert dc[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-7)


def test_changes_equal_finite_differences(product):
    c, step = random_coefficients(), 1e-5
    dc = np.random.default_rng(3).normal(size=c.shape)
    out = np.full(n_features(product), np.nan)
    _change(product, c, dc, out)
    numerical = values(product, c + step * dc) - values(product, c - step * dc)
    np.testing.assert_allclose(out, numerical / (2 * step), atol=1e-6)


# The mixed products move all channels at once, the others those of one species.
@pytest.mark.parametrize("offset", [0, 2, 4])
def test_moves_equal_finite_differences(product, offset):
    everything = isinstance(product, Rectangle | Diagonal | Bispectrum)
    offset, n = (0, N) if everything else (offset, 2)
    c, rng = random_coefficients(), np.random.default_rng(2)
    n_lm, step = len(c), 1e-5
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    radial, slopes = rng.normal(size=(2, (L_MAX + 1) * n))
    y_lm, normal = rng.normal(size=n_lm), rng.normal(size=(3, n_lm))
    out = np.full((3, n_features(product)), np.nan)
    _moves(product, c, moves.PairMove(offset, n, direction, radial, slopes, y_lm, normal), out)
    degree = np.array([int(np.sqrt(lm)) for lm in range(n_lm)])
    for axis in range(3):
        move = np.zeros_like(c)
        for q in range(n):
            along = slopes[degree * n + q] * direction[axis] * y_lm
            move[:, offset + q] = along + radial[degree * n + q] * normal[axis]
        if isinstance(product, Linear):
            move[0] = 0.0  # below: the gradient of Y_00 vanishes
            move[0, offset : offset + n] = slopes[:n] * direction[axis] * y_lm[0]
        numerical = values(product, c + step * move) - values(product, c - step * move)
        np.testing.assert_allclose(out[axis], numerical / (2 * step), atol=1e-6)
