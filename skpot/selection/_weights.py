"""Weights of structures, for `sample_weight`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from ..data import AtomicFeatures, check_structures, targets_of
from ..exceptions import InputTypeError, ParameterError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from skpot.data import Targets
    from skpot.typing import FloatArray, Structures

_BLOCK = 512  # environments whose distances to all others are computed at a time


def rarity_weights(
    features: AtomicFeatures, *, width: float | None = None, sharpness: float = 1.0
) -> FloatArray:
    r"""Return larger weights for structures whose environments are rare.

    The density of environment i among the N of its species is a sum of Gaussians of the distances
    in the space of features, and its weight rises with the inverse density,

    .. math::

        \rho_i = \frac 1N \sum_j e^{-|x_i - x_j|^2 / 2 w^2 p}, \qquad
        W_s \propto \frac{1}{n_s} \sum_{i \in s} \rho_i^{-c}

    with p features, width w and sharpness c; the mean over all structures is 1. The density is the
    Gaussian density function (GDF) of Jeong et al.; the scaling function is a power, and
    weights are averaged over the atoms of a structure.

    Parameters
    ----------
    features : AtomicFeatures
        Environments of the training structures.
    width : float, optional
        The width w, root mean square over the features, in their units. By default, for each
        species, the median distance of an environment to its nearest distinct neighbor.
    sharpness : float, default=1.0
        The exponent c; 0 gives equal weights.

    Returns
    -------
    sample_weight : ndarray of shape (n_structures,)
        Positive, with mean 1.

    Raises
    ------
    ValueError
        If `width` is not positive or `sharpness` is negative.

    References
    ----------
    W. Jeong, K. Lee, D. Yoo, D. Lee, S. Han, J. Phys. Chem. C 122, 22790 (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from skpot import AtomicFeatures
    >>> from skpot.selection import rarity_weights
    >>> rows = np.array([[0.0], [0.1], [0.05], [3.0]])
    >>> features = AtomicFeatures(rows, np.arange(5), np.full(4, 14))
    >>> rarity_weights(features, width=0.5).round(2)
    array([0.67, 0.67, 0.67, 1.99])
    """
    if width is not None and not width > 0:
        raise ParameterError(f"width must be positive, got {width!r}")
    if not sharpness >= 0:
        raise ParameterError(f"sharpness must not be negative, got {sharpness!r}")
    if not isinstance(features, AtomicFeatures):
        raise InputTypeError(
            f"features must be AtomicFeatures, the output of a descriptor, got {type(features)}"
        )
    rarity = np.empty(len(features.values))
    for z in np.unique(features.species):
        rows = np.flatnonzero(features.species == z)
        x = np.asarray(features.values[rows], dtype=float) / np.sqrt(features.shape[1])
        rarity[rows] = _density(x, width or _spacing(x)) ** -float(sharpness)
    weight = np.add.reduceat(rarity, features.offsets[:-1]) / features.n_rows
    return weight / weight.mean()


def _blocks(x):
    for begin in range(0, len(x), _BLOCK):
        yield cdist(x[begin : begin + _BLOCK], x, "sqeuclidean")


def _spacing(x):
    """Return the median distance to the nearest distinct row; 1 if there is none."""
    floor = 1e-12 * max(float(np.max(np.sum(x**2, axis=1), initial=0.0)), 1e-300)
    nearest = [np.where(d > floor, d, np.inf).min(axis=1) for d in _blocks(x)]
    nearest = np.concatenate(nearest)
    nearest = nearest[np.isfinite(nearest)]
    return float(np.sqrt(np.median(nearest))) if len(nearest) else 1.0


def _density(x, width):
    return np.concatenate([np.mean(np.exp(-d / (2 * width**2)), axis=1) for d in _blocks(x)])


def energy_weights(
    y: Targets | ArrayLike,
    X: AtomicFeatures | Structures,
    *,
    scale: float | None = None,
    floor: float = 0.05,
) -> FloatArray:
    r"""Return weights that fall with the energy above the lowest of the same composition.

    .. math:: W_s \propto \max\big(e^{-\Delta_s / \epsilon},\, f\big), \qquad
              \Delta_s = \frac{E_s}{n_s} - \min_t \frac{E_t}{n_t}

    with n atoms in a structure and the minimum over structures with the same ratio of species; the
    mean over all structures is 1. For :math:`\epsilon = k_B T` these are Boltzmann factors of the
    energy per atom.

    Parameters
    ----------
    y : Targets or array of shape (n_structures,)
        Total energies in eV. Structures without an energy get the smallest weight.
    X : AtomicFeatures or list[Atoms]
        The structures.
    scale : float, optional
        The energy :math:`\epsilon` in eV per atom. By default the standard deviation of
        :math:`\Delta`.
    floor : float, default=0.05
        The smallest weight f relative to the largest, above 0: a model that never sees structures
        of high energy does not know that their energy is high.

    Returns
    -------
    sample_weight : ndarray of shape (n_structures,)
        Above zero; their mean is 1.

    Raises
    ------
    ValueError
        If `scale` or `floor` is out of range, or no structure has an energy.

    References
    ----------
    A. Bochkarev et al., Phys. Rev. Mater. 6, 013804 (2022), for weights by the energy above a
    minimum; theirs fall as a power.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from skpot.selection import energy_weights
    >>> energy_weights([-10.0, -9.8, -9.0], [bulk("Si")] * 3, scale=0.1).round(3)
    array([2.116, 0.778, 0.106])
    """
    if scale is not None and not scale > 0:
        raise ParameterError(f"scale must be positive, got {scale!r}")
    if not 0 < floor <= 1:
        raise ParameterError(f"floor must be above 0 and at most 1, got {floor!r}")
    composition, n_atoms = _compositions(X)
    energy = targets_of(y, len(n_atoms)).energy
    known = np.isfinite(energy)
    if not known.any():
        raise ParameterError("no structure has an energy, from which weights could be made")
    lowest = np.full(composition.max() + 1, np.inf)
    np.minimum.at(lowest, composition[known], (energy / n_atoms)[known])
    above = np.full(len(energy), np.inf)
    above[known] = (energy / n_atoms)[known] - lowest[composition[known]]
    scale = (np.std(above[known]) or 1.0) if scale is None else scale
    weight = np.maximum(np.exp(-above / scale), floor)
    return weight / weight.mean()


def _compositions(X):
    """Return a number for the ratio of species of each structure, and its number of atoms."""
    if isinstance(X, AtomicFeatures):
        numbers = np.split(X.numbers, X.atom_offsets[1:-1])
    else:
        numbers = [atoms.numbers for atoms in check_structures(X)]
    ratios = {}
    index = []
    for z in numbers:
        kinds, counts = np.unique(z, return_counts=True)
        counts //= np.gcd.reduce(counts)
        index.append(ratios.setdefault((*kinds.tolist(), *counts.tolist()), len(ratios)))
    return np.array(index), np.array([len(z) for z in numbers])
