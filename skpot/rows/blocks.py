"""Training rows in blocks: labels as linear functionals of the coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..data import Targets
from ..progress import progress
from ..solvers import tile_threads
from .contracts import GradientRows
from .finite import refuse_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from skpot.data import AtomicFeatures
    from skpot.rows.contracts import TrainingColumns
    from skpot.rows.memory import BlockPlan
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray


_MOST_ATOMS = 4000  # whose features are held with the rows of a block


def blocks(
    training: TrainingSet, n_columns: int, max_bytes: float, order: IntArray | None = None
) -> Iterator[IntArray]:
    """Yield indices of structures whose rows fit in `max_bytes`, or of single structures.

    They come in the given order or, without one, in the canonical order of all structures, so that
    sums over blocks do not depend on that of the data; only one block is copied at a time, or
    computed of structures in files, so that its atoms are limited as well.
    """
    order = training.order() if order is None else order
    # Force rows are made for all atoms of a block, labeled or not.
    rows = 1 + (3 * training.features.n_atoms + 6) * training.has_derivatives
    limit = max_bytes / (8.0 * n_columns)
    begin, total, atoms = 0, 0, 0
    sizes = zip(rows[order].tolist(), training.features.n_atoms[order].tolist(), strict=True)
    for s, (count, n_atoms) in enumerate(sizes):
        full = total + count > limit or atoms + n_atoms > _MOST_ATOMS
        if s > begin and full:
            yield order[begin:s]
            begin, total, atoms = s, 0, 0
        total += count
        atoms += n_atoms
    if begin < len(order):
        yield order[begin:]


def training_rows(
    columns: TrainingColumns,
    training: TrainingSet,
    jacobian_bytes: float,
    map_tiles: Callable[..., Any],
) -> Iterator[tuple[str, FloatArray]]:
    """Yield rows of a few structures for each kind of label, targets in the last column.

    Parameters
    ----------
    columns : TrainingColumns
        What energies are linear in.
    training : TrainingSet
        The structures.
    jacobian_bytes : float
        Size of the dense Jacobian held at a time.
    map_tiles : callable
        See `References.gradient_rows`.

    Yields
    ------
    kind : {"energy", "forces", "stress"}
        In this order.
    rows : ndarray of shape (n_rows, n_columns + 1)
        Each divided by its standard deviation.
    """
    features, labels = training.features, training.labels
    m = len(columns)
    n, n_atoms = len(features), features.n_atoms
    rows = np.zeros((n, m + 1))
    columns.sums(features, rows[:, :m])
    rows[:, m] = np.where(labels.has_energy, training.residual, 0.0)
    rows /= (labels.sigma_energy * np.sqrt(n_atoms))[:, None]
    yield "energy", rows[labels.has_energy]
    if not training.has_derivatives:
        return

    rows, strain_rows = out = GradientRows.zeros(features, m + 1)
    columns.gradient_rows(features, out.first(m), jacobian_bytes, map_tiles)
    atoms, labeled = training.labeled_atoms()
    rows = rows.reshape(-1, 3, m + 1)
    rows = rows if len(atoms) == len(rows) else rows[atoms]
    rows[:, :, m] = labels.forces_flat[labeled]
    rows /= labels.sigma_forces_flat[labeled, None, None]
    yield "forces", rows.reshape(-1, m + 1)

    stress = labels.has_stress
    if stress.any():
        rows = strain_rows.reshape(n, 6, m + 1)[stress]
        rows[:, :, :m] /= features.volumes[stress, None, None]
        rows[:, :, m] = labels.stress[stress]
        rows /= labels.sigma_stress[stress, None, None]
        yield "stress", rows.reshape(-1, m + 1)


def whitened_blocks(
    columns: TrainingColumns,
    factor: Any,
    training: TrainingSet,
    plan: BlockPlan,
    verbose: int,
    description: str = "fit",
    order: IntArray | None = None,
) -> Iterator[tuple[IntArray, Iterator[tuple[str, FloatArray]]]]:
    """Yield structures, and their rows in coefficients whose prior is the unit matrix.

    Parameters
    ----------
    columns, training
        See `training_rows`.
    factor : ndarray of shape (n_columns, n_columns), or dict
        Lower Cholesky factor of the columns' covariance, as their `whiten` takes it.
    plan : BlockPlan
        How much is held at a time.
    verbose : int
        1 shows a progress bar.
    description : str, default="fit"
        Its name.
    order : ndarray of int, optional
        The structures to make rows of; all in the canonical order by default.

    Yields
    ------
    part : ndarray of int
        Structures; see `blocks`.
    rows : iterator of (str, ndarray of shape (n_rows, n_columns + 1))
        As from `training_rows`; to be used before the next block is asked for.
    """
    m = len(columns)

    def rows_of(part, map_tiles):
        some = training.take(part)
        for kind, rows in training_rows(columns, some, plan.jacobian_bytes, map_tiles):
            columns.whiten(rows, factor)
            refuse_rows(kind, rows, some)
            yield kind, rows

    with tile_threads(m) as map_tiles, progress(len(training), description, verbose) as bar:
        for part in blocks(training, m + 1, plan.block_bytes, order):
            yield part, rows_of(part, map_tiles)
            bar.update(len(part))


def as_targets(
    energy: FloatArray, features: AtomicFeatures, forces: FloatArray, virials: FloatArray
) -> Targets:
    """Return predictions as `Targets`; stress only where a cell has a volume."""
    stress = -virials / features.volumes[:, None]
    return Targets.predicted(energy, forces, features.atom_offsets, stress)
