"""The elementary kernels: functions of one similarity of two feature rows."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process.kernels import Hyperparameter

from .._base import refuse_truth_values
from .._sklearn import Interval, StrOptions
from ..core.similarity import gauss_profile, matern_profile, power_profile
from ..exceptions import ParameterError
from ._algebra import Kernel, Product, Scaled
from ._functions import CovarianceFunction, Jet, Similarity

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike

    from skpot.typing import FloatArray

_POSITIVE = Interval(Real, 0, None, closed="neither")
_EXTENT = 1e-50, 1e50  # lengths and variances between these have finite squares above zero
_MAX_ZETA = 10_000
_BOUNDS = [tuple, list, StrOptions({"fixed"})]


class _Leaf(Kernel):
    """Kernel of one similarity.

    A subclass defines `_profile(w, out)`, which fills `out` (n_orders, n, m) with f and its
    derivatives at w, the flag `_centered`, and `_free`, the names of its hyperparameters.
    """

    _parameter_constraints = {
        "variance": [_POSITIVE],
        "block": [str, tuple, None],
        "variance_bounds": _BOUNDS,
    }

    def _validate_params(self):
        refuse_truth_values(self)
        super()._validate_params()
        block = self.block
        if isinstance(block, tuple) and [isinstance(c, Integral) for c in block] != [True, True]:
            raise ParameterError(f"block={block!r} must be a name or two integers.")
        for name in self._free:
            _require_extent(name, getattr(self, name))
            _require_bounds(f"{name}_bounds", getattr(self, f"{name}_bounds"))

    @property
    def similarity(self) -> Similarity:
        """How rows are compared by this kernel."""
        if isinstance(self.block, str):
            raise ParameterError(
                f'the kernel acts on the block "{self.block}", whose columns are not known here: '
                "fit of a model finds them in its features. For plain arrays, call "
                "bind(blocks, n_features) first."
            )
        columns = None if self.block is None else (int(self.block[0]), int(self.block[1]))
        return Similarity(columns, self._weights(), self._centered)

    def _weights(self):
        return None

    @property
    def similarities(self) -> tuple[Similarity, ...]:
        """The kernel's single similarity, as a tuple."""
        return (self.similarity,)

    def profile(self, w: FloatArray, order: int) -> FloatArray:
        """Return f and its derivatives at w (n, m), shape (order + 1, n, m)."""
        out = np.empty((order + 1, *w.shape))
        self._profile(w, out)
        return out

    def jet(self, w: dict[Similarity, FloatArray], order: int) -> Jet:
        """Return value and derivatives; see `Covariance.jet`."""
        s = self.similarity
        f = self.profile(w[s], order)
        return Jet(f[0], {s: f[1]} if order > 0 else {}, {(s, s): f[2]} if order > 1 else {})

    @property
    def hyperparameters(self) -> list[Any]:
        """Hyperparameters as scikit-learn's `Hyperparameter`."""
        return [
            Hyperparameter(
                name, "numeric", getattr(self, f"{name}_bounds"), np.size(getattr(self, name))
            )
            for name in self._free
        ]

    def theta_gradient(self) -> list[Any]:
        """Return the functions dk/dtheta, a list with one for each element of `theta`."""
        length, variance = [], [self]
        if "length_scale" in self._free:
            slope, s = _Slope(self), self.similarity
            lengths = [s]
            if s.weights is not None:
                begin = 0 if s.columns is None else s.columns[0]
                lengths = [
                    Similarity((begin + j, begin + j + 1), (weight,), True)
                    for j, weight in enumerate(s.weights)
                ]
            # Each w_j is proportional to 1 / length_j^2.
            length = [Scaled(Product(_Identity(w), slope), -2.0) for w in lengths]
        parts = {"length_scale": length, "variance": variance}
        return [d for h in self.hyperparameters if not h.fixed for d in parts[h.name]]

    def _mapped(self, change):
        return change(self)

    def _scaled(self, factor):
        return clone(self).set_params(variance=factor * self.variance)

    def _bound(self, blocks, n_features):
        copy, block = clone(self), self.block
        if isinstance(block, str):
            if block not in blocks:
                raise ParameterError(
                    f'{self} acts on the block "{block}" but the features have the blocks '
                    f"{sorted(blocks)}."
                )
            block = blocks[block].indices(n_features)[:2]
        elif block is not None and not (len(block) == 2 and 0 <= block[0] < block[1] <= n_features):
            raise ParameterError(
                f"block={block!r} must be the first column and the one past the last, and not "
                f"beyond those of the {n_features} features."
            )
        begin, end = (0, n_features) if block is None else block
        if np.size(getattr(self, "length_scale", 1.0)) not in (1, end - begin):
            raise ParameterError(
                f"{self} has {np.size(self.length_scale)} length scales but acts on "
                f"{end - begin} features: give one, or one for each."
            )
        return copy.set_params(block=block)


