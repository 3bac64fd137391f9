"""How much memory a fit takes, and what block sizes keep it below a limit."""

import os
from typing import NamedTuple

import numpy as np

from ..exceptions import InputError

_BLOCK_BYTES = 24e6  # rows of one block; larger ones gain no speed
_JACOBIAN_BYTES = 16e6  # dense Jacobian held at a time
_FEW_LABELS = 3000  # up to which the dense solver is fast enough to be the first choice


def available_memory():
    """Return the bytes of memory that are free now, or 4e9 where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 4e9


def plan_memory(
    max_memory,
    features,
    labels,
    n_references,
    n_triangles=None,
    unit="coefficients (n_sparse, n_directions)",
):
    """Return the bytes for a block of rows and for a dense Jacobian.

    There are `n_triangles` factors of rows, by default one for each kind of label.

    Raises
    ------
    ValueError
        If the triangular factor and the smallest possible block exceed `max_memory`; the message
        says what would fit.
    """
    limit = 0.5 * available_memory() if max_memory is None else float(max_memory)
    columns = n_references + 1
    if n_triangles is None:
        n_triangles = sum(
            b.any() for b in (labels.has_energy, labels.has_forces, labels.has_stress)
        )
    # Covariance factor, a copy of the final triangle for the variance, and one temporary of LAPACK.
    fixed = (3 + n_triangles) * 8.0 * columns**2
    largest = int(features.n_atoms.max())
    derivative = labels.has_forces.any() or labels.has_stress.any()
    block = 8.0 * columns * (7 + 3 * largest if derivative else 1)
    jacobian = 0.0
    if derivative:
        neighbors = int(features.neighborhood_sizes().max())
        jacobian = 24.0 * features.values.shape[1] * (neighbors + 2)
    # Rows exist twice while they are put together and handed to LAPACK.
    need = fixed + 2 * block + 2 * jacobian
    if need > limit:
        raise InputError(
            f"the fit needs at least {need / 1e9:.2f} GB ({fixed / 1e9:.2f} GB for "
            f"{n_references} {unit.split()[0]}, {block / 1e9:.2f} GB for the rows of a structure "
            f"of {largest} atoms) but max_memory allows {limit / 1e9:.2f} GB. Use about "
            f"{int(n_references * np.sqrt(max(limit, 1.0) / need) * 0.9)} {unit}, or smaller "
            "structures."
        )
    spare = limit - fixed
    return (
        max(block, min(_BLOCK_BYTES, spare / 4)),
        max(jacobian, min(_JACOBIAN_BYTES, spare / 8)),
    )


class ExactPlan(NamedTuple):
    """How an exact model is solved within the memory there is."""

    dense: bool  # by a Cholesky factor of the covariance of all labels
    n_columns: int  # of the preconditioner
    n_references: int  # of the sparse model of deviations, their derivatives included
    store: bool  # whether Jacobians are held
    compare: bool  # whether similarities of all pairs of environments are


def plan_exact(max_memory, features, n_labels, derivatives, solver, n_columns, n_similarities=1):
    """Decide on the solver of an exact model.

    Raises
    ------
    ValueError
        If `max_memory` does not allow it; the message says what would fit.
    """
    limit = 0.5 * available_memory() if max_memory is None else float(max_memory)
    n, p = features.values.shape
    dense = 20.0 * n_labels**2
    jacobian = 0.0
    if derivatives:
        dense += float(np.sum(8.0 * (7 + 3 * features.n_atoms) * features.n_rows * p))
        jacobian = 24.0 * p * (float(np.sum(features.neighborhood_sizes())) + 2 * n)
    if solver == "cholesky" or (solver == "auto" and n_labels <= _FEW_LABELS and dense <= limit):
        if dense > limit:
            raise InputError(
                f"the covariance of {n_labels} labels takes {dense / 1e9:.2f} GB but max_memory "
                f'allows {limit / 1e9:.2f} GB. Use solver="cg", which needs far less.'
            )
        return ExactPlan(True, 0, 0, False, False)
    vectors = 64.0 * n * p  # features, vectors, gradients and their copies
    column = 8.0 * (1.3 * n_labels + 3 * n_columns)  # a tenth are made at a time
    spare = limit - vectors
    if spare < 100 * column:
        raise InputError(
            f"the fit needs at least {(vectors + 100 * column) / 1e9:.2f} GB "
            f"({vectors / 1e9:.2f} GB for the vectors of {n} environments of {p} features, "
            f"the rest for a preconditioner of 100 columns) but max_memory allows "
            f"{limit / 1e9:.2f} GB. Use fewer features (PerAtom(PCA(...))) or skpot.SparseGPR."
        )
    n_columns = min(n_columns, int(0.7 * spare / column))
    if derivatives and features.per_structure:
        n *= 1 + min(p, 3 * int(features.n_atoms.max()))  # with derivatives
    n_references = min(max(1, n_columns // 2), n)
    n_columns = min(n_columns, n_labels)
    spare -= n_columns * column
    store = derivatives and jacobian <= 0.8 * spare
    _, counts = np.unique(features.species, return_counts=True)
    compared = 8.0 * n_similarities * float(np.sum(counts.astype(float) ** 2))
    compare = derivatives and compared <= 0.8 * (spare - store * jacobian)
    return ExactPlan(False, n_columns, n_references, store, compare)
