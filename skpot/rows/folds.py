"""Cross-validation from one triangular factor for each fold and kind of label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import blas, lapack

from ..data import LABEL_KINDS
from ..solvers import TriangularFactor
from .blocks import whitened_blocks
from .factors import FitFactor, empty_factor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skpot.rows.contracts import TrainingColumns
    from skpot.rows.memory import BlockPlan
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray

_CHOLESKY_BYTES = 256e6  # factors of settings that are refined together
_MAX_STEPS = 8
_TOL = 1e-10  # of validation residuals, relative


def together(m: int) -> int:
    """Return how many settings are refined together: how many factors of m columns are held."""
    return max(1, int(_CHOLESKY_BYTES / (8.0 * m**2)))


class Trapezoid:
    """Rows that only count by their sums of products, in triangular form.

    Parameters
    ----------
    rows : ndarray of shape (k, m + 1)
        As `TriangularFactor.trapezoid`; target in the last column.
    """

    def __init__(self, rows: FloatArray) -> None:
        m = rows.shape[1] - 1
        self.rows = np.asfortranarray(rows[:m, :m])
        self.target = np.ascontiguousarray(rows[:m, m])
        self.rest = float(np.sum(rows[m:, m] ** 2))  # squared, out of reach of any coefficients
        self.square = len(self.rows) == m

    def product(self, x: FloatArray) -> FloatArray:
        """Return the rows times x (m, n)."""
        return blas.dtrmm(1.0, self.rows, x) if self.square else self.rows @ x

    def transposed(self, r: FloatArray) -> FloatArray:
        """Return the transposed rows times r (k, n)."""
        return blas.dtrmm(1.0, self.rows, r, trans_a=1) if self.square else self.rows.T @ r

    def residuals(self, x: FloatArray) -> FloatArray:
        """Return targets less predictions, shape (k, n), for coefficients (m, n)."""
        return self.target[:, None] - self.product(x)

    def squares(self, x: FloatArray) -> FloatArray:
        """Return the sums of squares of all residuals, shape (n,)."""
        return np.sum(self.residuals(x) ** 2, axis=0) + self.rest

    def scaled(self, factor: float) -> FloatArray:
        """Return the rows with targets, times a factor, for `TriangularFactor.merge`."""
        m = self.rows.shape[1]
        out = np.zeros((len(self.rows) + self.square, m + 1), order="F")
        out[: len(self.rows), :m], out[: len(self.rows), m] = self.rows, self.target
        if self.square:
            out[m, m] = np.sqrt(self.rest)
        return out * factor

    def projected(self, basis: FloatArray) -> Trapezoid:
        """Return that of the coefficients that `basis` (m, n) times new ones are."""
        factor, whole = empty_factor(basis.shape[1]), self.scaled(1.0)
        factor.fold(np.column_stack([whole[:, :-1] @ basis, whole[:, -1]]))
        return Trapezoid(factor.trapezoid)


class FoldFactors:
    r"""Trapezoids of all folds and kinds of labels, and least squares without one fold.

    The rows :math:`A_{tj}` of label kind t in fold j, at unit noise and with targets in the last
    column, enter through :math:`T_{tj} = [R\; z]` with :math:`T^T T = A^T A` alone. For noise
    :math:`\sigma_t` the coefficients without fold k minimize

    .. math:: |x|^2 + \sum_t \sigma_t^{-2} \sum_{j \ne k} |z_{tj} - R_{tj} x|^2

    and their error on fold k is :math:`|z_{tk} - R_{tk} x|` exactly. Merging the factors for every
    setting would cost a QR factorization of all of them. Instead a Cholesky factor of the normal
    matrix, a sum of Gram matrices, gives steps towards the minimum from gradients that are taken
    with the triangles (corrected seminormal equations: Å. Björck, Linear Algebra Appl. 88-89,
    31 (1987)). They end when residuals stand still; where they do not, factors are merged.

    Parameters
    ----------
    m : int
        Number of coefficients.
    """

    def __init__(self, m: int) -> None:
        self.m = m
        self.parts = []  # for each fold the trapezoid of each kind
        self.checks = []  # of each fold, to compute errors from: (trapezoid, n_labels)
        self.kinds = []

    def add(self, folder: RowFolder) -> None:
        """Take the rows of a fold from a `RowFolder`."""
        self.parts.append(folder.parts())
        self.checks.append(folder.checks(self.parts[-1]))
        self.kinds = [k for k in LABEL_KINDS if any(k in fold for fold in self.parts)]

    def take(self, folds: Sequence[int]) -> FoldFactors:
        """Return the factors of some folds."""
        some = FoldFactors(self.m)
        some.parts, some.checks = ([a[k] for k in folds] for a in (self.parts, self.checks))
        some.kinds = [k for k in self.kinds if any(k in fold for fold in some.parts)]
        return some

    def projected(self, basis: FloatArray) -> FoldFactors:
        """Return those of the coefficients that `basis` (m, n) times new ones are."""
        fewer = FoldFactors(basis.shape[1])
        fewer.kinds = self.kinds
        for parts, checks in zip(self.parts, self.checks, strict=True):
            known = {}  # most rows of labels are those of errors too
            for part in [*parts.values(), *(part for part, _ in checks.values())]:
                known[id(part)] = known.get(id(part)) or part.projected(basis)
            fewer.parts.append({kind: known[id(part)] for kind, part in parts.items()})
            fewer.checks.append({kind: (known[id(p)], n) for kind, (p, n) in checks.items()})
        return fewer

    def scores(self, left_out: int, sigmas: list[dict[str, float]]) -> dict[str, FloatArray]:
        """Return minus the errors on one fold of models from the others.

        Parameters
        ----------
        left_out : int
            The fold.
        sigmas : list of dict of str to float
            Noise by kind, one for each setting.

        Returns
        -------
        dict of str to ndarray of shape (n_settings,)
            Root mean squares by kind of label, energies per atom; in eV and eV/Å.
        """
        x = self.solve(left_out, sigmas)
        checks = self.checks[left_out].items()
        return {kind: -np.sqrt(part.squares(x) / n) for kind, (part, n) in checks}

    def join(
        self, sigma: dict[str, float], counts: dict[str, int]
    ) -> tuple[TriangularFactor, dict[str, FloatArray], str | None]:
        """Return the factor of all folds, trapezoids kept apart, and the kind that is not.

        Parameters
        ----------
        sigma : dict of str to float
            Noise by kind.
        counts : dict of str to int
            Number of labels of each kind.
        """
        fit = FitFactor(TriangularFactor(np.eye(self.m)), max(counts, key=counts.__getitem__))
        for fold in self.parts:
            for kind, part in fold.items():
                fit.merge(kind, part.scaled(1.0 / sigma[kind]))
        return fit.factor, fit.close({}), fit.main

    def solve(self, left_out: int, sigmas: list[dict[str, float]]) -> FloatArray:
        """Return the coefficients without one fold for all settings, shape (m, n_settings).

        Parameters
        ----------
        left_out, sigmas
            As in `scores`.
        """
        grams = {kind: self._gram(kind, left_out) for kind in self.kinds}
        size = together(self.m)
        solutions = [
            self._refined(left_out, grams, sigmas[begin : begin + size])
            for begin in range(0, len(sigmas), size)
        ]
        return np.hstack(solutions)

    def _gram(self, kind, left_out):
        """Return the upper triangle of the Gram matrix of the other folds' rows."""
        gram = np.zeros((self.m, self.m), order="F")
        for fold in self._others(left_out):
            if kind in fold:
                rows = fold[kind].rows
                gram = blas.dsyrk(1.0, rows, beta=1.0, c=gram, trans=1, overwrite_c=1)
        return gram

    def _others(self, left_out):
        return [fold for j, fold in enumerate(self.parts) if j != left_out]

    def _refined(self, left_out, grams, sigmas):
        precision = {kind: np.array([s[kind] ** -2.0 for s in sigmas]) for kind in self.kinds}
        factors = [
            self._cholesky(grams, {kind: w[s] for kind, w in precision.items()})
            for s in range(len(sigmas))
        ]
        x = np.zeros((self.m, len(sigmas)), order="F")
        state = _Steps(self.parts[left_out], [f is not None for f in factors])
        for _ in range(_MAX_STEPS):
            active = np.flatnonzero(state.open)
            if not len(active):
                break
            steps = self._gradient(left_out, precision, x[:, active], active)
            for column, s in enumerate(active):
                steps[:, column] = lapack.dpotrs(factors[s], steps[:, column])[0]
            x[:, active] += steps
            state.moved(active, x[:, active], steps)
        for s in np.flatnonzero(~state.done):
            x[:, s] = self._merged(left_out, sigmas[s])
        return x

    def _cholesky(self, grams, precision):
        """Return the factor of the normal matrix, None if it has none within rounding."""
        normal = np.zeros((self.m, self.m), order="F")
        flat = normal.ravel(order="F")  # a view, which daxpy adds to in place
        for kind, gram in grams.items():
            blas.daxpy(gram.ravel(order="F"), flat, a=precision[kind])
        normal[np.diag_indices(self.m)] += 1.0
        factor, info = lapack.dpotrf(normal, overwrite_a=1, clean=0)
        return None if info else factor

    def _gradient(self, left_out, precision, x, settings):
        gradient = -x
        for kind in self.kinds:
            total = np.zeros(x.shape)
            for fold in self._others(left_out):
                if kind in fold:
                    total += fold[kind].transposed(fold[kind].residuals(x))
            gradient = gradient + total * precision[kind][settings]
        return gradient

    def _merged(self, left_out, sigma):
        factor = TriangularFactor(np.eye(self.m))
        for fold in self._others(left_out):
            for kind, part in fold.items():
                factor.merge(part.scaled(1.0 / sigma[kind]))
        return factor.solve()


