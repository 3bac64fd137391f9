"""Errors of models that learned from less: what more structures or references would buy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import qr

if TYPE_CHECKING:
    from skpot.processes.references import References
    from skpot.rows.folds import FoldFactors
    from skpot.typing import FloatArray

_POINTS = 4  # most numbers of folds
_STRIDES = (4, 2)  # of the references kept


def learning_curves(
    factors: FoldFactors,
    sigma: dict[str, float],
    sizes: list[int],
    references: References,
    covariance_factor: FloatArray,
) -> dict[str, dict[str, FloatArray]]:
    r"""Return errors on each fold of models from some of the others, and from some references.

    Both follow from the factors of the folds. Models of fewer structures leave folds out. Models
    of fewer references are those whose coefficients of the others vanish: with the factor
    :math:`K_{MM} = L L^T` and whitened coefficients x, these are :math:`x = B u`, where
    :math:`L_S^T = B R` is the QR factorization of the kept rows of L, and their prior
    :math:`|u|^2 = |x|^2` is that of the smaller model itself.

    Parameters
    ----------
    factors : FoldFactors
        Of all folds.
    sigma : dict of str to float
        Noise by kind of label.
    sizes : list of int
        Number of structures of each fold.
    references : References
        All of them.
    covariance_factor : ndarray of shape (m, m)
        L, lower triangular.

    Returns
    -------
    dict of str to dict of str to ndarray
        "structures" and "references": "number", ascending, and the root mean square errors by kind
        of label, means over the folds.
    """
    n, sizes = len(sizes), np.asarray(sizes, dtype=float)
    numbers, errors = [], []
    for count in np.unique(np.geomspace(1, n - 1, _POINTS).round().astype(int)):
        learned = [(np.arange(k + 1, k + 1 + count) % n).tolist() for k in range(n)]
        numbers.append(np.mean([sizes[some].sum() for some in learned]))
        scores = [factors.take([*some, k]).scores(count, [sigma]) for k, some in enumerate(learned)]
        errors.append(_means(scores))
    curves = {"structures": _curve(numbers, errors)}
    whole, numbers, errors = errors[-1], [], []
    for stride in _STRIDES:
        kept = np.concatenate(
            [np.arange(c.start, c.stop, stride) for c in references.columns.values()]
        )
        basis, _ = qr(covariance_factor[kept].T, mode="economic")
        fewer = factors.projected(basis)
        numbers.append(len(kept))
        errors.append(_means([fewer.scores(k, [sigma]) for k in range(n)]))
    curves["references"] = _curve([*numbers, len(references)], [*errors, whole])
    return curves


def _means(scores):
    """Return the mean error by kind of label over the folds that have it."""
    kinds = dict.fromkeys(kind for fold in scores for kind in fold)
    return {k: -float(np.mean([fold[k][0] for fold in scores if k in fold])) for k in kinds}


def _curve(numbers, errors):
    kinds = {kind: np.array([e[kind] for e in errors]) for kind in errors[-1]}
    return {"number": np.asarray(numbers, dtype=float)} | kinds
