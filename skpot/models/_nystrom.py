"""What conjugate gradients on exact models are helped by: Jacobians at hand, a sparse model."""

import numpy as np

from ..data import JacobianBlock
from ..data._stored import StoredJacobian
from ..solvers import LowRankInverse
from ._rows import whitened_blocks
from ._threads import tile_threads

_BLOCK_BYTES = 64e6  # of rows and Jacobians that are made at a time


def with_stored_jacobian(features):
    """Return the features with all Jacobians as numbers in place of the chain."""
    sizes = np.asarray(features.neighborhood_sizes())
    n, p = features.values.shape
    # Images of one atom are merged, so there may be fewer rows; pages never touched cost nothing.
    values, atom = np.empty((sizes.sum(), 3, p)), np.empty(sizes.sum(), dtype=np.int64)
    start, strain = np.zeros(n + 1, dtype=np.int64), np.empty((n, 6, p))
    step = max(1, int(_BLOCK_BYTES / (24.0 * p * sizes.max())))
    parts = [np.arange(lo, min(n, lo + step)) for lo in range(0, n, step)]
    with tile_threads(len(parts)) as map_tiles:
        for part, block in zip(parts, map_tiles(features.jacobian, parts), strict=True):
            lo, hi = part[0], part[-1] + 1
            rows = slice(start[lo], start[lo] + len(block.atom))
            values[rows], atom[rows], strain[lo:hi] = block.values, block.atom, block.strain
            start[lo + 1 : hi + 1] = start[lo] + block.start[1:]
    stored = JacobianBlock(start, atom[: start[-1]], values[: start[-1]], strain)
    return features.mapped(
        features.values, StoredJacobian(stored, features.offsets, features.atom_offsets)
    )


def nystrom(references, covariance_factor, functionals, features, labels, verbose):
    """Return the inverse of the labels' covariance as a sparse model has it.

    Parameters
    ----------
    references : References
        Of the sparse model.
    covariance_factor : ndarray of shape (m, m)
        Lower Cholesky factor of K_MM.
    functionals : Functionals
        All labels.
    features, labels
        As in `training_rows`.
    verbose : int
        1 shows a progress bar.

    Returns
    -------
    LowRankInverse
        Of 1 + K_NM K_MM^-1 K_MN, labels divided by their standard deviations.
    """
    m = len(references)
    columns = np.empty((len(functionals), m))
    unused = np.zeros(len(features))
    plan = _BLOCK_BYTES / 2, _BLOCK_BYTES / 4
    for part, rows in whitened_blocks(
        references, covariance_factor, features, labels, unused, plan, verbose, "references"
    ):
        within = functionals.within(part.start, part.stop, features.atom_offsets)
        columns[within] = np.concatenate([of_kind[:, :m] for _, of_kind in rows])
    return LowRankInverse(columns)
