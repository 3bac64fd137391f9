"""Linear and quadratic ridge regression on energies, forces and stress."""

from __future__ import annotations

from math import fsum
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

from .._sklearn import Interval, StrOptions, _check_sample_weight, _fit_context
from ..exceptions import InputError
from ..processes.linear_terms import (
    LinearForms,
    LinearTerms,
    active_columns,
    penalty_factors,
    penalty_of,
)
from ..processes.variance import LinearProcess, largest_training_std
from ..rows.factors import FitFactor, determined, empty_factor, shares
from ..rows.folding import fold_rows
from ..rows.memory import plan_memory
from ..solvers import TriangularFactor, maximize_evidence
from ._potential import Potential

if TYPE_CHECKING:
    from typing import Self

    from skpot.data.contracts import FeaturesLike, TargetsLike
    from skpot.typing import LabelKinds, Weights


class LinearRidge(Potential):
    r"""Energies linear or quadratic in the features, from energies, forces and stress.

    The energy of a structure is a sum over its atoms, with coefficients of each species' own,

    .. math:: E = \sum_i \big[ e_0(Z_i) + w_{Z_i} \cdot x_i + x_i \cdot W_{Z_i} x_i \big]

    where the last term is there for degree 2 only. Coefficients minimize

    .. math:: |\Sigma^{-1/2} (A w - y)|^2 + \alpha\, w^T P w

    in which energies, forces and stress are rows of A, divided by their noise. Rows are folded
    into a triangular factor block by block, as in `SparseGPR`; all rows are never held. P is the
    unit matrix, or for blocks such as those of `PairBasis` and `TripletBasis` the roughness of the
    potential (their `smoothness_penalty` with the zeros at the cutoff) and a thousandth of the
    unit matrix. A column that is zero for all atoms of a species has no coefficient.

    Parameters
    ----------
    alpha : "evidence", float or dict of str to float, default="evidence"
        Strength of the penalty. "evidence" takes the one for which the labels are most likely,
        together with a common factor of all noise levels; see `skpot.solvers.maximize_evidence`. A
        dict gives it by the names of blocks, 1 for those that are not named.
    penalty : {"smooth", "ridge"}, default="smooth"
        Roughness where the features offer it, or the size of coefficients throughout. Steps such as
        `PerAtom` mix columns, after which there is no roughness.
    degree : {1, 2}, default=1
        Features alone, or their products too: p (p + 3) / 2 columns for p features.
    sigma_energy : float or dict of str to float, default=0.002
        Noise per atom in eV: the total energy of n atoms has standard deviation
        `sigma_energy * sqrt(n)`. A dict gives it by the groups of y, "default" for groups that it
        does not name; what y itself says of a label goes before. See `Targets`.
    sigma_forces : float or dict, default=0.1
        Noise of a force component in eV/Å.
    sigma_stress : float or dict, default=5e-4
        Noise of a stress component in eV/Å³ (5e-4 is 0.08 GPa).
    e0 : None, "isolated", "least_squares" or dict, default=None
        Energy of a free atom of each species; see `SparseGPR`.
    baseline : str or None, default=None
        Name of a block of features that are energies; see `SparseGPR`.
    targets : "auto" or tuple of {"energy", "forces", "stress"}, default="auto"
        Labels to learn from. "auto" takes what y has; a tuple makes a missing one an error.
    max_memory : float or None, default=None
        Bytes the fit may use; None stands for half of the memory that is free.
    verbose : int, default=0
        1 shows a progress bar, and prints `label_shares_`.

    Attributes
    ----------
    coef_ : ndarray of shape (n_coefficients,)
        Coefficients w, and for degree 2 those of products, species after species; in eV over the
        units of the features.
    coef_columns_ : dict of int to ndarray
        For each atomic number the columns these belong to: features, then products of features a
        and b >= a in the order of `numpy.triu_indices`.
    alpha_ : float
        The strength of the penalty in use; 1 if they were given by block.
    noise_scale_ : float
        Factor of all noise levels that the evidence found; 1 if `alpha` was given.
    log_marginal_likelihood_ : float
        Of all labels, with `alpha="evidence"`; else NaN. Comparable between models of the same
        labels; sample weights count as repetitions.
    e0_ : dict of int to float
        Energy of a free atom (eV) by atomic number.
    e0_source_ : str
        Where these come from: "given", "isolated" or "least_squares", or which species have which,
        as in "isolated (H, O), least_squares (C)".
    largest_training_std_ : dict of int to float
        Largest standard deviation (eV) of a training environment's energy; see `SparseGPR`.
    n_rows_ : int
        Number of labels learned from.
    n_labels_ : dict of str to int
        The same by kind of label.
    label_shares_ : dict of str to float
        Part of the coefficients determined by the data that each kind of label determines; see
        `SparseGPR`.
    n_features_in_, n_columns_in_ : int
        Number of features, and of those that are not a baseline.

    Notes
    -----
    With ``penalty="ridge"``, energies alone and one sigma of all of them, coefficients are those of
    scikit-learn's `Ridge` with ``alpha * sigma**2``, and with "evidence" those of its
    `BayesianRidge`, whose ``lambda_`` is ``alpha_ / noise_scale_**2``; both without an intercept:
    `e0` is fitted first and takes its place.

    References
    ----------
    M. A. Wood, A. P. Thompson, J. Chem. Phys. 148, 241721 (2018), for degree 2; S. R. Xie, M. Rupp,
    R. G. Hennig, npj Comput. Mater. 9, 162 (2023), for splines with a smoothness penalty;
    D. J. C. MacKay, Neural Comput. 4, 415 (1992), for the evidence.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline, make_union
    >>> X, y, X_test, y_test = skpot.datasets.load_silicon(return_X_y=True)
    >>> basis = make_union(skpot.PairBasis(6.0, r_min=1.5), skpot.TripletBasis(4.0, r_min=1.5))
    >>> model = make_pipeline(basis, skpot.LinearRidge()).fit(X[:40], y[:40])
    >>> model.predict(X_test[:2])
    Targets(n_structures=2, energy=2, forces=2 (16 atoms), stress=2)
    """

    _streams = True
    _may_be_missing = ("log_marginal_likelihood_",)

    _parameter_constraints = Potential._parameter_constraints | {
        "alpha": [StrOptions({"evidence"}), Interval(Real, 0, None, closed="neither"), dict],
        "penalty": [StrOptions({"smooth", "ridge"})],
        "degree": [Interval(Integral, 1, 2, closed="both")],
    }

    def __init__(
        self,
        alpha: str | float | dict[str, float] = "evidence",
        *,
        penalty: str = "smooth",
        degree: int = 1,
        sigma_energy: float | dict[str, float] = 0.002,
        sigma_forces: float | dict[str, float] = 0.1,
        sigma_stress: float | dict[str, float] = 5e-4,
        e0: str | dict[str, float] | None = None,
        baseline: str | None = None,
        targets: LabelKinds = "auto",
        max_memory: float | None = None,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.penalty = penalty
        self.degree = degree
        self.sigma_energy = sigma_energy
        self.sigma_forces = sigma_forces
        self.sigma_stress = sigma_stress
        self.e0 = e0
        self.baseline = baseline
        self.targets = targets
        self.max_memory = max_memory
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
        self : LinearRidge

        Raises
        ------
        ValueError
            If labels are missing, not finite or of the wrong shape, all problems at once; if
            `alpha` names a block that is not there; if `max_memory` cannot be met.
        """
        training = self._prepare(X, y, sample_weight)
        features = training.features
        self.degree_ = int(self.degree)
        penalty = penalty_of(
            features, self.degree_, self._scales(features), self.penalty == "smooth"
        )
        self.n_columns_in_ = features.shape[1]
        self.coef_columns_ = active_columns(features, penalty, self.degree_)
        if not any(len(columns) for columns in self.coef_columns_.values()):
            raise InputError(
                "all features are zero, so there is nothing to learn from: no atom has a neighbor "
                "within the cutoff of the descriptor, or not two where it describes triplets."
            )
        self.penalty_factors_ = penalty_factors(penalty, self.coef_columns_)
        terms = self._terms()
        self.n_labels_ = training.count_labels()
        self.n_rows_ = sum(self.n_labels_.values())
        main = max(self.n_labels_, key=self.n_labels_.__getitem__)
        fit = FitFactor(empty_factor(len(terms)), main)
        plan = plan_memory(
            self.max_memory, training, len(terms), unit="columns of the linear model"
        )
        fold_rows(fit, terms, self.penalty_factors_, training, plan, self.verbose)
        apart = fit.close({})
        weight = _check_sample_weight(sample_weight, features, dtype=np.float64)
        self._choose_strength(fit.factor.trapezoid, training.per_structure(), weight)
        posterior = TriangularFactor(np.sqrt(self.alpha_) * np.eye(len(terms)))
        posterior.merge(fit.factor.trapezoid)
        self.posterior_factor_ = posterior.matrix
        self.coef_ = terms.coefficients(posterior.solve(), self.penalty_factors_)
        self.label_shares_ = shares(
            determined(self.posterior_factor_, apart, main, self.alpha_), self.verbose
        )
        limit = max(200, self.n_rows_ // 3)
        self.largest_training_std_ = largest_training_std(self.posterior_, features, limit)
        return self

    def _scales(self, features):
        scales = self.alpha if isinstance(self.alpha, dict) else {}
        unknown = sorted(set(scales) - set(features.blocks))
        if unknown:
            raise InputError(
                f"alpha names the blocks {unknown} but the features have {sorted(features.blocks)}"
            )
        for name, value in scales.items():
            if not (isinstance(value, Real) and value > 0):
                raise InputError(f"alpha[{name!r}] must be a positive number, got {value!r}")
        return scales

    def _terms(self):
        return LinearTerms(self.coef_columns_, self.n_columns_in_, self.degree_)

    def _choose_strength(self, trapezoid, told, weight):
        self.noise_scale_, self.log_marginal_likelihood_ = 1.0, np.nan
        self.alpha_ = float(self.alpha) if isinstance(self.alpha, Real) else 1.0
        if self.alpha != "evidence":
            return
        told_some = (told.n_told > 0) & (weight > 0)  # labels without weight say nothing
        weight, n, log_noise = weight[told_some], told.n_told[told_some], told.log_noise[told_some]
        found = maximize_evidence(trapezoid, fsum(weight * n))
        self.alpha_, self.noise_scale_ = found.alpha, found.noise_scale
        # A weight stands for so many labels of the noise that holds without it.
        logarithms = fsum(weight * (log_noise + 0.5 * n * np.log(weight)))
        self.log_marginal_likelihood_ = float(found.log_likelihood - logarithms)

    @property
    def expansion_(self) -> LinearForms:
        """What the fit found, as `LinearForms`."""
        return self._terms().forms(self.coef_)

    @property
    def posterior_(self) -> LinearProcess:
        """What the labels leave open of the energies."""
        return LinearProcess(
            self._terms(), self.penalty_factors_, self.posterior_factor_, self.noise_scale_
        )
