"""What all potentials share: labels and baseline before the fit, predictions after it.

A fitted kernel model is reference environments with a scalar each and, for models that learn
derivatives as such, a vector each: `reference_features_`, `reference_species_`, `dual_coef_`,
`dual_vectors_`.
"""

from __future__ import annotations

import copy
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from .._base import VersionedEstimator
from .._sklearn import Interval, StrOptions, _check_sample_weight
from ..data import LABEL_KINDS, Targets, check_targets
from ..data.elements import SYMBOLS
from ..data.order import environment_order
from ..exceptions import InputError
from ..processes.expansion import Expansion
from ..processes.references import References, one_by_one
from ..rows.blocks import as_targets
from ..rows.features import as_features, refuse_others
from ..rows.noise import SIGMA, with_noise
from ..selection import rare_first, structure_kinds
from ._baseline import (
    evaluate_term,
    free_energies,
    reference_energies,
    split_term,
    subtract_term,
)

if TYPE_CHECKING:
    from typing import Any, Self

    from skpot.data import AtomicFeatures
    from skpot.data.contracts import FeaturesLike
    from skpot.processes.contracts import PosteriorProcess
    from skpot.typing import FloatArray


class Potential(VersionedEstimator, RegressorMixin, BaseEstimator):
    """Regressor whose energies are sums over environments.

    A subclass has parameters `e0`, `baseline`, `targets` and the noise levels, and defines
    `_expand(features, slopes)`: energies of environments, without those of free atoms, and with
    `slopes` their derivatives.
    """

    # Of the parameters that all have; a subclass adds its own, and may replace these.
    _parameter_constraints = {
        "sigma_energy": SIGMA,
        "sigma_forces": SIGMA,
        "sigma_stress": SIGMA,
        "e0": [StrOptions({"isolated", "least_squares"}), dict, None],
        "baseline": [str, None],
        "targets": [StrOptions({"auto"}), tuple, list],
        "max_memory": [Interval(Real, 0, None, closed="neither"), None],
        "verbose": ["verbose"],
    }

    def _prepare(self, X, y, sample_weight, reset=True):
        """Check the input of `fit`, set the reference energies; return features and labels.

        The labels have all of their noise levels, weights included. Without `reset` the estimator
        is fitted already and the input is more of the same.
        """
        if reset:
            self.baseline_ = self.baseline
        self.label_settings_ = copy.deepcopy(self._label_settings())
        features, labels = self._read(X, y, sample_weight, reset)
        if reset:
            self.returns_targets_ = isinstance(y, Targets)
            self.e0_, self.e0_source_ = reference_energies(self.e0, features, labels)
            self._begin(features)
        else:
            self._refuse_unknown(features)
        return features, labels

    def _read(self, X, y, sample_weight, reset=False):
        """Return the features to learn from, and labels as the settings of the fit have them."""
        settings = dict(self.label_settings_)
        features, y = as_features(self, X, y, reset=reset)
        structures = features.derivatives is not None
        labels = check_targets(
            y,
            features.n_atoms,
            settings.pop("targets"),
            numbers=features.numbers,
            info=features.info,
            # Rows of a table may repeat; structures that do are worth a warning.
            keys=features.info.keys if structures else None,
        )
        weight = _weights(sample_weight, features)
        features, term = self._parts(features)
        if term is not None:
            labels = subtract_term(labels, term)
        return features, with_noise(labels, weight, **settings)

    def _begin(self, features):
        """Set what a fit needs to know of the features."""

    def _label_settings(self):
        """Return which labels count, and the noise levels of those that y says nothing of."""
        return {"targets": self.targets} | self._noise()

    def _noise(self):
        return {f"sigma_{kind}": getattr(self, f"sigma_{kind}") for kind in LABEL_KINDS}

    def _parts(self, features):
        """Return checked features to learn from, and those of the baseline or None."""
        refuse_others(self, features)
        return (features, None) if self.baseline_ is None else split_term(features, self.baseline_)

    def _residual(self, features, labels):
        """Return the energies (n_structures,) less those of the free atoms."""
        free = free_energies(self.e0_, features)
        return labels.energy - np.add.reduceat(free, features.offsets[:-1])

    def predict(self, X: FeaturesLike) -> Targets | FloatArray:
        """Predict energies, or energies with forces and stress.

        Parameters
        ----------
        X : AtomicFeatures, or array of shape (n_samples, n_features)
            Features.

        Returns
        -------
        y : Targets, or ndarray of shape (n_samples,)
            The kind of y that `fit` saw: an array of energies gives energies, `Targets` give
            energies, forces and (where a cell has a volume) stress.
        """
        check_is_fitted(self)
        features, _ = as_features(self, X)
        if self.returns_targets_ and features.derivatives is not None:
            atoms, forces, virials = self.evaluate(features)
            energy = np.add.reduceat(atoms, features.offsets[:-1])
            return as_targets(energy, features, forces, virials)
        features, term = self._parts(features)
        atoms, _ = self._environments(features, slopes=False)
        if term is not None:
            atoms += term.values.sum(axis=1)
        y = np.add.reduceat(atoms, features.offsets[:-1])
        return Targets(y) if self.returns_targets_ else y

    def evaluate(self, features: AtomicFeatures) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return energies of environments, forces and virials.

        Parameters
        ----------
        features : AtomicFeatures
            Features with derivatives.

        Returns
        -------
        energies : ndarray of shape (n_environments,)
            In eV, the free atoms' included; a structure's energy is their sum.
        forces : ndarray of shape (n_atoms, 3)
            In eV/Å.
        virials : ndarray of shape (n_structures, 6)
            -dE/d(strain) in eV, Voigt order xx yy zz yz xz xy.
        """
        check_is_fitted(self)
        features, term = self._parts(features)
        energies, g = self._environments(features, slopes=True)
        forces, virials = features.pull_back(g)
        if term is not None:
            more, more_forces, more_virials = evaluate_term(term)
            return energies + more, forces + more_forces, virials + more_virials
        return energies, forces, virials

    def decompose(self, features: AtomicFeatures) -> dict[str, FloatArray]:
        """Return what each term of the model contributes to the energy of each environment.

        Parameters
        ----------
        features : AtomicFeatures
            Features.

        Returns
        -------
        dict of str to ndarray of shape (n_environments,)
            In eV: "free_atoms", the baseline under its name if there is one, and the summands of
            the kernel by the names of their parameters, such as "kernel__k1"; "kernel" if it is no
            sum, "features" if the model has none. They add up to the energies of `evaluate`.
        """
        check_is_fitted(self)
        features, term = self._parts(features)
        self._refuse_unknown(features)
        parts = {"free_atoms": free_energies(self.e0_, features)}
        if term is not None:
            parts[self.baseline_] = term.values.sum(axis=1)
        return parts | self._learned_parts(features)

    def _learned_parts(self, features):
        """Return the energies of environments that the terms of the model add to these, by name."""
        return {"features": self._expand(features, slopes=False)[0]}

    def _environments(self, features, slopes):
        """Return each environment's energy and, with `slopes`, dE/d(features)."""
        self._refuse_unknown(features)
        energies, g = self._expand(features, slopes)
        return energies + free_energies(self.e0_, features), g

    def _refuse_unknown(self, features):
        known = np.isin(features.numbers, list(self.e0_))
        if not known.all():
            unknown = np.unique(features.numbers[~known])
            raise InputError(
                f"species {', '.join(SYMBOLS[z] for z in unknown)} did not occur in fit; this "
                f"model knows {', '.join(SYMBOLS[z] for z in sorted(self.e0_))}."
            )


