r"""The domain of a model: how far an environment is from all those of the training set.

Labels of totals and forces leave open how energies are split among atoms, so that what they leave
of an environment's energy says little of errors. For the domain each training environment counts as
if its own energy had been a label, of noise :math:`\sigma_e`. With whitened rows w of its
covariance with the references, the variance that this leaves of an environment x is

.. math:: s^2(x) = k(x, x) - |w(x)|^2 + |R^{-T} w(x)|^2, \qquad
          R^T R = 1 + \sum_i w_i w_i^T / \sigma_e^2

where the sum goes over the training environments.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from ..data import AtomicFeatures
from ..data.order import environment_keys
from ..data.tasks import results_of_environments
from ..selection import select_from_parts, structure_kinds
from ..solvers import Products, gram_factor
from .gradient_references import references_with
from .variance import SparseProcess, some_of_each_species

if TYPE_CHECKING:
    from skpot.kernels.contracts import Covariance
    from skpot.processes.references import References
    from skpot.typing import FloatArray

SIGMA = 1e-3  # eV, of an environment's energy
_ORDINARY = 0.99  # share of the training environments that are no further apart than the edge


def domain_factor(
    references: References,
    covariance_factor: FloatArray,
    features: AtomicFeatures,
    before: FloatArray | None = None,
) -> FloatArray:
    """Return the upper triangle R of the training environments.

    Parameters
    ----------
    references : References
        Of the model.
    covariance_factor : ndarray of shape (m, m)
        Lower Cholesky factor of their covariance.
    features : AtomicFeatures
        The training environments.
    before : ndarray of shape (m, m), optional
        The triangle of those that were learned from earlier.
    """
    m = len(references)
    gram = np.eye(m) if before is None else before.T @ before
    shared, own = (references, covariance_factor), (features.species,)
    for _, found in results_of_environments(_products, features, shared, own):
        for z, columns in references.coefficients.items():
            gram[columns, columns] += found[z]
    return gram_factor(gram)


def _products(blocks, references, covariance_factor, species):
    """Return the products of whitened rows of some environments, over the noise, by species."""
    columns = references.coefficients
    sums = {z: Products(own.stop - own.start) for z, own in columns.items()}
    for some, values in blocks:
        for z, own in columns.items():
            inside = species[some] == z
            if inside.any():
                rows = _whitened(references, covariance_factor, values[inside], z)
                sums[z].add(np.ascontiguousarray(rows[:, own]))
    return {z: of_species.total()[0] / SIGMA**2 for z, of_species in sums.items()}


def _whitened(references, covariance_factor, values, z):
    """Return the whitened rows of environments of species z with some features."""
    n, rows = len(values), np.zeros((len(values), len(references)))
    alone = AtomicFeatures(values, np.arange(n + 1), np.full(n, z))
    references.sums(alone, rows)
    references.whiten(rows, covariance_factor)
    return rows


def domain_edge(
    process: SparseProcess, features: AtomicFeatures, jitter: float, limit: int
) -> dict[int, float]:
    """Return the deviation (eV) at the edge of the training set, by species.

    It is the largest of the training environments. But an environment that is a reference itself
    has next to none, so that it is at least what 99 % of the environments do not exceed when they
    are left out.

    Parameters
    ----------
    process : SparseProcess
        With the triangle of `domain_factor`.
    features : AtomicFeatures
        The training environments.
    jitter : float
        The relative jitter of K_MM. Variances below it are rounding, so that it is their floor.
    limit : int
        Most environments of each species that are looked at; see `some_of_each_species`.
    """
    chosen = np.zeros(len(features.species), dtype=bool)
    for _, members in some_of_each_species(features, limit):
        chosen[members] = True
    shared, own = (process, jitter), (chosen, features.centers, features.species)
    variances: dict[int, list[tuple[float, FloatArray]]] = {}
    for _, found in results_of_environments(_variances_by_species, features, shared, own):
        for z, some in found.items():
            variances.setdefault(z, []).extend(some)
    edge = {}
    for z in sorted(variances):
        largest, without = zip(*variances[z], strict=True)
        ordinary = np.quantile(np.concatenate(without), _ORDINARY, method="lower")
        edge[z] = float(np.sqrt(max(*largest, float(ordinary))))
    return edge


def _variances_by_species(blocks, process, jitter, chosen, centers, species):
    """Return what `_variances` does of the chosen environments, in a list for each species."""
    out = {}
    for some, values in blocks:
        among, of_rows = chosen[some], centers[some]
        for z in np.unique(of_rows[among]).tolist():
            inside = among & (of_rows == z)
            kind = species[some][inside][0]  # that kernels see: the center's, or that of all
            out.setdefault(z, []).append(_variances(process, values[inside], kind, jitter))
    return out


def _variances(process, values, z, jitter):
    """Return the largest variance of some environments, and all of them, each left out itself."""
    prior = np.array(process.kernel.diag(values), dtype=float)
    rows = _whitened(process.references, process.covariance_factor, values, z)
    left = solve_triangular(process.posterior_factor, rows.T, trans="T", check_finite=False)
    known = np.sum(left**2, axis=0)
    beyond = np.maximum(prior - np.sum(rows**2, axis=1), 0.0)
    without = beyond + known / np.maximum(1.0 - known / SIGMA**2, 1e-12)
    return float(max(np.max(beyond + known), jitter * prior.max())), without


def domain_references(
    features: AtomicFeatures, kernel: Covariance, n: int, seed: int
) -> References:
    """Return random references of the domain of a model that has none of its own.

    They are a third of the environments at most, so that the others tell how far apart they are.
    """
    kinds, counts = np.unique(features.species, return_counts=True)
    share = min(n / counts.sum(), 1.0 / 3.0)
    numbers = {int(z): max(1, int(share * c)) for z, c in zip(kinds, counts, strict=True)}
    chosen = select_from_parts(
        partial(results_of_environments, features=features), features.species, numbers, "random",
        np.random.default_rng(seed), environment_keys(features),
        np.repeat(structure_kinds(features), features.n_rows),
    )  # fmt: skip
    values = features.environments(chosen)
    return references_with(values, features.species[chosen], kernel, None, None)


def domain_of(
    features: AtomicFeatures, kernel: Covariance, n: int, seed: int, jitter: float
) -> SparseProcess:
    """Return the process of the domain of a model that has no references of its own."""
    references = domain_references(features, kernel, n, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nearly equal references do no harm here
        factor, _ = references.cholesky(jitter)
    return SparseProcess(references, factor, domain_factor(references, factor, features))
