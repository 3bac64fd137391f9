"""Standard deviations made to agree with errors on data that were not learned from."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import erf
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
from ..metrics import errors_and_deviations
from ..models import check_return_std
from ..selection import content_splits, given_splits

if TYPE_CHECKING:
    from typing import Any, Self

    from numpy.typing import ArrayLike

    from skpot.data.contracts import TargetsLike
    from skpot.typing import FloatArray, Structures

_FOLDS = 2
_CERTAIN = 1e-3  # deviations below this share of the root mean square one are those of symmetry
_FEW = 100  # forces of all species count as much as so many components of one


class CalibratedPotential(VersionedEstimator, MetaEstimatorMixin, RegressorMixin, BaseEstimator):
    r"""Potential whose standard deviations are those of its errors on held-out data.

    Wraps a whole pipeline. Predictions stay what they are; the standard deviations of total
    energies, forces and stress are each mapped by an increasing function of their own,

    - ``method="coverage"``: :math:`s \to \sqrt{f^2 s^2 + d^2}`. Forces have a factor f for each
      species, with which held-out errors lie within central intervals as often as they should,
      averaged over levels,

      .. math:: \Big\langle \mathrm{erf}\Big( \frac{|e|}{\sqrt{2}\, f s} \Big) \Big\rangle
                = \frac{1}{2}

      Energies and stress are sums over many atoms, in which large errors count for more, and
      energies alone are too few to tell their factor; but all deviations of one Gaussian process
      share its prior variance. So both have the factor of mean errors, of all kinds of labels
      alike: the mean over the kinds of :math:`\sqrt{\pi/2}\, \langle |e| / s \rangle`.
      The noise d is that of labels which symmetry fixes for the model but not for the reference,
      such as forces in perfect crystals, where s vanishes.
    - ``method="scale"``: the same map, with the factor and the noise of each kind of label that
      give held-out errors the largest likelihood, taken as normal. For labels with much noise. What
      it takes for noise does not grow off the data, so that deviations there may be too small.
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
    method : {"coverage", "scale", "isotonic"}, default="coverage"
        How deviations are mapped.
    cv : int, cross-validation splitter, iterable or None, default=None
        How data are held out of an estimator that is to be fitted: errors are those of each fold
        by a fit to the others, and the estimator that predicts is fitted to all. An integer is a
        number of folds, of whole groups where `fit` is given groups, else at random, by the content
        of structures and not their order; lone atoms are learned from in all of them. None stands
        for two: deviations are asked for off the data, and a model that knows most of them is
        seldom wrong on the rest.

    Attributes
    ----------
    estimator_ : estimator
        Fitted to all data.
    calibration_ : dict of str to ndarray
        For "energy", "forces" and "stress", as far as there are labels. The factor and the noise,
        shape (2,), the latter in the units of the label. With "isotonic" deviations of the
        estimator and what they are mapped to, shape (n_knots, 2), linearly in between.
    species_factors_ : dict of int to float
        With "coverage" the factors of forces by atomic number, in place of that in `calibration_`,
        which is of all species and stands for those that no held-out forces told of.

    References
    ----------
    F. Musil et al., J. Chem. Theory Comput. 15, 906 (2019), for a factor; V. Kuleshov, N. Fenner,
    S. Ermon, ICML (2018), for coverage, and for isotonic calibration in regression.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, _ = skpot.datasets.load_silicon(return_X_y=True)
    >>> model = make_pipeline(skpot.SOAP(n_max=4, l_max=3), skpot.SparseGPR(n_sparse=50))
    >>> calibrated = skpot.CalibratedPotential(model).fit(X[:21], y[:21])
    >>> calibrated.predict(X_test[:2], return_std="all")[1]
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
            Structures of one group, such as a trajectory, are held out together.

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
            self.estimator_ = clone(self.estimator).fit(X, y)  # first: it knows what X may be
            with warnings.catch_warnings():  # it has warned of all there is to warn of
                warnings.simplefilter("ignore", SkpotWarning)
                parts = [
                    self._held_out(
                        clone(self.estimator).fit(_safe_indexing(X, train), y[train]),
                        _safe_indexing(X, test), y[test],
                    )
                    for train, test in self._splits(X, y, groups)
                ]  # fmt: skip
        held_out = {}
        for name in LABEL_KINDS:
            error, std, species = map(np.concatenate, zip(*(p[name] for p in parts), strict=True))
            # Of free atoms, which e0 gives exactly, both vanish; forces may be masked.
            told = np.isfinite(error) & ((error != 0.0) | (std > 0.0))
            if (told & (std > 0.0)).any():
                held_out[name] = error[told], std[told], species[told]
        if not held_out:
            raise InputError("no held-out structure has a label to compare predictions with.")
        self.species_factors_ = {}
        if self.method == "coverage":
            self.calibration_, self.species_factors_ = _coverage(held_out)
        else:
            make = _factor_and_noise if self.method == "scale" else _isotonic
            self.calibration_ = {
                name: make(error[std > 0.0], std[std > 0.0])
                for name, (error, std, _) in held_out.items()
            }
        return self

    def _splits(self, X, y, groups):
        """Yield structures to learn from, and those to compare with."""
        numbers = _numbers(X)
        for train, test in _folds(self.cv, X, y, groups):
            if numbers is not None:  # of other species the model refuses to say anything
                known = np.unique(np.concatenate([numbers[k] for k in train]))
                test = np.array([k for k in test if np.isin(numbers[k], known).all()], dtype=int)
            if len(test):
                yield train, test

    @staticmethod
    def _held_out(estimator, X, y):
        """Return errors, standard deviations and species of all labels, flat, by quantity."""
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
            The kind of y that `fit` saw.
        std : ndarray of shape (n_samples,), or Targets
            Only with `return_std`. An array in eV for True, of the kind of y for "all".
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
            As the estimator gives them; an array holds those of total energies.
        X : list[Atoms] or AtomicFeatures, optional
            The structures, whose species "coverage" tells forces apart by. Without them forces have
            the factor of all species.

        Returns
        -------
        Targets or ndarray
            Likewise. Quantities without labels at calibration stay as they are.
        """
        check_is_fitted(self)
        if not isinstance(std, Targets):
            return self._mapped("energy", std)
        forces, stress = std.forces, std.stress
        if forces is not None:
            factors = self._force_factors(X, len(forces))
            forces = [self._mapped("forces", f, c) for f, c in zip(forces, factors, strict=True)]
        return Targets(
            self._mapped("energy", std.energy),
            forces,
            None if stress is None else self._mapped("stress", stress),
        )

    def _force_factors(self, X, n):
        """Return for each of n structures the factors of its atoms' forces, None for the common."""
        numbers = None if X is None else _numbers(X)
        if numbers is None or not self.species_factors_:
            return [None] * n
        common = self.calibration_["forces"][0]
        return [
            np.array([self.species_factors_.get(z, common) for z in kinds.tolist()])[:, None]
            for kinds in numbers
        ]

    def _mapped(self, name, std, factor=None):
        if name not in self.calibration_:
            return std
        if self.calibration_[name].ndim == 1:
            common, noise = self.calibration_[name]
            return np.hypot((common if factor is None else factor) * std, noise)
        x, y = self.calibration_[name].T
        # In proportion beyond the ends, and NaN (no stress) stays.
        inside = np.clip(std, x[0], x[-1])
        return np.interp(inside, x, y) * (std / inside)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "calibration_")

    @property
    def n_features_in_(self) -> int:
        """Number of features, where the estimator takes features."""
        return self.estimator_.n_features_in_


