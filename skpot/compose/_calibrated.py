"""Standard deviations made to agree with errors on data that were not learnt from."""

from numbers import Integral

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import GroupKFold, check_cv
from sklearn.utils import indexable
from sklearn.utils.validation import check_is_fitted, column_or_1d

from .._base import VersionedEstimator
from .._sklearn import HasMethods, Interval, StrOptions, _fit_context, _safe_indexing
from ..data import Targets
from ..metrics._uncertainty import QUANTITIES, errors_and_deviations
from ..models._potential import check_return_std


class CalibratedPotential(VersionedEstimator, MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    r"""Potential whose standard deviations are those of its errors on held-out data.

    Wraps a whole pipeline. Predictions stay what they are; the standard deviations of total
    energies, forces and stress are each mapped by an increasing function of their own,

    - ``method="scale"``: :math:`s \to \sqrt{c^2 s^2 + d^2}`, with the factor c and the noise d that
      give held-out errors the largest likelihood, taken as normal. The noise is for labels that
      symmetry fixes for the model but not for the reference, such as forces in perfect crystals:
      the factor alone would be :math:`c^2 = \langle e^2 / s^2 \rangle`, which they dominate.
    - ``method="isotonic"``: :math:`s \to \sqrt{f(s)}`, f being the increasing function that fits
      e^2 over s best in least squares. Beyond the held-out range it goes on in proportion to s, so
      that uncertainty still grows off the data. It takes many data: a thousand labels or more.

    Calibrated deviations are those of labels: their noise is in the errors, and so in them.

    Parameters
    ----------
    estimator : estimator
        Pipeline that ends in `SparseGPR`, `GPR` or `Committee`, or one of these. In a
        `sklearn.frozen.FrozenEstimator` it is fitted already, and all data of `fit` serve
        calibration.
    method : {"scale", "isotonic"}, default="scale"
        How deviations are mapped.
    cv : int, cross-validation splitter, iterable or None, default=None
        How data are held out of an estimator that is to be fitted: errors are those of each fold
        by a fit to the others, and the estimator that predicts is fitted to all. An integer is a
        number of folds, of whole groups where `fit` is given groups; None stands for 5.

    Attributes
    ----------
    estimator_ : estimator
        Fitted to all data.
    calibration_ : dict of str to ndarray
        For "energy", "forces" and "stress", as far as there are labels. With "scale" the factor and
        the noise, shape (2,), the latter in the units of the label. With "isotonic" deviations of
        the estimator and what they are mapped to, shape (n_knots, 2), linearly in between.

    References
    ----------
    F. Musil et al., J. Chem. Theory Comput. 15, 906 (2019), for a factor; V. Kuleshov, N. Fenner,
    S. Ermon, ICML (2018), for isotonic calibration in regression.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, _ = skpot.datasets.load_silicon(return_X_y=True)
    >>> model = make_pipeline(skpot.SOAP(n_max=4, l_max=3), skpot.SparseGPR(n_sparse=50))
    >>> calibrated = skpot.CalibratedPotential(model, cv=3).fit(X[:21], y[:21])
    >>> calibrated.predict(X_test[:2], return_std="all")[1]
    Targets(n_structures=2, energy=2, forces=2 (16 atoms), stress=2)
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "predict"])],
        "method": [StrOptions({"scale", "isotonic"})],
        "cv": [Interval(Integral, 2, None, closed="left"), HasMethods(["split"]), list, None],
    }

    def __init__(self, estimator, method="scale", cv=None):
        self.estimator = estimator
        self.method = method
        self.cv = cv

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, groups=None):
        """Fit the estimator and calibrate its standard deviations.

        Parameters
        ----------
        X : list[Atoms], or what else the estimator takes
            Structures.
        y : Targets, or array of shape (n_samples,)
            Labels, in eV, eV/Å and eV/Å^3.
        groups : array of shape (n_samples,), optional
            Structures of one group, such as a trajectory, are held out together.

        Returns
        -------
        self : CalibratedPotential

        Raises
        ------
        ValueError
            If no held-out structure has a label to compare with.
        """
        y = _checked(y, type(self).__name__)
        X, _, groups = indexable(X, y, groups)
        if isinstance(self.estimator, FrozenEstimator):
            self.estimator_ = self.estimator
            parts = [self._held_out(self.estimator_, X, y)]
        else:
            self.estimator_ = clone(self.estimator).fit(X, y)  # first: it knows what X may be
            parts = [
                self._held_out(
                    clone(self.estimator).fit(_safe_indexing(X, train), y[train]),
                    _safe_indexing(X, test), y[test],
                )
                for train, test in self._splits(X, y, groups)
            ]  # fmt: skip
        self.calibration_ = {}
        for name in QUANTITIES:
            error, std = (np.concatenate([part[name][k] for part in parts]) for k in (0, 1))
            usable = std > 0  # those of free atoms, which e0 gives exactly, may vanish
            if usable.any():
                self.calibration_[name] = self._calibration(error[usable], std[usable])
        if not self.calibration_:
            raise ValueError("no held-out structure has a label to compare predictions with.")
        return self

    def _splits(self, X, y, groups):
        cv = 5 if self.cv is None else self.cv
        if groups is not None and isinstance(cv, Integral):
            cv = GroupKFold(cv)
        return check_cv(cv).split(X, np.asarray(y), groups)

    @staticmethod
    def _held_out(estimator, X, y):
        """Return errors and standard deviations of all labels, flat, by quantity."""
        predicted, std = estimator.predict(X, return_std="all")
        return {name: errors_and_deviations(y, predicted, std, name) for name in QUANTITIES}

    def _calibration(self, error, std):
        if self.method == "scale":
            return _factor_and_noise(error, std)
        regression = IsotonicRegression(out_of_bounds="clip").fit(std, error**2)
        return np.column_stack([regression.X_thresholds_, np.sqrt(regression.y_thresholds_)])

    def predict(self, X, return_std=False):
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
            The kind of y that `fit` saw.
        std : ndarray of shape (n_samples,), or Targets
            Only with `return_std`. An array in eV for True, of the kind of y for "all".
        """
        check_is_fitted(self)
        check_return_std(return_std)
        if not return_std:
            return self.estimator_.predict(X)
        y, std = self.estimator_.predict(X, return_std=return_std)
        return y, self.calibrate(std)

    def calibrate(self, std):
        """Map standard deviations of the estimator to calibrated ones.

        Parameters
        ----------
        std : Targets, or ndarray of shape (n_samples,)
            As the estimator gives them; an array holds those of total energies.

        Returns
        -------
        Targets or ndarray
            Likewise. Quantities without labels at calibration stay as they are.
        """
        check_is_fitted(self)
        if not isinstance(std, Targets):
            return self._mapped("energy", std)
        forces, stress = std.forces, std.stress
        return Targets(
            self._mapped("energy", std.energy),
            None if forces is None else [self._mapped("forces", f) for f in forces],
            None if stress is None else self._mapped("stress", stress),
        )

    def _mapped(self, name, std):
        if name not in self.calibration_:
            return std
        if self.method == "scale":
            factor, noise = self.calibration_[name]
            return np.hypot(factor * std, noise)
        x, y = self.calibration_[name].T
        # In proportion beyond the ends, and NaN (no stress) stays.
        inside = np.clip(std, x[0], x[-1])
        return np.interp(inside, x, y) * (std / inside)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "calibration_")

    @property
    def n_features_in_(self):
        """Number of features, where the estimator takes features."""
        return self.estimator_.n_features_in_


def _checked(y, name):
    """Return y as Targets or as a float array of one dimension."""
    if isinstance(y, Targets):
        return y
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None")
    return column_or_1d(y, dtype=float, warn=True)


def _factor_and_noise(error, std):
    """Return c and d of greatest likelihood for normal errors of variance (c std)^2 + d^2.

    For a given ratio of d to c the best c is known, which leaves one number to be searched for.
    """
    unit = np.sqrt(np.mean(std**2))
    e2, s2 = error**2, (std / unit) ** 2

    def loss(log_ratio):
        shape = s2 + np.exp(log_ratio)
        return np.log(np.mean(e2 / shape)) + np.mean(np.log(shape))

    if not e2.any():
        return np.zeros(2)
    grid = np.linspace(-40.0, 10.0, 101)  # of several minima the lowest
    k = int(np.argmin([loss(g) for g in grid]))
    around = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
    ratio = np.exp(minimize_scalar(loss, bounds=around, method="bounded").x)
    c2 = np.mean(e2 / (s2 + ratio))
    return np.sqrt([c2 / unit**2, c2 * ratio])