class RowFolder:
    """Folds the rows of one fold, at unit noise, into a factor for each kind of label.

    Parameters
    ----------
    m : int
        Number of coefficients.
    training : TrainingSet
        The structures of the fold, with noise that is one but for sample weights.
    """

    def __init__(self, m: int, training: TrainingSet) -> None:
        self.m = m
        self.factors = {}
        labels, n_atoms = training.labels, training.features.n_atoms
        known = labels.has_energy
        # Noise goes with the square root of the number of atoms, errors with the number.
        self.sizes = np.sqrt(n_atoms[known])
        self.alike = len(self.sizes) == 0 or np.ptp(self.sizes) == 0
        self.seen = 0
        weight = labels.sigma_energy**-2.0  # of all labels of a structure
        self.weights = {
            "energy": np.sum(weight[known]),
            "forces": 3 * np.sum(training.per_structure().n_forces * weight),
            "stress": 6 * np.sum(weight[labels.has_stress]),
        }

    def fold(self, kind: str, rows: FloatArray) -> None:
        """Fold in rows of structures in order; see `TriangularFactor.fold`."""
        if kind == "energy" and not self.alike:
            sizes = self.sizes[self.seen : self.seen + len(rows)]
            self.seen += len(rows)
            self._into("per atom", rows / sizes[:, None])
        self._into(kind, rows)

    def _into(self, name, rows):
        if len(rows):
            self.factors.setdefault(name, empty_factor(self.m)).fold(rows)

    def parts(self) -> dict[str, Trapezoid]:
        """Return the trapezoid of each kind of label."""
        names = [kind for kind in LABEL_KINDS if kind in self.factors]
        return {kind: Trapezoid(self.factors[kind].trapezoid) for kind in names}

    def checks(self, parts: Any) -> dict[str, tuple[Trapezoid, float]]:
        """Return the trapezoid of each kind's errors, and the sum of its labels' weights."""
        checks = {kind: (parts[kind], self.weights[kind]) for kind in parts if self.weights[kind]}
        if "energy" in checks and self.alike:
            checks["energy"] = parts["energy"], self.weights["energy"] * self.sizes[0] ** 2
        elif "energy" in checks:
            checks["energy"] = Trapezoid(self.factors["per atom"].trapezoid), self.weights["energy"]
        return checks


