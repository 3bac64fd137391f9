"""The logarithm of the marginal likelihood of labels, its gradients, and its maximum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky, lapack, solve_triangular
from scipy.optimize import minimize

from ..exceptions import NumericalError
from ._triangular import TriangularFactor, refuse_not_finite

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.typing import FloatArray

_LOG_2PI = np.log(2.0 * np.pi)
_NOISE_WIDTH = np.log(10.0)  # width of the prior of noise levels, which matters for few labels
_NOISE_RANGE = np.log(100.0)  # beyond this range models only interpolate, or learn nothing
_GAIN = 1e-6  # a smaller gain of the likelihood, relative or per label, ends the search
_PRECISE = 1e-10  # the same for noise, since gradients are only right at the best noise
_DIGITS = 3  # of logarithms; more digits would depend on the order of sums
_PENALTY = 10.0  # loss of likelihood per label where a covariance is beyond double precision


_NOT_POSITIVE = (
    "the marginal likelihood cannot be computed in double precision where the search begins: the "
    "covariance of the labels is too large compared with their noise. Begin with larger noise "
    "levels, or with a kernel of smaller variance or length_scale."
)


@dataclass(eq=False, repr=False)
class FactorLikelihood:
    r"""Likelihood of labels that are linear in few coefficients, from triangular factors.

    With rows :math:`A_t` and targets :math:`y_t` of labels of kind t, divided by noise levels up to
    a common factor :math:`\tau_t`, and coefficients whose prior covariance is the unit matrix,
    :math:`S = R^T R = 1 + \sum_t A_t^T A_t / \tau_t^2`, mean c and residuals :math:`r_t`,

    .. math::

        \log p(y) = -\sum_i \log R_{ii} - \tfrac12 \rho^2
            - \sum_t n_t \big( \log \tau_t + \tfrac12 \log 2\pi \big), \qquad
        \rho^2 = |c|^2 + \sum_t |r_t|^2 / \tau_t^2

    .. math::

        \frac{\partial \log p}{\partial \log \tau_t} = \gamma_t - n_t + |r_t|^2 / \tau_t^2, \qquad
        \gamma_t = \mathrm{tr}\, A_t S^{-1} A_t^T / \tau_t^2

    Rows are :math:`A = B L^{-T}` with :math:`B = \Sigma^{-1/2} K_{NM}` and
    :math:`L L^T = K_{MM}`. Of the mean's squares only the explicit dependence counts, as it
    minimizes them, so that with :math:`D = (\partial B) L^{-T}` and
    :math:`V = L^{-1} (\partial K_{MM}) L^{-T}`

    .. math::

        \frac{\partial \log p}{\partial \theta} = \tfrac12 \big[ \mathrm{tr}\, V
            - \mathrm{tr}\, (S^{-1} + c c^T) V \big] + \sum_t \tau_t^{-2} \big[ c^T D_t^T y_t
            - \mathrm{tr}\, (S^{-1} + c c^T) D_t^T A_t \big]

    Parameters
    ----------
    trapezoids : dict of str to ndarray of shape (k, m + 1)
        Of the rows of each kind; see `TriangularFactor.trapezoid`.
    counts : dict of str to int
        Number of rows of each kind.
    products : dict of str to ndarray of shape (n_theta, m, m + 1), default=None
        :math:`D_t^T [A_t\; y_t]` of each hyperparameter; None where only noise is of interest.
    priors : ndarray of shape (n_theta, m, m), default=None
        V of each.

    References
    ----------
    J. Quiñonero-Candela, C. E. Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005), sec. 5; D. J. C.
    MacKay, Neural Comput. 4, 415 (1992), for the noise.
    """

    trapezoids: dict[str, FloatArray]
    counts: dict[str, int]
    products: Any = None
    priors: Any = None

    def _solve(self, log_noise):
        m = next(iter(self.trapezoids.values())).shape[1] - 1
        factor = TriangularFactor(np.eye(m))
        for log_scale, trapezoid in zip(log_noise, self.trapezoids.values(), strict=True):
            factor.merge(np.exp(-log_scale) * trapezoid)
        return factor, factor.matrix, factor.solve()

    def of_noise(self, log_noise: FloatArray) -> tuple[float, FloatArray]:
        """Return the logarithm of the likelihood, and its gradient.

        Parameters
        ----------
        log_noise : ndarray of shape (n_kinds,)
            Logarithms of the factors of noise levels, in the order of `counts`.

        Returns
        -------
        value : float
            Without the constant that noise levels add.
        gradient : ndarray of shape (n_kinds,)
            With respect to `log_noise`.
        """
        factor, triangle, mean = self._solve(log_noise)
        value, gradient = -0.5 * factor.residual, np.empty(len(log_noise))
        value -= np.sum(np.log(np.abs(np.diag(triangle))))
        for t, (kind, n) in enumerate(self.counts.items()):
            rows = np.exp(-log_noise[t]) * self.trapezoids[kind]
            hat = solve_triangular(triangle, rows[:, :-1].T, trans="T", check_finite=False)
            residual = rows[:, :-1] @ mean - rows[:, -1]
            gradient[t] = np.sum(hat**2) - n + residual @ residual
            value -= n * (log_noise[t] + 0.5 * _LOG_2PI)
        return float(value), gradient

    def of_theta(self, log_noise: FloatArray) -> FloatArray:
        """Return the gradient with respect to the kernel's theta, shape (n_theta,)."""
        _, triangle, mean = self._solve(log_noise)
        inverse = np.triu(lapack.dtrtri(triangle)[0])
        second = inverse @ inverse.T + np.outer(mean, mean)
        out = np.array([0.5 * (np.trace(v) - np.sum(second * v)) for v in self.priors])
        for log_scale, products in zip(log_noise, self.products.values(), strict=True):
            parts = [mean @ p[:, -1] - np.sum(second * p[:, :-1]) for p in products]
            out += np.exp(-2.0 * log_scale) * np.array(parts)
        return out


