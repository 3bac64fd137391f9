"""Fewer operations for the same potential: maps folded into references, references left out."""

import copy

import numpy as np

from ..core.feature_rows import Mapped
from ..models import AutoGPR, KernelPotential

_PARTS = "reference_features_", "reference_species_", "dual_coef_", "dual_vectors_"


def kernel_model(regressor):
    """Return the kernel model in a regressor, or None."""
    inner = regressor.model_ if isinstance(regressor, AutoGPR) else regressor
    return inner if isinstance(inner, KernelPotential) else None


def folded(tree, regressor):
    r"""Return tree and regressor with a final linear map in the references, if that is cheaper.

    The dot product of a mapped row is that of the row itself with a reference that is mapped back,

    .. math:: (A^T x) \cdot q = x \cdot (A q)

    which saves the products of the map and costs those of longer references.
    """
    model = kernel_model(regressor)
    node = tree.node
    if model is None or model.baseline_ is not None or not isinstance(node, Mapped):
        return tree, regressor
    plain = not node.constant.any() and not tree.shift.any() and (tree.scale == 1.0).all()
    plain &= all(
        not s.centred and s.columns is None and s.weights is None
        for s in model.kernel_.similarities
    )
    n_in, n_out = node.forward.shape[2], tree.width
    m = max(np.unique(model.reference_species_, return_counts=True)[1])
    if not plain or m * n_in > n_in * n_out + m * n_out:
        return tree, regressor
    maps = {z: node.back[k, :n_in] for k, z in enumerate(tree.species)}  # (n_in, n_out)

    def back(rows):
        species = model.reference_species_
        return np.stack([maps[z] @ row for z, row in zip(species, rows, strict=True)])

    vectors = model.dual_vectors_
    model = _with(
        model,
        reference_features_=back(model.reference_features_),
        dual_vectors_=None if vectors is None else back(vectors),
    )
    tree = tree._replace(node=node.inner, width=n_in, scale=np.ones(n_in), shift=np.zeros(n_in))
    return tree, model


def trimmed(regressor, accepts):
    """Return a kernel model without its smallest references, as many as `accepts` allows.

    Parameters
    ----------
    regressor : regressor
        Fitted.
    accepts : callable
        Says of a model with fewer references whether its error is small enough.

    Returns
    -------
    regressor
        The same if it has no references, or none can go.
    """
    model = kernel_model(regressor)
    if model is None:
        return regressor
    size = np.abs(model.dual_coef_)
    if model.dual_vectors_ is not None:
        size = size + np.linalg.norm(model.dual_vectors_, axis=1)
    order = np.argsort(size, kind="stable")
    # The largest number that may go lies from `fewest` up to, but without, `too_many`.
    fewest, too_many, best = 0, len(order), regressor
    while too_many - fewest > 1:
        middle = (fewest + too_many) // 2
        keep = np.sort(order[middle:])
        parts = {name: getattr(model, name) for name in _PARTS}
        candidate = _with(model, **{k: None if v is None else v[keep] for k, v in parts.items()})
        if accepts(candidate):
            fewest, best = middle, candidate
        else:
            too_many = middle
    return best


def _with(model, **parts):
    """Return a copy of a fitted model with other arrays."""
    out = copy.copy(model)
    for name, value in parts.items():
        setattr(out, name, value)
    return out
