"""What potentials with a kernel share: the kernel parameter, and the expansion in references."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

from .._sklearn import Interval, StrOptions
from ..processes.expansion import Expansion
from ._potential import Potential

if TYPE_CHECKING:
    from typing import Any, Self

    from skpot.data import AtomicFeatures
    from skpot.kernels.contracts import Kernel
    from skpot.processes.contracts import PosteriorProcess
    from skpot.processes.variance import SparseProcess

# What regressors take that choose their kernel by the marginal likelihood.
OPTIMIZER = {
    "optimizer": [StrOptions({"fmin_l_bfgs_b"}), None],
    "subsample": [Interval(Integral, 1, None, closed="left")],
}


class KernelPotential(Potential):
    """Regressor whose energies are sums of kernels with reference environments.

    A subclass has a parameter `kernel` besides, its `fit` ends with `_become`, and `_state` is the
    class of what it keeps for later, such as the factor of all labels.
    `kernel_` is the kernel with its blocks found.
    """

    _default_kernel = None  # what None stands for
    _state: Any = None  # the class of what a fit keeps beside the expansion

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, those of the default kernel (`kernel__...`) too.

        Parameters
        ----------
        **params : dict
            As in scikit-learn.

        Returns
        -------
        self : estimator
        """
        if self.kernel is None and "kernel" not in params:
            if any(name.startswith("kernel__") for name in params):
                self.kernel = self._default_kernel()  # None has no parameters a search could set
        return super().set_params(**params)

    def _kernel(self):
        """Return the kernel that `fit` starts from."""
        return self._default_kernel() if self.kernel is None else self.kernel

    def bound_kernel(self, features: AtomicFeatures) -> Kernel:
        """Return the kernel that `fit` starts from, with its blocks found among the features."""
        kernel = self._kernel()
        kernel._validate_params()
        return kernel.bind(features.blocks, features.shape[1])

    @property
    def posterior_(self) -> PosteriorProcess:
        """What the labels leave open of the energies: an exact process, or a sparse one."""
        return self._kept(self._state).process

    @property
    def domain_(self) -> SparseProcess:
        """The process that knows the training environments, behind `extrapolation_grade`."""
        return self._kept(self._state).domain

    def _begin(self, features):
        self.kernel_ = self.bound_kernel(features)

    def _become(self, expansion, *parts):
        """Set what the fit found, and a fitted attribute for each field of other parts."""
        for part in parts:
            self._keep(part)
        self.kernel_ = expansion.kernel
        self.reference_features_ = expansion.features
        self.reference_species_ = expansion.species
        self.dual_coef_, self.dual_vectors_ = expansion.alpha, expansion.vectors
        return self

    @property
    def expansion_(self) -> Expansion:
        """What the fit found, an `Expansion`."""
        return Expansion(
            self.kernel_,
            self.reference_features_,
            self.reference_species_,
            self.dual_coef_,
            self.dual_vectors_,
        )
