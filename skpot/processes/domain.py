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
from ..data.order import environment_blocks, environment_keys
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
_ROWS = 2048  # environments whose rows are held at a time


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
    species, sums = features.species, {}
    for z, own in references.coefficients.items():
        sums[z] = Products(own.stop - own.start)
    for members, values in environment_blocks(features, _ROWS):  # in an order of their own
        for z, own in references.coefficients.items():
            inside = species[members] == z
            if inside.any():
                rows = _whitened(references, covariance_factor, values[inside], z)
                sums[z].add(np.ascontiguousarray(rows[:, own]))
    for z, own in references.coefficients.items():
        gram[own, own] += sums[z].total()[0] / SIGMA**2
    return gram_factor(gram)


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
    species, chosen = features.species, np.zeros(len(features.species), dtype=bool)
    centers = features.centers
    largest: dict[int, float] = {}
    without: dict[int, list[FloatArray]] = {}
    for _, members in some_of_each_species(features, limit):
        chosen[members] = True
    for members, values in environment_blocks(features, _ROWS):
        for z in np.unique(centers[members][chosen[members]]).tolist():
            inside = chosen[members] & (centers[members] == z)
            kind = species[members[inside][0]]  # that kernels see: the center's, or that of all
            found = _variances(process, values[inside], kind, jitter)
            largest[z] = max(largest.get(z, 0.0), found[0])
            without.setdefault(z, []).append(found[1])
    edge = {}
    for z in sorted(largest):
        left_out = np.concatenate(without[z])
        ordinary = np.quantile(left_out, _ORDINARY, method="lower")
        edge[z] = float(np.sqrt(max(largest[z], float(ordinary))))
    return edge


def _variances(process, values, z, jitter):
    """Return the largest variance of some environments, and all of them, each left out itself."""
    prior = np.array(process.kernel.diag(values), dtype=float)
    rows = _whitened(process.references, process.covariance_factor, values, z)
    left = solve_triangular(process.posterior_factor, rows.T, trans="T", check_finite=False)
    known = np.sum(left**2, axis=0)
    beyond = np.maximum(prior - np.sum(rows**2, axis=1), 0.0)
    without = beyond + known / np.maximum(1.0 - known / SIGMA**2, 1e-12)
    return max(np.max(beyond + known), jitter * prior.max()), without


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
        partial(environment_blocks, features), features.species, numbers, "random",
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
