"""An ensemble of sparse models that share one factorization."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from .._base import VersionedEstimator
from .._sklearn import InstanceWith, Interval, _fit_context
from ..data import Targets, block_ranges
from ..models import as_features, as_targets, check_return_std, expand_together

if TYPE_CHECKING:
    from typing import Any, Self

    from numpy.typing import ArrayLike

    from skpot.data import AtomicFeatures
    from skpot.data.contracts import FeaturesLike, TargetsLike
    from skpot.typing import FloatArray, RandomState

_BYTES = 32e6  # size of the gradients of members that are held at a time


class Committee(VersionedEstimator, MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    r"""Ensemble of sparse models drawn from the posterior of one fit.

    One can draw members from the posterior by one fit for each: to labels perturbed by their
    noise, and towards a random draw of the prior. Their coefficients are then

    .. math:: \alpha_k = \alpha + L^{-T} R^{-1} \xi_k, \qquad \xi_k \sim N(0, 1)

    with the Cholesky factor L of K_MM and the triangle R of the least-squares system, so that one
    fit and one factor serve all members. The committee predicts what the fitted estimator
    predicts, which is the mean of infinitely many members. The standard deviation is the root mean
    square deviation of the members from it.

    Members differ only in coefficients that the labels do not determine. Far from all data they
    agree, because no reference has a covariance with environments there. Therefore use the standard
    deviation of `SparseGPR` itself to detect extrapolation, and members to propagate the
    uncertainty to results that are computed with the potential, such as barriers or averages of
    dynamics.

    Parameters
    ----------
    estimator : SparseGPR
        The estimator that is fitted.
    n_members : int, default=16
        Number of members. The relative error of standard deviations is 1 / sqrt(2 n_members).
    random_state : int, RandomState or None, default=0
        Seed of the random draws.

    Attributes
    ----------
    estimator_ : SparseGPR
        The fitted estimator.
    deviations_ : ndarray of shape (n_references, n_members)
        Deviations of the members' coefficients from `estimator_.dual_coef_`.

    References
    ----------
    G. Imbalzano et al., J. Chem. Phys. 154, 074102 (2021), for committees of sparse models; G.
    Papandreou, A. L. Yuille, Adv. Neural Inf. Process. Syst. 23 (2010), for posterior draws by
    perturbed fits.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> data = skpot.datasets.load_silicon()
    >>> committee = skpot.Committee(skpot.SparseGPR(n_sparse=50), n_members=8)
    >>> model = make_pipeline(skpot.SOAP(n_max=4, l_max=3), committee)
    >>> y_pred, std = model.fit(data.X[:20], data.y[:20]).predict(data.X_test[:2], return_std="all")
    >>> std
    Targets(n_structures=2, energy=2, forces=2 (16 atoms), stress=2)
    >>> len(model[-1].predict_members(model[:-1].transform(data.X_test[:2])))
    8
    """

    _parameter_constraints = {
        "estimator": [InstanceWith(["fit", "predict", "sample_dual_coef"])],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self, estimator: BaseEstimator, n_members: int = 16, *, random_state: RandomState = 0
    ) -> None:
        self.estimator = estimator
        self.n_members = n_members
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: FeaturesLike, y: TargetsLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the estimator and draw the members; see `SparseGPR.fit` for the arguments."""
        self.estimator_ = clone(self.estimator).fit(X, y, sample_weight=sample_weight)
        self.deviations_ = self.estimator_.sample_dual_coef(self.n_members, self.random_state)
        return self

    @property
    def n_features_in_(self) -> int:
        """Number of features."""
        return self.estimator_.n_features_in_

    def predict(self, X: FeaturesLike, return_std: bool | str = False) -> Any:
        """Predict what the fitted estimator predicts, with standard deviations of the members.

        Arguments and results are those of `SparseGPR.predict`.
        """
        check_is_fitted(self)
        check_return_std(return_std)
        y = self.estimator_.predict(X)
        if not return_std:
            return y
        features, _ = as_features(self, X)
        if return_std == "all" and self.estimator_.returns_targets_:
            return y, self.predict_std(features)
        return y, self.energy_std(features)

    def predict_members(self, X: FeaturesLike) -> list[Targets] | FloatArray:
        """Return the prediction of each member.

        Parameters
        ----------
        X : AtomicFeatures, or array of shape (n_samples, n_features)
            Features, as for `predict`.

        Returns
        -------
        list of Targets, or ndarray of shape (n_members, n_samples)
            The kind of y that `fit` was given, once for each member.
        """
        y = self.predict(X)
        features, _ = as_features(self, X)
        structures = features.offsets[:-1]
        if not isinstance(y, Targets):
            return y + np.add.reduceat(self._energies(features), structures, axis=1)
        if features.derivatives is None:
            energies = np.add.reduceat(self._energies(features), structures, axis=1)
            return [Targets(y.energy + e) for e in energies]
        members = []
        for energies, forces, virials in zip(*self._evaluate(features), strict=True):
            own = as_targets(np.add.reduceat(energies, structures), features, forces, virials)
            forces = [f + g for f, g in zip(y.forces, own.forces, strict=True)]
            stress = None if y.stress is None else y.stress + own.stress
            members.append(Targets(y.energy + own.energy, forces, stress))
        return members

    def evaluate(self, features: AtomicFeatures) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return energies, forces and virials of the fitted estimator; see its `evaluate`."""
        check_is_fitted(self)
        return self.estimator_.evaluate(features)

    def energy_std(self, features: AtomicFeatures) -> FloatArray:
        """Return the standard deviation of total energies, shape (n_structures,), in eV."""
        return _rms(np.add.reduceat(self._energies(features), features.offsets[:-1], axis=1))

    def energies_std(self, features: AtomicFeatures) -> FloatArray:
        """Return the deviation of each environment's energy, shape (n_environments,), in eV."""
        return _rms(self._energies(features))

    def predict_std(self, features: AtomicFeatures) -> Targets:
        """Return the members' standard deviations; see `SparseGPR.predict_std` for their form."""
        if features.derivatives is None:
            return Targets(self.energy_std(features))
        energies, forces, virials = self._evaluate(features)
        energy = _rms(np.add.reduceat(energies, features.offsets[:-1], axis=1))
        return as_targets(energy, features, _rms(forces), -_rms(virials))

    def extrapolation_grade(self, features: AtomicFeatures) -> FloatArray:
        """Return how far environments are from the training set; see `SparseGPR`."""
        check_is_fitted(self)
        return self.estimator_.extrapolation_grade(features)

    def _energies(self, features):
        """Return the members' deviations of energies, shape (n_members, n_environments)."""
        check_is_fitted(self)
        features, references = self._learned(features)
        energies = np.zeros((self.deviations_.shape[1], len(features.values)))
        for members, rows in references.environment_rows(features):
            energies[:, members] = (rows @ self.deviations_).T
        return energies

    def _learned(self, features):
        """Return the features that the fitted estimator compares, and its references."""
        return self.estimator_.learned_features(features), self.estimator_.posterior_.references

    def _evaluate(self, features):
        """Return the members' deviations of energies, forces and virials."""
        check_is_fitted(self)
        features, references = self._learned(features)
        forms = [references.expansion(deviations) for deviations in self.deviations_.T]
        n = self.deviations_.shape[1]
        energies = np.zeros((n, len(features.values)))
        forces, virials = np.zeros((n, len(features.numbers), 3)), np.zeros((n, len(features), 6))
        first, row = features.atom_offsets, features.offsets
        for lo, hi in block_ranges(8.0 * n * features.shape[1] * features.n_rows, _BYTES):
            part = features[lo:hi]
            own, atoms = slice(row[lo], row[hi]), slice(first[lo], first[hi])
            step = max(1, int(_BYTES / (8.0 * part.values.size)))  # number of members at a time
            for begin in range(0, n, step):
                some = slice(begin, begin + step)
                energies[some, own], gradients = expand_together(forms[some], part)
                for k, gradient in enumerate(gradients, start=begin):
                    forces[k, atoms], virials[k, lo:hi] = part.pull_back(gradient)
        return energies, forces, virials


def _rms(deviations):
    return np.sqrt(np.mean(deviations**2, axis=0))
