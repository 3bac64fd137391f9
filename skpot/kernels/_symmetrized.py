"""Kernels that do not change when atoms of one species in a molecule are exchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import ParameterError
from ._algebra import Kernel
from ._functions import CovarianceFunction, Jet

if TYPE_CHECKING:
    from typing import Any

    from skpot.kernels._functions import Similarity
    from skpot.kernels.contracts import Compared
    from skpot.typing import FloatArray


class Symmetrized(Kernel):
    r"""Mean of a kernel over a group of permutations of the features.

    .. math:: k(x, q) = \frac{1}{|G|} \sum_{P \in G} k_1(x, P q)

    This is the kernel of a Gaussian process restricted to functions that no P of the group changes.
    It requires that k_1 itself is the same for (P x, P q) and (x, q): features that are exchanged
    must not have different length scales.

    Parameters
    ----------
    kernel : kernel object
        The kernel k1.
    permutations : array-like of int of shape (n_permutations, n_features)
        The group: row P holds the order in which P takes the features, (P q)_j = q[P_j].

    References
    ----------
    B. Haasdonk, H. Burkhardt, Mach. Learn. 68, 35 (2007), sec. 3, for the mean over a group; S.
    Chmiela et al., Nat. Commun. 9, 3887 (2018), for molecules.

    Examples
    --------
    >>> import numpy as np
    >>> from skpot.kernels import RBF, Symmetrized
    >>> kernel = Symmetrized(RBF(), [[0, 1], [1, 0]])
    >>> kernel(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])).round(4)
    array([[0.6839, 0.6839]])
    """

    _parameter_constraints = {"kernel": [CovarianceFunction], "permutations": ["array-like"]}

    def __init__(self, kernel: Kernel, permutations: Any) -> None:
        self.kernel = kernel
        self.permutations = permutations

    def _validate_params(self):
        super()._validate_params()
        self.kernel._validate_params()
        group = np.asarray(self.permutations)
        if group.ndim != 2 or not (np.sort(group, axis=1) == np.arange(group.shape[1])).all():
            raise ParameterError(
                "each row of permutations of Symmetrized must contain every column exactly once."
            )

    def _mapped(self, change):
        return Symmetrized(self.kernel._mapped(change), self.permutations)

    def _turned(self):
        """Return, for each permutation, a map from similarities of the kernel to permuted ones."""
        return [
            {s: s._replace(permutation=tuple(order)) for s in self.kernel.similarities}
            for order in self._orders().tolist()
        ]

    # Values and expansions go through permutations one by one, which takes less memory than `jet`.

    def __call__(self, x, q):
        """Return the matrix k(x_i, q_m)."""
        return sum(self.kernel(x, q[:, order]) for order in self._orders()) / len(self.permutations)

    def compared(self, x: FloatArray, q: FloatArray, derive: bool = False) -> list[Any]:
        """Return the similarities of all pairs of rows; see `CovarianceFunction.compared`."""
        return [self.kernel.compared(x, q[:, order], derive) for order in self._orders()]

    def sides(self, q: FloatArray, v: FloatArray, dtype: Any = np.float64) -> Any:
        """Return what environments are multiplied with; see `CovarianceFunction.sides`."""
        return [self.kernel.sides(q[:, order], v[:, order], dtype) for order in self._orders()]

    def expansion(
        self,
        x: FloatArray,
        q: FloatArray,
        a: FloatArray,
        v: FloatArray,
        compared: Compared = None,
        sides: Any = None,
    ) -> tuple[Any, Any]:
        """Apply the function and its derivatives; see `CovarianceFunction.expansion`."""
        u, gradient = 0.0, 0.0
        for k, order in enumerate(self._orders()):
            known, side = (None if of_all is None else of_all[k] for of_all in (compared, sides))
            more, slopes = self.kernel.expansion(x, q[:, order], a, v[:, order], known, side)
            u, gradient = u + more, gradient + slopes
        return u / len(self.permutations), gradient / len(self.permutations)

    def _orders(self):
        return np.asarray(self.permutations)

    @property
    def similarities(self) -> tuple[Similarity, ...]:
        """The similarities of the kernel, once for each permutation."""
        return tuple(s for turned in self._turned() for s in turned.values())

    @property
    def hyperparameters(self) -> list[Any]:
        """Hyperparameters of the kernel, as scikit-learn's `Hyperparameter`."""
        return [h._replace(name=f"kernel__{h.name}") for h in self.kernel.hyperparameters]

    def jet(self, w: dict[Similarity, FloatArray], order: int) -> Jet:
        """Return value and derivatives; see `Covariance.jet`."""
        factor = 1.0 / len(self.permutations)
        value, first, second = 0.0, {}, {}
        for turned in self._turned():
            jet = self.kernel.jet({s: w[t] for s, t in turned.items()}, order)
            value = value + factor * jet.value
            first |= {turned[s]: factor * slope for s, slope in jet.first.items()}
            second |= {(turned[s], turned[t]): factor * c for (s, t), c in jet.second.items()}
        return Jet(value, first, second)

    def terms(self, name: str = "kernel") -> dict[str, Kernel]:
        """Return the summands of the kernel, each symmetrized."""
        return {
            key: Symmetrized(term, self.permutations)
            for key, term in self.kernel.terms(name).items()
        }

    def theta_gradient(self) -> list[Any]:
        """Return the functions dk/dtheta, a list with one for each element of `theta`."""
        return [Symmetrized(d, self.permutations) for d in self.kernel.theta_gradient()]

    def _scaled(self, factor):
        return Symmetrized(self.kernel._scaled(factor), self.permutations)
