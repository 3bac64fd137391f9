"""Gaussian process that chooses its noise, weights and kind of solution from the labels."""

from __future__ import annotations

import warnings
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import clone

from .._sklearn import Interval, _check_sample_weight, _fit_context
from ..data import LABEL_KINDS
from ..data.order import drawn_seed
from ..kernels import RBF, DotProduct, Matern
from ..metrics import coverage_factors
from ..processes.held_out import held_out, looked_at
from ..processes.label_sizes import STRESS_NOISE, label_sizes
from ..processes.likelihood_labels import draw_structures
from ..processes.likelihoods import likeliest_factor
from ..processes.variance import SparseProcess
from ..rows.memory import plan_memory
from ..solvers import serial_blas
from ._gpr import GPR
from ._kernel_potential import KernelPotential
from ._sparse_gpr import SparseGPR

if TYPE_CHECKING:
    from typing import Self

    from skpot.data.contracts import FeaturesLike, TargetsLike
    from skpot.kernels.contracts import Kernel
    from skpot.processes.contracts import PosteriorProcess
    from skpot.processes.expansion import Expansion
    from skpot.typing import LabelKinds, RandomState, Weights

_ENERGY = 0.02  # noise of energies per atom over that of forces, Å
_JITTER = 1e-7  # of the sparse model; less of it makes large coefficients and no better errors
_TOLERANCE = 0.1  # of the exact model, in units of the noise; see `GPR`
_FACTORS = np.geomspace(0.25, 2.0, 25)  # of the noise, from which the exact model chooses
# Kernels, likewise: smooth, or half of it of limited smoothness at nearly the same curvature.
_KERNELS = RBF(), RBF(1.0, 0.5) + Matern(2.0, 2.5, 0.5)
_LOOKED_AT = 2000  # labels by whose likelihood the exact model chooses


