"""Extrapolation grades of kernel models in the form that `skpot.core.leverage` evaluates."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from ..core.expansion import Sum
from ..core.leverage import Graded, Leverage
from ..core.products import COLUMNS, rounded
from ..exceptions import NotCompilableError
from ..models import Expansion
from ._expansions import references_term
from ._uncoupled import coupling_factors, uncoupled

if TYPE_CHECKING:
    from typing import Any

    from skpot.lowering._feature_trees import FeatureTree
    from skpot.typing import FloatArray

_ROUNDING = 1e-13  # by which a matrix is made positive definite


def graded(
    potential: Any, domain: Domain, edge: dict[int, float], tree: FeatureTree, columns: slice
) -> Any:
    """Return a compiled model with all that extrapolation grades need.

    Parameters
    ----------
    potential : core.evaluation.Potential
        The model.
    domain : Domain
        What the model knows of its training environments, see `domain_of`.
    edge : dict of int to float
        The deviations at which the grade is 1, by atomic number.
    tree : FeatureTree
        The features that go into the model.
    columns : slice
        The columns of the tree that it has learned from.
    """
    form = domain.form
    terms = [
        references_term(kernel, form, tree, columns.start, np.float64)
        for kernel in form.kernel.terms().values()
    ]
    starts = terms[0].first
    while len(terms) > 1:
        terms[-2:] = [Sum(*terms[-2:])]
    first, counts, parts = [0], [], []
    for k, z in enumerate(tree.species):
        rows = domain.forms.get(int(z), np.zeros((0, 0)))
        g = np.zeros((rounded(len(rows), COLUMNS), starts[k + 1] - starts[k]))
        g[: len(rows), : rows.shape[1]] = rows
        first.append(first[-1] + g.size)
        counts.append(len(rows))
        parts.append(g.ravel())
    return Graded(
        potential,
        Leverage(
            terms[0],
            starts,
            np.array(first),
            np.array(counts),
            np.concatenate(parts),
            np.array([domain.factors.get(int(z), 1.0) for z in tree.species]),
            np.array([edge.get(int(z), 0.0) for z in tree.species]),
        ),
    )


class Domain(NamedTuple):
    """What a model knows of its training environments, as sums of squares for each species."""

    form: Expansion  # kernel and references; the coefficients are not used
    forms: dict[int, FloatArray]  # rows of G, by species
    factors: dict[int, float]  # of the kernel's own variance, by species


def domain_of(regressor: Any, coupling: Any = None) -> Domain:
    """Return what a fitted regressor knows of its training environments.

    Raises
    ------
    NotCompilableError
        If it knows of none, or its references are derivatives of kernels.
    """
    process = getattr(regressor, "domain_", None)
    references = getattr(process, "references", None)
    if references is None or references.directions is not None:
        raise NotCompilableError(
            "extrapolation grades have a compiled form for kernel models without n_directions "
            f"only, not for {type(regressor).__name__}. skpot.distill fits a SparseGPR to any "
            "model."
        )
    zeros = np.zeros(len(references))
    form = Expansion(references.kernel, references.values, references.species, zeros, None)
    if coupling is None:
        forms = {z: _forms(process, own) for z, own in references.columns.items()}
        return Domain(form, forms, {})
    rows = _forms(process, slice(0, len(references)))
    shares, own = coupling_factors(coupling, form)
    forms = {z: rows * share for z, share in shares.items()}
    return Domain(uncoupled(coupling, form, type(regressor).__name__), forms, own)


def _forms(process, own):
    r"""Return the rows of G of some references.

    What training environments explain of the variance is one sum of squares,
    :math:`w^T (1 - (R^T R)^{-1}) w`, with half as many rows as its two parts have.
    """
    n = own.stop - own.start
    whitening = solve_triangular(process.covariance_factor[own, own], np.eye(n), lower=True)
    left = solve_triangular(process.posterior_factor[own, own], np.eye(n))
    return cholesky((1.0 + _ROUNDING) * np.eye(n) - left @ left.T) @ whitening
