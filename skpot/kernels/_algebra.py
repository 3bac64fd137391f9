"""What kernels have in common with scikit-learn's: algebra, blocks and hyperparameters."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, clone

from .._sklearn import Interval
from ..exceptions import ParameterError
from ._functions import CovarianceFunction, Jet, power_of, product_of, sum_of

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike

    from skpot.kernels._functions import Similarity
    from skpot.typing import FloatArray


class Kernel(CovarianceFunction, BaseEstimator):
    """A covariance of two environments, with hyperparameters.

    Kernels add, multiply (with numbers too) and have integer powers. A kernel of terms is a tree;
    a subclass defines `_mapped(change)`, the tree with every leaf replaced by `change(leaf)`.
    """

    __array_ufunc__ = None  # lets `__rmul__` below take products with NumPy's numbers

    def __add__(self, other):
        return Sum(self, other) if isinstance(other, Kernel) else NotImplemented

    def __mul__(self, other):
        if isinstance(other, Kernel):
            return Product(self, other)
        if isinstance(other, Real) and other > 0:
            return self._scaled(float(other))
        return NotImplemented

    __rmul__ = __mul__

    def __pow__(self, exponent):
        return Exponentiation(self, exponent)

    def on(self, block: str | tuple[int, int]) -> Kernel:
        """Return the kernel of one block of the features alone.

        Parameters
        ----------
        block : str or tuple of (int, int)
            Name of the block as in `AtomicFeatures.blocks`, which a `FeatureUnion` of descriptors
            keeps, or the first column and the one past the last.

        Returns
        -------
        kernel : kernel object
            A copy; all terms act on the block.
        """
        return self._mapped(lambda leaf: clone(leaf).set_params(block=block))

    def bind(self, blocks: dict[str, slice], n_features: int) -> Kernel:
        """Return the kernel with names of blocks replaced by their columns.

        Parameters
        ----------
        blocks : dict of str to slice
            As in `AtomicFeatures`.
        n_features : int
            Number of columns.

        Raises
        ------
        ValueError
            If there is no such block, or a term's `length_scale` does not fit its columns.
        """
        return self._mapped(lambda leaf: leaf._bound(blocks, n_features))

    def terms(self, name: str = "kernel") -> dict[str, Kernel]:
        """Return the summands of the kernel.

        Parameters
        ----------
        name : str, default="kernel"
            What the kernel itself is called.

        Returns
        -------
        dict of str to kernel object
            Keys are the names by which `get_params` of an estimator with the parameter `name` has
            them, such as "kernel__k1". A kernel that is no `Sum` is its own only summand.
        """
        return {name: self}

    @property
    def theta(self) -> FloatArray:
        """Logarithms of the hyperparameters that are not fixed, shape (n_dims,)."""
        values = self.get_params()
        free = [np.ravel(values[h.name]) for h in self.hyperparameters if not h.fixed]
        return np.log(np.concatenate([np.empty(0), *free]))

    @theta.setter
    def theta(self, theta: FloatArray) -> None:
        theta, values = np.array(theta, dtype=float), self.get_params()
        if theta.shape != self.theta.shape:
            raise ParameterError(
                f"theta has shape {theta.shape}, but must have {self.theta.shape} for this kernel"
            )
        begin = 0
        for h in self.hyperparameters:
            if not h.fixed:
                part = np.exp(theta[begin : begin + h.n_elements])
                begin += h.n_elements
                one = np.ndim(values[h.name]) == 0
                self.set_params(**{h.name: float(part[0]) if one else part})

    @property
    def bounds(self) -> FloatArray:
        """Logarithms of the bounds of `theta`, shape (n_dims, 2)."""
        free = [h.bounds for h in self.hyperparameters if not h.fixed]
        return np.log(np.concatenate([np.empty((0, 2)), *free]))

    @property
    def n_dims(self) -> int:
        """Number of hyperparameters that are not fixed."""
        return len(self.theta)

    def clone_with_theta(self, theta: ArrayLike) -> Kernel:
        """Return a copy with other hyperparameters.

        Parameters
        ----------
        theta : array-like of shape (n_dims,)
            Logarithms of the hyperparameters.
        """
        copy = clone(self)
        copy.theta = theta
        return copy


class _Pair(Kernel):
    """What sums and products of two kernels share."""

    def __init__(self, k1: Any, k2: Any) -> None:
        self.k1 = k1
        self.k2 = k2

    _parameter_constraints = {"k1": [CovarianceFunction], "k2": [CovarianceFunction]}

    def _validate_params(self):
        super()._validate_params()
        self.k1._validate_params()
        self.k2._validate_params()

    def _mapped(self, change):
        return type(self)(self.k1._mapped(change), self.k2._mapped(change))

    @property
    def similarities(self) -> tuple[Similarity, ...]:
        """The distinct similarities of both."""
        return tuple(dict.fromkeys(self.k1.similarities + self.k2.similarities))

    @property
    def hyperparameters(self) -> list[Any]:
        """Hyperparameters of both, as scikit-learn's `Hyperparameter`."""
        return _prefixed("k1", self.k1) + _prefixed("k2", self.k2)


