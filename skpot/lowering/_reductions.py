"""Ways to evaluate a potential faster: maps folded into references, and fewer references."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.feature_rows import Mapped
from ..models import Expansion

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.lowering._feature_trees import FeatureTree
    from skpot.models import LinearForms


def folded(
    tree: FeatureTree, form: Expansion | LinearForms, other: Expansion | None = None
) -> tuple[FeatureTree, Expansion | LinearForms, Expansion | None]:
    r"""Return tree and model with a final linear map moved into the references, if that is cheaper.

    The references of `other`, which has the same kernel, go the same way.

    The dot product of a mapped row with a reference equals that of the row itself with the
    reference mapped back,

    .. math:: (A^T x) \cdot q = x \cdot (A q)

    This saves the products with the map, but makes those with the references longer.
    """
    node = tree.node
    if not isinstance(form, Expansion) or not isinstance(node, Mapped):
        return tree, form, other
    plain = not node.constant.any() and not tree.shift.any() and (tree.scale == 1.0).all()
    plain &= all(
        not s.centered and s.columns is None and s.weights is None for s in form.kernel.similarities
    )
    n_in, n_out = node.matrix.shape[2], tree.width
    m = max(np.unique(form.species, return_counts=True)[1])
    if not plain or m * n_in > n_in * n_out + m * n_out:
        return tree, form, other
    maps = {z: node.matrix[k, :n_out].T for k, z in enumerate(tree.species)}  # (n_in, n_out)

    def moved(form):
        def back(rows):
            return np.stack([maps[z] @ row for z, row in zip(form.species, rows, strict=True)])

        vectors = None if form.vectors is None else back(form.vectors)
        return form._replace(features=back(form.features), vectors=vectors)

    tree = tree._replace(node=node.inner, width=n_in, scale=np.ones(n_in), shift=np.zeros(n_in))
    return tree, moved(form), None if other is None else moved(other)


def trimmed(form: Expansion | LinearForms, accepts: Callable[..., Any]) -> Expansion | LinearForms:
    """Return a model without its smallest references, as many as `accepts` allows.

    Parameters
    ----------
    form : Expansion or LinearForms
        The model.
    accepts : callable
        A function that says whether the error of a model with fewer references is small enough.

    Returns
    -------
    Expansion or LinearForms
        The model itself if it has no references or none can be left out.
    """
    if not isinstance(form, Expansion):
        return form
    size = np.abs(form.alpha)
    if form.vectors is not None:
        size = size + np.linalg.norm(form.vectors, axis=1)
    order = np.argsort(size, kind="stable")
    # Bisection: `possible` references can be left out, `too_many` cannot.
    possible, too_many, best = 0, len(order), form
    while too_many - possible > 1:
        middle = (possible + too_many) // 2
        candidate = form.take(np.sort(order[middle:]))
        if accepts(candidate):
            possible, best = middle, candidate
        else:
            too_many = middle
    return best
