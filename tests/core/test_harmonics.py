"""Spherical harmonics against scipy and finite differences."""

import numpy as np
import pytest
from scipy.special import sph_harm_y

from skpot.core.harmonics import (
    legendre_coefficients,
    spherical_harmonics,
    spherical_harmonics_gradient,
)

DIRECTIONS = [[0, 0, 1], [0, 0, -1], [1, 0, 0], [0, -1, 0], [0.3, -0.5, 0.2], [-1, 1e-9, 1e-9]]


def evaluate(vector, l_max):
    x, y, z = np.asarray(vector, float) / np.linalg.norm(vector)
    out, grad = np.empty((l_max + 1) ** 2), np.empty((3, (l_max + 1) ** 2))
    scratch = np.empty((l_max + 1, l_max + 1))
    table = legendre_coefficients(l_max)
    spherical_harmonics_gradient(x, y, z, table, l_max, scratch, out, grad)
    plain = np.empty_like(out)
    spherical_harmonics(x, y, z, table, l_max, scratch, plain)
    assert np.array_equal(plain, out)
    return out, grad


@pytest.mark.parametrize("vector", DIRECTIONS, ids=str)
@pytest.mark.parametrize("l_max", [0, 1, 12])
def test_values_equal_scipy(vector, l_max):
    x, y, z = np.asarray(vector, float) / np.linalg.norm(vector)
    theta, phi = np.arccos(z), np.arctan2(y, x)
    values, _ = evaluate(vector, l_max)
    for l in range(l_max + 1):
        for m in range(-l, l + 1):
            full = (-1) ** m * sph_harm_y(l, abs(m), theta, phi)
            expected = full.real if m == 0 else np.sqrt(2) * (full.real if m > 0 else full.imag)
            assert values[l * l + l + m] == pytest.approx(
                expected, abs=1e-7 if z * z > 0.99 else 1e-12
            )


@pytest.mark.parametrize("vector", DIRECTIONS, ids=str)
def test_projected_gradient_equals_central_differences(vector):
    l_max, step = 6, 1e-6
    vector = np.asarray(vector, float) / np.linalg.norm(vector)
    _, grad = evaluate(vector, l_max)
    projected = grad - np.outer(vector, vector @ grad)
    for axis in range(3):
        shift = step * np.eye(3)[axis]
        numerical = (evaluate(vector + shift, l_max)[0] - evaluate(vector - shift, l_max)[0]) / (
            2 * step
        )
        np.testing.assert_allclose(projected[axis], numerical, atol=1e-8)


def test_the_addition_theorem():
    l_max = 9
    (a, _), (b, _) = evaluate([0.2, 0.7, -0.4], l_max), evaluate([-0.9, 0.1, 0.3], l_max)
    u, v = np.array([0.2, 0.7, -0.4]), np.array([-0.9, 0.1, 0.3])
    cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
    for l in range(l_max + 1):
        rows = slice(l * l, (l + 1) ** 2)
        legendre = np.polynomial.legendre.Legendre.basis(l)(cosine)
        assert a[rows] @ b[rows] == pytest.approx((2 * l + 1) / (4 * np.pi) * legendre, abs=1e-13)
