"""The sparse process: what triangular factors know of all labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from ..rows.factors import FitFactor, determined, shares
from ..rows.folding import fold_rows, n_held
from ..rows.memory import plan_memory
from ..solvers import TriangularFactor
from .domain import domain_edge, domain_factor
from .gradient_references import references_with
from .leave_out import leave_out
from .variance import SparseProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skpot.data import AtomicFeatures
    from skpot.kernels.contracts import Covariance
    from skpot.processes.expansion import Expansion
    from skpot.processes.references import References
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray

_NO_WEIGHT = 1e8  # noise in place of an infinite one


class SparseState(NamedTuple):
    """A sparse model; the names are those of fitted attributes."""

    kernel: Covariance
    reference_features: FloatArray  # (n_references, n_features)
    reference_species: IntArray  # (n_references,)
    reference_directions: FloatArray | None  # (n_directions, n_features)
    direction_counts: IntArray | None  # (n_references,)
    covariance_factor: FloatArray  # (m, m) lower triangle L with L L^T = K_MM
    jitter: float  # that it needed
    posterior_factor: FloatArray  # (m, m) upper triangle R of the system in whitened coefficients
    domain_factor: FloatArray  # (m, m) upper triangle of the training environments
    target_column: FloatArray  # (m + 1,) right-hand side of the system
    label_factors: dict  # trapezoids of the kinds of labels, all but the most frequent one
    n_labels: dict  # numbers of labels learned from, by kind
    n_rows: int  # number of all of them
    label_shares: dict  # part of the determined coefficients, by kind
    largest_training_std: dict  # of any training environment's energy, by species

    @classmethod
    def before_labels(cls, references: References, jitter: float) -> SparseState:
        """Return the model that knows nothing but its references and the prior."""
        factor, needed = references.cholesky(jitter)
        m = len(references)
        prior = np.eye(m)  # nobody writes to it
        return cls(
            references.kernel, references.values, references.species,
            references.directions, references.counts,
            factor, needed, prior, prior, np.zeros(m + 1), {}, {}, 0, {}, {},
        )  # fmt: skip

    @property
    def references(self) -> References:
        """The references with their kernel."""
        return references_with(
            self.reference_features, self.reference_species, self.kernel,
            self.reference_directions, self.direction_counts,
        )  # fmt: skip

    @property
    def process(self) -> SparseProcess:
        """The posterior process."""
        return SparseProcess(self.references, self.covariance_factor, self.posterior_factor)

    @property
    def domain(self) -> SparseProcess:
        """The process that knows the training environments."""
        return SparseProcess(self.references, self.covariance_factor, self.domain_factor)

    @property
    def expansion(self) -> Expansion:
        """The energies that the coefficients of least squares mean."""
        solution = solve_triangular(self.posterior_factor, self.target_column[:-1])
        return self.references.expansion(self.unwhitened(solution))

    @property
    def main_kind(self) -> Any:
        """The kind of label without a trapezoid of its own, None before any labels."""
        return next((kind for kind in self.n_labels if kind not in self.label_factors), None)

    def unwhitened(self, coefficients: FloatArray) -> FloatArray:
        """Return coefficients of the references from those whose prior is the unit matrix."""
        return solve_triangular(self.covariance_factor, coefficients, lower=True, trans="T")

    def fold(
        self,
        training: TrainingSet,
        max_memory: float | None,
        verbose: int,
        with_other_noise: Callable[[dict[str, FloatArray]], Any] | None = None,
    ) -> SparseState:
        """Return the model that has learned from more labels.

        Parameters
        ----------
        training : TrainingSet
            The structures and their labels.
        max_memory : float or None
            Bytes that may be used; see `SparseGPR`.
        verbose : int
            1 shows a progress bar.
        with_other_noise : callable, optional
            Takes the trapezoids of all kinds of labels, at the noise of the training set, and
            returns those at other noise.
        """
        counts = training.count_labels()
        # With other noise all kinds stand apart, before it and after it.
        n_triangles = 2 * len(counts) + 2 if with_other_noise else len(counts)
        m = len(self.covariance_factor)
        n_triangles += len(counts) * n_held(training, m)
        plan = plan_memory(max_memory, training, m, n_triangles)
        main = self.main_kind or max(counts, key=counts.__getitem__)
        factor = TriangularFactor(self.posterior_factor, self.target_column)
        fit = FitFactor(factor, None if with_other_noise else main)
        fold_rows(fit, self.references, self.covariance_factor, training, plan, verbose)
        apart = fit.trapezoids()
        if with_other_noise:
            apart = with_other_noise(apart)
        total = {kind: self.n_labels.get(kind, 0) + n for kind, n in counts.items()}
        state = self.with_factor(
            factor, fit.close(self.label_factors, apart), main, self.n_labels | total
        )
        del factor, fit, apart  # of the size of the model's own
        return state.reported(training.features, verbose)

    def with_factor(
        self,
        factor: TriangularFactor,
        apart: dict[str, FloatArray],
        main: str,
        n_labels: dict[str, int],
    ) -> SparseState:
        """Return the model of a factor of all labels, with trapezoids of all kinds but `main`."""
        return self._replace(
            posterior_factor=factor.matrix,
            target_column=factor.target,
            label_factors={kind: rows for kind, rows in apart.items() if kind != main},
            n_labels=n_labels,
        )

    def reported(self, features: AtomicFeatures, verbose: int) -> SparseState:
        """Return the state with what is reported of it; `features` are what it saw last."""
        n_rows = sum(self.n_labels.values())
        gamma = determined(self.posterior_factor, self.label_factors, self.main_kind)
        label_shares = shares(gamma, verbose)
        # With few labels few environments are searched, so that this takes less time than the fit.
        limit = max(200, n_rows // 3)
        factor = domain_factor(
            self.references, self.covariance_factor, features, self.domain_factor
        )
        state = self._replace(domain_factor=factor)
        new = domain_edge(state.domain, features, self.jitter, limit)
        # More data only lower the deviations of earlier structures: keep the larger value.
        before = self.largest_training_std
        return state._replace(
            n_rows=n_rows,
            label_shares=label_shares,
            largest_training_std=before | {z: max(s, before.get(z, 0.0)) for z, s in new.items()},
        )

    def errors_left_out(
        self, training: TrainingSet, max_memory: float | None, verbose: int
    ) -> tuple[FloatArray, list[FloatArray], FloatArray]:
        """Return labels less their predictions by models without their structure."""
        training = training.with_noise_below(_NO_WEIGHT)  # labels without weight have rows too
        plan = plan_memory(max_memory, training, len(self.posterior_factor))
        return leave_out(self.process, self.target_column[:-1], training, plan, verbose)

    def draw(self, n_samples: int, rng: np.random.RandomState) -> FloatArray:
        """Return deviations of coefficients as the posterior has them, one draw per column."""
        noise = rng.standard_normal((n_samples, len(self.posterior_factor)))
        # Rows of a triangle by QR may have either sign; with that taken off, draws are the same.
        noise = noise * np.where(np.diag(self.posterior_factor) < 0.0, -1.0, 1.0)
        return self.unwhitened(solve_triangular(self.posterior_factor, noise.T))
