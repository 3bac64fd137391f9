"""Models in the form that `skpot.core.expansion` evaluates."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core import expansion
from ..core.expansion import Polynomial, Sum, Term
from ..core.products import COLUMNS, rounded
from ..exceptions import NotCompilableError
from ..kernels import RBF, DotProduct, Exponentiation, Matern
from ..models import LinearForms, Networks
from ._networks import network_term

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import DTypeLike

    from skpot.kernels import Waves
    from skpot.lowering._feature_trees import FeatureTree
    from skpot.models import Expansion
    from skpot.typing import FloatArray


def expansion_of(
    form: Expansion | LinearForms | Networks,
    tree: FeatureTree,
    columns: slice,
    kind: DTypeLike,
    prior: Sequence[Prior] = (),
) -> Any:
    """Return a model as terms of `skpot.core.expansion`.

    Parameters
    ----------
    form : Expansion, LinearForms or Networks
        The model.
    tree : FeatureTree
        The features that go into it.
    columns : slice
        The columns of the tree that the model has learned from.
    kind : dtype
        Type of references and of layers, in which products with them are computed.
    prior : sequence of Prior, optional
        Functions that are added, one for each summand of the kernel; see `Prior`.
    """
    tree = tree._replace(scale=tree.scale[columns], shift=tree.shift[columns])
    if isinstance(form, LinearForms):
        return _linear(form, tree, columns.start)
    if isinstance(form, Networks):
        return network_term(form, tree, columns.start, kind)
    summands = list(form.kernel.terms().values())
    added: list[Prior | None] = [*prior] or [None] * len(summands)
    terms = [
        references_term(kernel, form, tree, columns.start, kind, forms=True, prior=own)
        for kernel, own in zip(summands, added, strict=True)
    ]
    while len(terms) > 1:
        terms[-2:] = [Sum(*terms[-2:])]
    return terms[0]


class Prior(NamedTuple):
    """A function drawn from the prior of one summand of a kernel."""

    waves: Waves
    phases: FloatArray  # (n_species, n) of the waves, for each species of the tree
    weights: FloatArray  # (n_species, n) likewise


@singledispatch
def profile(kernel: Any) -> tuple[Any, Any]:
    """Return the compiled function of a similarity, and the kernel that defines the similarity."""
    raise NotCompilableError(
        f"the kernel {kernel} has no compiled form. Use DotProduct, RBF, Matern, powers of one of "
        "them, or sums of such kernels."
    )


@profile.register
def _(kernel: DotProduct):
    return expansion.Power(int(kernel.zeta), float(kernel.variance)), kernel


@profile.register
def _(kernel: RBF):
    return expansion.Gauss(kernel.inverse_square_length(), float(kernel.variance)), kernel


@profile.register
def _(kernel: Matern):
    rate, variance = kernel.inverse_square_length(), float(kernel.variance)
    if np.isinf(kernel.nu):
        return expansion.Gauss(rate, variance), kernel
    return expansion.Matern(int(kernel.nu), rate, variance), kernel


@profile.register
def _(kernel: Exponentiation):
    inner, leaf = profile(kernel.kernel)
    n = int(kernel.exponent)
    if isinstance(inner, expansion.Power):
        return expansion.Power(n * inner.exponent, inner.factor**n), leaf
    if isinstance(inner, expansion.Gauss):
        return expansion.Gauss(n * inner.inverse, inner.factor**n), leaf
    return profile.dispatch(object)(kernel)


def references_term(
    kernel: Any,
    form: Expansion,
    tree: FeatureTree,
    start: int,
    kind: DTypeLike,
    forms: bool = False,
    prior: Prior | None = None,
) -> Any:
    """Return the term of one summand of the kernel, with a function of its prior if one is given.

    With `forms`, a power of the similarity becomes a `Polynomial` if that is cheaper to evaluate.
    """
    f, leaf = profile(kernel)
    s = leaf.similarity
    begin, end = (0, form.features.shape[1]) if s.columns is None else s.columns
    weights = np.ones(end - begin) if s.weights is None else np.sqrt(np.array(s.weights))
    part = slice(begin, end)
    scale, shift = tree.scale[part] * weights, tree.shift[part] * weights
    q = form.features[:, part] * weights
    v = form.vectors
    v = None if v is None else v[:, part] * weights
    of_species = [np.flatnonzero(form.species == z) for z in tree.species]
    alpha = form.alpha
    if prior is not None and prior.waves.exponent:  # these waves are references like others
        q, v, alpha, of_species = _with_powers(q, v, alpha, of_species, prior, part, f.factor)
    if forms and isinstance(f, expansion.Power) and _as_polynomial(f, q, of_species):
        return _polynomial(f, start + begin, scale, shift, q, v, alpha, of_species)
    term = _references(f, start + begin, scale, shift, s.centered, q, v, alpha, of_species, kind)
    if prior is None or prior.waves.exponent:
        return term
    return _with_waves(term, prior, prior.waves.directions[:, part] / weights, shift)


def _with_powers(q, v, alpha, of_species, prior, part, factor):
    """Return references, vectors and coefficients with waves that are powers of dot products."""
    rows, n, n_species = prior.waves.directions[:, part], len(q), len(of_species)
    n_waves = len(rows)
    more = [n + n_waves * z + np.arange(n_waves) for z in range(n_species)]
    if v is not None:
        v = np.concatenate([v, np.zeros((n_species * n_waves, v.shape[1]))])
    return (
        np.concatenate([q, np.tile(rows, (n_species, 1))]),
        v,
        np.concatenate([alpha, prior.weights.ravel() / factor]),
        [np.concatenate(both) for both in zip(of_species, more, strict=True)],
    )


def _with_waves(term, prior, rows, shift):
    """Return a term with waves, whose directions are `rows` (n_waves, n)."""
    middle = shift - term.shift  # of each species, to which rows are relative
    return term._replace(
        wave_rows=np.ascontiguousarray(rows, dtype=term.rows.dtype),
        wave_phases=prior.phases + middle @ rows.T,
        wave_weights=np.ascontiguousarray(prior.weights),
    )


def _references(f, begin, scale, shift, centered, q, v, alpha, of_species, kind):
    """Return the term of references q, padded and relative to the mean of their species."""
    counts = [rounded(len(rows), expansion.STEP) for rows in of_species]
    first = np.cumsum([0, *counts]).astype(np.int64)
    n_species, n = len(of_species), q.shape[1]
    middle, relative = np.zeros((n_species, n)), np.zeros((first[-1], n))
    vectors = np.zeros_like(relative)
    scalars, constant, offset = np.zeros((3, first[-1]))
    for z, rows in enumerate(of_species):
        if len(rows):
            middle[z] = q[rows].mean(axis=0)
        mine = slice(first[z], first[z] + len(rows))
        relative[mine], scalars[mine] = q[rows] - middle[z], alpha[rows]
        if v is not None:
            vectors[mine] = v[rows]
        if centered:
            constant[mine] = -0.5 * np.einsum("mi,mi->m", relative[mine], relative[mine])
            offset[mine] = -np.einsum("mi,mi->m", relative[mine], vectors[mine])
        else:
            constant[mine] = q[rows] @ middle[z]
            offset[mine] = vectors[mine] @ middle[z]
    empty = np.empty(0, dtype=kind)
    return Term(
        f,
        centered,
        begin,
        scale,
        shift - middle,
        np.zeros_like(middle) if centered else middle,
        first,
        relative.astype(kind).ravel(),
        empty if v is None else vectors.astype(kind).ravel(),
        constant,
        offset,
        scalars,
        np.empty((0, n), dtype=kind),
        *np.empty((2, n_species, 0)),
    )


def _as_polynomial(f, q, of_species):
    """Return whether a power is cheaper as a polynomial of the columns than with references."""
    most = max(map(len, of_species))
    return f.exponent == 1 or (f.exponent == 2 and q.shape[1] < 2 * most)


def _polynomial(f, begin, scale, shift, q, v, alpha, of_species):
    n, wide = q.shape[1], rounded(q.shape[1], COLUMNS)
    linear = np.zeros((len(of_species), n))
    quadratic = np.zeros((len(of_species), wide if f.exponent == 2 else 0, n))
    for z, rows in enumerate(of_species):
        own, a = q[rows], f.factor * alpha[rows]
        vectors = None if v is None else f.factor * v[rows]
        if f.exponent == 1:
            linear[z] = a @ own + (0.0 if v is None else vectors.sum(axis=0))
        else:
            form = own.T @ (a[:, None] * own)
            if v is not None:
                cross = own.T @ vectors
                form += cross + cross.T
            quadratic[z, :n] = 0.5 * (form + form.T)
    shifts = np.repeat(shift[None], len(of_species), axis=0)
    return Polynomial(begin, scale, shifts, linear, quadratic)


def _linear(form, tree, start):
    """Return a linear or quadratic model as a polynomial."""
    n, n_species = form.n_features, len(tree.species)
    linear = np.zeros((n_species, n))
    quadratic = np.zeros((n_species, 0 if form.quadratic is None else rounded(n, COLUMNS), n))
    for k, z in enumerate(tree.species.tolist()):
        if z in form.linear:
            linear[k] = form.linear[z]
            if form.quadratic is not None:
                quadratic[k, :n] = form.quadratic[z]
    shifts = np.repeat(tree.shift[None], n_species, axis=0)
    return Polynomial(start, tree.scale, shifts, linear, quadratic)