@dataclass(eq=False, repr=False)
class DenseLikelihood:
    r"""Likelihood of labels from their dense covariance.

    With labels y and covariance K, both in units of noise levels that have a factor
    :math:`\tau_t` for each kind, :math:`C = K + \tau^2`, :math:`\alpha = C^{-1} y`,

    .. math::

        \log p(y) = -\tfrac12 \big[ y^T \alpha + \log |C| + n \log 2\pi \big], \quad
        \frac{\partial \log p}{\partial \theta}
            = \tfrac12 \mathrm{tr}\,(\alpha \alpha^T - C^{-1}) \frac{\partial C}{\partial \theta}

    Parameters
    ----------
    matrix : ndarray of shape (n, n)
        The covariance K.
    values : ndarray of shape (n,)
        The labels y.
    counts : dict of str to int
        Number of labels of each kind, in their order.
    derivatives : list of ndarray of shape (n, n)
        dK/dtheta.

    References
    ----------
    C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), eqs. 5.8
    and 5.9.
    """

    matrix: FloatArray
    values: FloatArray
    counts: dict[str, int]
    derivatives: list[FloatArray]

    def _solve(self, log_noise):
        noise = np.repeat(np.exp(2.0 * np.asarray(log_noise)), list(self.counts.values()))
        total = self.matrix.copy()
        total[np.diag_indices_from(total)] += noise
        factor = cholesky(total, lower=True, overwrite_a=True, check_finite=False)
        half = lapack.dpotri(factor, lower=1)[0]
        inverse = np.tril(half) + np.tril(half, -1).T
        return factor, cho_solve((factor, True), self.values), inverse, noise

    def of_noise(self, log_noise: FloatArray) -> tuple[float, FloatArray]:
        """Return the logarithm of the likelihood and its gradient; see `FactorLikelihood`."""
        factor, alpha, inverse, noise = self._solve(log_noise)
        value = -0.5 * (self.values @ alpha + len(alpha) * _LOG_2PI)
        value -= np.sum(np.log(np.diag(factor)))
        slopes = noise * (alpha**2 - np.diag(inverse))
        begins = np.cumsum([0, *self.counts.values()])[:-1]
        return float(value), np.add.reduceat(slopes, begins)

    def of_theta(self, log_noise: FloatArray) -> FloatArray:
        """Return the gradient with respect to the kernel's theta, shape (n_theta,)."""
        _, alpha, inverse, _ = self._solve(log_noise)
        return np.array([0.5 * (alpha @ d @ alpha - np.sum(inverse * d)) for d in self.derivatives])


class Maximum(NamedTuple):
    """The maximum of a likelihood."""

    theta: np.ndarray
    log_noise: np.ndarray  # logarithms of factors of the noise levels, one for each kind of label
    log_likelihood: float
    n_evaluations: int
    converged: bool


