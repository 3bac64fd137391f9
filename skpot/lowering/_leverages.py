"""What a sparse model knows of extrapolation, as `skpot.core.leverage` evaluates it."""

import numpy as np
from scipy.linalg import solve_triangular

from ..core.leverage import Graded, Leverage
from ..core.products import COLUMNS, rounded
from ..exceptions import NotCompilableError
from ..models import AutoGPR, SparseGPR
from ._expansions import references_term


def graded(potential, regressor, tree, columns):
    """Return a compiled model with what grades of its environments take.

    Parameters
    ----------
    potential : core.evaluation.Potential
        The model.
    regressor : SparseGPR or AutoGPR
        Fitted.
    tree : FeatureTree
        Its input.
    columns : slice
        Which columns of the tree it learnt from.

    Raises
    ------
    NotCompilableError
        If the regressor is not sparse, has references with derivatives, or its kernel is a sum.
    """
    if isinstance(regressor, AutoGPR):
        regressor = regressor.model_
    plain = isinstance(regressor, SparseGPR) and regressor.reference_directions_ is None
    if not plain or len(regressor.kernel_.terms()) > 1:
        raise NotCompilableError(
            "extrapolation grades have a compiled form for SparseGPR with plain references and a "
            f"kernel of one term only, not for {type(regressor).__name__}({regressor.kernel_}). "
            "skpot.distill makes a SparseGPR of any model."
        )
    (kernel,) = regressor.kernel_.terms().values()
    term = references_term(kernel, regressor, tree, columns.start, np.float64)
    process = regressor._process()
    first, counts, parts = [0], [], []
    for k, z in enumerate(tree.species):
        own = process.references.columns.get(int(z), slice(0, 0))
        minus, plus = _forms(process, own)
        width = term.first[k + 1] - term.first[k]
        g = np.zeros((rounded(len(minus) + len(plus), COLUMNS), width))
        g[: len(minus), : minus.shape[1]] = minus
        g[len(minus) : len(minus) + len(plus), : plus.shape[1]] = plus
        first.append(first[-1] + g.size)
        counts.append([len(minus), len(plus)])
        parts.append(g.ravel())
    edges = regressor._edges()
    return Graded(
        potential,
        Leverage(
            term,
            np.array(first),
            np.array(counts),
            np.concatenate(parts),
            np.array([edges.get(int(z), 0.0) for z in tree.species]),
        ),
    )


def _forms(process, own):
    """Return the rows of G that are subtracted, and those that are added."""
    n = own.stop - own.start
    factor = process.covariance_factor[own, own]
    whitening = solve_triangular(factor, np.eye(n), lower=True)
    # Rows of one species have no covariance with the references before theirs.
    rest = process.posterior_factor[own.start :, own.start :]
    right = np.zeros((len(rest), n))
    right[:n] = whitening
    return whitening, solve_triangular(rest, right, trans="T")
