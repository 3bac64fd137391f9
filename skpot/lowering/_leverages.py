"""Extrapolation grades of sparse models in the form that `skpot.core.leverage` evaluates."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from ..core.leverage import Graded, Leverage
from ..core.products import COLUMNS, rounded
from ..exceptions import NotCompilableError
from ..models import AutoGPR, SparseGPR, SparseGPRCV
from ._expansions import references_term

if TYPE_CHECKING:
    from typing import Any

    from skpot.lowering._feature_trees import FeatureTree
    from skpot.models import Expansion


@singledispatch
def sparse_model(regressor: Any) -> SparseGPR | SparseGPRCV:
    """Return the fitted `SparseGPR` that computes the grades of a regressor.

    References with derivatives and sums of kernels are refused by `NotCompilableError`.
    """
    kernel = getattr(regressor, "kernel_", "")
    raise NotCompilableError(
        "extrapolation grades have a compiled form for SparseGPR with plain references and a "
        f"kernel of one term only, not for {type(regressor).__name__}({kernel}). "
        "skpot.distill fits a SparseGPR to any model."
    )


@sparse_model.register
def _(regressor: AutoGPR):
    return sparse_model(regressor.model_)


@sparse_model.register
def _(regressor: SparseGPR | SparseGPRCV):
    if regressor.reference_directions_ is not None or len(regressor.kernel_.terms()) > 1:
        return sparse_model.dispatch(object)(regressor)
    return regressor


def graded(
    potential: Any,
    model: SparseGPR | SparseGPRCV,
    form: Expansion,
    tree: FeatureTree,
    columns: slice,
) -> Any:
    """Return a compiled model with all that extrapolation grades need.

    Parameters
    ----------
    potential : core.evaluation.Potential
        The model.
    model : SparseGPR
        The fitted model, see `sparse_model`.
    form : Expansion
        Its kernel and references.
    tree : FeatureTree
        The features that go into it.
    columns : slice
        The columns of the tree that it has learned from.
    """
    (kernel,) = form.kernel.terms().values()
    term = references_term(kernel, form, tree, columns.start, np.float64)
    first, counts, parts = [0], [], []
    for k, z in enumerate(tree.species):
        # References are sorted by species.
        own = slice(*np.searchsorted(model.reference_species_, [z, z + 1]))
        minus, plus = _forms(model, own)
        width = term.first[k + 1] - term.first[k]
        g = np.zeros((rounded(len(minus) + len(plus), COLUMNS), width))
        g[: len(minus), : minus.shape[1]] = minus
        g[len(minus) : len(minus) + len(plus), : plus.shape[1]] = plus
        first.append(first[-1] + g.size)
        counts.append([len(minus), len(plus)])
        parts.append(g.ravel())
    largest = model.largest_training_std_
    return Graded(
        potential,
        Leverage(
            term,
            np.array(first),
            np.array(counts),
            np.concatenate(parts),
            np.array([largest.get(int(z), 0.0) for z in tree.species]),
        ),
    )


def _forms(model, own):
    """Return the rows of G that are subtracted, and those that are added."""
    n = own.stop - own.start
    factor = model.covariance_factor_[own, own]
    whitening = solve_triangular(factor, np.eye(n), lower=True)
    # Environments of a species have no covariance with references of the species before it.
    following = model.posterior_factor_[own.start :, own.start :]
    right = np.zeros((len(following), n))
    right[:n] = whitening
    return whitening, solve_triangular(following, right, trans="T")