class AutoGPR(KernelPotential):
    r"""Gaussian process whose noise, weights and size follow from the training set.

    The model is a `GPR` where the training set is small enough, else a `SparseGPR`, with a
    Gaussian kernel on features of unit mean squared length such as those of
    `PrincipalComponents`. With :math:`\bar f` the mean absolute force component after the
    baseline,

    .. math:: \sigma_F = \nu \bar f, \qquad \sigma_E = 0.02\,\text{Å}\;\sigma_F, \qquad
              \sigma_S = 0.1\,\text{Å}^{-2}\;\sigma_F

    per atom for energies, but :math:`\sigma_F` is at least 1 meV/Å. Stress counts for little next
    to forces, because that of plane-wave calculations is not quite the derivative of their energies
    (it lacks what changes with the basis set), and energies count for much, because they are few.
    Without forces, :math:`\sigma_E = \nu \bar e`, with :math:`\bar e` the mean absolute energy per
    atom less its median.

    The exact model takes all levels times the factor, between a quarter and two, for which some
    2000 labels of structures drawn at random are most likely: to it, noise is what the features
    cannot resolve, little for small molecules and much for liquids. Levels beyond, which the labels
    of liquids would choose, make energies worse and forces no better. A sparse model keeps the
    rule, since most of what it misses it misses for want of references.

    Extreme structures, such as strongly compressed ones, lose weight: the severity of a
    structure is its largest of root mean square force, energy per atom above the median and
    stress times volume per atom, each over its 90th percentile in the training set. Beyond four
    it divides the weight by its square, so that the noise grows with the labels.

    Free atoms keep their weight, because their energies are exact: e0 is what the model predicts
    for them. With them in its training set, a sparse model has a linear term in its kernel,
    :math:`k = e^{-|x - q|^2 / 2} + x \cdot q`. It vanishes for an atom without neighbors,
    whose features are zero in presets, and takes the energy from there to that of bonded atoms,
    for which the Gaussian of variance 1 eV² alone would have to bend.

    Standard deviations are calibrated in the fit: each kind of label has a factor, forces one for
    each species, for which errors on training structures that are left out lie within their
    deviations as often as they should (see `CalibratedPotential`). Errors without a structure, and
    without the references in it, have a closed form, so that no second fit is needed; a sixth of
    the labels is looked at, a quarter by an exact process, at most 20 000. For conjugate gradients
    there is none: they find the coefficients without these structures first. The fit itself then
    ends at a residual of a tenth of the noise, or of a fiftieth of these errors where that is more.
    Calibrated deviations include the noise of labels, because the errors do.

    Parameters
    ----------
    kernel : kernel object, default=None
        From `skpot.kernels`; None stands for `RBF()`, with a linear term if there are free atoms,
        or for what the labels of the exact model choose.
    noise : float, default=0.015
        Noise of forces relative to their mean absolute component, :math:`\nu`.
    sigma_energy, sigma_forces, sigma_stress : float or None, default=None
        Noise in eV per atom, eV/Å and eV/Å³; None follows the rule above.
    n_sparse : int, default=2000
        References of the sparse model; the preconditioner of the exact one has three times as
        many columns.
    selection : {"cur", "fps", "random"}, default="cur"
        How the references of the sparse model are chosen; by leverage, those of rare structures
        are among them.
    max_pairs : float, default=3e8
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
        The fitted model, with further attributes.
    sigma_energy_, sigma_forces_, sigma_stress_ : float
        Noise in use: eV per atom, eV/Å and eV/Å³.
    noise_factor_ : float
        Factor that the labels chose; 1 where they were not asked.
    kernel_ : kernel object
        The kernel in use.
    weight_ : ndarray of shape (n_structures,)
        Weights of the training structures, `sample_weight` included.
    exact_ : bool
        Whether `model_` is a `GPR`.
    n_pairs_ : int
        Number of pairs of environments of one species.
    calibration_ : dict of str to ndarray
        For each of "energy", "forces" and "stress" that has labels, the factor f and the noise d,
        shape (2,), by which a deviation s of `model_` becomes the root of (f s)² + d². The noise is
        the error of labels that symmetry fixes, in units of the label.
    species_factors_ : dict of int to float
        The factors of forces by atomic number; other species have that in `calibration_`.
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
    _streams = True

    _parameter_constraints = KernelPotential._parameter_constraints | {
        "kernel": GPR._parameter_constraints["kernel"],
        "noise": [Interval(Real, 0, None, closed="neither")],
        "sigma_energy": [Interval(Real, 0, None, closed="neither"), None],
        "sigma_forces": [Interval(Real, 0, None, closed="neither"), None],
        "sigma_stress": [Interval(Real, 0, None, closed="neither"), None],
        "n_sparse": [Interval(Integral, 1, None, closed="left")],
        "selection": SparseGPR._parameter_constraints["selection"],
        "max_pairs": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        kernel: Kernel | None = None,
        *,
        noise: float = 0.015,
        sigma_energy: float | None = None,
        sigma_forces: float | None = None,
        sigma_stress: float | None = None,
        n_sparse: int = 2000,
        selection: str = "cur",
        max_pairs: float = 3e8,
        e0: str | dict[str, float] | None = None,
        baseline: str | None = None,
        targets: LabelKinds = "auto",
        max_memory: float | None = None,
        random_state: RandomState = 0,
        verbose: int = 0,
    ) -> None:
        self.kernel = kernel
        self.noise = noise
        self.sigma_energy = sigma_energy
        self.sigma_forces = sigma_forces
        self.sigma_stress = sigma_stress
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
    def fit(self, X: FeaturesLike, y: TargetsLike, sample_weight: Weights = None) -> Self:
        """Choose noise, weights and model, and fit it.

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
            training = self._prepare(X, y, sample_weight)
        features = training.features
        weight = _check_sample_weight(sample_weight, features, dtype=np.float64)
        sizes, lone = label_sizes(training, weight), features.lone_atoms()
        self.weight_ = np.where(lone, weight, sizes.lightened(weight))
        _, counts = np.unique(features.species, return_counts=True)
        self.n_pairs_ = int(np.sum(counts.astype(np.int64) ** 2))
        self.exact_ = self.n_pairs_ <= self.max_pairs
        self.noise_factor_ = 1.0
        self._set_noise(sizes)
        chosen, stored = self._kernel(), None
        if self.exact_:
            stored = self._model(chosen)._with_jacobians(training.in_order())
            chosen = self._choose(X, y, sizes, stored)
        elif self.kernel is None and lone.any():
            chosen = RBF() + DotProduct(1)
        self.model_ = self._model(chosen)
        errors = self._learn_and_look(X, y, stored)
        self.kernel_ = self.model_.kernel_
        self.e0_, self.e0_source_ = self.model_.e0_, self.model_.e0_source_
        self.calibration_, self.species_factors_ = coverage_factors(errors, pooled=False)
        return self

    def _learn_and_look(self, X, y, stored):
        """Fit the model; return errors on some structures without them, and their deviations."""
        model, seed = self.model_, drawn_seed(self.random_state)
        if self.exact_:
            look_at = partial(looked_at, seed=seed, exact=True)
            training, some, errors = model._learn(X, y, self.weight_, look_at, stored)
        else:
            model.fit(X, y, sample_weight=self.weight_)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the fit gave them
                training = model._more(X, y, self.weight_)
            some, errors = looked_at(training, seed, exact=False), None
        process, plan = model.posterior_, None
        if isinstance(process, SparseProcess):
            plan = plan_memory(self.max_memory, training, len(process.posterior_factor))
        with serial_blas():
            return held_out(process, model.expansion_, training, plan, some, errors)

    def _set_noise(self, sizes):
        level = sizes.noise(self.noise_factor_ * float(self.noise))
        self.sigma_forces_ = _given(self.sigma_forces, level)
        share = _ENERGY if sizes.has_forces else 1.0
        self.sigma_energy_ = _given(self.sigma_energy, share * self.sigma_forces_)
        self.sigma_stress_ = _given(self.sigma_stress, STRESS_NOISE * self.sigma_forces_)

    def _choose(self, X, y, sizes, stored):
        """Set the noise, and return the kernel, for which some of the labels are most likely."""
        kernels = _KERNELS if self.kernel is None else (self.kernel,)
        given = self.sigma_forces if sizes.has_forces else self.sigma_energy
        factors = _FACTORS if given is None else np.ones(1)
        if len(kernels) == len(factors) == 1:
            return kernels[0]
        model = self._model(kernels[0])
        with warnings.catch_warnings(), serial_blas():  # else the model's own fit repeats them
            warnings.simplefilter("ignore")
            training = model._prepare(X, y, self.weight_).in_order()
            if stored is not None:
                training = training.with_features(stored.features)
            some = draw_structures(training, _LOOKED_AT, drawn_seed(self.random_state))
            training, found = training.take(some), []
            for kernel in kernels:
                bound = kernel.bind(training.features.blocks, training.features.shape[1])
                found.append(likeliest_factor(bound, training, factors))
        best = int(np.argmax([likelihood for _, likelihood in found]))
        self.noise_factor_ = found[best][0]
        self._set_noise(sizes)
        return kernels[best]

    def _noise(self):
        # Labels are needed to choose the noise; until then it is one.
        levels = {f"sigma_{kind}": getattr(self, f"sigma_{kind}") for kind in LABEL_KINDS}
        return {name: 1.0 if level is None else level for name, level in levels.items()}

    def noise_levels(self) -> dict[str, float]:
        """Return the noise that the fit chose, or would for forces of 1 eV/Å; see `SparseGPR`."""
        if hasattr(self, "sigma_forces_"):
            return {kind: getattr(self, f"sigma_{kind}_") for kind in LABEL_KINDS}
        forces = _given(self.sigma_forces, float(self.noise))
        energy = _given(self.sigma_energy, _ENERGY * forces)
        stress = _given(self.sigma_stress, STRESS_NOISE * forces)
        return {"energy": energy, "forces": forces, "stress": stress}

    def _model(self, kernel):
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
        kernel = clone(kernel)
        if self.exact_:
            return GPR(kernel, n_precondition=3 * self.n_sparse, tol=_TOLERANCE, **shared)
        return SparseGPR(kernel, self.n_sparse, selection=self.selection, jitter=_JITTER, **shared)

    @property
    def expansion_(self) -> Expansion:
        """What the fit found, that of `model_`."""
        return self.model_.expansion_

    @property
    def posterior_(self) -> PosteriorProcess:
        """What the labels leave open, that of `model_`."""
        return self.model_.posterior_

    @property
    def domain_(self) -> SparseProcess:
        """The process that knows the training environments, that of `model_`."""
        return self.model_.domain_

    @property
    def largest_training_std_(self) -> dict[int, float]:
        """Deviation (eV) of an environment's energy where the grade is 1, that of `model_`."""
        return self.model_.largest_training_std_


def _given(value, otherwise):
    return float(otherwise if value is None else value)
