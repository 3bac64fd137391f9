"""Neural networks on energies, forces and stress."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._sklearn import Interval, StrOptions, _check_sample_weight, _fit_context
from ..data.order import drawn_seed
from ..exceptions import ParameterError
from ..metrics import coverage_factors
from ..processes.label_sizes import label_sizes
from ..processes.member_spread import MemberSpread
from ..processes.network_fit import (
    NetworkDomain,
    NetworkSettings,
    NetworkState,
    fit_networks,
)
from ..rows.noise import SIGMA
from ._potential import Potential

if TYPE_CHECKING:
    from typing import Any, Self

    from skpot.data.contracts import FeaturesLike, TargetsLike
    from skpot.processes.networks import Networks
    from skpot.processes.variance import SparseProcess
    from skpot.typing import LabelKinds, RandomState, Weights

_ENERGY = 0.05  # noise of energies per atom over that of forces, Å
_STRESS = 0.3  # noise of stress over that of forces, 1/Å²


class AtomicMLP(Potential):
    r"""Neural networks on the features of atoms, from energies, forces and stress.

    The energy of a structure is a sum over its atoms, with a network for each species,

    .. math:: E = \sum_i \big[ e_0(Z_i) + b \cdot x_i + c + w \cdot h_L(x_i) \big], \qquad
              h_l = \sigma(W_l h_{l-1} + c_l)

    of the centered principal components x of the features of atom i, beside a linear term. Forces
    and stress are the exact derivatives of this energy. Weights minimize

    .. math::

        L = \tfrac12 \sum_s \frac{(E_s - E_s^*)^2}{\sigma_E^2 n_s}
          + \tfrac12 \sum \frac{|F - F^*|^2}{\sigma_F^2}
          + \tfrac12 \sum \frac{|T - T^*|^2}{\sigma_T^2}

    by Adam, with the exact gradient of all three terms. The linear term starts from a ridge fit to
    the same labels; the learning rate rises over the first steps and falls to zero as a cosine; the
    noise of energies is three times larger in the first half and falls to its own level at the end;
    and the model has weights that are averaged over the last steps. Training is in single
    precision, all else in double precision.

    Noise that is not given follows from the labels: :math:`\sigma_F = \nu \bar f` with
    the mean absolute force component :math:`\bar f` after the baseline, at least 1 meV/Å,
    :math:`\sigma_E = 0.05\,\text{Å}\;\sigma_F` per atom, and
    :math:`\sigma_T = 0.3\,\text{Å}^{-2}\;\sigma_F`. Extreme structures lose weight as in `AutoGPR`.

    Parameters
    ----------
    hidden_layer_sizes : int or tuple of int, default=(64, 64)
        Number of units of each hidden layer.
    activation : {"silu", "tanh"}, default="silu"
        The function :math:`\sigma`; "silu" is :math:`x / (1 + e^{-x})`.
    n_members : int, default=1
        Number of networks of each species, which start at random and learn alone. Predictions are
        their mean, and standard deviations their spread; one network has none. Errors fall by a
        tenth or more with four.
    n_components : int, default=100
        Most principal components that networks see, for each species of the center.
    whitening : float, default=0.2
        Components of variance :math:`\lambda` are multiplied by :math:`\lambda^{-\omega/2}` with
        this exponent: 0 leaves them as they are, 1 makes all variances equal, which is worse.
    alpha : float, default=0.1
        Decay of the weights of hidden layers at each step, over the learning rate; it is not part
        of the gradient.
    batch_size : int or "auto", default="auto"
        Structures of each step; "auto" takes eight, or more if these would have fewer than 128
        atoms, or if an epoch would have more than 250 steps.
    learning_rate_init : float, default=3e-3
        Largest learning rate.
    max_iter : int or "auto", default="auto"
        Number of epochs; each goes once through all structures. "auto" takes 100 to 400: one
        network learns for 25 and for 50 epochs from seven eighths of the labels, and the more its
        loss on the rest falls from one to the other, the more epochs there are. With
        `early_stopping`, "auto" stands for 400.
    early_stopping : bool, default=False
        Whether to hold out some structures, to stop when the loss of these does not fall any more,
        and to keep the weights for which it was smallest.
    validation_fraction : float, default=0.1
        Share of the structures held out by `early_stopping`.
    n_iter_no_change : int, default=20
        Epochs without a better score after which `early_stopping` stops.
    tol : float, default=1e-4
        By how much a score must be better to count.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last fit, as after an interrupt. Principal
        components and energies of free atoms stay. With "auto", trials choose the number of further
        epochs as they do for a first fit.
    noise : float, default=0.015
        Noise of forces relative to their mean absolute component, :math:`\nu`.
    sigma_energy : float, dict of str to float or None, default=None
        Noise per atom in eV: the total energy of n atoms has standard deviation
        `sigma_energy * sqrt(n)`. A dict gives it by the groups of y, "default" for groups that it
        does not name; what y itself says of a label goes before; None follows the rule above.
    sigma_forces : float, dict or None, default=None
        Noise of a force component in eV/Å.
    sigma_stress : float, dict or None, default=None
        Noise of a stress component in eV/Å³.
    e0 : None, "isolated", "least_squares" or dict, default=None
        Energy of a free atom of each species; see `SparseGPR`.
    baseline : str or None, default=None
        Name of a block of features that are energies; see `SparseGPR`. Networks are linear far from
        their training data, so that a repulsion such as `ZBL` belongs beside them.
    targets : "auto" or tuple of {"energy", "forces", "stress"}, default="auto"
        Labels to learn from. "auto" takes what y has; a tuple makes a missing one an error.
    max_memory : float or None, default=None
        Bytes of memory that derivatives of the features may take; None stands for 2 GB. If they
        take more, they are written to a temporary file, from which the same model is trained: in
        the folder that the environment variable ``TMPDIR`` names. Only if the disk is full or
        cannot be written they are computed again at each step, which is five to ten times slower; a
        warning says so.
    calibrate : bool, default=True
        Whether the spread of several members is calibrated, as in `AutoGPR`: as many networks
        learn for a quarter of the epochs, or for 100 if these are more, from seven eighths of the
        labels, and their errors and spread on the rest give the factors. Calibrated deviations
        include the noise of labels.
    n_jobs : int or None, default=None
        Number of threads on which members are trained, as in joblib. Results do not depend on it.
    random_state : int, RandomState or None, default=0
        Seed of the weights to start from and of the batches.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (n_species, n_members, n_in, n_out)
        Weights of the layers, on the features themselves; the last has the weights w of the output.
    intercepts_ : list of ndarray of shape (n_species, n_members, n_out)
        Constants of the layers; the last has the constant c of the output.
    linear_coefs_ : ndarray of shape (n_species, n_members, n_features)
        Coefficients of the linear terms.
    species_ : ndarray of shape (n_species,)
        Atomic numbers, ascending; 0 for rows of whole structures.
    centers_ : ndarray of shape (n_species, n_features)
        Mean rows, which networks see features relative to.
    components_ : ndarray of shape (n_species, n_features, n_components)
        Principal directions times factors, which are part of `coefs_` and `linear_coefs_`.
    unit_ : float
        Size of the labels (eV), in which the networks have learned.
    loss_curve_ : list of float
        Mean loss of a label in each epoch, over the members.
    validation_scores_ : list of float or None
        With `early_stopping`, minus the mean loss of a label of the structures held out, in each
        epoch.
    n_iter_ : int
        Number of epochs.
    sigma_energy_, sigma_forces_, sigma_stress_ : float or dict
        Noise in use: eV per atom, eV/Å and eV/Å³.
    weight_ : ndarray of shape (n_structures,)
        Weights of the training structures, `sample_weight` included.
    calibration_ : dict of str to ndarray
        Factor and noise of the deviations of each kind of label; see `AutoGPR`. Empty without
        `calibrate`.
    species_factors_ : dict of int to float
        The factors of forces by atomic number.
    e0_ : dict of int to float
        Energy of a free atom (eV) by atomic number.
    e0_source_ : str
        Where these come from; see `SparseGPR`.
    largest_training_std_ : dict of int to float
        Where the extrapolation grade is 1, by atomic number; see `extrapolation_grade`.
    n_rows_ : int
        Number of labels learned from.
    n_labels_ : dict of str to int
        The same by kind of label.
    n_features_in_ : int
        Number of features.

    Notes
    -----
    Ctrl-C ends training with a warning and keeps what was learned; ``warm_start=True`` goes on.
    While the number of epochs is chosen, nothing that is worth keeping was learned yet, and Ctrl-C
    ends the fit.

    References
    ----------
    J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007), for networks of atoms;
    D. P. Kingma, J. Ba, ICLR (2015), for Adam; I. Loshchilov, F. Hutter, ICLR (2017, 2019), for the
    schedule and the decay; B. T. Polyak, A. B. Juditsky, SIAM J. Control Optim. 30, 838 (1992), for
    averaged weights.

    Examples
    --------
    >>> import skpot
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y, X_test, y_test = skpot.datasets.load_silicon(return_X_y=True)
    >>> soap = skpot.SOAP(hypers="fast", central_weight=0.0, normalize=False)
    >>> model = make_pipeline(soap, skpot.AtomicMLP((16, 16), n_components=30, max_iter=20))
    >>> model.fit(X[:20], y[:20]).predict(X_test[:2])
    Targets(n_structures=2, energy=2, forces=2 (16 atoms), stress=2)
    """

    _streams = True

    _parameter_constraints = Potential._parameter_constraints | {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"silu", "tanh"})],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "whitening": [Interval(Real, 0, 1, closed="both")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "noise": [Interval(Real, 0, None, closed="neither")],
        "sigma_energy": [*SIGMA, None],
        "sigma_forces": [*SIGMA, None],
        "sigma_stress": [*SIGMA, None],
        "calibrate": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (64, 64),
        activation: str = "silu",
        *,
        n_members: int = 1,
        n_components: int = 100,
        whitening: float = 0.2,
        alpha: float = 0.1,
        batch_size: int | str = "auto",
        learning_rate_init: float = 3e-3,
        max_iter: int | str = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 20,
        tol: float = 1e-4,
        warm_start: bool = False,
        noise: float = 0.015,
        sigma_energy: float | dict[str, float] | None = None,
        sigma_forces: float | dict[str, float] | None = None,
        sigma_stress: float | dict[str, float] | None = None,
        e0: str | dict[str, float] | None = None,
        baseline: str | None = None,
        targets: LabelKinds = "auto",
        max_memory: float | None = None,
        calibrate: bool = True,
        n_jobs: int | None = None,
        random_state: RandomState = 0,
        verbose: int = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.n_members = n_members
        self.n_components = n_components
        self.whitening = whitening
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.noise = noise
        self.sigma_energy = sigma_energy
        self.sigma_forces = sigma_forces
        self.sigma_stress = sigma_stress
        self.e0 = e0
        self.baseline = baseline
        self.targets = targets
        self.max_memory = max_memory
        self.calibrate = calibrate
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: FeaturesLike, y: TargetsLike, sample_weight: Weights = None) -> Self:
        """Train the networks.

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
        self : AtomicMLP

        Raises
        ------
        ValueError
            If labels are missing, not finite or of the wrong shape, all problems at once; if
            training diverges; with `warm_start`, if structures have species that the last fit did
            not have.
        """
        goes_on = self.warm_start and hasattr(self, "coefs_")
        return self._learn(X, y, sample_weight, goes_on, self._parameters(NetworkSettings))

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: FeaturesLike, y: TargetsLike, sample_weight: Weights = None) -> Self:
        """Go once through structures, at the full learning rate; the first call sets all else.

        Parameters
        ----------
        X, y, sample_weight
            Features, labels and weights, as in `fit`.

        Raises
        ------
        ValueError
            As `fit`; for species that the first call did not have.
        """
        settings = self._parameters(NetworkSettings)
        settings = settings._replace(max_iter=1, early_stopping=False, calibrate=False, falls=False)
        return self._learn(X, y, sample_weight, hasattr(self, "coefs_"), settings)

    def _learn(self, X, y, sample_weight, goes_on, settings):
        self._check_sizes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are given below
            training = self._prepare(X, y, sample_weight, reset=not goes_on)
        weight = _check_sample_weight(sample_weight, training.features, dtype=np.float64)
        sizes = label_sizes(training, weight)
        self._set_noise(sizes)
        self.weight_ = sizes.lightened(weight)
        training = self._prepare(X, y, self.weight_, reset=not goes_on)
        seed = drawn_seed(self.random_state)
        before = self._kept(NetworkState) if goes_on else None
        unit = sizes.level or 1.0
        state, report, errors = fit_networks(training, settings, unit, seed, before)
        self.calibration_, self.species_factors_ = coverage_factors(errors, pooled=False)
        if goes_on:
            domain = self._kept(NetworkDomain).extended(training.features)
        else:
            domain = NetworkDomain.of(training.features, state.maps, seed)
        for part in (state, report, domain):
            self._keep(part)
        self.n_labels_ = training.count_labels()
        self.n_rows_ = sum(self.n_labels_.values())
        return self

    def _check_sizes(self):
        sizes = self.hidden_layer_sizes
        sizes = sizes if np.iterable(sizes) else (sizes,)
        for size in sizes:
            if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
                raise ParameterError(
                    f"hidden_layer_sizes must be numbers of units, at least 1, got {sizes!r}."
                )
        if len(sizes) == 0:
            raise ParameterError(
                "hidden_layer_sizes is empty: a model without hidden layers is skpot.LinearRidge."
            )

    def _set_noise(self, sizes):
        """Set the noise that the user has not given by the size of the labels."""
        level = sizes.noise(float(self.noise))
        self.sigma_forces_ = _given(self.sigma_forces, level)
        if isinstance(self.sigma_forces_, Real):  # not one for each group
            level = self.sigma_forces_
        share = _ENERGY if sizes.has_forces else 1.0
        self.sigma_energy_ = _given(self.sigma_energy, share * level)
        self.sigma_stress_ = _given(self.sigma_stress, _STRESS * level)

    def _noise(self):
        # Labels are needed to choose the noise; until then it is one.
        given = super()._noise()
        return {
            name: getattr(self, f"{name}_", 1.0) if level is None else level
            for name, level in given.items()
        }

    @property
    def expansion_(self) -> Networks:
        """What the fit found."""
        return self._kept(NetworkState).networks

    @property
    def posterior_(self) -> MemberSpread:
        """What members do not agree on."""
        return MemberSpread(self.expansion_)

    @property
    def domain_(self) -> SparseProcess:
        """The process that knows the training environments, behind `extrapolation_grade`."""
        check_is_fitted(self)
        return self._kept(NetworkDomain).process


def _given(value, otherwise):
    return otherwise if value is None else value
