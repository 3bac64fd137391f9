"""What all potentials share: labels and baseline before the fit, predictions after it.

A fitted kernel model is reference environments with a scalar each and, for models that learn
derivatives as such, a vector each: `reference_features_`, `reference_species_`, `dual_coef_`,
`dual_vectors_`.
"""

import numpy as np
from scipy.linalg import solve_triangular
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from .._base import VersionedEstimator
from .._sklearn import _check_sample_weight
from ..data import Targets, check_targets
from ..data._elements import SYMBOLS
from ._baseline import (
    evaluate_term,
    free_energies,
    reference_energies,
    split_term,
    subtract_term,
)
from ._input import as_features
from ._noise import LABELS, with_noise
from ._references import References
from ._rows import as_targets


class Potential(VersionedEstimator, RegressorMixin, BaseEstimator):
    """Regressor whose energies are sums over environments.

    A subclass has parameters `e0`, `baseline`, `targets` and the noise levels, and defines
    `_expand(features, slopes)`: energies of environments, without those of free atoms, and with
    `slopes` their derivatives.
    """

    def _prepare(self, X, y, sample_weight, reset=True):
        """Check the input of `fit`, set the reference energies; return features and labels.

        The labels have all of their noise levels, weights included. Without `reset` the estimator
        is fitted already and the input is more of the same.
        """
        features, y = as_features(self, X, y, reset=reset)
        structures = features.derivatives is not None
        labels = check_targets(
            y,
            features.n_atoms,
            self.targets,
            numbers=features.numbers,
            volumes=features.volumes,
            # Rows of a table may repeat; structures that do are worth a warning.
            environments=features.values if structures else None,
            stacklevel=5,  # past `fit` and scikit-learn's wrapper of it
        )
        weight = _check_sample_weight(
            sample_weight, features, dtype=np.float64, ensure_non_negative=True
        )
        if reset:
            self.returns_targets_ = isinstance(y, Targets)
        features, term = self._parts(features)
        if term is not None:
            labels = subtract_term(labels, term)
        labels = with_noise(labels, weight, **self._noise())
        if reset:
            self.e0_, self.e0_source_ = reference_energies(
                self.e0, features, labels.energy, labels.sigma_energy**-2.0
            )
            self._begin(features)
        else:
            self._refuse_unknown(features)
        return features, labels

    def _begin(self, features):
        """Set what a fit needs to know of the features."""

    def _noise(self):
        """Return the noise levels of labels that y says nothing of."""
        return {f"sigma_{kind}": getattr(self, f"sigma_{kind}") for kind in LABELS}

    def _parts(self, features):
        """Return the features to learn from, and those of the baseline or None."""
        return (features, None) if self.baseline is None else split_term(features, self.baseline)

    def _residual(self, features, labels):
        """Return the energies (n_structures,) less those of the free atoms."""
        free = free_energies(self.e0_, features)
        return labels.energy - np.add.reduceat(free, features.offsets[:-1])

    def predict(self, X):
        """Predict energies, or energies with forces and stress.

        Parameters
        ----------
        X : AtomicFeatures, or array of shape (n_samples, n_features)
            Features.

        Returns
        -------
        y : Targets, or ndarray of shape (n_samples,)
            The kind of y that `fit` saw: an array of energies gives energies, `Targets` give
            energies, forces and (cells periodic in three directions) stress.
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

    def evaluate(self, features):
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

    def _environments(self, features, slopes):
        """Return each environment's energy and, with `slopes`, dE/d(features)."""
        self._refuse_unknown(features)
        energies, g = self._expand(features, slopes)
        return energies + free_energies(self.e0_, features), g

    def _refuse_unknown(self, features):
        unknown = np.setdiff1d(features.numbers, list(self.e0_))
        if len(unknown):
            raise ValueError(
                f"species {', '.join(SYMBOLS[z] for z in unknown)} did not occur in fit; this "
                f"model knows {', '.join(SYMBOLS[z] for z in sorted(self.e0_))}."
            )


class KernelPotential(Potential):
    """Regressor whose energies are sums of kernels with reference environments.

    A subclass has a parameter `kernel` besides, and sets in `fit` the attributes that the module
    names; `kernel_` is the kernel with its blocks found.
    """

    _default_kernel = None  # what None stands for
    dual_vectors_ = None

    def set_params(self, **params):
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

    def _references(self):
        return References(self.reference_features_, self.reference_species_, self.kernel_)


class VariancePotential(Potential):
    """Potential with `energy_std(features)`."""

    def predict(self, X, return_std=False):
        """Predict energies, or energies with forces and stress.

        Parameters
        ----------
        X : AtomicFeatures, or array of shape (n_samples, n_features)
            Features.
        return_std : bool, default=False
            Also return the standard deviation of the total energies.

        Returns
        -------
        y : Targets, or ndarray of shape (n_samples,)
            The kind of y that `fit` saw: an array of energies gives energies, `Targets` give
            energies, forces and (cells periodic in three directions) stress.
        std : ndarray of shape (n_samples,)
            Only with `return_std`; in eV, of the model, without label noise.
        """
        y = super().predict(X)
        return (y, self.energy_std(as_features(self, X)[0])) if return_std else y


def projected_std(references, covariance_factor, posterior_factor, features):
    """Return the standard deviation of total energies given the labels of a sparse process.

    Parameters
    ----------
    references : References
        Its M references.
    covariance_factor : ndarray of shape (M, M)
        Lower triangle L with L L^T = K_MM.
    posterior_factor : ndarray of shape (M, M)
        Upper triangle of the least-squares system in whitened coefficients.
    features : AtomicFeatures
        Structures.

    Returns
    -------
    ndarray of shape (n_structures,)
        In eV.
    """
    sums = np.zeros((len(features), len(references)))
    references.sums(features, sums)
    explained = solve_triangular(covariance_factor, sums.T, lower=True)
    remaining = solve_triangular(posterior_factor, explained, trans="T")
    variance = prior_variance(references.kernel, features)
    variance += np.sum(remaining**2, axis=0) - np.sum(explained**2, axis=0)
    return np.sqrt(np.maximum(variance, 0.0))


def prior_variance(kernel, features):
    """Return the variance of each structure's energy before any label, shape (n_structures,)."""
    prior = np.zeros(len(features))
    for s in range(len(features)):
        rows = slice(features.offsets[s], features.offsets[s + 1])
        x, species = features.values[rows], features.species[rows]
        for z in np.unique(species):
            prior[s] += _total(kernel, x[species == z])
    return prior


def _total(kernel, x, limit=1024):
    """Return the sum of k over all pairs of rows, a block at a time."""
    return sum(float(np.sum(kernel(x[b : b + limit], x))) for b in range(0, len(x), limit))
