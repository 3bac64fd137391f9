"""Kernel models with `SpeciesCoupling` as models that compare environments of one species only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import NotCompilableError
from ..kernels import Product
from ..models import Expansion

if TYPE_CHECKING:
    from typing import Any

    from skpot.models import LinearForms


def uncoupled(coupling: Any, form: Expansion | LinearForms, name: str) -> Expansion:
    r"""Return a kernel model without coupling that predicts the same.

    For centers of species s, the covariance :math:`B(e_s, e_t) k(x, q)` is the kernel k with
    references of all species t, whose coefficients are multiplied by :math:`B(e_s, e_t)`. So each
    species gets a copy of all references, with coefficients of its own.

    Parameters
    ----------
    coupling : SpeciesCoupling
        Fitted; the last step before the regressor.
    form : Expansion or LinearForms
        The model.
    name : str
        Name of the regressor, for the error message.

    Returns
    -------
    Expansion
        The model, for features without the block "species".

    Raises
    ------
    NotCompilableError
        If the kernel is no product of a factor on the block "species" and one on other columns.
    """
    if not isinstance(form, Expansion):
        raise NotCompilableError(
            f"SpeciesCoupling has a compiled form before kernel models only, not before {name}."
        )
    q, vectors = form.features, form.vectors
    width = q.shape[1] - (coupling.n_features_out_ - coupling.n_features_in_)
    of_species, of_features = _factors(form.kernel, width)
    species = np.array(sorted(coupling.species_vectors_))
    centers = np.zeros((len(species), q.shape[1]))
    centers[:, width:] = [coupling.species_vectors_[int(z)] for z in species]
    factors = of_species(centers, q)  # (n_species, n_references)
    if vectors is not None:
        vectors = (factors[:, :, None] * vectors[:, :width]).reshape(-1, width)
    return Expansion(
        of_features,
        np.tile(q[:, :width], (len(species), 1)),
        np.repeat(species, len(q)),
        (factors * form.alpha).ravel(),
        vectors,
    )


def own_factors(coupling: Any, form: Expansion) -> dict[int, float]:
    """Return B(e_s, e_s) by the species s."""
    width = form.features.shape[1] - (coupling.n_features_out_ - coupling.n_features_in_)
    of_species, _ = _factors(form.kernel, width)
    own = {}
    for z, vector in coupling.species_vectors_.items():
        center = np.zeros((1, form.features.shape[1]))
        center[0, width:] = vector
        own[int(z)] = float(of_species(center, center)[0, 0])
    return own


def _factors(kernel, width):
    """Return the factor of a kernel on the columns from `width` on, and that on those before."""
    if isinstance(kernel, Product):
        for one, other in ((kernel.k1, kernel.k2), (kernel.k2, kernel.k1)):
            if _within(one, width, np.inf) and _within(other, 0, width):
                return one, other
    raise NotCompilableError(
        f"the kernel {kernel} after SpeciesCoupling has no compiled form. Use a product of one "
        'kernel on the block "species" and one on other blocks, as in '
        'RBF().on("soap") * RBF().on("species").'
    )


def _within(kernel, begin, end):
    return all(
        s.columns is not None and begin <= s.columns[0] and s.columns[1] <= end
        for s in kernel.similarities
    )
