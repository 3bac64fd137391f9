"""The labels that a marginal likelihood looks at."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING

import numpy as np

from ..data import LABEL_KINDS
from ..data.order import keyed_uniform
from ..selection import rare_first, structure_kinds
from .functionals import Functionals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray

_ZERO = 1e-3  # labels below, in units of their noise, say nothing of it


def draw_structures(training: TrainingSet, n_labels: float, seed: int) -> IntArray:
    """Return structures of about as many labels, at least one, in the canonical order.

    Those without weight are no candidates. However few labels are wanted, each species that has any
    is there; so are all kinds of structures, of a species ratio and a group, as far as they fit
    into a quarter of the number.
    """
    features, labels = training.features, training.labels
    n_forces = training.per_structure().n_forces
    sizes = labels.has_energy + 3 * n_forces + 6 * labels.has_stress
    weightless = np.isinf(labels.sigma_energy) | np.isinf(labels.sigma_stress)
    canonical = training.order()
    order = canonical[(~weightless & (sizes > 0))[canonical]]
    order = order[np.argsort(keyed_uniform(features.info.keys[order], seed), kind="stable")]
    n = np.searchsorted(np.cumsum(sizes[order]), n_labels, side="right")
    order = rare_first(order, structure_kinds(features, labels.groups), n // 4)
    order, least = _with_all_species(order, features)
    n = np.searchsorted(np.cumsum(sizes[order]), n_labels, side="right")
    return canonical[np.isin(canonical, order[: max(1, least, n)])]


def _with_all_species(order, features):
    """Return an order that begins with structures of all species, and how many these are."""
    structure = np.repeat(np.arange(len(features)), features.n_atoms)
    place = np.full(len(features), len(order))
    place[order] = np.arange(len(order))
    ahead = {}
    for z in np.unique(features.numbers):
        nearest = int(place[structure[features.numbers == z]].min())
        if nearest < len(order):
            ahead[nearest] = None
    ahead = np.sort(list(ahead)).astype(int)
    return np.concatenate([order[ahead], np.delete(order, ahead)]), len(ahead)


def telling(training: TrainingSet) -> tuple[dict[str, int], float]:
    """Return what a likelihood looks at: how many labels of each kind, and the scale of all.

    Labels that are zero, within a thousandth of their noise, are left out: the symmetry of a
    crystal fixes its forces, and many of these would tell that there is no noise at all. Without
    weight the noise is infinite, so that these labels are left out as well.

    Returns
    -------
    counts : dict of str to int
        Of kinds that have any.
    logarithm : float
        What the unit of labels, their noise, adds to the logarithm of a density.
    """
    total, logarithms = dict.fromkeys(LABEL_KINDS, 0), []
    for _, part in training.in_parts():
        functionals = Functionals(part)
        told = are_telling(functionals.values(part))
        for kind, n in functionals.by_kind(told).items():
            total[kind] += int(n)
        logarithms.append(float(np.sum(np.log(functionals.scale[told]))))
    return {kind: n for kind, n in total.items() if n}, fsum(logarithms)


def are_telling(values: FloatArray) -> NDArray[np.bool_]:
    """Return which labels, in units of their noise, are not zero."""
    return np.abs(values) > _ZERO
