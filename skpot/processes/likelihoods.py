"""Marginal likelihoods of sparse and of exact models."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh

from ..rows.blocks import blocks, training_rows
from ..rows.memory import plan_exact, plan_memory
from ..solvers import (
    DenseLikelihood,
    FactorLikelihood,
    TriangularFactor,
    best_noise,
    jittered_cholesky,
    tile_threads,
)
from .functionals import Functionals, covariance
from .likelihood_labels import are_telling, telling

if TYPE_CHECKING:
    from collections.abc import Callable

    from skpot.kernels.contracts import Kernel
    from skpot.processes.references import References
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray

_SEARCH_BYTES = 4e6  # of rows and Jacobians, while a likelihood is made
_GAIN = 1e-8  # relative gain of the likelihood that ends the search for the final noise


def likeliest_factor(
    kernel: Kernel, training: TrainingSet, factors: FloatArray
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
    training : TrainingSet
        A few structures: the covariance is dense.
    factors : ndarray
        The candidates for c.

    Returns
    -------
    factor : float
        The likeliest, 1 if no label tells anything.
    log_likelihood : float
        For that factor, up to a constant that is the same for all kernels.
    """
    functionals = Functionals(training)
    values = functionals.values(training)
    told = are_telling(values)
    if not told.any():
        return 1.0, 0.0
    matrix = covariance(kernel, functionals, training.features)[np.ix_(told, told)]
    eigenvalues, vectors = eigh(matrix, overwrite_a=True, check_finite=False)
    squares = (vectors.T @ values[told]) ** 2
    total = np.maximum(eigenvalues, 0.0) + factors[:, None] ** 2
    deviance = np.sum(squares / total + np.log(total), axis=1)
    best = np.argmin(deviance)
    return float(factors[best]), -0.5 * float(deviance[best])


def likeliest_noise(
    trapezoids: dict[str, FloatArray], training: TrainingSet, begin: dict[str, float]
) -> tuple[float | None, dict[str, float]]:
    """Return the log marginal likelihood of a sparse model for the best noise, and that noise.

    Parameters
    ----------
    trapezoids : dict of str to ndarray of shape (k, m + 1)
        Of the whitened rows of each kind of label.
    training : TrainingSet
        The structures and their labels.
    begin : dict of str to float
        Factors of the noise to begin with.

    Returns
    -------
    log_likelihood : float or None
        None if no label tells anything; see `telling`.
    noise : dict of str to float
        Factors of the noise.
    """
    counts, logarithm = telling(training)
    if not counts:
        return None, begin
    likelihood = FactorLikelihood({kind: trapezoids[kind] for kind in counts}, counts)
    start = np.log([begin[kind] for kind in counts])
    log_noise, value = best_noise(likelihood, start, gain=_GAIN)
    noise = dict(zip(counts, np.exp(log_noise).tolist(), strict=True))
    return value + logarithm, begin | noise


def sparse_likelihoods(
    references: References, training: TrainingSet, max_memory: float | None, jitter: float
) -> Callable[[Kernel], FactorLikelihood]:
    """Return the function from kernels to likelihoods of a sparse model on some references.

    A likelihood takes one pass over the rows of the kernel and of its derivatives by theta; it
    keeps a triangle, and products of the size of K_MM, for each kind of label.

    Parameters
    ----------
    references : References
        Their own kernel is not used.
    training : TrainingSet
        The structures and their labels.
    max_memory : float or None
        Bytes that may be used; see `SparseGPR`.
    jitter : float
        See `SparseGPR`.
    """
    return partial(_sparse_likelihood, references, training, max_memory, jitter)


def _sparse_likelihood(references, training, max_memory, jitter, kernel):
    references = references.with_kernel(kernel)
    derivatives = [
        references if d is kernel else references.with_kernel(d) for d in kernel.theta_gradient()
    ]
    sources = list(dict.fromkeys([references, *derivatives]))
    place = [sources.index(d) for d in derivatives]
    m, (counts, _) = len(references), telling(training)
    factor, priors = _whitened_priors(references, derivatives, jitter)
    sums = {kind: TriangularFactor(np.zeros((m, m))) for kind in counts}
    products = {kind: np.zeros((len(derivatives), m, m + 1)) for kind in counts}
    n_triangles = len(counts) * (1 + len(derivatives)) + len(derivatives)
    # The search makes much of rounding errors, so that blocks are small enough for any memory.
    plan = plan_memory(max_memory, training, m, n_triangles)
    block_bytes, jacobian_bytes = (min(n_bytes, _SEARCH_BYTES) for n_bytes in plan)
    with tile_threads(m) as map_tiles:
        for part in blocks(training, m + 1, block_bytes / len(sources)):
            few = training.take(part), jacobian_bytes, map_tiles
            for rows in zip(*(training_rows(source, *few) for source in sources), strict=True):
                kind, rows = rows[0][0], [of_kind for _, of_kind in rows]
                if kind not in counts:
                    continue
                told = are_telling(rows[0][:, m])
                rows = [of_source[told] for of_source in rows]
                for of_source in rows:
                    references.whiten(of_source, factor)
                for product, k in zip(products[kind], place, strict=True):
                    product += rows[k][:, :m].T @ rows[0]
                sums[kind].fold(rows[0])
    trapezoids = {kind: total.trapezoid for kind, total in sums.items()}
    return FactorLikelihood(trapezoids, counts, products, priors)


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
    training: TrainingSet, max_memory: float | None
) -> Callable[[Kernel], DenseLikelihood]:
    """Return the function from kernels to likelihoods of an exact model.

    Parameters
    ----------
    training, max_memory
        See `sparse_likelihoods`.
    """
    plan_exact(training, "cholesky", 0, max_memory)  # raises if the covariance does not fit
    functionals = Functionals(training)
    values, (counts, _) = functionals.values(training), telling(training)
    told = are_telling(values)
    values = values[told]

    def likelihood(kernel):
        def of(function):
            return covariance(function, functionals, training.features)[np.ix_(told, told)]

        matrix = of(kernel)
        derivatives = [matrix if d is kernel else of(d) for d in kernel.theta_gradient()]
        return DenseLikelihood(matrix, values, counts, derivatives)

    return likelihood
