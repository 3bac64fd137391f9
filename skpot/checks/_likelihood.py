r"""Linear models of labels, and how likely labels are given what other labels tell.

All labels are linear in the coefficients c of one kernel model, whose prior is the unit matrix
times an unknown variance. From labels :math:`b = A c + \epsilon` of one kind follow the mean and
the covariance of c, with the ratio of noise to prior for which b is most likely. Labels of another
kind are then normal around their own rows times that mean; how likely they are in this unit or
that, with this sign or that, in this order of frames or that, tells which of these is the right
one. The noise that they have beyond what c leaves open is again the likeliest.
C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), secs. 2.7, 5.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from skpot.typing import FloatArray

_RATIOS = 10.0 ** np.arange(-9.0, 1.01, 0.5)  # of the noise to the prior, over the largest one
_FACTORS = 4.0 ** np.arange(6)  # of the covariance that a model leaves open
_RANK = 1e-9  # of the largest: singular values that count


class Posterior(NamedTuple):
    """What labels tell of the coefficients."""

    mean: np.ndarray  # (m,)
    root: np.ndarray  # (m, m), times its transpose the covariance
    noise: float  # standard deviation of the labels around the model


def learn(rows: FloatArray, values: FloatArray) -> Posterior:
    """Return what labels tell of the coefficients.

    Parameters
    ----------
    rows : ndarray of shape (n, m)
        The labels' rows, in coefficients whose prior is a multiple of the unit matrix.
    values : ndarray of shape (n,)
        The labels.
    """
    n = len(values)
    squares, vectors = np.linalg.eigh(rows.T @ rows)
    squares = np.maximum(squares, 0.0)
    projected = vectors.T @ (rows.T @ values)
    total, top = values @ values, max(squares[-1], np.finfo(float).tiny)
    ratios = top * _RATIOS[:, None]
    misfit = np.maximum(total - np.sum(projected**2 / (squares + ratios), axis=1), 1e-12 * total)
    misfit = np.maximum(misfit, np.finfo(float).tiny)
    likelihood = -n * np.log(misfit / n) - np.sum(np.log1p(squares / ratios), axis=1)
    best = int(np.argmax(likelihood))
    variance, scale = misfit[best] / n, 1.0 / (squares + ratios[best])
    return Posterior(
        vectors @ (scale * projected), vectors * np.sqrt(variance * scale), float(np.sqrt(variance))
    )


class Judge:
    """How likely values are, of which a model tells the mean and part of the covariance.

    Values have the covariance k² B Bᵀ + s² D, with D diagonal, s the likeliest of a range and k of
    the powers of two: what a small model leaves open may be more than it knows. Their mean is known
    up to a combination of some columns.

    Parameters
    ----------
    mean : ndarray of shape (n,)
        The mean.
    root : ndarray of shape (n, k)
        The matrix B.
    weights : ndarray of shape (n,)
        The diagonal of D.
    columns : ndarray of shape (n, p) or None
        Columns whose combination is free, such as the counts of species.
    noises : ndarray
        The range of s.
    """

    def __init__(
        self,
        mean: FloatArray,
        root: FloatArray,
        weights: FloatArray,
        columns: FloatArray | None,
        noises: FloatArray,
    ) -> None:
        self._scale = 1.0 / np.sqrt(weights)
        squares, self._vectors = np.linalg.eigh((scaled := root * self._scale[:, None]) @ scaled.T)
        squares = np.maximum(squares, 0.0)
        self._variances = np.concatenate([f * squares + noises[:, None] ** 2 for f in _FACTORS])
        self._mean = self._vectors.T @ (mean * self._scale)
        self._columns = np.zeros((len(mean), 0)) if columns is None else columns
        self._columns = self._vectors.T @ (self._columns * self._scale[:, None])
        # Columns that are linear combinations of others add nothing.
        basis, singular, _ = np.linalg.svd(self._columns, full_matrices=False)
        self._free = basis[:, singular > _RANK * singular[:1].max(initial=0.0)]
        normal = np.einsum("ip,vi,iq->vpq", self._free, 1.0 / self._variances, self._free)
        self._inverse = np.linalg.inv(normal)
        self._logs = np.sum(np.log(2.0 * np.pi * self._variances), axis=1)
        self._logs += float(np.sum(np.log(weights))) + np.linalg.slogdet(normal)[1]

    def log_likelihood(self, values: FloatArray) -> float:
        """Return the logarithm of the density of values (n,), for the covariance that suits."""
        return float(self.log_likelihoods(values, np.ones(1))[0])

    def log_likelihoods(
        self, values: FloatArray, factors: FloatArray, shift: FloatArray | float = 0.0
    ) -> FloatArray:
        """Return those of values / factor + shift for each of several factors."""
        return np.max(self._all(values, factors, shift), axis=0)

    def residuals(self, values: FloatArray) -> FloatArray:
        """Return how far each value is from what all others tell of it, in standard deviations."""
        best, left = self._likeliest(values)
        free = self._free / self._variances[best][:, None]
        weighted = left / self._variances[best]
        weighted = weighted - free @ (self._inverse[best] @ (self._free.T @ weighted))
        inverse = np.sum(self._vectors**2 / self._variances[best], axis=1)
        root = np.linalg.cholesky(self._inverse[best]) if free.shape[1] else self._inverse[best]
        inverse = inverse - np.sum((self._vectors @ free @ root) ** 2, axis=1)
        return (self._vectors @ weighted) / np.sqrt(np.maximum(inverse, np.finfo(float).tiny))

    def last_column(self, values: FloatArray) -> float:
        """Return the likeliest coefficient of the last of the columns."""
        best, left = self._likeliest(values)
        scale = 1.0 / np.sqrt(self._variances[best])
        columns = self._columns * scale[:, None]
        return float(np.linalg.lstsq(columns, left * scale, rcond=_RANK)[0][-1])

    def _likeliest(self, values):
        """Return which covariance suits values best, and how far they are from the mean."""
        best = int(np.argmax(self._all(values, np.ones(1), 0.0)[:, 0]))
        return best, self._vectors.T @ (values * self._scale) - self._mean

    def _all(self, values, factors, shift):
        """Return log likelihoods of shape (n_covariances, n_factors)."""
        turned = self._vectors.T @ (np.broadcast_to(values, self._scale.shape) * self._scale)
        offset = self._vectors.T @ (shift * self._scale) - self._mean
        inverse = 1.0 / self._variances
        slope = 1.0 / factors
        quadratic = (
            np.outer(inverse @ turned**2, slope**2)
            + 2.0 * np.outer(inverse @ (turned * offset), slope)
            + (inverse @ offset**2)[:, None]
        )
        one, two = (inverse @ (part[:, None] * self._free) for part in (turned, offset))
        taken = one[:, :, None] * slope + two[:, :, None]
        quadratic -= np.einsum("vpf,vpq,vqf->vf", taken, self._inverse, taken)
        return -0.5 * (quadratic + self._logs[:, None])