def _folds(cv, X, y, groups):
    """Return structures to learn from and to compare with; lone atoms are always learned from."""
    if cv is not None and not isinstance(cv, Integral):
        return given_splits(cv, len(X), np.asarray(y), groups)
    splits = content_splits(cv, _FOLDS, canonical_order(content_keys(X), y), groups)
    lone = np.flatnonzero(_are_lone_atoms(X))  # without them e0 would be another
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
    """Return the atomic numbers of each structure, or None where X says nothing of them."""
    if isinstance(X, AtomicFeatures):
        return np.split(X.numbers, X.atom_offsets[1:-1])
    if len(X) and all(hasattr(atoms, "numbers") for atoms in X):
        return [atoms.numbers for atoms in X]
    return None


def _coverage(held_out):
    """Return factors and noise by kind of label, and factors of forces by species."""
    ratios, noise, species = {}, {}, None
    for name, (error, std, numbers) in held_out.items():
        certain = std <= _CERTAIN * np.sqrt(np.mean(std**2))
        noise[name] = _factor([np.abs(error[certain])], [1.0]) if certain.any() else 0.0
        ratios[name] = np.abs(error[~certain]) / std[~certain]
        if name == "forces":
            species = numbers[~certain]
    common = np.sqrt(np.pi / 2.0) * np.mean([np.mean(r) for r in ratios.values()])
    factors, by_species = dict.fromkeys(ratios, common), {}
    if "forces" in ratios:
        forces = ratios["forces"]
        factors["forces"] = _factor([forces], [1.0])
        for z in np.unique(species[species > 0]).tolist():
            own = forces[species == z]
            by_species[z] = _factor([own, forces], [len(own), _FEW])
    return {name: np.array([factors[name], noise[name]]) for name in ratios}, by_species


def _factor(ratios, weights):
    """Return the factor at which the mean of the levels that errors reach is one half.

    `ratios` are sets of |error| / deviation; the means over the sets enter with their weights.
    """
    weights = np.asarray(weights) / np.sum(weights)

    def excess(log_factor):
        scale = np.exp(-log_factor) / np.sqrt(2.0)
        reached = [np.mean(erf(scale * r)) for r in ratios]
        return weights @ reached - 0.5

    positive = [r[r > 0] for r in ratios]
    if weights @ [len(p) / len(r) for p, r in zip(positive, ratios, strict=True)] <= 0.5:
        return 0.0  # most errors vanish
    ends = np.log([f(np.concatenate(positive)) for f in (np.min, np.max)])
    return float(np.exp(brentq(excess, ends[0] - 8.0, ends[1] + 8.0, xtol=1e-10)))


def _isotonic(error, std):
    """Return the knots of the increasing function, and its roots there."""
    regression = IsotonicRegression(out_of_bounds="clip").fit(std, error**2)
    return np.column_stack([regression.X_thresholds_, np.sqrt(regression.y_thresholds_)])


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