def maximize_likelihood(
    likelihood_at: Callable[..., Any],
    theta: FloatArray,
    bounds: FloatArray,
    n_kinds: int,
    max_evaluations: int = 50,
) -> Maximum:
    r"""Return the hyperparameters that make the labels most likely.

    For each theta the best noise is found first (see `best_noise`), without another pass over the
    rows. This leaves a function of theta alone. Its gradient is the partial derivative at the best
    noise.

    Parameters
    ----------
    likelihood_at : callable
        Returns a likelihood such as `FactorLikelihood` for a theta.
    theta : ndarray of shape (n_theta,)
        Where to begin.
    bounds : ndarray of shape (n_theta, 2)
        Range of each element.
    n_kinds : int
        Number of noise levels.
    max_evaluations : int, default=50
        Most values of theta that are tried.

    Returns
    -------
    Maximum
        The best theta that was tried, with three digits of the logarithms.

    Raises
    ------
    ValueError
        If the likelihood cannot be computed where the search begins.
    """
    theta, bounds = np.clip(theta, *bounds.T), np.array(bounds)
    best, best_value, n_tried = None, -np.inf, 0

    def cost(theta):
        nonlocal best, best_value, n_tried
        n_tried += 1
        try:
            likelihood = likelihood_at(theta)
            start = np.zeros(n_kinds) if best is None else best[1]
            value, log_noise = _most_probable(likelihood, start, _PRECISE)
            slope = likelihood.of_theta(log_noise)
            refuse_not_finite([value, *slope], "the marginal likelihood")
        except (np.linalg.LinAlgError, NumericalError) as error:
            if best is None:
                raise _named(error) from None
            return _PENALTY - best_value, np.zeros(len(theta))
        # The first step of L-BFGS is as long as the gradient, so it is taken per label.
        n = sum(likelihood.counts.values())
        if value / n > best_value:
            best, best_value = (theta.copy(), log_noise), value / n
        return -value / n, -slope / n

    converged, log_noise = True, np.zeros(n_kinds)
    if len(theta):
        found = minimize(
            cost, theta, jac=True, method="L-BFGS-B", bounds=bounds,
            options={"maxfun": max_evaluations, "ftol": _GAIN, "gtol": 1e-4},
        )  # fmt: skip
        converged = bool(found.success)
        theta, log_noise = best
        theta = np.clip(np.round(theta, _DIGITS), *bounds.T)
    likelihood = likelihood_at(theta)
    log_noise, value = best_noise(likelihood, log_noise)
    return Maximum(theta, log_noise, value, n_tried + 1, converged)


def best_noise(
    likelihood: FactorLikelihood | DenseLikelihood, start: FloatArray, gain: float = _PRECISE
) -> tuple[FloatArray, float]:
    r"""Return the most probable factors of noise levels.

    The prior of the factors is log-normal with median 1 and width log 10. Without it the noise of a
    few labels would be arbitrary, since the likelihood hardly depends on it: for n labels, it has a
    width of about :math:`1 / \sqrt{2 n}`.

    Parameters
    ----------
    likelihood : FactorLikelihood or DenseLikelihood
        Of given hyperparameters.
    start : ndarray of shape (n_kinds,)
        Where to begin.
    gain : float, default=1e-10
        A smaller relative gain of the likelihood ends the search.

    Returns
    -------
    log_noise : ndarray of shape (n_kinds,)
        Logarithms of the factors, to three digits.
    log_likelihood : float
        What they give.
    """
    try:
        _, log_noise = _most_probable(likelihood, start, gain)
        log_noise = np.round(log_noise, _DIGITS)
        return log_noise, likelihood.of_noise(log_noise)[0]
    except np.linalg.LinAlgError as error:
        raise _named(error) from None


def _named(error):
    return error if isinstance(error, NumericalError) else NumericalError(_NOT_POSITIVE)


def _most_probable(likelihood, start, gain):
    """Return the logarithm of likelihood times prior where it is largest, and the log noise."""
    n = sum(likelihood.counts.values())

    def cost(log_noise):
        value, slope = likelihood.of_noise(log_noise)
        scaled = log_noise / _NOISE_WIDTH
        return (0.5 * scaled @ scaled - value) / n, (scaled / _NOISE_WIDTH - slope) / n

    found = minimize(
        cost, start, jac=True, method="L-BFGS-B", options={"ftol": gain, "gtol": 1e-7},
        bounds=[(-_NOISE_RANGE, _NOISE_RANGE)] * len(start),
    )  # fmt: skip
    return -n * float(found.fun), found.x