class Sum(_Pair):
    r"""Sum of two kernels, k1 + k2.

    .. math:: k(x, q) = k_1(x, q) + k_2(x, q)

    Parameters
    ----------
    k1, k2 : kernel object
        The terms.

    Examples
    --------
    >>> from skpot.kernels import RBF, DotProduct
    >>> kernel = RBF(2.0).on("pair_basis") + 0.1 * DotProduct(zeta=4).on("soap")
    >>> kernel
    Sum(k1=RBF(block='pair_basis', length_scale=2.0),
        k2=DotProduct(block='soap', variance=0.1))
    >>> kernel.set_params(k1__length_scale=3.0).k1
    RBF(block='pair_basis', length_scale=3.0)
    """

    def jet(self, w: dict[Similarity, FloatArray], order: int) -> Jet:
        """Return value and derivatives; see `Covariance.jet`."""
        return sum_of(self.k1.jet(w, order), self.k2.jet(w, order))

    def terms(self, name: str = "kernel") -> dict[str, Kernel]:
        """Return the summands of both, by name; see `Kernel.terms`."""
        return self.k1.terms(f"{name}__k1") | self.k2.terms(f"{name}__k2")

    def theta_gradient(self) -> list[Any]:
        """Return the functions dk/dtheta, a list with one for each element of `theta`."""
        return self.k1.theta_gradient() + self.k2.theta_gradient()

    def _scaled(self, factor):
        return Sum(self.k1._scaled(factor), self.k2._scaled(factor))


class Product(_Pair):
    r"""Product of two kernels, k1 * k2.

    .. math:: k(x, q) = k_1(x, q)\, k_2(x, q)

    Only the product of their variances matters: where hyperparameters are optimized, set
    ``variance_bounds="fixed"`` in one of them.

    Parameters
    ----------
    k1, k2 : kernel object
        The factors.

    Examples
    --------
    >>> from skpot.kernels import RBF, DotProduct
    >>> RBF(2.0) * DotProduct(zeta=1)
    Product(k1=RBF(length_scale=2.0), k2=DotProduct(zeta=1))
    """

    def jet(self, w: dict[Similarity, FloatArray], order: int) -> Jet:
        """Return value and derivatives; see `Covariance.jet`."""
        return product_of(self.k1.jet(w, order), self.k2.jet(w, order))

    def theta_gradient(self) -> list[Any]:
        """Return the functions dk/dtheta, a list with one for each element of `theta`."""
        return [Product(d, self.k2) for d in self.k1.theta_gradient()] + [
            Product(self.k1, d) for d in self.k2.theta_gradient()
        ]

    def _scaled(self, factor):
        return Product(self.k1._scaled(factor), clone(self.k2))


class Exponentiation(Kernel):
    r"""Integer power of a kernel.

    .. math:: k(x, q) = k_1(x, q)^n

    Parameters
    ----------
    kernel : kernel object
        The kernel k1.
    exponent : int
        The power n, at least 1.

    Examples
    --------
    >>> from skpot.kernels import RBF, DotProduct
    >>> (RBF(2.0) + DotProduct(zeta=1)) ** 2
    Exponentiation(exponent=2,
                   kernel=Sum(k1=RBF(length_scale=2.0), k2=DotProduct(zeta=1)))
    """

    _parameter_constraints = {
        "kernel": [CovarianceFunction],
        "exponent": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, kernel: Kernel, exponent: int) -> None:
        self.kernel = kernel
        self.exponent = exponent

    def _validate_params(self):
        super()._validate_params()
        self.kernel._validate_params()

    def _mapped(self, change):
        return Exponentiation(self.kernel._mapped(change), self.exponent)

    @property
    def similarities(self) -> tuple[Similarity, ...]:
        """The similarities of the kernel."""
        return self.kernel.similarities

    @property
    def hyperparameters(self) -> list[Any]:
        """Hyperparameters of the kernel, as scikit-learn's `Hyperparameter`."""
        return _prefixed("kernel", self.kernel)

    def jet(self, w: dict[Similarity, FloatArray], order: int) -> Jet:
        """Return value and derivatives; see `Covariance.jet`."""
        return power_of(self.kernel.jet(w, order), self.exponent)

    def theta_gradient(self) -> list[Any]:
        """Return the functions dk/dtheta, a list with one for each element of `theta`."""
        inner = self.kernel.theta_gradient()
        if self.exponent == 1:
            return inner
        below = Exponentiation(self.kernel, self.exponent - 1)
        return [Scaled(Product(below, d), self.exponent) for d in inner]

    def _scaled(self, factor):
        return Exponentiation(self.kernel._scaled(factor ** (1.0 / self.exponent)), self.exponent)


class Scaled(CovarianceFunction):
    """A function times a number of any sign, for derivatives."""

    def __init__(self, function: CovarianceFunction, factor: float) -> None:
        self.function = function
        self.factor = factor

    @property
    def similarities(self) -> tuple[Similarity, ...]:
        """The similarities of the function."""
        return self.function.similarities

    def jet(self, w: dict[Similarity, FloatArray], order: int) -> Jet:
        """Return value and derivatives; see `Covariance.jet`."""
        value, first, second = self.function.jet(w, order)
        first = {s: self.factor * slope for s, slope in first.items()}
        return Jet(
            self.factor * value, first, {st: self.factor * bend for st, bend in second.items()}
        )


def _prefixed(name, kernel):
    return [h._replace(name=f"{name}__{h.name}") for h in kernel.hyperparameters]
