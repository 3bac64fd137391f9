"""Exact Gaussian process on energies, forces and stress."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

from .._sklearn import Interval, StrOptions, _fit_context
from ..kernels import RBF
from ..processes.evidence import Search, find_evidence
from ..processes.exact import ExactSettings, ExactState, fit_exact, with_jacobians
from ..processes.likelihoods import dense_likelihoods
from ..rows.features import IsKernel
from ._kernel_potential import OPTIMIZER, KernelPotential

if TYPE_CHECKING:
    from typing import Self

    from skpot.data.contracts import FeaturesLike, TargetsLike
    from skpot.kernels.contracts import Kernel
    from skpot.typing import LabelKinds, RandomState, Weights

# What exact models take for the solution of their linear system.
SOLVER = {
    "solver": [StrOptions({"auto", "cholesky", "cg"})],
    "tol": [Interval(Real, 0, None, closed="neither")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "n_precondition": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
}


class GPR(KernelPotential):
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
    of :math:`\tilde K`, of at most `n_precondition` randomly pivoted columns, and with what these
    leave of the covariance of labels of the same structure. Their residual is in units of
    the noise, root mean square over the labels; below a tenth or so the errors of the model stop
    moving. Products for directions are made in single precision but for energies, whose covariance
    is too large for it, and residuals in double precision. Standard deviations are those of the
    exact process after a factorization; after conjugate gradients they are those of a sparse model
    on the same labels, with a third of `n_precondition` as the number of random references, and
    larger as a rule.

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
        Most labels whose covariances with all labels make the preconditioner, drawn at random by
        how much of their variance the others leave, as long as they save more time than they take.
    max_memory : float or None, default=None
        Bytes the fit may use; None stands for nine tenths of the memory that is free. Jacobians are
        held if there is room for them, else features are differentiated anew in each iteration. The
        model does not depend on it beyond `tol`: what cannot be fitted within is an error.
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
    largest_training_std_ : dict of int to float
        Deviation (eV) of an environment's energy at the edge of the training set, by atomic number:
        where `extrapolation_grade` is 1.
    residual_ : float
        Of the linear system, in units of the noise, as computed from the solution.
    n_iter_ : int
        Iterations of conjugate gradients; 1 for the dense factor.
    converged_ : bool
        Whether `residual_` is within `tol`, or what `AutoGPR` demands.
    n_rows_ : int
        Number of labels learned from.
    label_shares_ : dict of str to float
        Part of the trace of the hat matrix that belongs to each kind of label: of the coefficients
        that the data determine, as many as the labels of this kind do. After conjugate gradients
        what the preconditioner leaves out counts as if labels of different structures had nothing
        of it in common.
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

    _default_kernel = RBF
    _state = ExactState

    _parameter_constraints = KernelPotential._parameter_constraints | {
        "kernel": [IsKernel(["bind", "with_curvature"]), None],
        **OPTIMIZER,
        **SOLVER,
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
        self._learn(X, y, sample_weight)
        return self

    def _learn(self, X, y, sample_weight, look_at=None, stored=None):
        """Fit; return the training set, and errors of a model without some of its structures.

        `look_at` is a function that takes the training set and returns these structures. `stored`
        is what `_with_jacobians` returned for the same arguments, if it was called before.
        """
        # The exact model holds all rows, so a copy in the canonical order takes little more memory.
        training = self._prepare(X, y, sample_weight).in_order()
        quick = self._with_jacobians(training) if stored is None else stored
        quick = training if quick is None else training.with_features(quick.features)
        found = find_evidence(
            self.kernel_, quick, self._parameters(Search),
            lambda few: dense_likelihoods(few, self.max_memory),
        )  # fmt: skip
        self._keep(found)
        training, quick = (some.with_noise_scaled(found.noise_scale) for some in (training, quick))
        settings = self._parameters(ExactSettings)
        some = None if look_at is None else look_at(training)
        fitted, errors = fit_exact(found.kernel, training, settings, some, quick)
        self._become(*fitted)
        return quick, some, errors

    def _with_jacobians(self, training):
        """Return the training set with all Jacobians held, or None where there is no room."""
        return with_jacobians(training, self._parameters(ExactSettings))
