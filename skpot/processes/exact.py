"""The exact process: coefficients of all labels, and what their standard deviations come from."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import blas, cho_solve, lapack

from ..data.order import drawn_seed
from ..exceptions import NumericalWarning, warn_once
from ..progress import progress
from ..rows.factors import shares
from ..rows.memory import plan_exact
from ..solvers import (
    DivergenceError,
    conjugate_gradients,
    inverse_diagonal,
    serial_blas,
)
from .domain import domain_edge, domain_of
from .functionals import Functionals, KernelProduct, covariance
from .gradient_references import references_with
from .label_columns import label_columns
from .nystrom import (
    column_price,
    label_preconditioner,
    leverages,
    random_references,
    sparse_posterior,
    with_stored_jacobian,
)
from .single_products import SingleProduct
from .variance import ExactProcess, SparseProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.data import AtomicFeatures
    from skpot.kernels.contracts import Kernel
    from skpot.processes.expansion import Expansion
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray, RandomState

_DOMAIN_REFERENCES = 1000  # most of those by which the domain is known
# Residual of the system without some structures, over the tolerance; and over the tolerance times
# the errors of these structures. With a tolerance of 0.1, errors of single labels of 3BPA changed
# by 5 % of their size and root mean squares by less than 1 %.
_ROUGH, _SHARE = 3.0, 0.3
# Residual of the fit over the tolerance times these errors, likewise. Errors of silicon, 3BPA and a
# crystal of three species on test structures changed by less than 1 %.
_ENOUGH = 0.2
# Most of the root mean square of errors over that of a normal distribution of the same median.
_TAILS = 4.0
_SECOND = 0.6  # of the iterations of a fit, that this system takes
JITTER = 1e-10  # of the references of standard deviations, which need not be exact


class ExactSettings(NamedTuple):
    """How the linear system is solved: the parameters of `GPR` of these names."""

    solver: str
    tol: float
    max_iter: int
    n_precondition: int
    max_memory: float | None
    random_state: RandomState
    verbose: int
    sigma_energy: Any  # these three are for messages
    sigma_forces: Any
    sigma_stress: Any


class Solution(NamedTuple):
    """How the linear system was solved; the names are those of fitted attributes."""

    residual: float
    n_iter: int
    converged: bool
    n_rows: int
    label_shares: dict
    largest_training_std: dict  # at the edge of the training set, by species


class ExactState(NamedTuple):
    """What standard deviations come from; the names are those of fitted attributes.

    After a factorization these are its factor and the training set, after conjugate gradients the
    references and the factors of a sparse model.
    """

    kernel: Kernel
    factor: Any = None  # (n_labels, n_labels) lower triangle
    functionals: Any = None  # the labels, a `Functionals`
    training_features: Any = None  # `AtomicFeatures`
    variance_reference_features: Any = None  # (n_references, n_features)
    variance_reference_species: Any = None  # (n_references,)
    variance_reference_directions: Any = None  # (n_directions, n_features)
    variance_direction_counts: Any = None  # (n_references,)
    covariance_factor: Any = None  # (m, m) lower triangle
    posterior_factor: Any = None  # (m, m) upper triangle
    domain_reference_features: Any = None  # (n_domain, n_features)
    domain_reference_species: Any = None  # (n_domain,)
    domain_covariance_factor: Any = None  # (n_domain, n_domain) lower triangle
    domain_factor: Any = None  # (n_domain, n_domain) upper triangle

    @property
    def process(self) -> ExactProcess | SparseProcess:
        """The posterior process."""
        if self.factor is not None:
            return ExactProcess(self.kernel, self.factor, self.functionals, self.training_features)
        references = references_with(
            self.variance_reference_features, self.variance_reference_species, self.kernel,
            self.variance_reference_directions, self.variance_direction_counts,
        )  # fmt: skip
        return SparseProcess(references, self.covariance_factor, self.posterior_factor)

    @property
    def domain(self) -> SparseProcess:
        """The process that knows the training environments."""
        references = references_with(
            self.domain_reference_features, self.domain_reference_species, self.kernel, None, None
        )
        return SparseProcess(references, self.domain_covariance_factor, self.domain_factor)

    def with_domain(self, features: AtomicFeatures, random_state: RandomState) -> ExactState:
        """Return the same with the process that knows the training environments."""
        seed = drawn_seed(random_state)
        domain = domain_of(features, self.kernel, _DOMAIN_REFERENCES, seed, JITTER)
        return self._replace(
            domain_reference_features=domain.references.values,
            domain_reference_species=domain.references.species,
            domain_covariance_factor=domain.covariance_factor,
            domain_factor=domain.posterior_factor,
        )


def generator(random_state: RandomState) -> np.random.Generator:
    """Return the generator that a seed stands for."""
    return np.random.default_rng(drawn_seed(random_state))


def with_jacobians(training: TrainingSet, settings: ExactSettings) -> TrainingSet | None:
    """Return the training set with all Jacobians held, or None where there is no room for them.

    What makes use of them again and again, choices of kernel and noise included, takes this form.
    Fitted models keep the other.
    """
    plan = plan_exact(training, settings.solver, settings.n_precondition, settings.max_memory)
    if not plan.store:
        return None
    return training.with_features(with_stored_jacobian(training.features))


def fit_exact(
    kernel: Kernel,
    training: TrainingSet,
    settings: ExactSettings,
    left_out: IntArray | None = None,
    stored: TrainingSet | None = None,
) -> tuple[tuple[Expansion, Solution, ExactState], FloatArray | None]:
    """Return the energies that the labels mean, and what was found on the way.

    Parameters
    ----------
    kernel, training, settings
        What to fit.
    left_out : ndarray of int, optional
        Structures whose errors by a model without them are wanted, too.
    stored : TrainingSet, optional
        The same as `training`, with all Jacobians held; see `with_jacobians`.

    Returns
    -------
    found : tuple
        The energies, how they were found, and what deviations come from.
    errors : ndarray of shape (n_labels,) or None
        Labels of `left_out` less predictions, in units of the noise; None after a factorization,
        which has a closed form of them (`held_out`).

    Raises
    ------
    DivergenceError
        If conjugate gradients diverge or there is no dense factor.
    """
    if stored is None:
        stored = with_jacobians(training, settings)
    quick = training if stored is None else stored
    plan = plan_exact(
        quick, settings.solver, settings.n_precondition, settings.max_memory,
        len(kernel.similarities),
    )  # fmt: skip
    if plan.dense:
        return _by_factor(kernel, training, quick.features, plan, settings), None
    # Serial BLAS: its threads would change the order of sums, and with it the iteration that is
    # the last one.
    with serial_blas():
        return _by_conjugate_gradients(kernel, training, quick, plan, settings, left_out)


def _by_factor(kernel, training, quick, plan, settings):
    """Solve by a Cholesky factor of the covariance of all labels.

    `quick` are features whose Jacobians may be held.
    """
    functionals, features = Functionals(training), training.features
    values = functionals.values(training)
    matrix = covariance(kernel, functionals, quick, plan.batch_bytes)
    matrix[np.diag_indices_from(matrix)] += 1.0
    diagonal = np.diag(matrix).copy()
    # In place: one triangle becomes the factor, the other stays what the matrix was.
    factor, wrong = lapack.dpotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
    if wrong:
        what = f"there is no Cholesky factor: minor {wrong} of the covariance is not positive"
        raise _too_little_noise(what, settings)
    solution = cho_solve((factor, True), values, check_finite=False)
    image = blas.dsymv(1.0, factor, solution, lower=0)
    image += (diagonal - np.diag(factor)) * solution
    for k in range(1, len(factor)):
        factor[:k, k] = 0.0
    by_kind = functionals.by_kind(1.0 - inverse_diagonal(factor))
    state = ExactState(kernel, factor, functionals, features)
    state = state.with_domain(features, settings.random_state)
    found = Solution(
        residual=float(_rms(image - values)),
        n_iter=1,
        converged=True,
        n_rows=len(functionals),
        label_shares=shares(by_kind, settings.verbose),
        largest_training_std=domain_edge(state.domain, features, JITTER, len(features.values)),
    )
    expansion = KernelProduct(kernel, functionals, quick).expansion(solution)
    return expansion, found, state


def _by_conjugate_gradients(kernel, training, quick, plan, settings, left_out):
    """Solve by products with the covariance, whose deviations are those of a sparse model.

    `quick` is the training set with Jacobians that may be held.
    """
    functionals, features = Functionals(training), quick.features
    values = functionals.values(training)
    n_systems = 1.0 if left_out is None else 1.0 + _SECOND
    effort = plan.n_columns, column_price(training.features, len(functionals), n_systems)
    n_energies = functionals.parts[0].stop if plan.single else 0
    energies = label_columns(kernel, functionals, features, np.arange(n_energies))
    precondition, remaining = label_preconditioner(
        kernel, quick, left_out, energies, effort, generator(settings.random_state),
        settings.verbose,
    )  # fmt: skip
    product = KernelProduct(kernel, functionals, features, plan.compare)
    system = _System(product, SingleProduct(product, energies) if plan.single else None)
    errors, tol = None, settings.tol
    if left_out is not None:
        own = functionals.of(left_out, features.atom_offsets)
        errors, size = _errors_without(own, system, values, precondition, settings)
        tol *= max(1.0, _ENOUGH * size)
    solution, residual, n_iter, converged = _iterate(system, values, precondition, tol, settings)
    expansion = product.expansion(solution)
    by_kind = functionals.by_kind(leverages(precondition, remaining))
    by_kind = shares(by_kind, settings.verbose)
    del precondition, product, system, energies  # the sparse model has room for its rows then
    state = _sparse_state(kernel, training.features, quick, plan.n_references, settings, left_out)
    state = state.with_domain(features, settings.random_state)
    largest = domain_edge(state.domain, features, JITTER, len(features.values))
    found = Solution(residual, n_iter, converged, len(functionals), by_kind, largest)
    return (expansion, found, state), errors


class _System(NamedTuple):
    """The covariance of all labels and their noise: the matrix of the linear system."""

    product: KernelProduct
    single: SingleProduct | None

    @property
    def functionals(self) -> Functionals:
        """The labels."""
        return self.product.functionals

    @property
    def rough(self) -> Callable[[FloatArray], FloatArray] | None:
        """Products in single precision, where there are any."""
        single = self.single
        return None if single is None else lambda z: single(z) + z

    def __call__(self, z: FloatArray) -> FloatArray:
        """Return the matrix times z (n_labels,)."""
        return self.product(z) + z


def _errors_without(own, system, values, precondition, settings):
    """Return labels `own` less predictions of a model without them, and how large these errors are.

    They have no weight in an iteration of their own, whose directions and preconditioner leave them
    out, so that what is left of them is their error. Errors are far larger than the noise, so that
    it ends earlier: when the residual of the others is a small part of the errors of forces, whose
    usual size is returned (of all kinds, if there are no forces).
    """
    keep = np.ones(len(values))
    keep[own] = 0.0
    forces = np.zeros(len(values), dtype=bool)
    forces[system.functionals.parts[1]] = True
    telling = own[forces[own]] if forces[own].any() else own

    def size(remainder):
        enough = settings.tol * max(_ROUGH, _SHARE * _usual(remainder[telling]))
        return _rms(keep * remainder) / enough

    with precondition.without(own), _advising(settings):
        found = conjugate_gradients(
            system, values, lambda r: precondition(keep * r), tol=1.0,
            max_iter=settings.max_iter, rough=system.rough, size=size,
        )  # fmt: skip
    return found.remainder[own], _usual(found.remainder[telling])


def _iterate(system, values, precondition, tol, settings):
    """Return the coefficients of all labels, and how the iteration ended."""
    # A residual relative to the labels would depend on the zero of their energies.
    size = _rms(values) or 1.0
    title = "conjugate gradients"
    with progress(settings.max_iter, title, settings.verbose, "iteration") as bar:

        def report(n_iter, residual):
            bar.update(1)
            bar.set_postfix_str(f"residual {residual * size:.2g} of the noise")

        with _advising(settings):
            solution = conjugate_gradients(
                system, values, precondition, tol=tol / size,
                max_iter=settings.max_iter, rough=system.rough, report=report,
            )  # fmt: skip
    residual = float(solution.residual * size)
    if not solution.converged:
        warn_once(
            "not converged",
            f"the model is not converged: after max_iter={settings.max_iter} iterations the "
            f"residual is {residual:.2g} of the noise, not {tol:.2g}, so errors "
            f"may be larger than they need be. Raise max_iter or n_precondition (now "
            f"{settings.n_precondition}), or the noise (sigma_energy, sigma_forces).",
            NumericalWarning,
        )
    return solution.x, residual, max(1, solution.n_iter), solution.converged


def _sparse_state(kernel, features, training, n, settings, left_out):
    """Return what deviations come from where there is no factor: a sparse model.

    It has no references in structures that are left out: to it they are like any others.
    """
    if left_out is not None and len(left_out) < len(features):
        features = features[np.setdiff1d(np.arange(len(features)), left_out)]
    references = random_references(features, kernel, n, generator(settings.random_state))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nearly equal references do no harm here
        covariance_factor, _ = references.cholesky(JITTER)
    return ExactState(
        kernel,
        variance_reference_features=references.values,
        variance_reference_species=references.species,
        variance_reference_directions=references.directions,
        variance_direction_counts=references.counts,
        covariance_factor=covariance_factor,
        posterior_factor=sparse_posterior(
            references, covariance_factor, training, settings.verbose
        ),
    )


@contextmanager
def _advising(settings):
    """Say what to do where conjugate gradients diverge."""
    try:
        yield
    except DivergenceError as error:
        what = f"conjugate gradients diverged: {error}"
        raise _too_little_noise(what, settings) from None


def _too_little_noise(what, settings):
    return DivergenceError(
        f"{what}. The labels' covariance exceeds their noise by more than double precision "
        f"resolves. Use a larger sigma_energy (now {settings.sigma_energy} eV per atom), "
        f"sigma_forces ({settings.sigma_forces} eV/Å) or sigma_stress ({settings.sigma_stress} "
        "eV/Å³), a kernel of smaller variance, or features of a smaller scale."
    )


def _rms(values):
    return np.sqrt(np.mean(values**2))


def _usual(errors):
    """Return the root mean square of errors, of which a few labels that are wrong make little."""
    return min(_rms(errors), _TAILS * 1.4826 * np.median(np.abs(errors)))
