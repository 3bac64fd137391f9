"""Radial functions against scipy."""

import numpy as np
import pytest
from scipy.special import spherical_in, spherical_jn

from skpot.core.cutoffs import cosine_switch
from skpot.core.density import DensityTables
from skpot.core.density import radial_functions as interpolate
from skpot.core.harmonics import legendre_coefficients
from skpot.core.radial import (
    BASES,
    bessel_basis,
    bessel_scaled,
    bessel_zeros,
    grid_functions,
    gto_basis,
    knots,
    quadrature,
    radial_functions,
    spherical_bessel,
    spline_table,
)
from skpot.descriptors._soap_basis import DensitySetting


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


@pytest.mark.parametrize("l_max", [0, 1, 6, 15])
def test_oscillating_bessel_functions_equal_scipy(l_max):
    x = np.array([0.0, 1e-8, 1e-4, 9.9e-4, 1.1e-3, 0.1, 1.0, np.pi, 7.0, 30.0, 75.0])
    values = spherical_bessel(l_max, x)
    for l in range(l_max + 1):
        np.testing.assert_allclose(values[l], spherical_jn(l, x), rtol=1e-8, atol=1e-14)


def test_zeros_of_bessel_functions():
    zeros = bessel_zeros(8, 12)
    for l in range(9):
        np.testing.assert_allclose(spherical_jn(l, zeros[l]), 0.0, atol=1e-14)
        # None is left out: between 0 and the last one, the sign changes as often as it should.
        fine = spherical_jn(l, np.linspace(0.5, zeros[l, -1] + 0.1, 5000))
        if l < 4:  # beyond, j_l is tiny at the start but has no zero there either
            assert np.count_nonzero(np.diff(np.sign(fine))) == 12
        assert np.diff(zeros[l]).min() > 3.0


@pytest.mark.parametrize("n_max", [1, 2, 8, 12])
@pytest.mark.parametrize("basis", BASES)
def test_radial_bases_are_orthonormal(basis, n_max):
    cutoff, l_max = 5.0, 3
    r, weights = quadrature(25.0 if basis == "gto" else cutoff, 400)
    g = BASES[basis](r, n_max, l_max, cutoff)
    assert g.shape == (l_max + 1, n_max, len(r))
    overlap = np.einsum("lnr,lkr,r->lnk", g, g, weights * r * r)
    # S^(-1/2) of nearly dependent Gaussian-type functions loses digits.
    np.testing.assert_allclose(
        overlap, np.tile(np.eye(n_max), (l_max + 1, 1, 1)), atol=1e-5 if basis == "gto" else 1e-11
    )


def test_gaussian_type_functions_are_the_same_for_all_degrees():
    g = gto_basis(np.linspace(0, 6, 50), 4, 3, 5.0)
    assert (g == g[0]).all()


def test_laplacian_eigenstates_are_zero_at_the_cutoff():
    assert abs(bessel_basis(np.array([5.0]), 5, 4, 5.0)).max() < 1e-12


def test_spline_reproduces_smooth_functions_and_their_slopes():
    spacing = 0.02
    grid = spacing * np.arange(200)
    table = spline_table(np.stack([np.sin(grid), np.cos(2 * grid)], axis=1), spacing)
    inside = slice(30, -30)  # away from the ends, where a natural spline bends wrongly
    np.testing.assert_allclose(table[inside, 1, 0] / spacing, np.cos(grid)[inside], atol=1e-7)
    np.testing.assert_allclose(
        table[inside, 1, 1] / spacing, -2 * np.sin(2 * grid)[inside], atol=1e-6
    )


@pytest.mark.parametrize("basis", BASES)
def test_radial_functions_are_the_integrals_of_the_formula(basis):
    n_max, l_max, cutoff, sigma = 4, 3, 4.0, 0.5
    end = cutoff + 8 * sigma if basis == "gto" else cutoff
    r = np.array([0.0, 0.8, 3.0])
    values = radial_functions(r, basis, n_max, l_max, cutoff, sigma)
    assert values.shape == (3, l_max + 1, n_max)
    s, weights = quadrature(end, 500)
    g = BASES[basis](s, n_max, l_max, cutoff)
    for k, distance in enumerate(r):
        gauss = np.exp(-((distance - s) ** 2) / (2 * sigma**2))
        for l in range(l_max + 1):
            x = distance * s / sigma**2
            bessel = spherical_in(l, x) * np.exp(-x)
            full = 4 * np.pi * (weights * s * s * gauss * bessel * g[l]).sum(axis=1)
            np.testing.assert_allclose(values[k, l], full, atol=1e-10)


def interpolation_error(values_at, setting, cutoff):
    """Largest error of the spline between its knots, relative to the largest value."""
    table = spline_table(values_at(knots(setting.spacing, cutoff)), setting.spacing)
    rng = np.random.default_rng(0)
    # Up to where the switch begins to hide everything; half knots are the worst places.
    r = np.concatenate([[0.0], rng.uniform(0.3, cutoff, 300), [cutoff * (1 - 1e-9)]])
    exact = values_at(r).reshape(len(r), -1)
    n_columns = exact.shape[1]
    tables = DensityTables(
        table[None], np.zeros((1, 1), dtype=int), np.array([cutoff * (1 + 1e-12)]), 1e-13,
        setting.spacing, np.zeros((1, 1)), legendre_coefficients(0), n_columns, 0, 1,
    )  # fmt: skip
    value, slope = np.empty(n_columns), np.empty(n_columns)
    error = 0.0
    for k, distance in enumerate(r):
        interpolate.py_func(tables, 0, distance, value, slope)
        error = max(error, abs(value - exact[k]).max())
    return error / abs(exact).max()


def setting_of(n_max, l_max, cutoff, sigma):
    one = np.array([[cutoff]])
    return DensitySetting(n_max, l_max, sigma, 0.5, None, 1.0, np.array([14]), one, np.ones(1))


@pytest.mark.parametrize(("n_max", "l_max", "sigma"), [(4, 2, 0.25), (12, 8, 0.3), (12, 8, 1.0)])
@pytest.mark.parametrize("basis", BASES)
def test_the_spline_of_a_gaussian_density_is_accurate(basis, n_max, l_max, sigma):
    setting = setting_of(n_max, l_max, 5.0, sigma)

    def values_at(r):
        return radial_functions(r, basis, n_max, l_max, 5.0, sigma)

    assert interpolation_error(values_at, setting, 5.0) < 1e-7


def test_the_spline_of_the_grid_functions_is_accurate():
    def values_at(r):
        return grid_functions(r, 48, 4, 5.0, 0.4)

    setting = setting_of(8, 4, 5.0, 0.4)
    assert interpolation_error(values_at, setting, 5.0) < 1e-7


def test_switch_is_smooth_and_has_the_right_slope():
    cutoff, width, step = 4.0, 1.5, 1e-6
    assert cosine_switch(2.4, cutoff, width) == (1.0, 0.0)
    assert cosine_switch(4.0, cutoff, width) == (0.0, 0.0)
    for r in np.linspace(2.4, 4.1, 30):
        above, below = (cosine_switch(r + s, cutoff, width)[0] for s in (step, -step))
        slope = (above - below) / (2 * step)
        assert cosine_switch(r, cutoff, width)[1] == pytest.approx(slope, abs=1e-5)
