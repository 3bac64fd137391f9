"""Kernel models of coupled species as models that compare environments of one species only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import NotCompilableError
from ..kernels import Product
from ..models import Expansion

if TYPE_CHECKING:
    from typing import Any

    from skpot.lowering._regressors import LinearForms


def uncoupled(coupling: Any, form: Expansion | LinearForms, name: str) -> Expansion:
    r"""Return a kernel model without coupling that predicts the same.

    A covariance :math:`B_{st} k(x, q)` with the places of the species s and t is, for centers of
    species s, the kernel k with references of all species, whose coefficients are multiplied by
    :math:`B_{st}`. Each species gets references of its own.

    Parameters
    ----------
    coupling : SpeciesCoupling
        Fitted; the last step before the regressor.
    form : Expansion or LinearForms
        The model.
    name : str
        Of the regressor, for the message.

    Returns
    -------
    Expansion
        Of the features without places.

    Raises
    ------
    NotCompilableError
        If the kernel is no product of one of the places and one of the other features.
    """
    if not isinstance(form, Expansion):
        raise NotCompilableError(
            f"SpeciesCoupling has a compiled form before kernel models, not before {name}."
        )
    q, vectors = form.features, form.vectors
    width = q.shape[1] - (coupling.n_features_out_ - coupling.n_features_in_)
    of_places, rest = _factors(form.kernel, width)
    species = np.array(sorted(coupling.places_))
    centers = np.zeros((len(species), q.shape[1]))
    centers[:, width:] = [coupling.places_[int(z)] for z in species]
    factors = of_places(centers, q)  # (n_species, n_references)
    if vectors is not None:
        vectors = (factors[:, :, None] * vectors[:, :width]).reshape(-1, width)
    return Expansion(
        rest,
        np.tile(q[:, :width], (len(species), 1)),
        np.repeat(species, len(q)),
        (factors * form.alpha).ravel(),
        vectors,
    )


def _factors(kernel, width):
    """Return the factors of a kernel on columns from `width` on, and on those before."""
    if isinstance(kernel, Product):
        for one, other in ((kernel.k1, kernel.k2), (kernel.k2, kernel.k1)):
            if _within(one, width, np.inf) and _within(other, 0, width):
                return one, other
    raise NotCompilableError(
        f"the kernel {kernel} of coupled species has no compiled form: the product of one on the "
        'block "species" and one on other blocks has, as in RBF().on("soap") * RBF().on("species").'
    )


def _within(kernel, begin, end):
    return all(
        s.columns is not None and begin <= s.columns[0] and s.columns[1] <= end
        for s in kernel.similarities
    )
