r"""Errors and deviations of training structures as if they had not been learned from.

With labels in units of their noise, and C the covariance of all labels, noise included, the model
without structure s errs on its labels by :math:`e_s = V_s r_s`, where r are the residuals of the
fit and :math:`V_s = [(C^{-1})_{ss}]^{-1}` is the covariance of these errors (Rasmussen and
Williams, Gaussian Processes for Machine Learning, sec. 5.4.2, in blocks). The part of it that is
not label noise is what a standard deviation predicts: its squares are the diagonal of V_s less one.
A process that knows labels through references is also without those in structure s: they are as
unknown to it as the labels.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from ..data import LABEL_KINDS
from ..data.tasks import results_of_groups, task_groups
from ..rows.blocks import whitened_blocks
from ..rows.folding import row_times
from ..solvers import gram_factor
from .functionals import Functionals
from .label_columns import label_variances
from .likelihood_labels import draw_structures
from .variance import ExactProcess, SparseProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from skpot.processes.contracts import FittedForm
    from skpot.rows.memory import BlockPlan
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray

# One label in six is looked at, or in four by an exact process: fits take up to 1.3 times as long.
_SHARE, _SHARE_OF_EXACT = 6.0, 4.0
_FEWEST = 1200  # labels that are looked at if there are as many
_MOST = 20_000  # of them, by which factors are known to a few percent; more would only take time
_ROWS_IN_TIME = 16.0  # how many times as many atoms the tasks of rows have


class _Blocks(NamedTuple):
    """Labels of some structures without themselves, in units of their noise."""

    inside: TrainingSet
    errors: FloatArray  # (n_labels,)
    squares: FloatArray  # (n_labels,) of deviations


def looked_at(training: TrainingSet, seed: int, exact: bool) -> IntArray:
    """Return the structures whose errors are looked at; they do not depend on the data's order."""
    n_labels = sum(training.count_labels().values())
    share = _SHARE_OF_EXACT if exact else _SHARE
    return draw_structures(training, min(max(_FEWEST, n_labels / share), _MOST), seed)


def held_out(
    process: SparseProcess | ExactProcess,
    form: FittedForm,
    training: TrainingSet,
    plan: BlockPlan | None,
    some: IntArray,
    errors: FloatArray | None = None,
) -> dict[str, tuple[FloatArray, FloatArray, IntArray]]:
    """Return errors and deviations of some training labels without their structures.

    Parameters
    ----------
    process : SparseProcess or ExactProcess
        What the fit says of deviations.
    form : FittedForm
        What the fit found.
    training : TrainingSet
        All that was learned from; for `ExactProcess` in the order of its labels.
    plan : BlockPlan or None
        How many rows are held at a time; needed for `SparseProcess`.
    some : ndarray of int
        The structures that are looked at, from `looked_at`.
    errors : ndarray of shape (n_labels,), optional
        Their errors, labels less predictions in units of the noise, by a model that has learned
        from none of them. Deviations are those without all of them then.

    Returns
    -------
    dict of str to tuple
        By kind of label: errors, deviations, and atomic numbers of the atoms that forces act on, in
        units of the labels. Atoms without neighbors, of which free atoms' energies say all, are
        left out.
    """
    if isinstance(process, SparseProcess) and errors is None:
        parts = _of_groups(process, form, training.part(some), plan)
    elif isinstance(process, SparseProcess):
        parts = _sorted([_of_group(process, training.take(some), plan, errors)])
    else:
        parts = _sorted(_of_exact(process, form, training, some))
    joined = {kind: [*map(np.concatenate, zip(*p, strict=True))] for kind, p in parts.items() if p}
    return {kind: (e, s, z) for kind, (e, s, z) in joined.items() if (s > 0.0).any()}


def _of_groups(process, form, training, plan):
    """Return what `_sorted` does of a process that knows labels through references."""
    m, n_features = len(process.references), training.features.shape[1]
    times = row_times(m, n_features) / _ROWS_IN_TIME
    groups = task_groups(training.order(), training.features.n_atoms, times)
    parts: dict[str, list[Any]] = {kind: [] for kind in LABEL_KINDS}
    shared = process, form, plan
    for found in results_of_groups(_of_sparse, training, groups, shared):
        for kind, some in found.items():
            parts[kind].extend(some)
    return parts


def _of_sparse(training, some, process, form, plan):
    """Return errors and deviations of a group of structures: a task."""
    return _sorted(_sparse_blocks(process, form, training, plan, some))


def _sorted(blocks):
    """Return the errors, deviations and atomic numbers of blocks, in a list for each kind."""
    parts: dict[str, list[Any]] = {kind: [] for kind in LABEL_KINDS}
    for block in blocks:
        _sort_in(block, parts)
    return parts


def _sort_in(block, parts):
    """Append a block's errors, deviations and atomic numbers to the lists of their kinds."""
    inside, functionals = block.inside, Functionals(block.inside)
    features = inside.features
    used = ~inside.of_structures(features.lone_atoms()) & np.isfinite(block.errors)
    species = np.zeros(len(functionals), dtype=np.int64)
    species[functionals.parts[1]] = np.repeat(features.numbers[functionals.atoms], 3)
    error = block.errors / functionals.scale
    std = np.sqrt(np.maximum(block.squares, 0.0)) / functionals.scale
    for kind, part in zip(LABEL_KINDS, functionals.parts, strict=True):
        some = used[part]
        if some.any():
            parts[kind].append([a[part][some] for a in (error, std, species)])


def _residuals(form, inside):
    """Return labels less predictions, in units of the noise."""
    functionals, features = Functionals(inside), inside.features
    energies, slopes = form.expand(features, functionals.derivatives)
    return functionals.values(inside) - functionals.observe(energies, slopes, features)


