"""Where networks start: random layers beside a linear term that fits the labels best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.network_loss import linear_rows
from ..solvers import TriangularFactor, gram_factor, maximize_evidence, serial_blas
from .network_inputs import parts_of

if TYPE_CHECKING:
    from skpot.processes.network_loss import NetworkLoss
    from skpot.typing import FloatArray, IntArray

_CONSTANT = 100.0  # size of the column of ones, whose coefficient should not be penalized
_LABELS_PER_COLUMN = 200  # more labels do not change the start
_ROUNDING = 1e-12  # relative, of the matrix of products


def linear_start(loss: NetworkLoss, structures: IntArray) -> FloatArray:
    """Return linear terms and constants that fit the labels of structures.

    They are those of a ridge fit whose strength is that for which the labels are most likely (see
    `maximize_evidence`), to as many structures as have 200 labels for each coefficient.

    Parameters
    ----------
    loss : NetworkLoss
        Labels and what networks see.
    structures : ndarray of int
        The structures, by their place in the inputs.

    Returns
    -------
    ndarray of shape (n_species, n_components + 1)
        The constants are last.
    """
    n = loss.inputs.rows.shape[1] + 1
    columns, n_labels = loss.n_species * n, 0
    products = np.zeros((columns + 1, columns + 1))
    with serial_blas():
        for s in structures:
            rows = _whitened_rows(loss, int(s), n, columns)
            loss.inputs.release()
            products += rows.T @ rows
            n_labels += len(rows)
            if n_labels > _LABELS_PER_COLUMN * columns:
                break
        largest = np.trace(products) / (columns + 1)
        if not largest > 0.0:
            return np.zeros((loss.n_species, n))
        factor = gram_factor(products + _ROUNDING * largest * np.eye(columns + 1))
        found = maximize_evidence(factor, n_labels)
        ridge = TriangularFactor(np.sqrt(found.alpha) * np.eye(columns))
        ridge.merge(factor)
        start = ridge.solve().reshape(loss.n_species, n)
    start[:, -1] *= _CONSTANT
    return start


def _whitened_rows(loss, s, n, columns):
    """Return the rows of all labels of a structure over their noise, targets in the last column."""
    inputs, labels = loss.inputs, loss.labels
    own = slice(*inputs.offsets[s : s + 2])
    energy = np.zeros((1, columns + 1))
    for row, k in zip(inputs.rows[own], inputs.kinds[own], strict=True):
        energy[0, k * n : (k + 1) * n - 1] += row
        energy[0, (k + 1) * n - 1] += _CONSTANT
    energy[0, -1] = labels.energy[s]
    rows = [energy * np.sqrt(labels.energy_weights[s])]
    if inputs.chain is not None:
        more, atoms = labels.derivatives, slice(*inputs.atom_offsets[s : s + 2])
        forces = np.zeros((3 * (atoms.stop - atoms.start), columns + 1))
        strain = np.zeros((6, columns + 1))
        linear_rows(*parts_of(inputs, s), n, forces, strain)
        forces[:, -1] = more.forces[atoms].ravel()
        weights = np.repeat(more.force_weights[atoms], 3)
        rows.append((forces * np.sqrt(weights)[:, None])[weights > 0.0])
        strain /= more.volumes[s]
        strain[:, -1] = more.stress[s]
        rows.append(strain * np.sqrt(more.stress_weights[s]))
    rows = np.concatenate(rows)
    return rows[rows.any(axis=1)]
