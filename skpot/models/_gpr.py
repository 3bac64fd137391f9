"""Exact Gaussian process and kernel ridge regression on energies, forces and stress."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import blas, cho_solve, lapack

from .._sklearn import Interval, StrOptions, _fit_context
from ..data.order import canonical_order, drawn_seed
from ..exceptions import NumericalWarning, warn_once
from ..kernels import RBF
from ..processes.evidence import dense_likelihoods
from ..processes.functionals import Functionals, covariance, kernel_product
from ..processes.gradient_references import references_with
from ..processes.nystrom import (
    label_preconditioner,
    leverages,
    random_references,
    sparse_posterior,
    with_stored_jacobian,
)
from ..processes.references import References
from ..processes.variance import ExactProcess, SparseProcess
from ..rows.factors import shares
from ..rows.features import IsKernel
from ..rows.memory import plan_exact
from ..rows.progress import progress
from ..solvers import DivergenceError, conjugate_gradients, inverse_diagonal, serial_blas
from ._evidence import OPTIMIZER, EvidencePotential
from ._potential import Potential, VariancePotential, edge_std

if TYPE_CHECKING:
    from typing import Self

    from skpot.data.contracts import FeaturesLike, TargetsLike
    from skpot.kernels.contracts import Kernel
    from skpot.typing import LabelKinds, RandomState, Weights

_JITTER = 1e-10  # of the references of standard deviations, which need not be exact


class _ExactPotential(EvidencePotential):
    """What `GPR` and `KernelRidge` share: everything but the variance."""

    _default_kernel = RBF

    _parameter_constraints = Potential._parameter_constraints | {
        "kernel": [IsKernel(["bind", "with_curvature"]), None],
        **OPTIMIZER,
        "solver": [StrOptions({"auto", "cholesky", "cg"})],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_precondition": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        kernel: Kernel | None = None,
        *,
        sigma_energy: float | dict[str, float] = 0.001,
        sigma_forces: float | dict[str, float] = 0.05,
        sigma_stress: float | dict[str, float] = 5e-4,
        e0: str | dict[str, float] | None = None,
        baseline: str | None = None,
        targets: LabelKinds = "auto",
        optimizer: str | None = None,
        subsample: int = 1000,
        solver: str = "auto",
        tol: float = 0.1,
        max_iter: int = 300,
        n_precondition: int = 2000,
        max_memory: float | None = None,
        random_state: RandomState = 0,
        verbose: int = 0,
    ) -> None:
        self.kernel = kernel
        self.sigma_energy = sigma_energy
        self.sigma_forces = sigma_forces
        self.sigma_stress = sigma_stress
        self.e0 = e0
        self.baseline = baseline
        self.targets = targets
        self.optimizer = optimizer
        self.subsample = subsample
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.n_precondition = n_precondition
        self.max_memory = max_memory
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: FeaturesLike, y: TargetsLike, sample_weight: Weights = None) -> Self:
        """Solve for the coefficients.

        Parameters
        ----------
        X : AtomicFeatures, or array of shape (n_samples, n_features)
            Features with derivatives; the rows of an array count as one environment each.
        y : Targets, or array of shape (n_samples,)
            Labels, in eV, eV/Å and eV/Å³; an array holds energies.
        sample_weight : array of shape (n_samples,), optional
            Multiplies the inverse variance of all labels of a structure.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            If labels are missing, not finite or of the wrong shape, all problems at once; if
            `max_memory` cannot be met.
        DivergenceError
            If conjugate gradients diverge or there is no dense factor; says why they may.

        Warns
        -----
        NumericalWarning
            If `max_iter` iterations did not reach `tol`.
        """
        features, labels = self._prepare(X, y, sample_weight)
        self._optimize(features, labels)
        labels = self._rescaled(labels)
        functionals = Functionals(features, labels)
        values = functionals.values(labels, self._residual(features, labels))
        order = np.argsort(features.species, kind="stable")
        self.reference_features_ = features.values[order].astype(float)  # may be float32
        self.reference_species_ = features.species[order]
        plan = plan_exact(
            self.max_memory, features, len(functionals), functionals.derivatives, self.solver,
            self.n_precondition, len(self.kernel_.similarities),
        )  # fmt: skip
        if plan.dense:
            solution = self._solve_dense(functionals, values, features, order, plan.batch_bytes)
        else:
            # Serial BLAS: its threads would change the order of sums, and with it the iteration
            # that is the last one.
            with serial_blas():
                if plan.store:
                    features = with_stored_jacobian(features)
                precondition, rest = label_preconditioner(
                    self.kernel_, functionals, features, plan.n_columns, self._rng(), self.verbose
                )
                compared = None
                if plan.compare:
                    compared = self._references().compared(features.values, features.species)
                solution = self._iterate(
                    functionals, values, features, order, precondition, compared
                )
                self._keep_shares(functionals, leverages(precondition, rest))
                del precondition, compared
                self._keep_sparse(features, labels, plan.n_references)
        a, v = functionals.fold(solution, features)
        self.dual_coef_ = a[order]
        self.dual_vectors_ = None if v is None else v[order]
        self.n_rows_ = len(functionals)
        return self

    def _prepare(self, X, y, sample_weight, reset=True):
        # Everything is held anyway, so that a copy in the canonical order is no burden.
        features, labels = super()._prepare(X, y, sample_weight, reset)
        order = canonical_order(features.info.keys, labels)
        if (np.diff(order) == 1).all():
            return features, labels
        return features[order], labels[order]

    def _likelihoods(self, features, labels, some):
        features, labels = features[some], labels[some]
        order = np.argsort(features.species, kind="stable")
        references = References(features.values[order], features.species[order], self.kernel_)
        return dense_likelihoods(
            references, order, features, labels, self._residual(features, labels), self.max_memory
        )

    def _solve_dense(self, functionals, values, features, order, batch_bytes):
        """Return the coefficients of all labels by a Cholesky factor."""
        matrix = covariance(self._references(), order, functionals, features, batch_bytes)
        matrix[np.diag_indices_from(matrix)] += 1.0
        diagonal = np.diag(matrix).copy()
        # In place: one triangle becomes the factor, the other stays what the matrix was.
        factor, wrong = lapack.dpotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
        if wrong:
            what = f"there is no Cholesky factor: minor {wrong} of the covariance is not positive"
            raise self._too_little_noise(what)
        solution = cho_solve((factor, True), values, check_finite=False)
        image = blas.dsymv(1.0, factor, solution, lower=0)
        image += (diagonal - np.diag(factor)) * solution
        self.residual_ = float(_rms(image - values))
        self.n_iter_ = 1
        self.converged_ = True
        for k in range(1, len(factor)):
            factor[:k, k] = 0.0
        self._keep_shares(functionals, 1.0 - inverse_diagonal(factor))
        self._keep_dense(factor, functionals, features)
        return solution

    def _too_little_noise(self, what):
        return DivergenceError(
            f"{what}. The labels' covariance exceeds their noise by more than double precision "
            f"resolves. Use a larger sigma_energy (now {self.sigma_energy} eV per atom), "
            f"sigma_forces ({self.sigma_forces} eV/Å) or sigma_stress ({self.sigma_stress} "
            "eV/Å³), a kernel of smaller variance, or features of a smaller scale."
        )

    def _rng(self):
        return np.random.default_rng(drawn_seed(self.random_state))

    def _keep_shares(self, functionals, leverages):
        self.label_shares_ = shares(functionals.by_kind(leverages), self.verbose)

    def _iterate(self, functionals, values, features, order, precondition, compared):
        """Return the coefficients of all labels by conjugate gradients."""
        references = self._references()
        # A residual relative to the labels would depend on the zero of their energies.
        size = _rms(values) or 1.0

        def product(z):
            return kernel_product(references, order, functionals, features, z, compared) + z

        with progress(self.max_iter, "conjugate gradients", self.verbose, "iteration") as bar:

            def report(n_iter, residual):
                bar.update(1)
                bar.set_postfix_str(f"residual {residual * size:.2g} of the noise")

            try:
                solution = conjugate_gradients(
                    product, values, precondition,
                    tol=self.tol / size, max_iter=self.max_iter, report=report,
                )  # fmt: skip
            except DivergenceError as error:
                raise self._too_little_noise(f"conjugate gradients diverged: {error}") from None
        self.residual_ = float(solution.residual * size)
        self.n_iter_ = max(1, solution.n_iter)
        self.converged_ = solution.converged
        if not self.converged_:
            warn_once(
                "not converged",
                f"the model is not converged: after max_iter={self.max_iter} iterations the "
                f"residual is {self.residual_:.2g} of the noise, not tol={self.tol:g}, so errors "
                f"may be larger than they need be. Raise max_iter or n_precondition (now "
                f"{self.n_precondition}), or the noise (sigma_energy, sigma_forces).",
                NumericalWarning,
            )
        return solution.x

    def _keep_dense(self, factor, functionals, features):
        """Keep nothing that serves the variance."""

    def _keep_sparse(self, features, labels, n):
        """Keep nothing that serves the variance."""


def _rms(values):
    return np.sqrt(np.mean(values**2))


class KernelRidge(_ExactPotential):
    """Kernel ridge regression on energies, forces and stress.

    The predictions of `GPR`, whose documentation says how they are found, without variance: the
    fitted model is smaller. What scikit-learn's class of this name calls alpha are here the squared
    noise levels.

    Parameters
    ----------
    kernel : kernel object, default=None
        From `skpot.kernels`; None stands for `RBF()`, made for features of unit mean squared
        length such as those of `PrincipalComponents`.
    sigma_energy : float or dict of str to float, default=0.001
        Noise per atom in eV: the total energy of n atoms has standard deviation
        `sigma_energy * sqrt(n)`. A dict gives it by the groups of y, "default" for groups that it
        does not name; what y itself says of a label goes before. See `Targets`.
    sigma_forces : float or dict, default=0.05
        Noise of a force component in eV/Å; 0.02 suits molecules.
    sigma_stress : float or dict, default=5e-4
        Noise of a stress component in eV/Å³ (5e-4 is 0.08 GPa).
    e0 : None, "isolated", "least_squares" or dict, default=None
        Energy of a free atom of each species; see `SparseGPR`.
    baseline : str or None, default=None
        Name of a block of features that are energies; see `SparseGPR`.
    targets : "auto" or tuple of {"energy", "forces", "stress"}, default="auto"
        Labels to learn from. "auto" takes what y has; a tuple makes a missing one an error.
    optimizer : {"fmin_l_bfgs_b"} or None, default=None
        "fmin_l_bfgs_b" begins at the kernel and the noise levels given, and takes those for which
        the labels are most likely: hyperparameters of the kernel within their bounds, and a factor
        of each kind of noise, within 100. None takes them as they are.
    subsample : int, default=1000
        Labels that `optimizer` looks at: those of structures drawn at random until there are as
        many, but with all species among them. Their covariance is dense, whatever the solver.
    solver : {"auto", "cholesky", "cg"}, default="auto"
        A dense factor, or conjugate gradients. "auto" takes the factor of at most 3000 labels.
    tol : float, default=0.1
        Residual at which conjugate gradients end, in units of the noise.
    max_iter : int, default=300
        Most iterations.
    n_precondition : int, default=2000
        Labels whose covariances with all labels make the preconditioner, drawn at random by how
        much of their variance the others leave. Twice as many take about half the iterations.
    max_memory : float or None, default=None
        Bytes the fit may use; None stands for nine tenths of the memory that is free. Jacobians are
        held if there is room for them, else features are differentiated anew in each iteration. The
        model does not depend on it: what cannot be fitted within is an error.
    random_state : int, RandomState or None, default=0
        Seed of the preconditioner's labels and of the references of standard deviations.
    verbose : int, default=0
        1 shows progress bars, with the residual, and prints `label_shares_`.

    Attributes
    ----------
    reference_features_, reference_species_, dual_coef_, dual_vectors_, kernel_, e0_, e0_source_
        See `GPR`.
    residual_, n_iter_, converged_, n_rows_, label_shares_, n_features_in_
        See `GPR`.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, y_test = skpot.datasets.load_silicon(return_X_y=True)
    >>> model = make_pipeline(skpot.SOAP(n_max=4, l_max=3), skpot.KernelRidge())
    >>> model.fit(X[:5], y[:5]).predict(X_test[:2])
    Targets(n_structures=2, energy=2, forces=2 (16 atoms), stress=2)
    """


class GPR(VariancePotential, _ExactPotential):
    r"""Exact Gaussian process on energies, forces and stress.

    The energy of a structure is a sum over its atoms of a Gaussian process of their features, with
    covariance between atoms of one species only; energies, forces and stress are linear
    functionals of it. The posterior mean has a scalar and a vector for each environment i of the
    training set,

    .. math:: E = \sum_j \Big[ e_0(Z_j) + \sum_i \big( a_i + v_i \cdot \partial_{x_i} \big)
              k(x_j, x_i) \Big]

    which a product with the labels' covariance needs only too: coefficients of labels fold into
    a and v by one forward derivative of the features, and covariances follow from E and
    its gradient by one backward derivative. Covariances between forces are never formed. Up to
    3000 labels the covariance is factorized instead (solver="cholesky").

    With `optimizer`, kernel and noise are those for which some of the labels are most likely, with
    the dense covariance of these.

    Labels are divided by their noise, so that the system is :math:`(1 + \tilde K) z = \tilde y`.
    Conjugate gradients on it are preconditioned by the same system with a partial Cholesky factor
    of :math:`\tilde K`, of `n_precondition` randomly pivoted columns. Their residual is in units of
    the noise, root mean square over the labels; below a tenth or so the errors of the model stop
    moving. Standard deviations are those of the exact process after a factorization; after
    conjugate gradients they are those of a sparse model on the same labels, with half as many
    random references as the preconditioner has columns, and larger as a rule.

    Parameters
    ----------
    kernel : kernel object, default=None
        From `skpot.kernels`; None stands for `RBF()`, made for features of unit mean squared
        length such as those of `PrincipalComponents`.
    sigma_energy : float or dict of str to float, default=0.001
        Noise per atom in eV: the total energy of n atoms has standard deviation
        `sigma_energy * sqrt(n)`. A dict gives it by the groups of y, "default" for groups that it
        does not name; what y itself says of a label goes before. See `Targets`.
    sigma_forces : float or dict, default=0.05
        Noise of a force component in eV/Å; 0.02 suits molecules.
    sigma_stress : float or dict, default=5e-4
        Noise of a stress component in eV/Å³ (5e-4 is 0.08 GPa).
    e0 : None, "isolated", "least_squares" or dict, default=None
        Energy of a free atom of each species; see `SparseGPR`.
    baseline : str or None, default=None
        Name of a block of features that are energies; see `SparseGPR`.
    targets : "auto" or tuple of {"energy", "forces", "stress"}, default="auto"
        Labels to learn from. "auto" takes what y has; a tuple makes a missing one an error.
    optimizer : {"fmin_l_bfgs_b"} or None, default=None
        "fmin_l_bfgs_b" begins at the kernel and the noise levels given, and takes those for which
        the labels are most likely: hyperparameters of the kernel within their bounds, and a factor
        of each kind of noise, within 100. None takes them as they are.
    subsample : int, default=1000
        Labels that `optimizer` looks at: those of structures drawn at random until there are as
        many, but with all species among them. Their covariance is dense, whatever the solver.
    solver : {"auto", "cholesky", "cg"}, default="auto"
        A dense factor, or conjugate gradients. "auto" takes the factor of at most 3000 labels.
    tol : float, default=0.1
        Residual at which conjugate gradients end, in units of the noise.
    max_iter : int, default=300
        Most iterations.
    n_precondition : int, default=2000
        Labels whose covariances with all labels make the preconditioner, drawn at random by how
        much of their variance the others leave. Twice as many take about half the iterations.
    max_memory : float or None, default=None
        Bytes the fit may use; None stands for nine tenths of the memory that is free. Jacobians are
        held if there is room for them, else features are differentiated anew in each iteration. The
        model does not depend on it: what cannot be fitted within is an error.
    random_state : int, RandomState or None, default=0
        Seed of the preconditioner's labels and of the references of standard deviations.
    verbose : int, default=0
        1 shows progress bars, with the residual, and prints `label_shares_`.

    Attributes
    ----------
    reference_features_ : ndarray of shape (n_references, n_features)
        All environments of the training set, grouped by species.
    reference_species_ : ndarray of shape (n_references,)
        Their atomic numbers.
    dual_coef_ : ndarray of shape (n_references,)
        Their scalars a.
    dual_vectors_ : ndarray of shape (n_references, n_features) or None
        Their vectors v; None if all labels are energies.
    kernel_ : kernel object
        The kernel, names of blocks replaced by their columns; that of `optimizer`.
    noise_scale_ : dict of str to float
        By kind of label, what all noise levels were multiplied by; 1 without `optimizer`.
    log_marginal_likelihood_ : float or None
        Of the labels that `optimizer` looked at, with what it chose; None without it.
    e0_ : dict of int to float
        Energy of a free atom (eV) by atomic number.
    e0_source_ : str
        Where these come from: "given", "isolated" or "least_squares", or which species have which,
        as in "isolated (H, O), least_squares (C)".
    edge_std_ : dict of int to float, or None
        Largest standard deviation (eV) of a training environment's energy, by atomic number: where
        `extrapolation_grade` is 1. After a dense fit None until the grade is first asked for.
    residual_ : float
        Of the linear system, in units of the noise, as computed from the solution.
    n_iter_ : int
        Iterations of conjugate gradients; 1 for the dense factor.
    converged_ : bool
        Whether `residual_` is within `tol`.
    n_rows_ : int
        Number of labels learned from.
    label_shares_ : dict of str to float
        Part of the trace of the hat matrix that belongs to each kind of label: of the coefficients
        that the data determine, as many as the labels of this kind do. After conjugate gradients
        what the preconditioner leaves out counts as if labels had nothing of it in common.
    n_features_in_ : int
        Number of features.

    References
    ----------
    C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), sec. 9.4,
    for processes on derivatives; S. Chmiela et al., Comput. Phys. Commun. 240, 38 (2019), for
    forces of molecules without covariances of forces held; M. Hestenes, E. Stiefel (1952); M. Díaz,
    E. N. Epperly, Z. Frangella, J. A. Tropp, R. J. Webber, arXiv:2304.12465, for such
    preconditioners.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, y_test = skpot.datasets.load_silicon(return_X_y=True)
    >>> model = make_pipeline(skpot.SOAP(n_max=4, l_max=3), skpot.GPR())
    >>> y_pred, std = model.fit(X[:5], y[:5]).predict(X_test[:2], return_std=True)
    >>> y_pred
    Targets(n_structures=2, energy=2, forces=2 (16 atoms), stress=2)
    """

    def _keep_dense(self, factor, functionals, features):
        self.factor_ = factor
        self.functionals_ = functionals
        self.training_features_ = features
        self.edge_std_ = None

    def _keep_sparse(self, features, labels, n):
        references = random_references(features, self.kernel_, n, self._rng())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nearly equal references do no harm here
            self.covariance_factor_, _ = references.cholesky(_JITTER)
        self.posterior_factor_ = sparse_posterior(
            references, self.covariance_factor_, features, labels, self.verbose
        )
        self.variance_reference_features_ = references.values
        self.variance_reference_species_ = references.species
        self.variance_reference_directions_ = getattr(references, "directions", None)
        self.variance_direction_counts_ = getattr(references, "counts", None)
        self.factor_ = None
        self.edge_std_ = edge_std(self._process(), features, _JITTER, len(features.values))

    def _process(self):
        if self.factor_ is not None:
            return ExactProcess(
                self.kernel_, self.factor_, self.functionals_, self.training_features_
            )
        references = references_with(
            self.variance_reference_features_, self.variance_reference_species_, self.kernel_,
            self.variance_reference_directions_, self.variance_direction_counts_,
        )  # fmt: skip
        return SparseProcess(references, self.covariance_factor_, self.posterior_factor_)

    def _edges(self):
        if self.edge_std_ is None:  # after a dense fit: not for nothing, and the data are at hand
            data = self.training_features_
            self.edge_std_ = edge_std(self._process(), data, _JITTER, len(data.values))
        return self.edge_std_
