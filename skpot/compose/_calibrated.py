"""Standard deviations that are adjusted to errors on data that were held out."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.utils import indexable
from sklearn.utils.validation import check_is_fitted

from .._base import VersionedEstimator
from .._sklearn import (
    InstanceWith,
    Interval,
    StrOptions,
    _fit_context,
    _num_samples,
    _safe_indexing,
)
from ..data import LABEL_KINDS, AtomicFeatures, Targets, targets_of
from ..data.order import canonical_order, content_keys
from ..exceptions import InputError, SkpotWarning
from ..metrics import calibrated_deviations, coverage_factors, errors_and_deviations
from ..models import check_return_std
from ..selection import content_splits, given_splits

if TYPE_CHECKING:
    from typing import Any, Self

    from numpy.typing import ArrayLike

    from skpot.data.contracts import TargetsLike
    from skpot.typing import FloatArray, Structures

_FOLDS = 2


class CalibratedPotential(VersionedEstimator, MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    r"""Potential whose standard deviations agree with its errors on held-out data.

    It wraps a whole pipeline and does not change its predictions. Standard deviations s of total
    energies, forces and stress are mapped by an increasing function for each of the three:

    - ``method="coverage"``: :math:`s \to \sqrt{f^2 s^2 + d^2}`. Forces have a factor f for each
      species. It is chosen so that held-out errors lie within central intervals of the predicted
      distribution as often as they should, on average over all levels of confidence,

      .. math:: \Big\langle \mathrm{erf}\Big( \frac{|e|}{\sqrt{2}\, f s} \Big) \Big\rangle
                = \frac{1}{2}

      Energies and stress are sums over many atoms, in which large errors count for more, and there
      are too few energies to determine a factor of their own. But all deviations of one Gaussian
      process share its prior variance. So energies and stress have one common factor, which comes
      from the mean errors of all kinds of labels: the mean over the kinds
      of :math:`\sqrt{\pi/2}\, \langle |e| / s \rangle`. The noise d is the error of labels that
      symmetry fixes for the model but not for the reference method, such as forces in perfect
      crystals, where s vanishes.
    - ``method="scale"``: the same map, with the factor and the noise for each kind of label that
      maximize the likelihood of held-out errors under a normal distribution. It is meant for labels
      with much noise. The noise does not grow away from the data, so that deviations there may be
      too small.
    - ``method="isotonic"``: :math:`s \to \sqrt{f(s)}`, where f is the increasing function of s
      that fits the squared errors best in least squares. Beyond the held-out range the deviation
      grows in proportion to s. This method needs a thousand labels or more.

    Calibrated deviations include the noise of labels, because the held-out errors do.

    Parameters
    ----------
    estimator : estimator
        Pipeline that ends in `SparseGPR`, `GPR` or `Committee`, or one of these. If it is fitted
        already, put it in a `sklearn.frozen.FrozenEstimator`: all data of `fit` then serve for
        calibration.
    method : {"coverage", "scale", "isotonic"}, default="coverage"
        How deviations are mapped.
    cv : int, cross-validation splitter, iterable or None, default=None
        How data are held out of the fit. The errors on each fold come from a fit to the other
        folds; the estimator that predicts is fitted to all data. An integer is the number of folds.
        They consist of whole groups if `fit` is given groups; otherwise they are random, but do
        not depend on the order of structures. Isolated atoms are never held out. None stands for
        two folds: deviations matter away from the data, and a model that has learned from most
        data makes only small errors on the rest.

    Attributes
    ----------
    estimator_ : estimator
        The estimator, fitted to all data.
    calibration_ : dict of str to ndarray
        For each of "energy", "forces" and "stress" that has labels, the factor and the noise, shape
        (2,), the noise in units of the label. With "isotonic", deviations of the estimator and
        the calibrated ones, shape (n_knots, 2), to be interpolated linearly.
    species_factors_ : dict of int to float
        With "coverage", the factors of forces by atomic number. Species without held-out forces
        have the factor in `calibration_`, which is that of all species together.

    References
    ----------
    F. Musil et al., J. Chem. Theory Comput. 15, 906 (2019), for a factor; V. Kuleshov, N. Fenner,
    S. Ermon, ICML (2018), for coverage, and for isotonic calibration in regression.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> data = skpot.datasets.load_silicon()
    >>> model = make_pipeline(skpot.SOAP(n_max=4, l_max=3), skpot.SparseGPR(n_sparse=50))
    >>> calibrated = skpot.CalibratedPotential(model).fit(data.X[:21], data.y[:21])
    >>> calibrated.predict(data.X_test[:2], return_std="all")[1]
    Targets(n_structures=2, energy=2, forces=2 (16 atoms), stress=2)
    """

    _parameter_constraints = {
        "estimator": [InstanceWith(["fit", "predict"])],
        "method": [StrOptions({"coverage", "scale", "isotonic"})],
        "cv": [Interval(Integral, 2, None, closed="left"), InstanceWith(["split"]), list, None],
    }

    def __init__(self, estimator: BaseEstimator, method: str = "coverage", cv: Any = None) -> None:
        self.estimator = estimator
        self.method = method
        self.cv = cv

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: TargetsLike, groups: ArrayLike | None = None) -> Self:
        """Fit the estimator and calibrate its standard deviations.

        Parameters
        ----------
        X : list[Atoms], or what else the estimator takes
            Structures.
        y : Targets, or array of shape (n_samples,)
            Labels, in eV, eV/Å and eV/Å³.
        groups : array of shape (n_samples,), optional
            Name of each structure's group, such as a trajectory; groups are held out as a whole.

        Returns
        -------
        self : CalibratedPotential

        Raises
        ------
        ValueError
            If no held-out structure has a label to compare with.
        """
        labels = targets_of(y, _num_samples(X))
        y = labels if isinstance(y, Targets) or not labels.has_energy.all() else labels.energy
        X, _, groups = indexable(X, y, groups)
        if isinstance(self.estimator, FrozenEstimator):
            self.estimator_ = self.estimator
            parts = [self._held_out(self.estimator_, X, y)]
        else:
            # The fit to all data comes first, since it checks X and gives all warnings.
            self.estimator_ = clone(self.estimator).fit(X, y)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SkpotWarning)
                parts = [
                    self._held_out(
                        clone(self.estimator).fit(_safe_indexing(X, train), y[train]),
                        _safe_indexing(X, test), y[test],
                    )
                    for train, test in self._splits(X, y, groups)
                ]  # fmt: skip
        held_out = _joined(parts)
        self.species_factors_ = {}
        if self.method == "coverage":
            self.calibration_, self.species_factors_ = coverage_factors(held_out)
        else:
            make = _factor_and_noise if self.method == "scale" else _isotonic
            self.calibration_ = {
                name: make(error[std > 0.0], std[std > 0.0])
                for name, (error, std, _) in held_out.items()
            }
        return self

    def _splits(self, X, y, groups):
        """Yield the indices of structures to learn from, and of those to compare with."""
        numbers = _numbers(X)
        for train, test in _folds(self.cv, X, y, groups):
            if numbers is not None:  # the model refuses species that it has not learned from
                known = np.unique(np.concatenate([numbers[k] for k in train]))
                test = np.array([k for k in test if np.isin(numbers[k], known).all()], dtype=int)
            if len(test):
                yield train, test

    @staticmethod
    def _held_out(estimator, X, y):
        """Return by quantity the errors, standard deviations and species of all labels, flat."""
        predicted, std = estimator.predict(X, return_std="all")
        found, numbers = {}, _numbers(X)
        for name in LABEL_KINDS:
            error, deviation = errors_and_deviations(y, predicted, std, name)
            species = np.zeros(len(error), dtype=np.int64)
            if name == "forces" and len(error) and numbers is not None:
                known = np.all([side.has_forces for side in (y, predicted, std)], axis=0)
                species = np.concatenate([numbers[k] for k in np.flatnonzero(known)])
                labeled = ~np.isnan(y[known].forces_flat).all(axis=1)
                species = np.repeat(species[labeled], 3)
            found[name] = error, deviation, species
        return found

    def predict(self, X: Any, return_std: bool | str = False) -> Any:
        """Predict what the estimator predicts.

        Parameters
        ----------
        X : list[Atoms], or what else the estimator takes
            Structures.
        return_std : bool or "all", default=False
            Also return calibrated standard deviations: True those of total energies, "all" those of
            everything that is predicted.

        Returns
        -------
        y : Targets, or ndarray of shape (n_samples,)
            The kind of y that `fit` was given.
        std : ndarray of shape (n_samples,), or Targets
            Only with `return_std`: an array in eV for True, the same kind as y for "all".
        """
        check_is_fitted(self)
        check_return_std(return_std)
        if not return_std:
            return self.estimator_.predict(X)
        y, std = self.estimator_.predict(X, return_std=return_std)
        return y, self.calibrate(std, X)

    def calibrate(
        self, std: Targets | FloatArray, X: AtomicFeatures | Structures | None = None
    ) -> Targets | FloatArray:
        """Map standard deviations of the estimator to calibrated ones.

        Parameters
        ----------
        std : Targets, or ndarray of shape (n_samples,)
            As the estimator predicts them; an array holds those of total energies.
        X : list[Atoms] or AtomicFeatures, optional
            The structures. With "coverage", the factors of forces depend on their species; without
            them all forces have the factor of all species together.

        Returns
        -------
        Targets or ndarray
            The same kind as `std`. Quantities that had no labels in `fit` are not changed.
        """
        check_is_fitted(self)
        numbers = None if X is None else _numbers(X)
        return calibrated_deviations(std, self.calibration_, self.species_factors_, numbers)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "calibration_")

    @property
    def n_features_in_(self) -> int:
        """Number of features, where the estimator takes features."""
        return self.estimator_.n_features_in_


def _joined(parts):
    """Return errors, standard deviations and species by quantity, from those of the folds."""
    held_out = {}
    for name in LABEL_KINDS:
        error, std, species = map(np.concatenate, zip(*(p[name] for p in parts), strict=True))
        # The error is NaN where forces are masked. Isolated atoms, whose energy is e0 itself,
        # have neither error nor deviation.
        known = np.isfinite(error) & ((error != 0.0) | (std > 0.0))
        if (known & (std > 0.0)).any():
            held_out[name] = error[known], std[known], species[known]
    if not held_out:
        raise InputError("no held-out structure has a label to compare predictions with.")
    return held_out


def _folds(cv, X, y, groups):
    """Return the indices of structures to learn from and to compare with, for each fold."""
    if cv is not None and not isinstance(cv, Integral):
        return given_splits(cv, len(X), np.asarray(y), groups)
    splits = content_splits(cv, _FOLDS, canonical_order(content_keys(X), y), groups)
    lone = np.flatnonzero(_are_lone_atoms(X))  # held out, they would be missing for e0
    return [(np.union1d(train, lone), test[~np.isin(test, lone)]) for train, test in splits]


def _are_lone_atoms(X):
    if isinstance(X, AtomicFeatures):
        if X.derivatives is None:
            return np.zeros(len(X), dtype=bool)
        return (X.n_atoms == 1) & (X.neighborhood_sizes()[X.offsets[:-1]] == 1)
    numbers = _numbers(X)
    if numbers is None:
        return np.zeros(len(X), dtype=bool)
    return np.array(
        [len(z) == 1 and not np.any(atoms.pbc) for z, atoms in zip(numbers, X, strict=True)]
    )


def _numbers(X):
    """Return the atomic numbers of each structure, or None if X does not hold any."""
    if isinstance(X, AtomicFeatures):
        return np.split(X.numbers, X.atom_offsets[1:-1])
    if len(X) and all(hasattr(atoms, "numbers") for atoms in X):
        return [atoms.numbers for atoms in X]
    return None


def _isotonic(error, std):
    """Return deviations at the knots of the increasing function, and the calibrated ones there."""
    regression = IsotonicRegression(out_of_bounds="clip").fit(std, error**2)
    return np.column_stack([regression.X_thresholds_, np.sqrt(regression.y_thresholds_)])


def _factor_and_noise(error, std):
    """Return the c and d of largest likelihood for normal errors of variance (c std)^2 + d^2.

    For a given ratio of d to c the best c has a formula, so that only the ratio is searched for.
    """
    unit = np.sqrt(np.mean(std**2))
    e2, s2 = error**2, (std / unit) ** 2

    def loss(log_ratio):
        shape = s2 + np.exp(log_ratio)
        return np.log(np.mean(e2 / shape)) + np.mean(np.log(shape))

    if not e2.any():
        return np.zeros(2)
    grid = np.linspace(-40.0, 10.0, 101)  # to find the lowest of several minima
    k = int(np.argmin([loss(g) for g in grid]))
    around = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
    ratio = np.exp(minimize_scalar(loss, bounds=around, method="bounded").x)
    c2 = np.mean(e2 / (s2 + ratio))
    return np.sqrt([c2 / unit**2, c2 * ratio])
