r"""How much a candidate is worth, given what is known.

With :math:`B` the rows of its labels that are left open (`Knowledge.left_open`), its labels have
the covariance :math:`G = B^T B` in units of their noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.linalg import solve_triangular

from ..data import LABEL_KINDS
from ..exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skpot.active._knowledge import Knowledge, LabelRows
    from skpot.typing import FloatArray

    AllRows = Callable[[], Iterator[tuple[int, LabelRows]]]


class Criterion(Protocol):
    """What a greedy choice asks of a criterion."""

    def begin(self, knowledge: Knowledge, rows: AllRows) -> None:
        """Look at all candidates."""
        ...

    def gain(self, knowledge: Knowledge, rows: LabelRows) -> float:
        """Return what a candidate is worth at present."""
        ...

    def learned(self, knowledge: Knowledge) -> None:
        """Take notice that more is known."""
        ...


class Information:
    r"""Information that the labels of a candidate have of all coefficients, in nats.

    The mean over its n labels, and that of its energy a alone: there is one energy for many forces,
    and forces do not tell how far apart the energies of different structures are.

    .. math:: \tfrac{1}{2n} \log\det(1 + A P^{-1} A^T) + \tfrac12 \log(1 + a P^{-1} a^T)
    """

    def begin(self, knowledge: Knowledge, rows: AllRows) -> None:
        """Nothing is needed of the others."""

    def learned(self, knowledge: Knowledge) -> None:
        """Nothing is kept."""

    def gain(self, knowledge: Knowledge, rows: LabelRows) -> float:
        """Return the information."""
        left = knowledge.left_open(rows.matrix)
        few = left.T @ left if left.shape[1] <= len(left) else left @ left.T
        few[np.diag_indices_from(few)] += 1.0
        mean = 0.5 * float(np.linalg.slogdet(few)[1]) / max(1, left.shape[1])
        return mean + 0.5 * float(np.log1p(np.sum(left[:, : rows.n_energy] ** 2)))


class LargestForce:
    """The largest deviation of the force on an atom, in eV/Å."""

    def begin(self, knowledge: Knowledge, rows: AllRows) -> None:
        """Nothing is needed of the others, but forces must be among the labels."""
        if "forces" not in knowledge.levels:
            raise InputError(
                "MaxForcesStd needs a model that learns from forces; this one has energies or "
                "stress alone. Ask DOptimal instead."
            )

    def learned(self, knowledge: Knowledge) -> None:
        """Nothing is kept."""

    def gain(self, knowledge: Knowledge, rows: LabelRows) -> float:
        """Return the largest deviation."""
        return float(knowledge.forces_std(rows).max())


class MeanVariance:
    r"""How far labels of a candidate lower the mean variances of the labels of all candidates.

    With :math:`V = \sum_k \sum A_k^T A_k / n_k` over the rows of all energies per atom, of all
    forces and of all components of stress, :math:`\mathrm{tr}\, V P^{-1}` is the sum of their mean
    variances, each in units of its noise, and labels lower it by

    .. math:: \mathrm{tr}\, (1 + G)^{-1} B^T W B, \qquad W = R^{-T} V R^{-1}
    """

    def begin(self, knowledge: Knowledge, rows: AllRows) -> None:
        """Look at the labels of all candidates."""
        m = len(knowledge.triangle)
        sums, counts = np.zeros((len(LABEL_KINDS), m, m)), np.zeros(len(LABEL_KINDS))
        for _, candidate in rows():
            for k, part in enumerate(candidate.parts):
                asked = candidate.matrix[part]
                weight = 1.0 / candidate.n_atoms if LABEL_KINDS[k] == "energy" else 1.0
                sums[k] += weight * (asked.T @ asked)
                counts[k] += len(asked)
        self._sum = np.sum(sums / np.maximum(counts, 1)[:, None, None], axis=0)
        self.learned(knowledge)

    def learned(self, knowledge: Knowledge) -> None:
        """See what is left open of these labels."""
        half = knowledge.left_open(self._sum)
        self._left = knowledge.left_open(np.ascontiguousarray(half))

    def gain(self, knowledge: Knowledge, rows: LabelRows) -> float:
        """Return by how much the mean variances fall, in units of the noise."""
        left = knowledge.left_open(rows.matrix)
        whole = left.T @ left
        whole[np.diag_indices_from(whole)] += 1.0
        lower = np.linalg.cholesky(whole)
        explained: FloatArray = solve_triangular(lower, left.T, lower=True, check_finite=False)
        return float(np.sum((explained @ self._left) * explained))
