"""Extrapolation grades in the form that `skpot.core.leverage` evaluates."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.linalg import cholesky, solve_triangular

from ..core.expansion import Sum
from ..core.leverage import Graded, Leverage
from ..core.products import COLUMNS, rounded
from ..exceptions import NotCompilableError
from ..kernels import DotProduct
from ..models import Expansion
from ._expansions import references_term
from ._uncoupled import own_factors, uncoupled

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
    tree = tree._replace(scale=tree.scale[columns], shift=tree.shift[columns])
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
            domain.sign,
            np.array([edge.get(int(z), 0.0) for z in tree.species]),
        ),
    )


class Domain(NamedTuple):
    """What a model knows of its training environments, as sums of squares for each species."""

    form: Expansion  # kernel and references; their coefficients are 1, or 0 of a derivative alone
    forms: dict[int, FloatArray]  # rows of G, by species
    factors: dict[int, float]  # of the kernel's own variance, by species
    sign: float = -1.0  # of the sum of squares; 1 in linear models


def domain_of(regressor: Any, coupling: Any = None) -> Domain:
    """Return what a fitted regressor knows of its training environments.

    Raises
    ------
    NotCompilableError
        If it does not say: it is a regressor of another package without `domain_`.
    """
    process = getattr(regressor, "domain_", None)
    if hasattr(process, "roots"):
        return _linear(process)
    references = getattr(process, "references", None)
    if references is None:
        raise NotCompilableError(
            f"{type(regressor).__name__} has no compiled extrapolation grades, because it has no "
            "domain_ with references. Without grades=True or --grades it compiles, and "
            "skpot.distill fits a SparseGPR, which has them, to any model."
        )
    form = references.one_by_one()
    if coupling is None:
        forms = {z: _forms(process, own) for z, own in references.coefficients.items()}
        return Domain(form, forms, {})
    rows = _forms(process, slice(0, len(references)))
    return Domain(
        uncoupled(coupling, form, type(regressor).__name__),
        dict.fromkeys(coupling.species_vectors_, rows),
        own_factors(coupling, form),
    )


def _forms(process, own):
    r"""Return the rows of G of some references.

    What training environments explain of the variance is one sum of squares,
    :math:`w^T (1 - (R^T R)^{-1}) w`, with half as many rows as its two parts have.
    """
    n = own.stop - own.start
    whitening = solve_triangular(process.covariance_factor[own, own], np.eye(n), lower=True)
    left = solve_triangular(process.posterior_factor[own, own], np.eye(n))
    return cholesky((1.0 + _ROUNDING) * np.eye(n) - left @ left.T) @ whitening


def _linear(process):
    r"""Return the domain of a linear or quadratic model.

    Its columns are made of kernels: with :math:`k(x, q) = x \cdot q + (x \cdot q)^2` and unit
    vectors :math:`e_i`,

    .. math:: 2 x_i = k(x, e_i) - k(x, -e_i), \quad 2 x_i^2 = k(x, e_i) + k(x, -e_i), \quad
              2 x_i x_j = k(x, e_i + e_j) - k(x, e_i) - k(x, e_j)

    Without products of features the kernel is the dot product, and its values are the columns.
    """
    terms = process.terms
    unit = np.eye(terms.n_features)
    kernel, rows, columns = DotProduct(1), unit, sp.eye_array(terms.n_features, format="csr")
    if terms.degree == 2:
        a, b = terms.pairs
        kernel = DotProduct(1) + DotProduct(2)
        rows = np.concatenate([unit, -unit, unit[a[a < b]] + unit[b[a < b]]])
        columns = _made_of_kernels(terms.n_features, a, b)
    q, species, forms = [], [], {}
    for z, triangle in process.roots().items():
        made = columns[terms.active[z]]
        used = np.unique(made.indices)
        forms[z] = triangle @ made[:, used]
        q.append(rows[used])
        species.append(np.full(len(used), z))
    q, species = np.concatenate(q), np.concatenate(species)
    form = Expansion(kernel, q, species, np.ones(len(q)), None)
    return Domain(form, forms, dict.fromkeys(forms, 0.0), 1.0)


def _made_of_kernels(n, a, b):
    """Return how features and products a, b of them are sums of kernels, one row for each."""
    k, squares, mixed = np.arange(n), n + np.flatnonzero(a == b), n + np.flatnonzero(a < b)
    a, b, sums = a[a < b], b[a < b], 2 * n + np.arange(len(mixed))
    entries = [
        (k, k, 0.5), (k, n + k, -0.5),
        (squares, k, 0.5), (squares, n + k, 0.5),
        (mixed, sums, 0.5), (mixed, a, -0.5), (mixed, b, -0.5),
    ]  # fmt: skip
    rows, columns = (np.concatenate([entry[i] for entry in entries]) for i in (0, 1))
    values = np.repeat([entry[2] for entry in entries], [len(entry[0]) for entry in entries])
    return sp.csr_array((values, (rows, columns)), shape=(n + len(k) + len(mixed), 2 * n + len(a)))
