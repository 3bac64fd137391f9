"""Radial functions against scipy."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import spherical_in

from skpot.core.cutoffs import cosine_switch, radial_scaling
from skpot.core.radial import bessel_scaled, gto_basis, gto_density_table, spline_table


@pytest.mark.parametrize("l_max", [0, 1, 6, 15])
def test_bessel_functions_equal_scipy(l_max):
    x = np.array([0.0, 1e-8, 1e-4, 9.9e-4, 1.1e-3, 0.1, 1.0, 7.0, 30.0, 300.0])
    values = bessel_scaled(l_max, x)
    for l in range(l_max + 1):
        expected = np.array([spherical_in(l, v) * np.exp(-v) for v in x])
        np.testing.assert_allclose(values[l], expected, rtol=2e-10, atol=1e-300)


def test_bessel_functions_of_large_arguments_do_not_overflow():
    values = bessel_scaled(4, np.array([1e3, 1e5]))
    np.testing.assert_allclose(values[0], 1 / (2 * np.array([1e3, 1e5])), rtol=1e-12)
    assert np.isfinite(values).all() and (np.diff(values, axis=0) < 0).all()


@pytest.mark.parametrize("n_max", [1, 2, 8, 12])
def test_radial_basis_is_orthonormal(n_max):
    def product(i, j):
        def integrand(r):
            g = gto_basis(np.array([r]), n_max, 5.0)[:, 0]
            return r * r * g[i] * g[j]

        return quad(integrand, 0, 25, limit=400)[0]

    for i, j in {(0, 0), (0, n_max - 1), (n_max - 1, n_max - 1), (n_max // 2, n_max // 2)}:
        assert product(i, j) == pytest.approx(float(i == j), abs=1e-5)


def test_spline_reproduces_smooth_functions_and_their_slopes():
    spacing = 0.02
    grid = spacing * np.arange(200)
    table = spline_table(np.stack([np.sin(grid), np.cos(2 * grid)], axis=1), spacing)
    inside = slice(30, -30)  # away from the ends, where a natural spline bends wrongly
    np.testing.assert_allclose(table[inside, 1, 0] / spacing, np.cos(grid)[inside], atol=1e-7)
    np.testing.assert_allclose(
        table[inside, 1, 1] / spacing, -2 * np.sin(2 * grid)[inside], atol=1e-6
    )


def test_density_table_holds_the_integral_of_the_formula():
    n_max, l_max, cutoff, sigma = 4, 3, 4.0, 0.5
    table, spacing, centre = gto_density_table(n_max, l_max, cutoff, sigma, (2.0, 3.0))
    for k in (0, 40, 150):
        r = k * spacing
        for l in (0, 3):

            def integrand(s, n, l=l, r=r):
                bessel = bessel_scaled(l, np.array([r * s / sigma**2]))[l, 0]
                gauss = np.exp(-((r - s) ** 2) / (2 * sigma**2))
                return s * s * gto_basis(np.array([s]), n_max, cutoff)[n, 0] * gauss * bessel

            for n in range(n_max):
                full = 4 * np.pi * quad(integrand, 0, cutoff + 8 * sigma, args=(n,), limit=200)[0]
                value = table[k, 0, l * n_max + n]
                assert value == pytest.approx(full * radial_scaling(r, 2.0, 3.0), abs=1e-8)
    np.testing.assert_allclose(centre, table[0, 0, :n_max])


def test_switch_is_smooth_and_has_the_right_slope():
    cutoff, width, step = 4.0, 1.5, 1e-6
    assert cosine_switch(2.4, cutoff, width) == (1.0, 0.0)
    assert cosine_switch(4.0, cutoff, width) == (0.0, 0.0)
    for r in np.linspace(2.4, 4.1, 30):
        above, below = (cosine_switch(r + s, cutoff, width)[0] for s in (step, -step))
        slope = (above - below) / (2 * step)
        assert cosine_switch(r, cutoff, width)[1] == pytest.approx(slope, abs=1e-5)
