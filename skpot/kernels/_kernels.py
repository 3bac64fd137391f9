"""Kernels of two environments' feature rows.

A kernel gives its values together with its gradient in the form

    dk(x, q)/dx = slope(x, q) q + shift(x, q) x

which is all that sparse models need: derivatives with respect to positions follow by contracting
with Jacobian or pull-back of x.

Exact models need second derivatives. Every kernel here is a function f(w) of the product w = x . q
or of the distance, w = -|x - q|^2 / 2, so that f, f' and f'' are all there is to them; the flag
`centred` says which: with tau = 0 or 1 in this order,

    dk/dx = f' (q - tau x),    dk/dq = f' (x - tau q),
    d2k/dx dq = f' 1 + f'' (q - tau x) (x - tau q)^T

and the covariances of derivatives are never formed, only applied: see `expansion`.
"""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator

from .._sklearn import Interval
from ..core.similarity import (
    expand,
    gauss_curvature,
    gauss_with_slope,
    power_curvature,
    power_with_slope,
)

_TILE = 256  # references at a time: the arrays of a tile stay in cache


class _Expandable:
    """What kernels share that have `with_curvature` and the flag `centred`."""

    def expansion(self, x, q, a, v):
        r"""Apply the kernel and its derivatives to one scalar and one vector per reference.

        .. math:: u(x) = \sum_m [a_m + v_m \cdot \partial_q] k(x, q_m)

        Parameters
        ----------
        x : ndarray of shape (n, n_features)
            Environments.
        q : ndarray of shape (n_references, n_features)
            Reference environments.
        a : ndarray of shape (n_references,)
            Coefficients of the kernels.
        v : ndarray of shape (n_references, n_features)
            Coefficients of their derivatives with respect to q.

        Returns
        -------
        u : ndarray of shape (n,)
            The sums.
        gradient : ndarray of shape (n, n_features)
            Their derivatives with respect to x.
        """
        u, pull, gradient = np.zeros(len(x)), np.zeros(len(x)), np.zeros(x.shape)
        offset = np.einsum("mi,mi->m", v, q) if self.centred else np.zeros(len(q))
        for begin in range(0, len(q), _TILE):
            tile = slice(begin, begin + _TILE)
            f, slope, curvature = self.with_curvature(x, q[tile])
            expand(f, slope, curvature, x @ v[tile].T, offset[tile], a[tile], u, pull)
            gradient += curvature @ q[tile]
            gradient += slope @ v[tile]
        if self.centred:
            gradient -= pull[:, None] * x
        return u, gradient


class DotProduct(_Expandable, BaseEstimator):
    r"""Power of the dot product, the usual companion of the normalised SOAP.

    .. math:: k(x, q) = v\, (x \cdot q)^\zeta, \qquad
              \frac{\partial k}{\partial x} = v\, \zeta (x \cdot q)^{\zeta-1} q

    Parameters
    ----------
    zeta : int, default=4
        Exponent; with the power spectrum it sets the body order, 2 zeta + 1.
    variance : float, default=1.0
        Prior variance v of one atom's energy, in eV^2, for features of unit length.

    References
    ----------
    A. P. Bartók, R. Kondor, G. Csányi, Phys. Rev. B 87, 184115 (2013), eq. 36.

    Examples
    --------
    >>> import numpy as np
    >>> from skpot.kernels import DotProduct
    >>> DotProduct(zeta=2)(np.array([[0.6, 0.8]]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    array([[0.36, 0.64]])
    """

    _parameter_constraints = {
        "zeta": [Interval(Integral, 1, None, closed="left")],
        "variance": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, zeta=4, variance=1.0):
        self.zeta = zeta
        self.variance = variance

    def __call__(self, x, q):
        """Return the matrix k(x_i, q_m)."""
        return self.with_slope(x, q)[0]

    def with_slope(self, x, q):
        """Return k, slope and shift, each (n, m); shift is None where it is zero throughout."""
        x, q = np.asarray(x, dtype=float), np.asarray(q, dtype=float)  # rows may be float32
        overlap = x @ q.T
        kernel, slope = np.empty_like(overlap), np.empty_like(overlap)
        power_with_slope(overlap, int(self.zeta), float(self.variance), kernel, slope)
        return kernel, slope, None

    centred = False

    def with_curvature(self, x, q):
        """Return f, f' and f'' at the products, each (n, m)."""
        overlap = x @ q.T
        parts = [np.empty_like(overlap) for _ in range(3)]
        power_curvature(overlap, int(self.zeta), float(self.variance), *parts)
        return parts

    def diag(self, x):
        """Return k(x_i, x_i)."""
        x = np.asarray(x, dtype=float)
        return self.variance * np.einsum("ij,ij->i", x, x) ** self.zeta


class RBF(_Expandable, BaseEstimator):
    r"""Gaussian of the distance between feature rows.

    .. math:: k(x, q) = v\, e^{-|x - q|^2 / 2\ell^2}, \qquad
              \frac{\partial k}{\partial x} = \frac{k(x, q)}{\ell^2} (q - x)

    Parameters
    ----------
    length_scale : float, default=1.0
        The length :math:`\ell` in units of the features.
    variance : float, default=1.0
        Prior variance v of one atom's energy, in eV^2.

    References
    ----------
    C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), eq. 4.9.

    Examples
    --------
    >>> import numpy as np
    >>> from skpot.kernels import RBF
    >>> RBF(length_scale=1.0)(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 1.0]])).round(4)
    array([[1.    , 0.6065]])
    """

    _parameter_constraints = {
        "length_scale": [Interval(Real, 0, None, closed="neither")],
        "variance": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, length_scale=1.0, variance=1.0):
        self.length_scale = length_scale
        self.variance = variance

    def __call__(self, x, q):
        """Return the matrix k(x_i, q_m)."""
        return self.with_slope(x, q)[0]

    def with_slope(self, x, q):
        """Return k, slope and shift, each (n, m)."""
        x, q = np.asarray(x, dtype=float), np.asarray(q, dtype=float)  # rows may be float32
        overlap = x @ q.T
        kernel, slope = np.empty_like(overlap), np.empty_like(overlap)
        norms, reference_norms = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", q, q)
        scale, factor = float(self.length_scale), float(self.variance)
        gauss_with_slope(overlap, norms, reference_norms, scale, factor, kernel, slope)
        return kernel, slope, -slope

    centred = True

    def with_curvature(self, x, q):
        """Return f, f' and f'' at minus half the squared distances, each (n, m)."""
        overlap = x @ q.T
        norms, reference_norms = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", q, q)
        parts = [np.empty_like(overlap) for _ in range(3)]
        scale, factor = float(self.length_scale), float(self.variance)
        gauss_curvature(overlap, norms, reference_norms, scale, factor, *parts)
        return parts

    def diag(self, x):
        """Return k(x_i, x_i)."""
        return np.full(len(x), float(self.variance))