def _require_extent(name, value):
    """Raise `ParameterError` unless a hyperparameter is positive and its square is a float."""
    values = np.asarray(value)
    fair = values.dtype.kind in "iuf" and values.ndim < 2 and values.size
    if not fair or not ((values > _EXTENT[0]) & (values < _EXTENT[1])).all():
        several = ": one number, or one for each feature" if name == "length_scale" else ""
        low, high = _EXTENT
        raise ParameterError(f"{name}={value!r} must be between {low:g} and {high:g}{several}.")


def _require_bounds(name, value):
    """Raise `ParameterError` unless bounds are "fixed" or pairs of ascending positive numbers."""
    if isinstance(value, str):
        return
    bounds = np.asarray(value, dtype=object)
    pairs = bounds.shape[-1:] == (2,) and bounds.ndim < 3
    if not pairs or not all(
        isinstance(lo, Real) and isinstance(hi, Real) and 0 < lo <= hi < np.inf
        for lo, hi in bounds.reshape(-1, 2)
    ):
        raise ParameterError(
            f'{name}={value!r} must be "fixed", or a lower and an upper bound above zero.'
        )


class DotProduct(_Leaf):
    r"""Power of the dot product, the usual companion of the normalized SOAP.

    .. math:: k(x, q) = v\, (x \cdot q)^\zeta, \qquad
              \frac{\partial k}{\partial x} = v\, \zeta (x \cdot q)^{\zeta-1} q

    Parameters
    ----------
    zeta : int, default=4
        Exponent; with the power spectrum it sets the body order, 2 zeta + 1.
    variance : float, default=1.0
        Prior variance v of one atom's energy, in eV^2, for features of unit length.
    block : str, tuple of (int, int) or None, default=None
        Features that are compared: a name in `AtomicFeatures.blocks`, first column and the one
        past the last, or None for all. See `on`.
    variance_bounds : tuple of (float, float) or "fixed", default=(1e-5, 1e5)
        Range in which `variance` is optimized.

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

    _centered = False
    _free = ("variance",)
    _parameter_constraints = _Leaf._parameter_constraints | {
        "zeta": [Interval(Integral, 1, _MAX_ZETA, closed="both")],
    }

    def __init__(
        self,
        zeta: int = 4,
        variance: float = 1.0,
        *,
        block: str | tuple[int, int] | None = None,
        variance_bounds: tuple[float, float] | str = (1e-5, 1e5),
    ) -> None:
        self.zeta = zeta
        self.variance = variance
        self.block = block
        self.variance_bounds = variance_bounds

    def _profile(self, w, out):
        power_profile(w, int(self.zeta), float(self.variance), out)


class _Distance(_Leaf):
    """Kernel of the distance, with one length scale or one for each feature."""

    _centered = True
    _free = ("length_scale", "variance")
    _parameter_constraints = _Leaf._parameter_constraints | {
        "length_scale": [_POSITIVE, "array-like"],
        "length_scale_bounds": _BOUNDS,
    }

    def __init__(
        self,
        length_scale: float | ArrayLike = 1.0,
        variance: float = 1.0,
        *,
        block: str | tuple[int, int] | None = None,
        length_scale_bounds: tuple[float, float] | str = (1e-5, 1e5),
        variance_bounds: tuple[float, float] | str = (1e-5, 1e5),
    ) -> None:
        self.length_scale = length_scale
        self.variance = variance
        self.block = block
        self.length_scale_bounds = length_scale_bounds
        self.variance_bounds = variance_bounds

    def _weights(self):
        if np.ndim(self.length_scale) == 0:
            return None
        return tuple((1.0 / np.square(np.asarray(self.length_scale, dtype=float))).tolist())

    def inverse_square_length(self) -> float:
        """Return the factor of w: 1 / length_scale^2, or 1 if the similarity has weights."""
        if np.ndim(self.length_scale):
            return 1.0
        return 1.0 / float(np.asarray(self.length_scale)) ** 2


class RBF(_Distance):
    r"""Gaussian of the distance between feature rows.

    .. math:: k(x, q) = v\, e^{-|x - q|^2 / 2\ell^2}, \qquad
              \frac{\partial k}{\partial x} = \frac{k(x, q)}{\ell^2} (q - x)

    Parameters
    ----------
    length_scale : float or array-like of shape (n_features,), default=1.0
        The length :math:`\ell` in units of the features, or one for each feature (automatic
        relevance determination).
    variance : float, default=1.0
        Prior variance v of one atom's energy, in eV^2.
    block : str, tuple of (int, int) or None, default=None
        Features that are compared: a name in `AtomicFeatures.blocks`, first column and the one
        past the last, or None for all. See `on`.
    length_scale_bounds, variance_bounds : tuple of (float, float) or "fixed", default=(1e-5, 1e5)
        Ranges in which `length_scale` and `variance` are optimized.

    References
    ----------
    C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), eq. 4.9 and,
    with many lengths, eq. 5.1.

    Examples
    --------
    >>> import numpy as np
    >>> from skpot.kernels import RBF
    >>> RBF(length_scale=1.0)(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 1.0]])).round(4)
    array([[1.    , 0.6065]])
    """

    def _profile(self, w, out):
        gauss_profile(w, self.inverse_square_length(), float(self.variance), out)


class Matern(_Distance):
    r"""Matérn function of the distance between feature rows, rougher than the Gaussian.

    .. math:: k(x, q) = v\, \frac{2^{1-\nu}}{\Gamma(\nu)} s^\nu K_\nu(s), \qquad
              s = \sqrt{2\nu}\, |x - q| / \ell

    Parameters
    ----------
    length_scale : float or array-like of shape (n_features,), default=1.0
        The length :math:`\ell` in units of the features, or one for each feature (automatic
        relevance determination).
    nu : {2.5, 3.5, inf}, default=2.5
        Smoothness; inf is the Gaussian. Energies drawn from the process have ceil(nu) - 1
        derivatives, and forces that can be differentiated are the second.
    variance : float, default=1.0
        Prior variance v of one atom's energy, in eV^2.
    block : str, tuple of (int, int) or None, default=None
        Features that are compared: a name in `AtomicFeatures.blocks`, first column and the one
        past the last, or None for all. See `on`.
    length_scale_bounds, variance_bounds : tuple of (float, float) or "fixed", default=(1e-5, 1e5)
        Ranges in which `length_scale` and `variance` are optimized.

    References
    ----------
    C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), eq. 4.14;
    NIST Digital Library of Mathematical Functions, sec. 10.49(ii), for half-integer orders.

    Examples
    --------
    >>> import numpy as np
    >>> from skpot.kernels import Matern
    >>> Matern(nu=2.5)(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 1.0]])).round(4)
    array([[1.   , 0.524]])
    """

    _parameter_constraints = _Distance._parameter_constraints | {"nu": [Real]}

    def __init__(
        self,
        length_scale: float | ArrayLike = 1.0,
        nu: float = 2.5,
        variance: float = 1.0,
        *,
        block: str | tuple[int, int] | None = None,
        length_scale_bounds: tuple[float, float] | str = (1e-5, 1e5),
        variance_bounds: tuple[float, float] | str = (1e-5, 1e5),
    ) -> None:
        super().__init__(
            length_scale,
            variance,
            block=block,
            length_scale_bounds=length_scale_bounds,
            variance_bounds=variance_bounds,
        )
        self.nu = nu

    def _validate_params(self):
        super()._validate_params()
        if self.nu not in (2.5, 3.5, np.inf):
            raise ParameterError(
                f"nu={self.nu} of Matern must be 2.5, 3.5 or inf. With lower orders forces have "
                "kinks or do not exist, and orders between have no closed form."
            )

    def _profile(self, w, out):
        if np.isinf(self.nu):
            gauss_profile(w, self.inverse_square_length(), float(self.variance), out)
        else:
            matern_profile(w, int(self.nu), self.inverse_square_length(), float(self.variance), out)


class _Identity(CovarianceFunction):
    """A similarity itself, for derivatives."""

    def __init__(self, similarity: Similarity) -> None:
        self.similarities = (similarity,)

    def jet(self, w: dict[Similarity, FloatArray], order: int) -> Jet:
        """Return value and derivatives; see `Covariance.jet`."""
        (s,) = self.similarities
        ones, zeros = np.ones_like(w[s]), np.zeros_like(w[s])
        return Jet(w[s], {s: ones} if order > 0 else {}, {(s, s): zeros} if order > 1 else {})


class _Slope(CovarianceFunction):
    """The derivative f' of an elementary kernel with respect to its similarity."""

    def __init__(self, leaf: Any) -> None:
        self.leaf = leaf
        self.similarities = leaf.similarities

    def jet(self, w: dict[Similarity, FloatArray], order: int) -> Jet:
        """Return value and derivatives; see `Covariance.jet`."""
        (s,) = self.similarities
        f = self.leaf.profile(w[s], order + 1)
        return Jet(f[1], {s: f[2]} if order > 0 else {}, {(s, s): f[3]} if order > 1 else {})
