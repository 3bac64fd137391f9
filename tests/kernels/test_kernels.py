"""Every kernel through the same properties."""

import numpy as np
import pytest
from sklearn.base import clone

from skpot.kernels import RBF, DotProduct

KERNELS = [
    DotProduct(zeta=1),
    DotProduct(zeta=2, variance=0.3),
    DotProduct(zeta=5),
    RBF(),
    RBF(length_scale=0.4, variance=2.0),
]


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 4)), rng.normal(size=(5, 4))


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_gradient_equals_central_differences(kernel, rows):
    x, q = rows
    _, slope, shift = kernel.with_slope(x, q)
    gradient = slope[:, :, None] * q
    if shift is not None:
        gradient = gradient + shift[:, :, None] * x[:, None]
    step = 1e-5
    for d in range(x.shape[1]):
        moved = np.zeros(x.shape[1])
        moved[d] = step
        numerical = (kernel(x + moved, q) - kernel(x - moved, q)) / (2 * step)
        np.testing.assert_allclose(gradient[:, :, d], numerical, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_expansion_equals_central_differences(kernel, rows):
    x, q = rows
    rng = np.random.default_rng(1)
    q = np.tile(q, (60, 1)) + rng.normal(0, 0.1, (300, 4))  # more than a tile
    a, v = rng.normal(size=300), rng.normal(size=(300, 4))
    u, gradient = kernel.expansion(x, q, a, v)
    step = 1e-5

    def along(q):
        return sum(kernel(x, q + s * step * v).sum(axis=1) * s for s in (-1, 1)) / (2 * step)

    np.testing.assert_allclose(u, kernel(x, q) @ a + along(q), rtol=1e-6, atol=1e-7)
    for d in range(4):
        moved = np.zeros(4)
        moved[d] = step
        up, down = (kernel.expansion(x + m, q, a, v)[0] for m in (moved, -moved))
        np.testing.assert_allclose(gradient[:, d], (up - down) / (2 * step), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_is_a_covariance(kernel, rows):
    x, _ = rows
    k = kernel(x, x)
    np.testing.assert_allclose(k, k.T)
    np.testing.assert_allclose(np.diag(k), kernel.diag(x))
    assert np.linalg.eigvalsh(k).min() > -1e-10 * np.diag(k).max()


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_clone_and_representation(kernel):
    assert clone(kernel).get_params() == kernel.get_params()
    assert eval(repr(kernel)).get_params() == kernel.get_params()


def test_values_by_hand():
    x, q = np.array([[1.0, 2.0]]), np.array([[3.0, -1.0], [0.0, 2.0]])
    np.testing.assert_allclose(DotProduct(zeta=3, variance=2.0)(x, q), [[2.0, 128.0]])
    np.testing.assert_allclose(RBF(length_scale=2.0)(x, q), np.exp([[-13 / 8, -1 / 8]]))


@pytest.mark.parametrize("bad", [DotProduct(zeta=0), DotProduct(zeta=1.5), RBF(length_scale=0)])
def test_bad_parameters_are_named(bad):
    with pytest.raises(ValueError, match="zeta|length_scale"):
        bad._validate_params()
