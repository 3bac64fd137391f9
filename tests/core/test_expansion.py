"""Sums over references against plain loops."""

from functools import partial

import numpy as np
import pytest

from skpot.core import expansion
from skpot.core._arena import arena, release
from skpot.core._jit import jit
from skpot.core.products import add_products, add_scaled_rows, rounded
from tests.naive import expansion as naive


@jit
def run_terms(terms, z, x, size, energies, gradient):
    n_rows = rounded(size, 4)
    space = arena(expansion.scratch_size(terms, n_rows))
    scratch = expansion.scratch(terms, n_rows, space)
    expansion.expand(terms, z, x, size, scratch, energies, gradient)
    unused = space.buffer.shape[0] - space.used[0]
    release(space)
    return unused


PROFILES = {
    "power": (expansion.Power(3, 0.7), partial(naive.power, exponent=3, factor=0.7), False),
    "gauss": (expansion.Gauss(0.5, 1.3), partial(naive.gauss, inverse=0.5, factor=1.3), True),
    "matern": (
        expansion.Matern(2, 0.8, 1.1), partial(naive.matern52, inverse=0.8, factor=1.1), True,
    ),
}  # fmt: skip


def _term(rng, profile, centered, counts, n, vectors, kind, begin=0):
    """Return a term with random references, each species' shift, and its references."""
    first = np.cumsum([0, *(rounded(c, expansion.STEP) for c in counts)])
    q, v = np.zeros((2, first[-1], n))
    a, constant, offset = np.zeros((3, first[-1]))
    origin, shift = 0.3 * rng.normal(size=(2, len(counts), n))
    own = []
    for z, (lo, count) in enumerate(zip(first[:-1], counts, strict=True)):
        rows = slice(lo, lo + count)
        q[rows], a[rows] = rng.normal(size=(count, n)) / np.sqrt(n), rng.normal(size=count)
        v[rows] = rng.normal(size=(count, n)) if vectors else 0.0
        own.append((q[rows].copy(), a[rows], v[rows]))
        if not centered:
            constant[rows], offset[rows] = q[rows] @ origin[z], v[rows] @ origin[z]
        q[rows] -= origin[z]
        if centered:
            constant[rows] = -0.5 * np.sum(q[rows] ** 2, axis=1)
            offset[rows] = -np.sum(q[rows] * v[rows], axis=1)
    empty = np.empty(0, dtype=kind)
    term = expansion.Term(
        profile, centered, begin, rng.uniform(0.5, 1.5, n), shift - origin,
        np.zeros_like(origin) if centered else origin, first,
        q.astype(kind).ravel(), v.astype(kind).ravel() if vectors else empty, constant, offset, a,
        np.empty((0, n), kind), *np.empty((2, len(counts), 0)),
    )  # fmt: skip
    return term, shift, own


@pytest.mark.parametrize("vectors", [False, True], ids=["scalars", "vectors"])
@pytest.mark.parametrize("name", PROFILES)
def test_term_is_the_sum_over_references(name, vectors):
    rng = np.random.default_rng(0)
    profile, f, centered = PROFILES[name]
    n, width, begin = 7, 10, 2
    term, shift, own = _term(rng, profile, centered, (300, 1), n, vectors, np.float64, begin)
    x = rng.normal(size=(8, width)) / np.sqrt(n)
    for z in range(2):
        energies, gradient = np.ones(8), np.ones((8, width))
        assert run_terms(term, z, x, 5, energies, gradient) == 0  # all of the arena is used
        assert (energies[5:] == 1.0).all() and (gradient[5:] == 1.0).all()
        for r in range(5):
            y = term.scale * x[r, begin : begin + n] + shift[z]
            energy, by_y = naive.expand(y, *own[z], f, centered)
            expected = np.zeros(width)
            expected[begin : begin + n] = term.scale * by_y
            np.testing.assert_allclose(energies[r] - 1.0, energy, rtol=1e-11, atol=1e-11)
            np.testing.assert_allclose(gradient[r] - 1.0, expected, rtol=1e-11, atol=1e-11)