def _owners(inside):
    """Yield the labels of each structure."""
    owner = inside.of_structures(np.arange(len(inside)))
    order = np.argsort(owner, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(owner[order])) + 1)


def _sparse_blocks(process, form, training, plan, some) -> Iterator[_Blocks]:
    """Yield blocks of some structures, of a process that knows labels through references.

    To a structure that is left out, references in it are as unknown as its labels, so that they
    are left out, too: with them, deviations are nearly those of structures that were learned from.
    """
    whitened = whitened_blocks(
        process.references, process.covariance_factor, training, plan, 0, "calibration", some
    )
    m, owned = len(process.posterior_factor), _environments(process.references)
    for part, kinds in whitened:
        rows = np.concatenate([rows for _, rows in kinds])[:, :m]
        inside = training.take(part)
        beyond = np.maximum(_prior(process.kernel, inside) - np.sum(rows**2, axis=1), 0.0)
        residual = _residuals(form, inside)
        errors, squares = np.empty(len(residual)), np.empty(len(residual))
        for s, own in enumerate(_owners(inside)):
            references = _own_references(inside.features[s : s + 1], owned)
            found = _without(process, form, rows[own], residual[own], references)
            errors[own], squares[own] = found[0], found[1] + beyond[own]
        yield _Blocks(inside, errors, squares)


def _environments(references):
    """Return the indices of references by their species and features."""
    rows = zip(references.species.tolist(), references.values, strict=True)
    return {(z, row.tobytes()): k for k, (z, row) in enumerate(rows)}


def _own_references(features, owned):
    """Return the indices of the references that are environments of a structure, ascending."""
    rows = zip(features.species.tolist(), features.values.astype(float), strict=True)
    found = {owned.get((z, row.tobytes())) for z, row in rows}
    return np.array(sorted(found - {None}), dtype=int)


def _without(process, form, rows, residual, references):
    r"""Return errors without labels and references of a structure, and squares of deviations.

    Coefficients c, whose prior is the unit matrix, have the precision :math:`R^T R` after all
    labels. That coefficients of some references vanish is the constraint :math:`C^T c = 0` with
    the columns of those references in :math:`L^{-1}`, where :math:`L L^T = K_{MM}`. In units in
    which the precision is one, rows of labels and constraints are :math:`b = R^{-T} w`; an
    orthonormal basis of the constraints is projected out of the former. Then labels are taken away
    with the hat matrix of what is left, :math:`(1 - H_s)^{-1} r_s`. Of the prior, references that
    are left out no longer explain their part.

    Parameters
    ----------
    process, form
        See `held_out`.
    rows : ndarray of shape (n_labels, m)
        Rows of the labels of the structure, in units of their noise.
    residual : ndarray of shape (n_labels,)
        Labels less predictions of the fit, likewise.
    references : ndarray of int
        The references that are left out.
    """
    basis = solve_triangular(process.posterior_factor, rows.T, trans="T", check_finite=False)
    lost = 0.0
    if len(references):
        columns = np.zeros((len(rows.T), len(references)), order="F")
        columns[references, np.arange(len(references))] = 1.0
        solve = partial(solve_triangular, check_finite=False)
        columns = solve(process.covariance_factor, columns, lower=True)
        lost = np.sum((rows @ np.linalg.qr(columns)[0]) ** 2, axis=1)
        constraints, size = np.linalg.qr(solve(process.posterior_factor, columns, trans="T"))
        along = basis.T @ constraints
        residual = residual + along @ solve(size, form.alpha[references], trans="T")
        basis = basis - constraints @ along.T
    left = np.linalg.inv(np.eye(len(rows)) - basis.T @ basis)
    return left @ residual, np.diag(left) - 1.0 + lost


def _of_group(process, training, plan, errors) -> _Blocks:
    """Return the block of structures that are left out together, with given errors."""
    m, functionals = len(process.posterior_factor), Functionals(training)
    rows = np.empty((len(functionals), m))
    owner = training.of_structures(np.arange(len(training)))
    whitened = whitened_blocks(
        process.references, process.covariance_factor, training, plan, 0, "calibration"
    )
    for part, kinds in whitened:
        own = np.flatnonzero(np.isin(owner, part))  # parts are in the order of the training set
        rows[own] = np.concatenate([rows for _, rows in kinds])[:, :m]
    gram = process.posterior_factor.T @ process.posterior_factor - rows.T @ rows
    left = solve_triangular(gram_factor(gram), rows.T, trans="T", check_finite=False)
    beyond = np.maximum(_prior(process.kernel, training) - np.sum(rows**2, axis=1), 0.0)
    return _Blocks(training, errors, beyond + np.sum(left**2, axis=0))


def _prior(kernel, inside):
    """Return the variance of labels before any of them, in units of their noise."""
    return label_variances(kernel, Functionals(inside), inside.features)


def _of_exact(process, form, training, some) -> Iterator[_Blocks]:
    """Yield blocks of a process that knows the covariance of all labels."""
    labels, offsets = process.functionals, training.features.atom_offsets
    for s in some:
        inside, own = training.take(np.array([s])), labels.within(s, s + 1, offsets)
        columns = np.zeros((len(process.factor), len(own)), order="F")
        columns[own, np.arange(len(own))] = 1.0
        inverse = solve_triangular(process.factor, columns, lower=True, check_finite=False)
        left = np.linalg.inv(inverse.T @ inverse)
        yield _Blocks(inside, left @ _residuals(form, inside), np.diag(left) - 1.0)
