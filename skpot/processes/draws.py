r"""Functions drawn from a posterior process, by which deviations of forces become cheap.

A draw f of the prior that does not know the labels becomes one of the posterior by what the labels
would correct of it (Matheron's rule). Of a sparse process, with whitened references
:math:`K_{MM} + J = L L^T`, J being their jitter, and the triangle R of all labels,

.. math:: g(x) = f(x) + k(x, q_M)\, L^{-T} \left[ R^{-1} \xi - L^{-1} (f(q_M) + J^{1/2} \xi')
          \right]

has the covariance of `SparseProcess`, with standard normal :math:`\xi, \xi'`; of an exact one

.. math:: g(x) = f(x) - k_{xN} (K_{NN} + \Sigma)^{-1} (f_N + \Sigma^{1/2} \xi)

has that of `ExactProcess`, where :math:`f_N` are the labels that f itself means. The prior's
functions are random waves (`skpot.kernels.prior_waves`). So a draw costs as much as the model, and
the root mean square of a few draws' forces estimates their deviation.

References
----------
J. T. Wilson et al., Proc. Mach. Learn. Res. 119, 10292 (2020).
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import cho_solve, solve_triangular

from ..exceptions import NotCompilableError
from ..kernels import Waves, prior_waves
from .functionals import KernelProduct
from .linear_terms import LinearForms
from .variance import ExactProcess, LinearProcess, SparseProcess

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skpot.data import AtomicFeatures
    from skpot.processes.expansion import Expansion
    from skpot.typing import FloatArray

_WAVES = 120  # independent functions that the prior of each summand of the kernel is made of
_SEED = 0


class Draws(NamedTuple):
    """Deviations of a model's energies, as some draws of the posterior have them."""

    forms: list[Expansion] | list[LinearForms]  # of each draw, in the same references
    waves: list[Waves]  # that are added to the forms; empty for linear models
    weights: list[dict[int, FloatArray]]  # (n, n_draws) of each of the waves, by species

    def expand(self, features: AtomicFeatures) -> tuple[FloatArray, FloatArray]:
        """Return the energies of environments and their derivatives, of one draw after another.

        Returns
        -------
        energies : ndarray of shape (n_draws, n_environments)
            In eV.
        gradients : ndarray of shape (n_draws, n_environments, n_features)
            dE/d(features).
        """
        parts = [form.expand(features) for form in self.forms]
        energies, gradients = (np.array(part) for part in zip(*parts, strict=True))
        more, slopes = _prior(self.waves, self.weights, features, len(self.forms))
        return energies + more, gradients + slopes


def _prior(waves, weights, features, n_draws):
    """Return the energies and derivatives of environments of functions of the prior."""
    x = np.asarray(features.values, dtype=float)
    energies, gradients = np.zeros((n_draws, len(x))), np.zeros((n_draws, *x.shape))
    for own, by_species in zip(waves, weights, strict=True):
        for z, factors in by_species.items():
            members = np.flatnonzero(features.species == z)
            energies[:, members] += (own.values(x[members]) @ factors).T
            for k in range(n_draws):
                gradients[k, members] += own.gradient(x[members], factors[:, k])
    return energies, gradients


@singledispatch
def posterior_draws(process: Any, species: Sequence[int], n_draws: int) -> Draws:
    """Return draws from a posterior; the same process always gives the same.

    Parameters
    ----------
    process : SparseProcess, ExactProcess or LinearProcess
        What a fitted model says of its own errors.
    species : sequence of int
        Atomic numbers that the model knows; some may be without references.
    n_draws : int
        How many.

    Raises
    ------
    NotCompilableError
        If none can be drawn from the process or its kernel.
    """
    raise NotCompilableError(
        f"deviations of {type(process).__name__} have no compiled form; those of SparseGPR, GPR "
        "and LinearRidge have one."
    )


@posterior_draws.register
def _(process: SparseProcess, species, n_draws):
    rng, references = np.random.default_rng(_SEED), process.references
    kinds = sorted({*map(int, species), *references.columns})
    waves, weights = _prior_draws(process.kernel, references.values.shape[1], kinds, n_draws, rng)
    m = len(references)
    factor, posterior = process.covariance_factor, process.posterior_factor
    # Rows of a triangle by QR may have either sign; with that taken off, draws are the same.
    noise = (
        rng.standard_normal((m, n_draws)) * np.where(np.diag(posterior) < 0.0, -1.0, 1.0)[:, None]
    )
    whitened = solve_triangular(posterior, noise)
    known = np.zeros((m, n_draws))
    for own, by_species in zip(waves, weights, strict=True):
        for z in references.columns:
            references.add_functions(z, own, by_species[z], known)
    known += np.sqrt(_jitter(references, factor))[:, None] * rng.standard_normal((m, n_draws))
    whitened -= solve_triangular(factor, known, lower=True)
    coefficients = solve_triangular(factor, whitened, lower=True, trans="T")
    return Draws([references.expansion(c) for c in coefficients.T], waves, weights)


def _jitter(references, factor):
    """Return how much the squares of the factor exceed the variances of the references."""
    variances = np.zeros(len(references))
    for columns, covariance in references.covariance():
        variances[columns] = np.diag(covariance)
    return np.maximum(np.einsum("ij,ij->i", factor, factor) - variances, 0.0)


@posterior_draws.register
def _(process: ExactProcess, species, n_draws):
    rng, features = np.random.default_rng(_SEED), process.training
    labels, kinds = process.functionals, sorted({*map(int, species), *features.species.tolist()})
    waves, weights = _prior_draws(process.kernel, features.shape[1], kinds, n_draws, rng)
    product = KernelProduct(process.kernel, labels, features)
    forms = []
    for k in range(n_draws):
        one = [{z: w[:, [k]] for z, w in by_species.items()} for by_species in weights]
        (energies,), (slopes,) = _prior(waves, one, features, 1)
        values = labels.observe(energies, slopes, features) + rng.standard_normal(len(labels))
        solution = cho_solve((process.factor, True), values, check_finite=False)
        forms.append(product.expansion(-solution))
    return Draws(forms, waves, weights)


@posterior_draws.register
def _(process: LinearProcess, species, n_draws):
    rng = np.random.default_rng(_SEED)
    factor = process.posterior_factor
    noise = rng.standard_normal((len(factor), n_draws))
    noise *= np.where(np.diag(factor) < 0.0, -1.0, 1.0)[:, None]
    whitened = process.noise_scale * solve_triangular(factor, noise)
    terms, penalties = process.terms, process.penalty_factors
    forms = [terms.forms(terms.coefficients(column, penalties)) for column in whitened.T]
    return Draws(forms, [], [])


def _prior_draws(kernel, n_features, species, n_draws, rng):
    """Return waves and, for each of them, their weights by species, which are independent."""
    waves = prior_waves(kernel, n_features, _WAVES, rng)
    return waves, [{z: own.weights(n_draws, rng) for z in species} for own in waves]
