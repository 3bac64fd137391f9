r"""Covariances of labels of the same structure: what some columns of all leave of them.

All labels of a structure are functions of the same environments, so that they have much in common
that columns of the covariance of other labels do not say. With the remainder
:math:`R = K - F F^T` that a partial Cholesky factor F leaves of the labels' covariance, and B its
blocks of single structures with the noise on the diagonal, :math:`B + F F^T` differs from the
system only by what R has between structures. How much that is in units of both,

.. math:: a = \frac{1}{n} \sum_{ij}
          \frac{R_{ij}^2}{(R_{ii} + 1)(R_{jj} + 1)}, \qquad i, j \text{ of different blocks},

tells the iterations that conjugate gradients take: their number is about 15 to 25 times
:math:`\sqrt{a}` where single blocks are a small part of the system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh, lapack

from ..rows.memory import BLOCK_LIMIT, BLOCK_TOGETHER
from .functionals import Functionals
from .label_columns import label_columns, label_variances

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from skpot.kernels.contracts import Kernel
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray

_ROUNDING = 4.0  # most that rounding of columns may amount to, in units of the noise


class StructureBlocks:
    """Covariances of labels of the same structures, in units of the labels' noise.

    Parameters
    ----------
    kernel : kernel object
        See `skpot.kernels`.
    training : TrainingSet
        The structures and their labels.
    left_out : ndarray of int, optional
        Structures that share no block with others.

    Attributes
    ----------
    variances : ndarray of shape (n_labels,)
        Prior variances of all labels.
    dtype : type
        Precision of columns, see `precision`.
    rows : list of ndarray of int
        Labels of each block, ascending; none where all labels are energies, nor of structures with
        more than `BLOCK_LIMIT` labels, whose blocks would cost more than they save.
    """

    def __init__(
        self, kernel: Kernel, training: TrainingSet, left_out: IntArray | None = None
    ) -> None:
        functionals = Functionals(training)
        self.rows, self._blocks = [], []
        if not functionals.derivatives:
            self.variances = label_variances(kernel, functionals, training.features)
            self.dtype = precision(self.variances, functionals)
            return
        for dtype in (np.float32, np.float64):
            self.variances, self.rows, self._blocks = np.empty(len(functionals)), [], []
            for rows, found in _blocks(kernel, training, functionals, left_out, dtype):
                if found.ndim == 2:
                    self.rows.append(rows)
                    self._blocks.append(found)
                self.variances[rows] = np.diag(found) if found.ndim == 2 else found
            self.dtype = precision(self.variances, functionals)
            if self.dtype is dtype:
                break

    def in_common(self, drawn: IntArray, columns: FloatArray, remainder: FloatArray) -> float:
        """Return an estimate of what the remainder has between blocks, see above.

        Parameters
        ----------
        drawn : ndarray of int of shape (n_drawn,)
            Labels drawn with probabilities in proportion to `remainder`.
        columns : ndarray of shape (n_labels, n_drawn)
            Their columns of the remainder.
        remainder : ndarray of shape (n_labels,)
            Its diagonal.
        """
        weights = 1.0 / (remainder + 1.0)
        squares = np.einsum("ij,ij,i->j", columns, columns, weights)
        place = np.full(len(remainder), -1)
        place[drawn] = np.arange(len(drawn))
        for rows in self.rows:
            own = place[rows][place[rows] >= 0]
            squares[own] -= weights[rows] @ columns[np.ix_(rows, own)] ** 2
        squares *= weights[drawn] / remainder[drawn]
        return float(remainder.mean() * np.maximum(squares, 0.0).mean())

    def remainders(self, columns: FloatArray) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield labels and what columns leave of each block, with their noise; only once."""
        while self._blocks:
            block, rows = self._blocks.pop(), self.rows[len(self._blocks)]
            block -= columns[rows] @ columns[rows].T
            block[np.diag_indices_from(block)] += 1.0
            yield rows, _with_all_noise(block)


def _with_all_noise(block):
    """Return a block with its noise of one, where rounding has taken much of it in some direction.

    What columns leave of a covariance takes nothing from the noise in exact arithmetic.
    """
    half = block.copy()
    half[np.diag_indices_from(half)] -= 0.5
    if not lapack.dpotrf(half, lower=1, overwrite_a=1)[1]:
        return block
    values, vectors = eigh(block)
    return (vectors * np.maximum(values, 1.0)) @ vectors.T


def precision(variances: FloatArray, functionals: Functionals) -> Any:
    r"""Return the precision of columns: single where their rounding errors do no harm.

    Errors E of the factor F make the system's matrix differ from that of the preconditioner by at
    most :math:`|E|^2` where F vanishes. They are independent, of the size of a rounding of the
    largest variance that has to do with derivatives: energies are always made in double precision.
    """
    moving = variances[functionals.parts[0].stop :]
    rounding = float(np.finfo(np.float32).eps) / 2.0
    error = rounding * float(moving.max(initial=0.0)) * np.sqrt(len(variances))
    return np.float32 if error <= _ROUNDING else np.float64


def _blocks(kernel, training, functionals, left_out, dtype):
    """Yield labels and their covariance, or only variances where they are too many."""
    for group in _groups(training, left_out):
        part = training.take(group)
        own = functionals.of(group, training.features.atom_offsets)
        of_part = kernel, Functionals(part), part.features
        if len(own) > BLOCK_LIMIT:
            yield own, label_variances(*of_part)
        else:
            columns = label_columns(*of_part, np.arange(len(own)), dtype)
            yield own, 0.5 * (columns + columns.T)


def _groups(training, left_out):
    """Yield structures whose labels make one block, in the order of the training set."""
    owner = training.of_structures(np.arange(len(training)))
    counts, apart = np.bincount(owner, minlength=len(training)), np.zeros(len(training), bool)
    apart[[] if left_out is None else left_out] = True
    for kind in (False, True):
        group, total = [], 0
        for s in np.flatnonzero((apart == kind) & (counts > 0)):
            if group and total + counts[s] > BLOCK_TOGETHER:
                yield np.array(group)
                group, total = [], 0
            group.append(s)
            total += counts[s]
        if group:
            yield np.array(group)
