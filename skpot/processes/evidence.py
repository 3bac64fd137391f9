"""Marginal likelihoods of sparse and of exact models, and the labels that they look at."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh

from ..data.order import canonical_order, keyed_uniform
from ..rows.blocks import blocks, training_rows
from ..rows.memory import plan_exact, plan_memory
from ..selection import rare_first, structure_kinds
from ..solvers import (
    DenseLikelihood,
    FactorLikelihood,
    TriangularFactor,
    best_noise,
    jittered_cholesky,
    tile_threads,
)
from .functionals import Functionals, covariance
from .references import References

if TYPE_CHECKING:
    from collections.abc import Callable

    from skpot.data import AtomicFeatures, Targets
    from skpot.kernels.contracts import Kernel
    from skpot.typing import FloatArray, IntArray

_ZERO = 1e-3  # labels below, in units of their noise, say nothing of it
_SEARCH_BYTES = 4e6  # of rows and Jacobians, while a likelihood is made
_GAIN = 1e-8  # relative gain of the likelihood that ends the search for the final noise


def draw_structures(
    features: AtomicFeatures, labels: Targets, n_labels: float, seed: int
) -> IntArray:
    """Return structures of about as many labels, at least one, in the canonical order.

    Those without weight are no candidates. However few labels are wanted, each species that has any
    is there; so are all kinds of structures, of a species ratio and a group, as far as they fit
    into a quarter of the number.
    """
    first, counts = labels.force_offsets[:-1], np.diff(labels.force_offsets)
    known = np.concatenate([[0], np.cumsum(~np.isnan(labels.forces_flat).all(axis=1))])
    sizes = labels.has_energy + 3 * (known[first + counts] - known[first]) + 6 * labels.has_stress
    weightless = np.isinf(labels.sigma_energy) | np.isinf(labels.sigma_stress)
    canonical = canonical_order(features.info.keys, labels)
    order = canonical[(~weightless & (sizes > 0))[canonical]]
    order = order[np.argsort(keyed_uniform(features.info.keys[order], seed), kind="stable")]
    n = np.searchsorted(np.cumsum(sizes[order]), n_labels, side="right")
    order = rare_first(order, structure_kinds(features, labels.groups), n // 4)
    order, least = _with_all_species(order, features)
    n = np.searchsorted(np.cumsum(sizes[order]), n_labels, side="right")
    return canonical[np.isin(canonical, order[: max(1, least, n)])]


def _with_all_species(order, features):
    """Return an order that begins with structures of all species, and how many these are."""
    structure = np.repeat(np.arange(len(features)), features.n_atoms)
    place = np.full(len(features), len(order))
    place[order] = np.arange(len(order))
    ahead = {}
    for z in np.unique(features.numbers):
        nearest = int(place[structure[features.numbers == z]].min())
        if nearest < len(order):
            ahead[nearest] = None
    ahead = np.sort(list(ahead)).astype(int)
    return np.concatenate([order[ahead], np.delete(order, ahead)]), len(ahead)


def telling(
    features: AtomicFeatures, labels: Targets, residual: FloatArray
) -> tuple[dict[str, int], float]:
    """Return what a likelihood looks at: how many labels of each kind, and the scale of all.

    Labels that are zero, within a thousandth of their noise, are left out: the symmetry of a
    crystal fixes its forces, and many of these would tell that there is no noise at all. Without
    weight the noise is infinite, so that these labels are left out as well.

    Returns
    -------
    counts : dict of str to int
        Of kinds that have any.
    logarithm : float
        What the unit of labels, their noise, adds to the logarithm of a density.
    """
    functionals = Functionals(features, labels)
    told = np.abs(functionals.values(labels, residual)) > _ZERO
    counts = {kind: int(n) for kind, n in functionals.by_kind(told).items() if n}
    return counts, float(np.sum(np.log(functionals.scale[told])))


def likeliest_factor(
    kernel: Kernel,
    features: AtomicFeatures,
    labels: Targets,
    residual: FloatArray,
    factors: FloatArray,
) -> tuple[float, float]:
    r"""Return the factor of all noise levels for which the labels are most likely.

    With the eigenvalues :math:`\lambda` of the labels' covariance and their components b along its
    eigenvectors, all in units of the noise, minus twice the log marginal likelihood is up to a
    constant

    .. math:: \sum_i \frac{b_i^2}{\lambda_i + c^2} + \log(\lambda_i + c^2)

    Parameters
    ----------
    kernel : kernel object
        The prior covariance, which is not scaled.
    features, labels, residual
        As in `training_rows`, of a few structures: the covariance is dense.
    factors : ndarray
        The candidates for c.

    Returns
    -------
    factor : float
        The likeliest, 1 if no label tells anything.
    log_likelihood : float
        For that factor, up to a constant that is the same for all kernels.
    """
    functionals = Functionals(features, labels)
    values = functionals.values(labels, residual)
    told = np.abs(values) > _ZERO
    if not told.any():
        return 1.0, 0.0
    order = np.argsort(features.species, kind="stable")
    references = References(features.values[order], features.species[order], kernel)
    matrix = covariance(references, order, functionals, features)[np.ix_(told, told)]
    eigenvalues, vectors = eigh(matrix, overwrite_a=True, check_finite=False)
    squares = (vectors.T @ values[told]) ** 2
    total = np.maximum(eigenvalues, 0.0) + factors[:, None] ** 2
    deviance = np.sum(squares / total + np.log(total), axis=1)
    best = np.argmin(deviance)
    return float(factors[best]), -0.5 * float(deviance[best])


def likeliest_noise(
    trapezoids: dict[str, FloatArray],
    features: AtomicFeatures,
    labels: Targets,
    residual: FloatArray,
    begin: dict[str, float],
) -> tuple[float | None, dict[str, float]]:
    """Return the log marginal likelihood of a sparse model for the best noise, and that noise.

    Parameters
    ----------
    trapezoids : dict of str to ndarray of shape (k, m + 1)
        Of the whitened rows of each kind of label.
    features, labels, residual
        See `sparse_likelihoods`.
    begin : dict of str to float
        Factors of the noise to begin with.

    Returns
    -------
    log_likelihood : float or None
        None if no label tells anything; see `telling`.
    noise : dict of str to float
        Factors of the noise.
    """
    counts, logarithm = telling(features, labels, residual)
    if not counts:
        return None, begin
    likelihood = FactorLikelihood({kind: trapezoids[kind] for kind in counts}, counts)
    start = np.log([begin[kind] for kind in counts])
    log_noise, value = best_noise(likelihood, start, gain=_GAIN)
    noise = dict(zip(counts, np.exp(log_noise).tolist(), strict=True))
    return value + logarithm, begin | noise


def sparse_likelihoods(
    references: References,
    features: AtomicFeatures,
    labels: Targets,
    residual: FloatArray,
    max_memory: float | None,
    jitter: float,
) -> Callable[[Kernel], FactorLikelihood]:
    """Return the function from kernels to likelihoods of a sparse model on some references.

    A likelihood takes one pass over the rows of the kernel and of its derivatives by theta; it
    keeps a triangle, and products of the size of K_MM, for each kind of label.

    Parameters
    ----------
    references : References
        The kernel that they have is of no account.
    features : AtomicFeatures
        Structures.
    labels : Targets
        Their labels, with their noise; see `with_noise`.
    residual : ndarray of shape (n_structures,)
        Energies less the baseline (eV).
    max_memory : float or None
        Bytes that may be used; see `SparseGPR`.
    jitter : float
        See `SparseGPR`.
    """
    return partial(_sparse_likelihood, references, features, labels, residual, max_memory, jitter)


def _sparse_likelihood(references, features, labels, residual, max_memory, jitter, kernel):
    references = _with_kernel(references, kernel)
    derivatives = [
        references if d is kernel else _with_kernel(references, d) for d in kernel.theta_gradient()
    ]
    sources = list(dict.fromkeys([references, *derivatives]))
    place = [sources.index(d) for d in derivatives]
    m, (counts, _) = len(references), telling(features, labels, residual)
    factor, priors = _whitened_priors(references, derivatives, jitter)
    sums = {kind: TriangularFactor(np.zeros((m, m))) for kind in counts}
    products = {kind: np.zeros((len(derivatives), m, m + 1)) for kind in counts}
    n_triangles = len(counts) * (1 + len(derivatives)) + len(derivatives)
    # The search makes much of rounding errors, so that blocks are small enough for any memory.
    plan = plan_memory(max_memory, features, labels, m, n_triangles)
    block_bytes, jacobian_bytes = (min(n_bytes, _SEARCH_BYTES) for n_bytes in plan)
    with tile_threads(m) as map_tiles:
        for part in blocks(features, labels, m + 1, block_bytes / len(sources)):
            few = features[part], labels[part], residual[part], jacobian_bytes, map_tiles
            for rows in zip(*(training_rows(source, *few) for source in sources), strict=True):
                kind, rows = rows[0][0], [of_kind for _, of_kind in rows]
                if kind not in counts:
                    continue
                told = np.abs(rows[0][:, m]) > _ZERO
                rows = [of_source[told] for of_source in rows]
                for of_source in rows:
                    references.whiten(of_source, factor)
                for product, k in zip(products[kind], place, strict=True):
                    product += rows[k][:, :m].T @ rows[0]
                sums[kind].fold(rows[0])
    trapezoids = {kind: total.trapezoid for kind, total in sums.items()}
    return FactorLikelihood(trapezoids, counts, products, priors)


def _with_kernel(references, kernel):
    other = copy.copy(references)
    other.kernel = kernel
    return other


def _whitened_priors(references, derivatives, jitter):
    """Return the Cholesky factor L of K_MM, and L^-1 (dK_MM) L^-T for each derivative."""
    m = len(references)
    factor, priors = np.zeros((m, m)), np.zeros((len(derivatives), m, m))
    needed = {}
    for columns, matrix in references.covariance():
        at = columns.start
        factor[columns, columns], needed[at] = jittered_cholesky(matrix, jitter)
    for prior, derivative in zip(priors, derivatives, strict=True):
        for columns, matrix in derivative.covariance():
            # The jitter is relative, so that it changes too.
            shift = needed[columns.start] * np.mean(np.diag(matrix))
            prior[columns, columns] = matrix + shift * np.eye(len(matrix))
        references.whiten(prior, factor)
        prior[...] = prior.T
        references.whiten(prior, factor)
    return factor, priors


def dense_likelihoods(
    references: References,
    order: IntArray,
    features: AtomicFeatures,
    labels: Targets,
    residual: FloatArray,
    max_memory: float | None,
) -> Callable[[Kernel], DenseLikelihood]:
    """Return the function from kernels to likelihoods of an exact model.

    Parameters
    ----------
    references : References
        All environments of the structures; the kernel that they have is of no account.
    order : ndarray of int of shape (n_environments,)
        Which environment each reference is.
    features, labels, residual, max_memory
        See `sparse_likelihoods`.
    """
    functionals = Functionals(features, labels)
    # Raises if the covariance does not fit.
    plan_exact(max_memory, features, len(functionals), functionals.derivatives, "cholesky", 0)
    values, (counts, _) = functionals.values(labels, residual), telling(features, labels, residual)
    told = np.abs(values) > _ZERO
    values = values[told]

    def likelihood(kernel):
        def of(function):
            other = _with_kernel(references, function)
            return covariance(other, order, functionals, features)[np.ix_(told, told)]

        matrix = of(kernel)
        derivatives = [matrix if d is kernel else of(d) for d in kernel.theta_gradient()]
        return DenseLikelihood(matrix, values, counts, derivatives)

    return likelihood
