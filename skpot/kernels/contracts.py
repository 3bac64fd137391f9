"""What regressors need of a covariance function; `_functions` and `_algebra` provide most of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from skpot.kernels._functions import Jet, Similarity
    from skpot.typing import FloatArray

__all__ = ["Compared", "Covariance", "Kernel"]

Compared: TypeAlias = "list[Any] | None"  # what `Covariance.compared` returns, if it is at hand


@runtime_checkable
class Covariance(Protocol):
    """A function k(x, q) of how similar two rows of features are.

    The base class `CovarianceFunction` makes all of it from `similarities` and `jet`.
    """

    @property
    def similarities(self) -> tuple[Similarity, ...]:
        """The distinct similarities that k is a function of."""
        ...

    def jet(self, w: dict[Similarity, FloatArray], order: int) -> Jet:
        """Return the value and the derivatives up to `order` from the similarities of rows."""
        ...

    def __call__(self, x: FloatArray, q: FloatArray) -> FloatArray:
        """Return k of all pairs of rows x (n, n_features) and q (m, n_features), shape (n, m)."""
        ...

    def diag(self, x: FloatArray) -> FloatArray:
        """Return k of each row with itself, shape (n,)."""
        ...

    def with_slope(
        self, x: FloatArray, q: FloatArray
    ) -> tuple[FloatArray, dict[Similarity, FloatArray]]:
        """Return k and its derivatives by the similarities, each (n, m)."""
        ...

    def with_curvature(self, x: FloatArray, q: FloatArray) -> Any:
        """Return k, its derivatives, and the second ones by pairs of similarities."""
        ...

    def compared(self, x: FloatArray, q: FloatArray, derive: bool = False) -> list[Any]:
        """Return the similarities of all pairs of rows, in the tiles that `expansion` takes.

        With `derive`, return the function of them and its derivatives instead.
        """
        ...

    def sides(self, q: FloatArray, v: FloatArray, dtype: Any = ...) -> Any:
        """Return references and their vectors as `expansion` multiplies environments with them."""
        ...

    def expansion(
        self,
        x: FloatArray,
        q: FloatArray,
        a: FloatArray,
        v: FloatArray,
        compared: Compared = None,
        sides: Any = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Return sums over q of k times `a` and of its derivatives along `v`, and their slopes."""
        ...


@runtime_checkable
class Kernel(Covariance, Protocol):
    """A covariance function with hyperparameters, which regressors take as a parameter."""

    @property
    def theta(self) -> FloatArray:
        """Logarithms of the hyperparameters that are not fixed, shape (n_dims,)."""
        ...

    @property
    def bounds(self) -> FloatArray:
        """Logarithms of the bounds of `theta`, shape (n_dims, 2)."""
        ...

    def theta_gradient(self) -> list[Any]:
        """Return the functions dk/dtheta, one for each element of `theta`."""
        ...

    def clone_with_theta(self, theta: FloatArray) -> Kernel:
        """Return a copy with other hyperparameters."""
        ...

    def terms(self, name: str = "kernel") -> dict[str, Any]:
        """Return the summands of the kernel by name."""
        ...

    def bind(self, blocks: dict[str, slice], n_features: int) -> Kernel:
        """Return the kernel with names of blocks replaced by their columns."""
        ...
