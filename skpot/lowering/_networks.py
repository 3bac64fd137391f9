"""Neural networks in the form that `skpot.core.network` evaluates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.network import WIDTH, Network
from ..core.products import COLUMNS, rounded

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import DTypeLike

    from skpot.lowering._feature_trees import FeatureTree
    from skpot.models import Networks


def network_term(form: Networks, tree: FeatureTree, start: int, kind: DTypeLike) -> Any:
    """Return networks as a term of `skpot.core.expansion`.

    Parameters
    ----------
    form : Networks
        The model.
    tree : FeatureTree
        The features that it has learned from, `form.n_features` of them.
    start : int
        The first column of these.
    kind : dtype
        Type of the layers, in which products with them are computed.
    """
    n, n_members = form.n_features, form.n_members
    place = {int(z): k for k, z in enumerate(form.species)}
    widths = np.array([rounded(c.shape[3], WIDTH) for c in form.coefs[:-1]], dtype=np.int64)
    linear, shift = np.zeros((len(tree.species), n)), np.zeros((len(tree.species), n))
    constant = np.zeros(len(tree.species))
    last = np.zeros((len(tree.species), n_members, widths[-1]))
    forward, back, offsets = [], [], []
    for k, z in enumerate(tree.species.tolist()):
        own = place.get(z)  # species that were not trained have no energy
        if own is not None:
            shift[k] = tree.shift - form.centers[own]
            linear[k] = form.linear[own].mean(axis=0)
            constant[k] = form.intercepts[-1][own, :, 0].mean()
            last[k, :, : form.coefs[-1].shape[2]] = form.coefs[-1][own, :, :, 0] / n_members
        for m in range(n_members):
            before = n
            for layer, width in enumerate(widths.tolist()):
                weights, added = np.zeros((width, before)), np.zeros(width)
                if own is not None:
                    coef = form.coefs[layer][own, m].T
                    weights[: coef.shape[0], : coef.shape[1]] = coef
                    added[: coef.shape[0]] = form.intercepts[layer][own, m]
                turned = np.zeros((rounded(before, COLUMNS), width))
                turned[:before] = weights.T
                forward.append(weights.ravel())
                back.append(turned.ravel())
                offsets.append(added)
                before = width
    return Network(
        start,
        tree.scale,
        shift,
        form.silu,
        n_members,
        widths,
        np.concatenate(forward).astype(kind),
        np.concatenate(back).astype(kind),
        np.concatenate(offsets).astype(kind),
        last,
        linear,
        constant,
    )