def _weights(sample_weight, features):
    """Return the weight of each structure, shape (n_structures,)."""
    try:
        return _check_sample_weight(
            sample_weight, features, dtype=np.float64, ensure_non_negative=True
        )
    except ValueError as error:
        raise InputError(f"sample_weight cannot be used: {error}") from None


class KernelPotential(Potential):
    """Regressor whose energies are sums of kernels with reference environments.

    A subclass has a parameter `kernel` besides, and sets in `fit` the attributes that the module
    names; `kernel_` is the kernel with its blocks found.
    """

    _default_kernel = None  # what None stands for
    dual_vectors_ = None

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

    def _begin(self, features):
        kernel = self._kernel()
        kernel._validate_params()
        self.kernel_ = kernel.bind(features.blocks, features.shape[1])

    def _expand(self, features, slopes):
        return self._references().expand(
            features.values, features.species, self.dual_coef_, self.dual_vectors_, slopes
        )

    def _learned_parts(self, features):
        parts = {}
        for name, kernel in self.kernel_.terms().items():
            references = References(self.reference_features_, self.reference_species_, kernel)
            parts[name], _ = references.expand(
                features.values, features.species, self.dual_coef_, self.dual_vectors_, False
            )
        return parts

    def _references(self):
        return References(self.reference_features_, self.reference_species_, self.kernel_)

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