def test_waves_are_added():
    rng = np.random.default_rng(5)
    n, n_waves = 7, 12
    plain, shift, _ = _term(rng, expansion.Gauss(0.5, 1.3), True, (30, 1), n, False, np.float64)
    rows = rng.normal(size=(n_waves, n))
    phases, weights = rng.normal(size=(2, 2, n_waves))
    origin = shift - plain.shift
    term = plain._replace(
        wave_rows=rows, wave_phases=phases + origin @ rows.T,
        wave_weights=weights,
    )  # fmt: skip
    x = rng.normal(size=(4, n))
    for z in range(2):
        (e0, g0), (e1, g1) = results = [(np.zeros(4), np.zeros((4, n))) for _ in range(2)]
        for one, out in zip((plain, term), results, strict=True):
            assert run_terms(one, z, x, 3, *out) == 0
        for r in range(3):
            energy, slopes = naive.waves(plain.scale * x[r] + shift[z], rows, phases[z], weights[z])
            assert e1[r] - e0[r] == pytest.approx(energy, abs=1e-12)
            np.testing.assert_allclose(g1[r] - g0[r], plain.scale * slopes, atol=1e-12)


def test_single_precision_of_references():
    results = []
    for kind in (np.float64, np.float32):
        term, _, _ = _term(
            np.random.default_rng(2), expansion.Gauss(0.5, 1.0), True, (50,), 9, True, kind
        )
        x = np.random.default_rng(3).normal(size=(4, 9))
        energies, gradient = np.zeros(4), np.zeros((4, 9))
        run_terms(term, 0, x, 4, energies, gradient)
        results.append((energies, gradient))
    difference = np.abs(results[0][1] - results[1][1]).max()
    assert 0.0 < difference < 1e-4 * np.abs(results[0][1]).max()


def test_polynomial_and_sum():
    rng = np.random.default_rng(4)
    n = 5
    form = rng.normal(size=(2, n, n))
    form += form.swapaxes(1, 2)
    quadratic = np.zeros((2, rounded(n, 3), n))
    quadratic[:, :n] = form
    scale, shift = rng.uniform(1.0, 2.0, n), rng.normal(size=(2, n))
    linear = rng.normal(size=(2, n))
    square = expansion.Polynomial(0, scale, shift, linear, quadratic)
    line = expansion.Polynomial(0, scale, shift, linear, np.zeros((2, 0, n)))
    x = rng.normal(size=(4, n))
    energies, gradient = np.zeros(4), np.zeros((4, n))
    run_terms(expansion.Sum(square, line), 1, x, 3, energies, gradient)
    y = scale * x[:3] + shift[1]
    np.testing.assert_allclose(
        energies[:3], 2.0 * y @ linear[1] + np.einsum("ri,ij,rj->r", y, form[1], y), rtol=1e-12
    )
    expected = scale * (2.0 * linear[1] + 2.0 * y @ form[1])
    np.testing.assert_allclose(gradient[:3], expected, rtol=1e-12)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_products_add(kind):
    rng = np.random.default_rng(5)
    a, b, out = rng.normal(size=(8, 13)), rng.normal(size=(9, 13)), rng.normal(size=(8, 9))
    b = b.astype(kind)  # sums are in double precision all the same
    expected = out + a @ b.T.astype(float)
    add_products(a, b, out)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-13)


KINDS = [(np.float64, np.float64), (np.float64, np.float32), (np.float32, np.float32)]


@pytest.mark.parametrize(("sums", "rows"), KINDS)
def test_scaled_rows_add(sums, rows):
    rng = np.random.default_rng(6)
    weights, b, out = (rng.normal(size=s).astype(sums) for s in ((8, 12), (12, 13), (8, 13)))
    b = b.astype(rows)
    expected = out + weights @ b.astype(sums)
    add_scaled_rows(weights, b, out)
    np.testing.assert_allclose(out, expected, rtol=0, atol=50 * np.finfo(sums).eps)
