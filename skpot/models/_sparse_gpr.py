"""Sparse Gaussian process regression on energies, forces and stress."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

from .._sklearn import Interval, StrOptions, _fit_context
from ..data.order import environment_keys
from ..kernels import DotProduct
from ..processes.evidence import Search, find_evidence
from ..processes.gradient_references import leading_directions, references_with
from ..processes.likelihoods import likeliest_noise, sparse_likelihoods
from ..processes.references import chosen_references, warn_of_missing
from ..processes.sparse import SparseState
from ..rows.features import IsKernel
from ..selection import given_references
from ._kernel_potential import OPTIMIZER, KernelPotential
from ._sparse_labels import draw_deviations, learn_further, predict_left_out

if TYPE_CHECKING:
    from typing import Any, Self

    from skpot.data.contracts import FeaturesLike, TargetsLike
    from skpot.kernels.contracts import Kernel
    from skpot.typing import ArrayLike, FloatArray, LabelKinds, RandomState, Weights


class SparseGPR(KernelPotential):
    r"""Gaussian process on a few reference environments, from energies, forces and stress.

    The energy of a structure is a sum over its atoms,

    .. math:: E = \sum_i \Big[ e_0(Z_i) + \sum_m \alpha_m k(x_i, x_m) \Big]

    with reference environments m of the atom's own species; features of whole structures, such as
    those of `InverseDistances`, make one environment of each structure, all of one kind. Energies,
    forces and stress are linear functionals of the same coefficients, found by least squares,

    .. math:: \min_\alpha \; |\Sigma^{-1/2} (K_{NM} \alpha - y)|^2 + \alpha^T K_{MM} \alpha

    in coefficients whitened by the Cholesky factor of K_MM, as a QR factorization into which
    structures are folded block by block: K_NM is never held.
    Predicted forces and stress are the exact derivatives of the predicted energy.

    With `optimizer`, kernel and noise are those for which the labels are most likely. They have the
    density :math:`N(y\,|\,0,\; \Sigma + K_{NM} K_{MM}^{-1} K_{MN})`, which is that of the model
    itself: coefficients have the prior :math:`N(0, K_{MM}^{-1})`, and references are environments
    of the data that are not moved. A bound on the likelihood of the exact process would subtract
    half the trace of :math:`\Sigma^{-1} (K_{NN} - K_{NM} K_{MM}^{-1} K_{MN})`; it guards against
    references that are optimized, and raises the noise. Kernel and noise come from `subsample`
    labels, with references chosen among their environments; the noise is then found again from the
    triangular factors of all labels, which takes no further rows.

    Parameters
    ----------
    kernel : kernel object, default=None
        From `skpot.kernels`; None stands for `DotProduct(zeta=4)`.
    n_sparse : int or dict, default=1000
        Number of reference environments, shared equally between the species as far as they
        have distinct ones, but one of each at least; or the number for each species, keyed by
        symbol, which must name all.
    selection : {"cur", "fps", "random"} or array-like of int, default="cur"
        How references are chosen, species by species: by leverage, farthest point, or at random;
        or the environments themselves, as rows of the features of all structures (`n_sparse` has
        no meaning then). Samples have environments of structures of all compositions and groups of
        y, as far as these fit into a quarter of them. Choices go by keys made of the structures,
        and do not depend on their order.
    n_directions : int, default=0
        Derivatives of its kernel that each reference has beside the kernel itself, along the
        directions in which its features change most as atoms move. Coefficients are then
        ``1 + n_directions`` times as many as references. They fit no better than as many plain
        references do, and take as long to fit, but predictions take the time of the references
        alone: a faster model of the same error.
    sigma_energy : float or dict of str to float, default=0.002
        Noise per atom in eV: the total energy of n atoms has standard deviation
        `sigma_energy * sqrt(n)`. A dict gives it by the groups of y, "default" for groups that it
        does not name; what y itself says of a label goes before. See `Targets`.
    sigma_forces : float or dict, default=0.1
        Noise of a force component in eV/Å.
    sigma_stress : float or dict, default=5e-4
        Noise of a stress component in eV/Å³ (5e-4 is 0.08 GPa).
    e0 : None, "isolated", "least_squares" or dict, default=None
        Energy of a free atom of each species. None takes those of isolated atoms, of no neighbor
        within the cutoff, and for species without one a least-squares fit by composition to what
        is left; a dict gives them all (eV, by symbol).
    baseline : str or None, default=None
        Name of a block of features that are energies in eV and enter with coefficient one, such as
        "zbl" for `ZBL` in a `FeatureUnion` beside a descriptor; kernels compare the other blocks.
    targets : "auto" or tuple of {"energy", "forces", "stress"}, default="auto"
        Labels to learn from. "auto" takes what y has; a tuple makes a missing one an error.
    optimizer : {"fmin_l_bfgs_b"} or None, default=None
        "fmin_l_bfgs_b" begins at the kernel and the noise levels given, and takes those for which
        the labels are most likely: hyperparameters of the kernel within their bounds, and a factor
        of each kind of noise, within 100. None takes them as they are.
    subsample : int, default=2000
        Labels that `optimizer` looks at: those of structures drawn at random until there are as
        many, but with all species among them. References are chosen among these structures; the fit
        that follows uses all.
    jitter : float, default=1e-10
        Added to the diagonal of K_MM, relative to its mean; escalates with a warning.
    max_memory : float or None, default=None
        Bytes the fit may use; None stands for half of the memory that is free. Blocks shrink to
        fit, and if even the smallest cannot, the error comes before the work.
    random_state : int, RandomState or None, default=0
        Seed of the selection.
    verbose : int, default=0
        1 shows a progress bar, and prints `label_shares_`.

    Attributes
    ----------
    reference_features_ : ndarray of shape (n_references, n_features)
        Reference environments, grouped by species.
    reference_species_ : ndarray of shape (n_references,)
        Their atomic numbers.
    dual_coef_ : ndarray of shape (n_references,)
        The coefficients, in eV over units of the kernel.
    dual_vectors_ : ndarray of shape (n_references, n_features) or None
        Vectors along which references' kernels are differentiated; None without `n_directions`.
    reference_directions_ : ndarray of shape (n, n_features) or None
        Directions of the derivatives, reference after reference.
    direction_counts_ : ndarray of shape (n_references,) or None
        How many each reference has; fewer than `n_directions` where there are no more.
    kernel_ : kernel object
        The kernel, names of blocks replaced by their columns; that of `optimizer`.
    noise_scale_ : dict of str to float
        By kind of label, what all noise levels were multiplied by; 1 without `optimizer`.
    log_marginal_likelihood_ : float or None
        Of all labels, with what `optimizer` chose; None without it.
    e0_ : dict of int to float
        Energy of a free atom (eV) by atomic number.
    e0_source_ : str
        Where these come from: "given", "isolated" or "least_squares", or which species have which,
        as in "isolated (H, O), least_squares (C)".
    largest_training_std_ : dict of int to float
        Deviation (eV) of an environment's energy at the edge of the training set, by atomic number:
        where `extrapolation_grade` is 1.
    n_rows_ : int
        Number of labels learned from.
    n_labels_ : dict of str to int
        The same by kind of label.
    label_shares_ : dict of str to float
        Part of the coefficients determined by the data that each kind of label determines: the
        traces :math:`\gamma_t = \mathrm{tr}\,A_t (1 + A^T A)^{-1} A_t^T` of the hat matrix, A being
        the rows of all labels divided by their noise, in coefficients whose prior is the unit
        matrix, over their sum.
    jitter_ : float
        Largest relative jitter that was needed.
    n_features_in_ : int
        Number of features.

    Notes
    -----
    The variance is that of the projected process: what references leave of the prior, and what the
    data leave of the coefficients. GAP's has the former alone; this one is about 1.75 times larger
    in the median.

    References
    ----------
    A. P. Bartók, G. Csányi, Int. J. Quantum Chem. 115, 1051 (2015), for the sparse process on
    derivatives; L. Foster et al., J. Mach. Learn. Res. 10, 857 (2009), for its solution by QR;
    J. Quiñonero-Candela, C. E. Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005), sec. 5, for the
    projected process, its variance and likelihood; D. J. C. MacKay, Neural Comput. 4, 415 (1992),
    for the number of coefficients that data determine; M. Titsias, AISTATS 5, 567 (2009), for the
    bound, and M. Bauer et al., NeurIPS 29, 1533 (2016), for what it does to the noise.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, y_test = skpot.datasets.load_silicon(return_X_y=True)
    >>> model = make_pipeline(skpot.SOAP(n_max=4, l_max=3), skpot.SparseGPR(n_sparse=50))
    >>> model.fit(X[:20], y[:20]).predict(X_test[:2])
    Targets(n_structures=2, energy=2, forces=2 (16 atoms), stress=2)
    """

    _default_kernel = DotProduct
    _state = SparseState
    _streams = True

    _parameter_constraints = KernelPotential._parameter_constraints | {
        "kernel": [IsKernel(["bind", "with_slope"]), None],
        "n_sparse": [Interval(Integral, 1, None, closed="left"), dict],
        "selection": [StrOptions({"cur", "fps", "random"}), "array-like"],
        "n_directions": [Interval(Integral, 0, None, closed="left")],
        **OPTIMIZER,
        "jitter": [Interval(Real, 0, 1e-4, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        kernel: Kernel | None = None,
        n_sparse: int | dict[Any, int] = 1000,
        *,
        selection: str | ArrayLike = "cur",
        n_directions: int = 0,
        sigma_energy: float | dict[str, float] = 0.002,
        sigma_forces: float | dict[str, float] = 0.1,
        sigma_stress: float | dict[str, float] = 5e-4,
        e0: str | dict[str, float] | None = None,
        baseline: str | None = None,
        targets: LabelKinds = "auto",
        optimizer: str | None = None,
        subsample: int = 2000,
        jitter: float = 1e-10,
        max_memory: float | None = None,
        random_state: RandomState = 0,
        verbose: int = 0,
    ) -> None:
        self.kernel = kernel
        self.n_sparse = n_sparse
        self.selection = selection
        self.n_directions = n_directions
        self.sigma_energy = sigma_energy
        self.sigma_forces = sigma_forces
        self.sigma_stress = sigma_stress
        self.e0 = e0
        self.baseline = baseline
        self.targets = targets
        self.optimizer = optimizer
        self.subsample = subsample
        self.jitter = jitter
        self.max_memory = max_memory
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: FeaturesLike, y: TargetsLike, sample_weight: Weights = None) -> Self:
        """Choose references and solve for the coefficients.

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
        self : SparseGPR

        Raises
        ------
        ValueError
            If labels are missing, not finite or of the wrong shape, all problems at once; if
            `max_memory` cannot be met.
        """
        training = self._prepare(X, y, sample_weight)
        found = find_evidence(
            self.kernel_, training, self._parameters(Search),
            lambda few: sparse_likelihoods(
                # Given references are rows of the features of all structures.
                self._choose_references(few if isinstance(self.selection, str) else training),
                few, self.max_memory, self.jitter,
            ),
        )  # fmt: skip
        self._keep(found)
        references = self._choose_references(training)
        warn_of_missing(training.features.species, references.species)
        state = SparseState.before_labels(references, self.jitter)
        adjust = None if self.optimizer is None else partial(self._with_likeliest_noise, training)
        state = state.fold(training, self.max_memory, self.verbose, adjust)
        return self._become(state.expansion, state)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: FeaturesLike, y: TargetsLike, sample_weight: Weights = None) -> Self:
        """Learn from further structures; the first call is a fit.

        Rows of the new structures are folded into the triangular factor, so the model is that of
        a fit to all structures with the same references and free atoms' energies: both stay as they
        are, as do noise levels of what was learned before.

        Parameters
        ----------
        X, y, sample_weight
            Features, labels and weights of the new structures, as in `fit`.

        Raises
        ------
        ValueError
            As `fit`; for species that the first call did not have.
        """
        return learn_further(self, X, y, sample_weight)

    def leave_one_out(
        self, X: FeaturesLike, y: TargetsLike, sample_weight: Weights = None
    ) -> TargetsLike:
        r"""Predict each training structure by the model that all others make.

        In closed form, from one more pass over the rows: with rows :math:`A_s` of all labels
        of structure s and their residuals :math:`r_s`, both divided by the noise, the residuals
        without the structure are

        .. math:: r_{-s} = (1 - A_s (R^T R)^{-1} A_s^T)^{-1} r_s

        where R is the factor of all rows. References, free atoms' energies and noise stay.

        Parameters
        ----------
        X : AtomicFeatures, or array of shape (n_samples, n_features)
            What the model was fitted to, or part of it.
        y : Targets, or array of shape (n_samples,)
            Its labels.
        sample_weight : array of shape (n_samples,), optional
            Its weights.

        Returns
        -------
        y : Targets, or ndarray of shape (n_samples,)
            Predictions of the labels that there are: for `skpot.metrics`, like those of
            `cross_val_predict`. The kind of y that `fit` saw.

        References
        ----------
        R. D. Cook, S. Weisberg, Residuals and Influence in Regression (1982), sec. 2.2, for
        the rows of one label.
        """
        return predict_left_out(self, X, y, sample_weight)

    def _choose_references(self, training):
        """Return references among the environments of some structures."""
        features = training.features
        if isinstance(self.selection, str):
            chosen = chosen_references(training, self.n_sparse, self.selection, self.random_state)
        else:
            chosen = given_references(self.selection, features.species)
            keys = environment_keys(features)
            chosen = chosen[np.lexsort([keys[chosen], features.species[chosen]])]
        along = None, None
        if self.n_directions:
            along = leading_directions(features, chosen, self.kernel_, self.n_directions)
        values = features.environments(chosen)
        return references_with(values, features.species[chosen], self.kernel_, *along)

    def _with_likeliest_noise(self, training, trapezoids):
        """Choose the noise once more, by all labels; return their trapezoids at that noise."""
        self.log_marginal_likelihood_, self.noise_scale_ = likeliest_noise(
            trapezoids, training, self.noise_scale_
        )
        return {kind: rows / self.noise_scale_.get(kind, 1.0) for kind, rows in trapezoids.items()}

    def sample_dual_coef(self, n_samples: int = 1, random_state: RandomState = None) -> FloatArray:
        r"""Draw deviations of the coefficients from `dual_coef_` as the posterior has them.

        In whitened coefficients the posterior is normal with covariance :math:`(R^T R)^{-1}`, R
        being the triangle of the least-squares system, so that a draw is
        :math:`L^{-T} R^{-1} \xi` with standard normal :math:`\xi`. A fit to labels that are
        perturbed by their noise, towards a draw of the prior, has the same distribution.

        Parameters
        ----------
        n_samples : int, default=1
            Number of draws.
        random_state : int, RandomState or None, default=None
            Seed.

        Returns
        -------
        ndarray of shape (n_coefficients, n_samples)
            Deviations, one draw in each column; as many coefficients as references, and those of
            their directions.
        """
        return draw_deviations(self, n_samples, random_state)
