"""Spherical harmonics against scipy and finite differences."""

import numpy as np
import pytest
from scipy.special import sph_harm_y

from skpot.core.harmonics import (
    legendre_coefficients,
    many_harmonics,
    spherical_harmonics_gradient,
)

DIRECTIONS = [[0, 0, 1], [0, 0, -1], [1, 0, 0], [0, -1, 0], [0.3, -0.5, 0.2], [-1, 1e-9, 1e-9]]


def normalized(vectors):
    vectors = np.asarray(vectors, float)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def evaluate(vector, l_max):
    """Values and gradients of one direction."""
    x, y, z = normalized(vector)
    out, grad = np.empty((l_max + 1) ** 2), np.empty((3, (l_max + 1) ** 2))
    scratch = np.empty((l_max + 1, l_max + 1))
    spherical_harmonics_gradient(x, y, z, legendre_coefficients(l_max), l_max, scratch, out, grad)
    return out, grad


def evaluate_many(vectors, l_max, room):
    """Values of all directions at once, in arrays with room for more."""
    size, degrees = len(vectors), l_max + 1
    unit = np.full((3, size + room), np.nan)
    unit[:, :size] = normalized(vectors).T
    y_lm = np.full((degrees**2, size + room), 7.0)
    many_harmonics(
        unit, size, legendre_coefficients(l_max), l_max,
        np.empty((degrees * (degrees + 1) // 2, size + room)),
        np.empty((degrees, size + room)), np.empty((degrees, size + room)), y_lm,
    )  # fmt: skip
    assert (y_lm[:, size:] == 7.0).all()
    return y_lm[:, :size].T


@pytest.mark.parametrize("vector", DIRECTIONS, ids=str)
@pytest.mark.parametrize("l_max", [0, 1, 12])
def test_values_equal_scipy(vector, l_max):
    x, y, z = normalized(vector)
    theta, phi = np.arccos(z), np.arctan2(y, x)
    values, _ = evaluate(vector, l_max)
    for l in range(l_max + 1):
        for m in range(-l, l + 1):
            full = (-1) ** m * sph_harm_y(l, abs(m), theta, phi)
            expected = full.real if m == 0 else np.sqrt(2) * (full.real if m > 0 else full.imag)
            assert values[l * l + l + m] == pytest.approx(
                expected, abs=1e-7 if z * z > 0.99 else 1e-12
            )


@pytest.mark.parametrize("l_max", [0, 1, 2, 12])
def test_values_of_many_directions_equal_those_of_each(l_max):
    expected = [evaluate(vector, l_max)[0] for vector in DIRECTIONS]
    np.testing.assert_allclose(evaluate_many(DIRECTIONS, l_max, 0), expected, atol=1e-13)
    np.testing.assert_allclose(evaluate_many(DIRECTIONS[:3], l_max, 5), expected[:3], atol=1e-13)
    assert evaluate_many(np.empty((0, 3)), l_max, 2).shape == (0, (l_max + 1) ** 2)


@pytest.mark.parametrize("vector", DIRECTIONS, ids=str)
def test_projected_gradient_equals_central_differences(vector):
    l_max, step = 6, 1e-6
    vector = normalized(vector)
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
    cosine = normalized([0.2, 0.7, -0.4]) @ normalized([-0.9, 0.1, 0.3])
    for l in range(l_max + 1):
        rows = slice(l * l, (l + 1) ** 2)
        legendre = np.polynomial.legendre.Legendre.basis(l)(cosine)
        assert a[rows] @ b[rows] == pytest.approx((2 * l + 1) / (4 * np.pi) * legendre, abs=1e-13)