class VariancePotential(Potential):
    """Potential that knows how far its predictions may be off.

    A subclass defines `_process()`, see `_variance`, and sets `edge_std_`.
    """

    def predict(self, X: FeaturesLike, return_std: bool | str = False) -> Any:
        """Predict energies, or energies with forces and stress.

        Parameters
        ----------
        X : AtomicFeatures, or array of shape (n_samples, n_features)
            Features.
        return_std : bool or "all", default=False
            Also return standard deviations: True those of the total energies, "all" those of
            everything that is predicted, which take longer (see `predict_std`).

        Returns
        -------
        y : Targets, or ndarray of shape (n_samples,)
            The kind of y that `fit` saw: an array of energies gives energies, `Targets` give
            energies, forces and (where a cell has a volume) stress.
        std : ndarray of shape (n_samples,), or Targets
            Only with `return_std`; of the model, without label noise. An array in eV for True, of
            the kind of y for "all".
        """
        check_return_std(return_std)
        y = super().predict(X)
        if not return_std:
            return y
        features, _ = as_features(self, X)
        if return_std == "all" and self.returns_targets_:
            return y, self.predict_std(features)
        return y, self.energy_std(features)

    def energy_std(self, features: AtomicFeatures) -> FloatArray:
        """Return the standard deviation of total energies, shape (n_structures,), in eV."""
        return _root(self._process().energies(self._compared(features)))

    def energies_std(self, features: AtomicFeatures) -> FloatArray:
        """Return the standard deviation of each environment's energy.

        Parameters
        ----------
        features : AtomicFeatures
            Features.

        Returns
        -------
        ndarray of shape (n_environments,)
            In eV.
        """
        return _root(self._process().environments(self._compared(features)))

    def predict_std(self, features: AtomicFeatures) -> Targets:
        """Return the standard deviations of energies, forces and stress.

        Forces and stress take about as long as the rows they would add to a fit.

        Parameters
        ----------
        features : AtomicFeatures
            Features.

        Returns
        -------
        Targets
            Of the shapes of predictions, in eV, eV/Å and eV/Å³, without label noise; energies
            alone if the features have no derivatives.
        """
        energy = self.energy_std(features)
        if features.derivatives is None:
            return Targets(energy)
        forces, virials = self._process().derivatives(self._compared(features))
        return as_targets(energy, features, _root(forces), -_root(virials))

    def extrapolation_grade(self, features: AtomicFeatures) -> FloatArray:
        r"""Return how far environments are from those of the training set.

        The standard deviation of an environment's energy over the largest among the training
        environments of its species: at most 1 on the training set, and above 1 where the model
        extrapolates. The variance is the leverage of the environment in the least-squares problem
        of the fit, carried to all features of the kernel: a label of noise :math:`\sigma` there
        would multiply the determinant of the information by :math:`1 + s^2 / \sigma^2`, so that
        the grade ranks environments by D-optimality, as the grade of linear potentials does.

        Parameters
        ----------
        features : AtomicFeatures
            Features.

        Returns
        -------
        ndarray of shape (n_environments,)
            Without unit.

        Notes
        -----
        Fits to few labels look at some of the environments only, to stay as fast as they are: at
        200 of each species, or one for three labels if those are more.

        References
        ----------
        E. V. Podryapinkin, A. V. Shapeev, Comput. Mater. Sci. 140, 171 (2017); Y. Lysogorskiy
        et al., Phys. Rev. Mater. 7, 043801 (2023), for linear models; C. E. Rasmussen, C. K. I.
        Williams, Gaussian Processes for Machine Learning (2006), sec. 2.1, for leverage as
        variance.
        """
        std = self.energies_std(features)
        edge = self._edges()
        # Of a species that e0 knows but no training structure has, everything is unknown.
        largest = np.array([edge.get(int(z), 0.0) for z in features.centers])
        return np.divide(std, largest, out=np.full(len(std), np.inf), where=largest > 0)

    def _edges(self):
        return self.edge_std_

    def _compared(self, features):
        """Return what kernels compare of features that a fitted model can take."""
        check_is_fitted(self)
        features, _ = self._parts(features)
        self._refuse_unknown(features)
        return features


def check_return_std(return_std: bool | str) -> None:
    """Raise `ValueError` unless `return_std` is one of its values."""
    if not (isinstance(return_std, bool) or return_std == "all"):
        raise InputError(f'return_std must be True, False or "all", got {return_std!r}')


def edge_std(
    process: PosteriorProcess, features: AtomicFeatures, jitter: float | None, limit: int
) -> dict[int, float]:
    """Return the largest standard deviation of an environment's energy, by species.

    What K_MM was given as jitter, if any, is below what variances resolve: it is the least of them.
    Of each species at most `limit` environments are looked at, the same in any order of the data,
    with some of each kind of structures as far as they fit into a quarter.
    """
    edge, order = {}, environment_order(features)
    kinds = np.repeat(structure_kinds(features), features.n_rows)
    for z in np.unique(features.centers):
        rows = order[features.centers[order] == z]
        some = one_by_one(features, rare_first(rows, kinds, limit // 4)[:limit])
        least = jitter * np.max(process.kernel.diag(some.values)) if jitter else 0.0
        edge[int(z)] = float(np.sqrt(max(process.environments(some).max(), least)))
    return edge


def _root(variance):
    return np.sqrt(np.maximum(variance, 0.0))