def folded(
    training: TrainingSet,
    members: IntArray,
    columns: TrainingColumns,
    factor: Any,
    plan: BlockPlan,
    verbose: int,
    name: str,
) -> RowFolder:
    """Return the folded rows of one fold.

    Parameters
    ----------
    training : TrainingSet
        All structures.
    members : ndarray of int
        Those of the fold, in the canonical order.
    columns, factor, plan, verbose
        See `whitened_blocks`.
    name : str
        Of the progress bar.
    """
    some = training.part(members)
    fold, in_order = RowFolder(len(columns), some), np.arange(len(some))
    for _, parts in whitened_blocks(columns, factor, some, plan, verbose, name, in_order):
        for kind, rows in parts:
            fold.fold(kind, rows)
    return fold


class _Steps:
    """Which settings have converged, by the residuals on the fold that is left out."""

    def __init__(self, fold: Any, possible: Any) -> None:
        self.fold = fold
        self.open = np.array(possible)
        self.done = np.zeros(len(self.open), dtype=bool)
        self.last = np.full(len(self.open), np.nan)

    def moved(self, settings: Any, x: FloatArray, steps: Any) -> None:
        """Take note of steps; they were the last if further ones would change nothing."""
        change = np.zeros(len(settings))
        for part in self.fold.values():
            size = np.sqrt(np.maximum(part.squares(x), 1e-8 * np.sum(part.target**2)))
            moved = np.linalg.norm(part.product(steps), axis=0)
            change = np.maximum(change, moved / np.maximum(size, 1e-300))
        last, self.last[settings] = self.last[settings], change
        # Steps shrink by a constant factor, so that the next one can be foretold.
        done = (change <= _TOL) | (change**2 <= 1e-2 * _TOL * last)
        self.done[settings] = done
        self.open[settings] = ~done & ~(change > 0.5 * last)
