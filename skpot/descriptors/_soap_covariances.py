"""Which combinations of radial functions and species the densities of structures have most of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core import soap
from ..data import rows_of
from ..data.order import canonical_order

if TYPE_CHECKING:
    from skpot.core.density import DensityTables
    from skpot.data import StructureBatch
    from skpot.typing import FloatArray, IntArray

_MAX_CENTERS = 10_000  # environments that covariances are taken from
_LEAST_CENTERS = 500  # of each species, however rare
_BLOCK = 256  # environments held at a time


def covariances(
    tables: DensityTables, species: IntArray, batch: StructureBatch, of_blocks: bool
) -> FloatArray:
    r"""Return :math:`\sum_i \sum_m c_{lm,q} c_{lm,q'}` by center species.

    Parameters
    ----------
    tables : DensityTables
        The expansion.
    species : ndarray of shape (n_atoms,)
        Index of each atom's species.
    batch : StructureBatch
        The structures, in any order. About 10 000 of their environments are used, and of each
        species at least 500, as far as there are so many.
    of_blocks : bool
        Whether only blocks of like neighbor species are wanted.

    Returns
    -------
    ndarray
        (n_species, l_max + 1, n_species, n_max, n_max) of blocks, else (n_species, l_max + 1, K, K)
        with K = n_species n_max.
    """
    n_species, n_max, l_max = tables.n_species, tables.n_max, tables.l_max
    n_channels = n_species * n_max
    shape = (n_species, n_max, n_max) if of_blocks else (n_channels, n_channels)
    out = np.zeros((n_species, l_max + 1, *shape))
    order = canonical_order(batch.keys())
    species, batch = species[rows_of(order, batch.offsets)[0]], batch.take(order)
    chosen, first = _chosen_centers(species), 0
    for part in batch.in_blocks():
        last = first + len(part.numbers)
        centers = chosen[(first <= chosen) & (chosen < last)] - first
        graph = part.neighbors(float(tables.cutoff.max()))
        for begin in range(0, len(centers), _BLOCK):
            block = centers[begin : begin + _BLOCK]
            _add_products(block, graph.pairs, species[first:last], tables, out)
        first = last
    return out


def _chosen_centers(species):
    """Return the environments that covariances are taken from, ascending."""
    evenly = [(np.arange(len(species)), _MAX_CENTERS)]
    evenly += [(np.flatnonzero(species == a), _LEAST_CENTERS) for a in np.unique(species)]
    parts = [
        members[np.linspace(0, len(members) - 1, min(len(members), most)).astype(np.int64)]
        for members, most in evenly
    ]
    return np.unique(np.concatenate(parts))


def _add_products(centers, pairs, species, tables, out):
    """Add the products of the coefficients of a few centers; see `covariances`."""
    n_species, n_max = tables.n_species, tables.n_max
    c = np.zeros((len(centers), (tables.l_max + 1) ** 2, n_species * n_max))
    soap.coefficients(centers, pairs, species, tables, c)
    for a in np.unique(species[centers]):
        own = c[species[centers] == a]
        for l in range(tables.l_max + 1):
            rows = own[:, l * l : (l + 1) * (l + 1)].reshape(-1, n_species * n_max)
            if out.ndim == 5:
                rows = rows.reshape(-1, n_species, n_max)
                out[a, l] += np.einsum("ibn,ibk->bnk", rows, rows, optimize=True)
            else:
                out[a, l] += rows.T @ rows


def leading(matrices: FloatArray, n: int) -> FloatArray:
    """Return the eigenvectors of the n largest eigenvalues, (..., size, n), signs fixed."""
    _, vectors = np.linalg.eigh(matrices)
    vectors = vectors[..., ::-1][..., :n]
    largest = np.abs(vectors).argmax(axis=-2, keepdims=True)
    return vectors * np.sign(np.take_along_axis(vectors, largest, axis=-2))
