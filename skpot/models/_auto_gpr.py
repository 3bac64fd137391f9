"""Gaussian process that chooses its noise, weights and kind of solution from the labels."""

import warnings
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from .._sklearn import Interval, StrOptions, _fit_context
from ..kernels import RBF
from ._gpr import GPR
from ._potential import VariancePotential
from ._sparse_gpr import SparseGPR

_ENERGY = 0.02  # noise of energies per atom over that of forces, Å
_STRESS = 0.1  # noise of stress over that of forces, 1/Å^2
_EXTREME = 4.0  # severity of a structure beyond which its labels lose weight
_ORDINARY = 90.0  # percentile of structures that is no extreme by definition
_LEAST = 1e-6  # of labels, which must not be all zero
_TOLERANCE = 0.2  # of the exact model, in units of the noise, which is small here


class AutoGPR(VariancePotential):
    r"""Gaussian process whose noise, weights and size follow from the training set.

    The model is a `GPR` where the training set is small enough, else a `SparseGPR`, with a
    Gaussian kernel on features of unit mean squared length such as those of
    `PrincipalComponents`. With :math:`\bar f` the mean absolute force component after the
    baseline,

    .. math:: \sigma_F = \nu \bar f, \qquad \sigma_E = 0.02\,\text{Å}\;\sigma_F, \qquad
              \sigma_S = 0.1\,\text{Å}^{-2}\;\sigma_F

    per atom for energies. Stress counts for little next to forces, because that of
    plane-wave calculations is not quite the derivative of their energies (it lacks what changes
    with the basis set), and energies count for much, because they are few. Without forces,
    :math:`\sigma_E = \nu \bar e`, with :math:`\bar e` the mean absolute energy per atom after free
    atoms.

    Extreme structures, such as strongly compressed ones, lose weight: the severity of a
    structure is its largest of root mean square force, energy per atom above the median and
    stress times volume per atom, each over its 90th percentile in the training set. Beyond four
    it divides the weight by its square, so that the noise grows with the labels.

    Parameters
    ----------
    kernel : kernel object, default=None
        From `skpot.kernels`; None stands for `RBF()`.
    noise : float, default=0.015
        Noise of forces relative to their mean absolute component, :math:`\nu`.
    n_sparse : int, default=2000
        References of the sparse model, or of the preconditioner of the exact one.
    selection : {"cur", "fps", "random"}, default="random"
        How the references of the sparse model are chosen.
    max_pairs : float, default=1e9
        Largest number of pairs of environments of one species for which the process is exact; the
        cost of each iteration is in proportion. 0 makes it sparse always.
    e0 : None, "isolated", "least_squares" or dict, default=None
        Energy of a free atom of each species; see `SparseGPR`.
    baseline : str or None, default=None
        Name of a block of features that are energies; see `SparseGPR`.
    targets : "auto" or tuple of {"energy", "forces", "stress"}, default="auto"
        Labels to learn from. "auto" takes what y has; a tuple makes a missing one an error.
    max_memory : float or None, default=None
        Bytes the fit may use; None stands for half of the memory that is free.
    random_state : int, RandomState or None, default=0
        Seed of the choice of references.
    verbose : int, default=0
        1 shows progress bars.

    Attributes
    ----------
    model_ : GPR or SparseGPR
        The fitted model; its attributes say the rest.
    sigma_energy_, sigma_forces_, sigma_stress_ : float
        Noise in use: eV per atom, eV/Å and eV/Å^3.
    weight_ : ndarray of shape (n_structures,)
        Weights of the training structures, `sample_weight` included.
    exact_ : bool
        Whether `model_` is a `GPR`.
    n_pairs_ : int
        Number of pairs of environments of one species.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    make_potential : Pipelines that end in this regressor.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, y_test = skpot.datasets.load_silicon(return_X_y=True)
    >>> soap = skpot.SOAP(hypers="fast", central_weight=0.0, normalize=False)
    >>> model = make_pipeline(soap, skpot.PrincipalComponents(50), skpot.AutoGPR(max_pairs=0))
    >>> model.fit(X[:5], y[:5])[-1].exact_
    False
    """

    _default_kernel = RBF

    _parameter_constraints = {
        "kernel": GPR._parameter_constraints["kernel"],
        "noise": [Interval(Real, 0, None, closed="neither")],
        "n_sparse": [Interval(Integral, 1, None, closed="left")],
        "selection": SparseGPR._parameter_constraints["selection"],
        "max_pairs": [Interval(Real, 0, None, closed="left")],
        "e0": [StrOptions({"isolated", "least_squares"}), dict, None],
        "baseline": [str, None],
        "targets": [StrOptions({"auto"}), tuple, list],
        "max_memory": [Interval(Real, 0, None, closed="neither"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        kernel=None,
        *,
        noise=0.015,
        n_sparse=2000,
        selection="random",
        max_pairs=1e9,
        e0=None,
        baseline=None,
        targets="auto",
        max_memory=None,
        random_state=0,
        verbose=0,
    ):
        self.kernel = kernel
        self.noise = noise
        self.n_sparse = n_sparse
        self.selection = selection
        self.max_pairs = max_pairs
        self.e0 = e0
        self.baseline = baseline
        self.targets = targets
        self.max_memory = max_memory
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Choose noise, weights and model, and fit it.

        Parameters
        ----------
        X : AtomicFeatures, or array of shape (n_samples, n_features)
            Features with derivatives; the rows of an array count as one environment each.
        y : Targets, or array of shape (n_samples,)
            Labels, in eV, eV/Å and eV/Å^3; an array holds energies.
        sample_weight : array of shape (n_samples,), optional
            Multiplies the inverse variance of all labels of a structure.

        Returns
        -------
        self : AutoGPR

        Raises
        ------
        ValueError
            If labels are missing, not finite or of the wrong shape, all problems at once; if
            `max_memory` cannot be met.
        DivergenceError
            If the labels' covariance exceeds their noise by too much; see `GPR`.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the model's own fit repeats them
            features, labels, weight = self._prepare(X, y, sample_weight)
        sizes = _sizes(features, labels, self._residual(features, labels))
        self.weight_ = weight / np.maximum(1.0, sizes.severity / _EXTREME) ** 2
        level = float(self.noise) * max(sizes.level, _LEAST)
        self.sigma_forces_, self.sigma_stress_ = level, _STRESS * level
        self.sigma_energy_ = _ENERGY * level if sizes.has_forces else level
        _, counts = np.unique(features.species, return_counts=True)
        self.n_pairs_ = int(np.sum(counts.astype(np.int64) ** 2))
        self.exact_ = self.n_pairs_ <= self.max_pairs
        self.model_ = self._model().fit(X, y, sample_weight=self.weight_)
        return self

    def _model(self):
        """Return the regressor that the choices amount to."""
        shared = {
            "sigma_energy": self.sigma_energy_,
            "sigma_forces": self.sigma_forces_,
            "sigma_stress": self.sigma_stress_,
            "e0": self.e0,
            "baseline": self.baseline,
            "targets": self.targets,
            "max_memory": self.max_memory,
            "random_state": self.random_state,
            "verbose": self.verbose,
        }
        kernel = clone(self._kernel())
        if self.exact_:
            return GPR(kernel, n_precondition=self.n_sparse, tol=_TOLERANCE, **shared)
        return SparseGPR(kernel, self.n_sparse, selection=self.selection, **shared)

    def _environments(self, features, slopes):
        return self.model_._environments(features, slopes)

    def energy_std(self, features):
        """Return the standard deviation of total energies, shape (n_structures,), in eV.

        That of `model_`, whose documentation says what it is.
        """
        check_is_fitted(self)
        return self.model_.energy_std(features)


class _Sizes(NamedTuple):
    """How large labels are."""

    level: float  # mean absolute force component, or energy per atom if there are no forces
    has_forces: bool
    severity: np.ndarray  # (n_structures,)


def _sizes(features, labels, residual):
    """Return how large labels are, baseline taken off."""
    n = features.n_atoms
    forces, energy, virial = (np.zeros(len(n)) for _ in range(3))
    per_atom = residual / n
    known = labels.has_energy
    if known.any():
        energy[known] = per_atom[known] - np.median(per_atom[known])
    has_forces = bool(labels.has_forces.any())
    if has_forces:
        begin = labels.force_offsets[:-1][labels.has_forces]
        squares = np.add.reduceat(np.mean(labels.forces_flat**2, axis=1), begin)
        forces[labels.has_forces] = np.sqrt(squares / n[labels.has_forces])
    stressed = labels.has_stress
    if stressed.any():
        size = np.sqrt(np.mean(labels.stress[stressed] ** 2, axis=1))
        virial[stressed] = size * features.volumes[stressed] / n[stressed]
    level = np.mean(np.abs(labels.forces_flat)) if has_forces else np.mean(np.abs(energy))
    parts = [_over_ordinary(part) for part in (forces, np.maximum(energy, 0.0), virial)]
    return _Sizes(float(level), has_forces, np.max(parts, axis=0))


def _over_ordinary(sizes):
    """Return sizes over those of the `_ORDINARY` part of the structures."""
    ordinary = np.percentile(sizes, _ORDINARY)
    return sizes / ordinary if ordinary > _LEAST else np.zeros_like(sizes)
