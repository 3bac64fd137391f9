r"""Random functions whose covariance is a kernel.

A kernel of distances is the mean of plane waves over its spectral density (Bochner),

.. math:: k(x, q) = 2 v \, \langle \cos(\omega \cdot x + b) \cos(\omega \cdot q + b) \rangle

with b uniform in a full turn. For the Gaussian :math:`\omega = \xi / \ell` with standard normal
:math:`\xi`; for the Matérn function :math:`\omega = \xi \sqrt{2\nu / u} / \ell` with u from a
chi-squared distribution of :math:`2\nu` degrees of freedom. The product of two such kernels has the
sum of their :math:`\omega`.

A power of the dot product is the mean over complex normal vectors w of unit variance

.. math:: (x \cdot q)^\zeta = \tfrac{2}{\zeta!} \langle \Re (w \cdot x)^\zeta\,
          \Re (w \cdot q)^\zeta \rangle, \qquad
          \Re (a + i b)^\zeta = \frac{2^{\zeta-1}}{\zeta} \sum_{k<\zeta} (-1)^k
          \left( a \cos \tfrac{\pi k}{\zeta} + b \sin \tfrac{\pi k}{\zeta} \right)^\zeta

so that each function is a sum of powers of real dot products.

References
----------
A. Rahimi, B. Recht, Adv. Neural Inf. Process. Syst. 20 (2007), for plane waves; P. Wacker,
M. Kanagawa, M. Filippone, arXiv:2201.08712 (2022), for complex sketches of polynomials.
"""

from __future__ import annotations

import math
from functools import singledispatch
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..exceptions import NotCompilableError
from ._algebra import Exponentiation, Product, Sum
from ._kernels import RBF, DotProduct, Matern

if TYPE_CHECKING:
    from typing import Any

    from skpot.typing import FloatArray


class Waves(NamedTuple):
    """Functions f(x . d + b) of rows x, with f the cosine, or a power if there is an exponent."""

    directions: np.ndarray  # (n, n_features) d
    phases: np.ndarray  # (n,) b; zeros of powers
    exponent: int  # of powers; 0 stands for the cosine
    amplitudes: np.ndarray  # (n,)
    together: int  # so many consecutive functions have one random factor

    def weights(self, n_draws: int, rng: np.random.Generator) -> FloatArray:
        """Return factors of the functions, shape (n, n_draws), one draw in each column."""
        noise = rng.standard_normal((len(self.phases) // self.together, n_draws))
        return self.amplitudes[:, None] * np.repeat(noise, self.together, axis=0)

    def values(self, x: FloatArray, order: int = 0) -> FloatArray:
        """Return f at rows x, or its derivative by x . d with order 1; shape (n_rows, n)."""
        w = x @ self.directions.T + self.phases
        if not self.exponent:
            return np.cos(w) if order == 0 else -np.sin(w)
        return w**self.exponent if order == 0 else self.exponent * w ** (self.exponent - 1)

    def gradient(self, x: FloatArray, weights: FloatArray) -> FloatArray:
        """Return the gradient at rows x of the sum with weights (n,), shape (n_rows, n_columns)."""
        return (self.values(x, 1) * weights) @ self.directions


def prior_waves(kernel: Any, n_features: int, n: int, rng: np.random.Generator) -> list[Waves]:
    """Return random functions for each summand of a kernel.

    Parameters
    ----------
    kernel : kernel object
        With its blocks found.
    n_features : int
        Length of feature rows.
    n : int
        How many independent functions of each summand.
    rng : numpy.random.Generator
        Draws them.

    Raises
    ------
    NotCompilableError
        If a summand is no power of dot products and no product of kernels of distances.
    """
    if isinstance(kernel, Sum):
        parts = [prior_waves(k, n_features, n, rng) for k in (kernel.k1, kernel.k2)]
        return [*parts[0], *parts[1]]
    inner, exponent = kernel, 1
    while isinstance(inner, Exponentiation):
        inner, exponent = inner.kernel, exponent * int(inner.exponent)
    if isinstance(inner, DotProduct):
        variance = float(inner.variance) ** exponent
        return [_powers(inner, exponent * int(inner.zeta), variance, n_features, n, rng)]
    directions, variance = _spectrum(kernel, n_features, n, rng)
    phases = rng.uniform(0.0, 2.0 * np.pi, n)
    return [Waves(directions, phases, 0, np.full(n, np.sqrt(2.0 * variance / n)), 1)]


def _powers(kernel, zeta, variance, n_features, n, rng):
    begin, end = kernel.similarity.columns or (0, n_features)
    real, imaginary = rng.standard_normal((2, n, 1, end - begin)) / np.sqrt(2.0)
    angles = np.pi * np.arange(zeta)[:, None] / zeta
    rows = np.cos(angles) * real + np.sin(angles) * imaginary
    directions = np.zeros((n * zeta, n_features))
    directions[:, begin:end] = rows.reshape(n * zeta, -1)
    size = np.sqrt(2.0 * variance / (n * math.factorial(zeta))) * 2.0 ** (zeta - 1) / zeta
    signs = np.where(np.arange(zeta) % 2, -size, size)
    return Waves(directions, np.zeros(n * zeta), zeta, np.tile(signs, n), zeta)


@singledispatch
def _spectrum(kernel, n_features, n, rng):
    """Return n draws from the spectral density of a kernel (n, n_features), and its variance."""
    raise NotCompilableError(
        f"no functions can be drawn from the prior of the kernel {kernel}. Use DotProduct or its "
        "powers, RBF, Matern, or products and sums of the last two."
    )


@_spectrum.register
def _(kernel: RBF, n_features, n, rng):
    return _normal(kernel, n_features, n, rng), float(kernel.variance)


@_spectrum.register
def _(kernel: Matern, n_features, n, rng):
    directions = _normal(kernel, n_features, n, rng)
    if np.isfinite(kernel.nu):
        freedom = 2.0 * kernel.nu
        directions *= np.sqrt(freedom / rng.chisquare(freedom, n))[:, None]
    return directions, float(kernel.variance)


@_spectrum.register
def _(kernel: Product, n_features, n, rng):
    left, one = _spectrum(kernel.k1, n_features, n, rng)
    right, other = _spectrum(kernel.k2, n_features, n, rng)
    return left + right, one * other


@_spectrum.register
def _(kernel: Exponentiation, n_features, n, rng):
    parts = [_spectrum(kernel.kernel, n_features, n, rng) for _ in range(int(kernel.exponent))]
    return sum(rows for rows, _ in parts), parts[0][1] ** len(parts)


def _normal(kernel, n_features, n, rng):
    """Return the spectrum of a Gaussian of the kernel's length."""
    s = kernel.similarity
    begin, end = s.columns or (0, n_features)
    scale = np.full(end - begin, kernel.inverse_square_length())
    if s.weights is not None:
        scale = np.array(s.weights)
    directions = np.zeros((n, n_features))
    directions[:, begin:end] = rng.standard_normal((n, end - begin)) * np.sqrt(scale)
    return directions
