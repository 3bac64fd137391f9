"""Kernel and noise of maximum marginal likelihood, as parameters of regressors."""

from __future__ import annotations

import warnings
from numbers import Integral

import numpy as np

from .._sklearn import Interval, StrOptions
from ..data import LABEL_KINDS
from ..data.order import drawn_seed
from ..exceptions import NumericalWarning, warn_once
from ..processes.evidence import draw_structures, telling
from ..rows.factors import count_labels
from ..rows.progress import progress
from ..solvers import maximize_likelihood, serial_blas
from ._potential import KernelPotential

# What the regressors take as optimizer and subsample.
OPTIMIZER = {
    "optimizer": [StrOptions({"fmin_l_bfgs_b"}), None],
    "subsample": [Interval(Integral, 1, None, closed="left")],
}


class EvidencePotential(KernelPotential):
    """Kernel model whose kernel and noise may be chosen by the marginal likelihood.

    A subclass has the parameters `optimizer`, `subsample`, `random_state` and `verbose` besides,
    and defines `_likelihoods(features, labels, some)`: a function that turns a kernel into the
    likelihood of the labels of some structures.
    """

    noise_scale_ = None

    def _optimize(self, features, labels):
        """Set the kernel and factors of the noise."""
        self.noise_scale_ = dict.fromkeys(count_labels(labels), 1.0)
        self.log_marginal_likelihood_ = None
        if self.optimizer is None:
            return
        some = draw_structures(features, labels, self.subsample, drawn_seed(self.random_state))
        kernel, few, few_labels = self.kernel_, features[some], labels[some]
        counts, logarithm = telling(few, few_labels, self._residual(few, few_labels))
        if not counts:
            warn_once(
                "silent likelihood",
                "the marginal likelihood says nothing: all labels that it looked at are zero, "
                "energies less those of the free atoms. Kernel and noise stay as they are; raise "
                "subsample if there are others.",
                NumericalWarning,
            )
            return
        likelihood_of = self._likelihoods(features, labels, some)
        with (
            serial_blas(),  # the search would make much of rounding errors
            progress(None, "marginal likelihood", self.verbose, "evaluation") as bar,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", NumericalWarning)  # kernels on the way may be singular

            def likelihood_at(theta):
                bar.update(1)
                return likelihood_of(kernel.clone_with_theta(theta))

            found = maximize_likelihood(likelihood_at, kernel.theta, kernel.bounds, len(counts))
        if not found.converged:
            warn_once(
                "likelihood not at its maximum",
                f"the marginal likelihood may not be at its maximum: after {found.n_evaluations} "
                "evaluations it still grew. Begin nearer to it, or fix some hyperparameters of "
                'the kernel (bounds="fixed").',
                NumericalWarning,
            )
        self.kernel_ = kernel.clone_with_theta(found.theta)
        scales = np.exp(found.log_noise).tolist()
        self.noise_scale_ = self.noise_scale_ | dict(zip(counts, scales, strict=True))
        self.log_marginal_likelihood_ = found.log_likelihood + logarithm

    def _rescaled(self, labels):
        """Return labels with the noise in use."""
        scale = dict.fromkeys(LABEL_KINDS, 1.0) | (self.noise_scale_ or {})
        labels = labels.copy()
        labels.sigma_energy = scale["energy"] * labels.sigma_energy
        labels.sigma_forces_flat = scale["forces"] * labels.sigma_forces_flat
        labels.sigma_stress = scale["stress"] * labels.sigma_stress
        return labels
