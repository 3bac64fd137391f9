"""How much memory a fit takes, and what block sizes keep it below a limit.

What is fitted, and by which solver, follows from the data alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data import StoredJacobian
from ..exceptions import InputError
from .free_memory import available_memory

if TYPE_CHECKING:
    from skpot.rows.training_set import TrainingSet

_BLOCK_BYTES = 24e6  # rows of one block; larger ones gain no speed
_JACOBIAN_BYTES = 16e6  # dense Jacobian held at a time
_FEW_LABELS = 3000  # up to which the dense solver is fast enough to be the first choice
_FEASIBLE = 0.9  # of the memory that is free, where nothing is said and there is no choice
BLOCK_LIMIT = 1024  # labels of structures whose covariance is held
BLOCK_TOGETHER = 256  # labels of small structures that are treated so together
ROW_LIMIT = 24  # environments whose labels are treated together, unless a structure has more


class BlockPlan(NamedTuple):
    """How much of the training rows is held at a time, in bytes."""

    block_bytes: float  # rows of some structures
    jacobian_bytes: float  # dense Jacobian of some of their environments


def plan_memory(
    max_memory: float | None,
    training: TrainingSet,
    n_references: int,
    n_triangles: int | None = None,
    unit: str = "coefficients (n_sparse, n_directions)",
) -> BlockPlan:
    """Return sizes of blocks with which a fit stays within `max_memory`.

    There are `n_triangles` factors of rows, by default one for each kind of label.

    Raises
    ------
    ValueError
        If the triangular factor and the smallest possible block exceed `max_memory`; the message
        says what would fit.
    """
    features = training.features
    limit = 0.5 * available_memory() if max_memory is None else float(max_memory)
    columns = n_references + 1
    if n_triangles is None:
        labels = training.labels
        n_triangles = sum(
            b.any() for b in (labels.has_energy, labels.has_forces, labels.has_stress)
        )
    # Covariance factor, prior, final triangle and up to three temporaries of what follows it.
    fixed = (6 + n_triangles) * 8.0 * columns**2
    largest = int(features.n_atoms.max())
    derivative = training.has_derivatives
    block = 8.0 * columns * (7 + 3 * largest if derivative else 1)
    jacobian = 0.0
    if derivative:
        jacobian = 24.0 * features.shape[1] * (features.largest_neighborhood() + 2)
    # Rows exist twice while they are put together and handed to LAPACK.
    need = fixed + 2 * block + 2 * jacobian
    if need > limit:
        fits = int(n_references * np.sqrt(max(limit, 1.0) / need) * 0.9)
        raise InputError(
            f"the fit needs at least {size_text(need)} ({size_text(fixed)} for "
            f"{n_references} {unit.split()[0]}, {size_text(block)} for the rows of a structure "
            f"of {largest} atoms) but max_memory allows {size_text(limit)}. Use "
            f"{f'about {fits} {unit}' if fits else 'more memory'}, or smaller structures."
        )
    spare = limit - fixed
    return BlockPlan(
        max(block, min(_BLOCK_BYTES, spare / 4)),
        max(jacobian, min(_JACOBIAN_BYTES, spare / 8)),
    )


def size_text(n_bytes: float) -> str:
    """Return a number of bytes as text in a unit that suits it."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= 0.1 * size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes:.3g} bytes"


class ExactPlan(NamedTuple):
    """How an exact model is solved. Memory decides what is held, and nothing else."""

    dense: bool  # by a Cholesky factor of the covariance of all labels
    batch_bytes: float  # for what labels are functions of, while the covariance is made
    n_columns: int  # of the preconditioner
    n_references: int  # of the sparse model of deviations, their derivatives included
    store: bool  # whether Jacobians are held
    single: bool  # whether the covariance with energies is held, see `SingleProduct`
    compare: str  # what is held of all pairs of environments, see `KernelProduct`


def plan_exact(
    training: TrainingSet,
    solver: str,
    n_columns: int,
    max_memory: float | None,
    n_similarities: int = 1,
) -> ExactPlan:
    """Decide on the solver of an exact model by the number of labels, and what to hold by memory.

    Parameters
    ----------
    training : TrainingSet
        What it is to be fitted to.
    solver : {"auto", "cholesky", "cg"}
        See `GPR`.
    n_columns : int
        Of the preconditioner.
    max_memory : float or None
        Bytes that may be used; None stands for most of what is free.
    n_similarities : int, default=1
        How many numbers the kernel compares two environments by.

    Raises
    ------
    ValueError
        If `max_memory` does not allow it; the message says what would fit.
    """
    counts, features = training.count_labels(), training.features
    n_labels, derivatives = sum(counts.values()), bool(counts.keys() - {"energy"})
    held = isinstance(features.derivatives, StoredJacobian)
    limit = _FEASIBLE * available_memory() if max_memory is None else float(max_memory)
    if held and max_memory is not None:
        limit -= _jacobian_bytes(features)
    if solver == "cholesky" or (solver == "auto" and n_labels <= _FEW_LABELS):
        return _plan_dense(limit, features, n_labels, derivatives, held)
    n, p = features.values.shape
    jacobian = _jacobian_bytes(features) if derivatives else 0.0
    vectors = 64.0 * n * p  # features, vectors, gradients and their copies
    if derivatives and features.per_structure:
        n *= 1 + min(p, 3 * int(features.n_atoms.max()))  # with derivatives
    n_references = min(max(1, n_columns // 3), n)
    n_columns = min(n_columns, n_labels)
    column = 8.0 * (1.3 * n_labels + 3 * n_columns)  # a tenth are made at a time
    block = min(n_labels, BLOCK_LIMIT, max(BLOCK_TOGETHER, 3 * int(features.n_atoms.max()) + 7))
    blocks = 8.0 * 1.5 * n_labels * block * derivatives  # while they are factorized
    n_energies = counts.get("energy", 0)
    single = derivatives and n_energies <= n_columns
    blocks += 8.0 * n_labels * n_energies * single
    spare = limit - vectors - blocks - n_columns * column
    if spare < 0:
        fits = int(0.9 * (limit - vectors - blocks) / column)
        fewer = f"n_precondition={fits} (AutoGPR: a third of it as n_sparse), " if fits > 0 else ""
        raise InputError(
            f"the fit needs at least {size_text(limit - spare)} "
            f"({size_text(vectors + blocks)} for the vectors of {n} environments of {p} "
            f"features and covariances that are held, the rest for a preconditioner of "
            f"{n_columns} columns) but max_memory allows {size_text(limit)}. Use {fewer}fewer "
            "features (PerAtom(PCA(...))) or skpot.SparseGPR."
        )
    store = derivatives and not held and jacobian <= 0.8 * spare
    _, counts = np.unique(features.species, return_counts=True)
    compared = 8.0 * float(np.sum(counts.astype(float) ** 2))
    left, compare = 0.8 * (spare - store * jacobian), "nothing"
    if derivatives and n_similarities * compared <= left:
        derived = (1 + n_similarities + n_similarities**2) * compared
        compare = "kernels" if derived <= left else "similarities"
    return ExactPlan(False, 0.0, n_columns, n_references, store, single, compare)


def _jacobian_bytes(features):
    """Return at least how many bytes the Jacobians of all environments take."""
    n, p = features.values.shape
    return 24.0 * p * (float(np.sum(features.neighborhood_sizes())) + 2 * n)


def _plan_dense(limit, features, n_labels, derivatives, held):
    matrix, batch = 10.0 * n_labels**2, 0.0  # and part of its factor again
    if derivatives:
        rows = np.maximum(features.n_rows, ROW_LIMIT)  # environments that are treated together
        batch = float(np.max(8.0 * (7 + 3 * features.n_atoms) * rows * features.shape[1]))
    need = matrix + 3.0 * batch
    if need > limit:
        raise InputError(
            f"the covariance of {n_labels} labels takes {size_text(need)} but max_memory "
            f'allows {size_text(limit)}. Use solver="cg", which needs less of many labels, or '
            "skpot.SparseGPR."
        )
    batches = (limit - matrix - batch) / 2.0
    store = derivatives and not held and _jacobian_bytes(features) <= batches
    return ExactPlan(True, batches, 0, 0, store, False, "nothing")
