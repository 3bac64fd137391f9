"""Variance of predictions: of the prior, and what the labels of a process leave of it.

A process has `energies(features)`, `environments(features)` and `derivatives(features)`: the
variances of total energies, of each environment's energy, and of forces and virials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from ..data import AtomicFeatures, block_ranges
from ..data.order import environment_blocks, environment_order
from ..rows.contracts import GradientRows
from ..selection import rare_first, structure_kinds
from .expansion import Expansion
from .functionals import label_batches, label_covariance
from .references import one_by_one

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from skpot.kernels.contracts import Covariance
    from skpot.processes.contracts import PosteriorProcess
    from skpot.processes.functionals import Functionals
    from skpot.processes.linear_terms import LinearTerms
    from skpot.processes.references import References
    from skpot.typing import FloatArray, IntArray

_BYTES = 32e6  # of Jacobians, or of covariances with labels, that are held at a time
_MOST = 512  # environments whose derivatives are treated together
_TOGETHER = 16  # atoms whose forces, or environments whose energies, are compared with labels


class SparseProcess(NamedTuple):
    r"""Process that knows labels through its references only.

    .. math:: s^2 = k_{**} - k_{*M} K_{MM}^{-1} k_{M*}
        + k_{*M} (K_{MM} + K_{MN} \Sigma^{-1} K_{NM})^{-1} k_{M*}

    for any linear functional * of the energy, with the prior :math:`k_{**}` summed over pairs of
    environments of one species: the projected process, which does not collapse far from the
    references.
    """

    references: References
    covariance_factor: np.ndarray  # (M, M) lower triangle L with L L^T = K_MM
    posterior_factor: np.ndarray  # (M, M) upper triangle R of the system in whitened coefficients

    @property
    def kernel(self) -> Covariance:
        """The prior's covariance."""
        return self.references.kernel

    def energies(self, features: AtomicFeatures) -> FloatArray:
        """Return the variance of total energies, shape (n_structures,)."""
        rows = np.zeros((len(features), len(self.references)))
        self.references.sums(features, rows)
        return self._left(prior_variance(self.kernel, features), rows)

    def environments(self, features: AtomicFeatures) -> FloatArray:
        """Return the variance of each environment's energy, shape (n_environments,)."""
        variance = np.array(self.kernel.diag(features.values), dtype=float)
        for members, rows in self.references.environment_rows(features):
            variance[members] = self._left(variance[members], rows)
        return variance

    def derivatives(self, features: AtomicFeatures) -> tuple[FloatArray, FloatArray]:
        """Return the variances of forces (n_atoms, 3) and of virials (n_structures, 6)."""
        forces, virials = prior_derivative_variance(self.kernel, features)
        for atoms, structures, rows, strain in _derivative_rows(self.references, features):
            forces[atoms] = self._left(forces[atoms].ravel(), rows).reshape(-1, 3)
            virials[structures] = self._left(virials[structures].ravel(), strain).reshape(-1, 6)
        return forces, virials

    def _left(self, prior, rows):
        """Return prior variances less what labels explain; contents of `rows` are lost."""
        self.references.whiten(rows, self.covariance_factor)
        # Environments of one species have no covariance with the references before theirs.
        begin = int(np.argmax(rows.any(axis=0)))
        explained, factor = rows[:, begin:].T, self.posterior_factor[begin:, begin:]
        remaining = solve_triangular(factor, explained, trans="T", check_finite=False)
        return prior + np.sum(remaining**2, axis=0) - np.sum(explained**2, axis=0)


class LinearProcess(NamedTuple):
    r"""Energies linear in columns, with the posterior of their coefficients.

    .. math:: s^2 = \tau^2\, x_*^T (A^T \Sigma^{-1} A + \alpha P)^{-1} x_*

    for any linear functional * with columns :math:`x_*`. Of columns that no training structure has
    it knows nothing.
    """

    terms: LinearTerms
    penalty_factors: dict  # what its rows are whitened by
    posterior_factor: np.ndarray  # upper triangle of the system in whitened coefficients
    noise_scale: float  # tau

    def energies(self, features: AtomicFeatures) -> FloatArray:
        """Return the variance of total energies, shape (n_structures,)."""
        rows = np.zeros((len(features), len(self.terms)))
        self.terms.sums(features, rows)
        return self._left(rows)

    def environments(self, features: AtomicFeatures) -> FloatArray:
        """Return the variance of each environment's energy, shape (n_environments,)."""
        n = len(features.values)
        variance = np.empty(n)
        for lo, hi in block_ranges(np.full(n, 8.0 * len(self.terms)), _BYTES):
            variance[lo:hi] = self.energies(one_by_one(features, np.arange(lo, hi)))
        return variance

    def roots(self) -> dict[int, FloatArray]:
        """Return triangles G, by species: the variance of columns x of an environment is |G x|²."""
        found = {}
        for z, own in self.terms.columns.items():
            rows = np.zeros((own.stop - own.start, len(self.terms)))
            rows[:, own] = np.eye(len(rows))
            self.terms.whiten(rows, self.penalty_factors)
            left = solve_triangular(self.posterior_factor, rows.T, trans="T")
            found[z] = self.noise_scale * np.linalg.qr(left, mode="r")
        return found

    def derivatives(self, features: AtomicFeatures) -> tuple[FloatArray, FloatArray]:
        """Return the variances of forces (n_atoms, 3) and of virials (n_structures, 6)."""
        forces, virials = np.empty((len(features.numbers), 3)), np.empty((len(features), 6))
        for atoms, structures, rows, strain in _derivative_rows(self.terms, features):
            forces[atoms] = self._left(rows).reshape(-1, 3)
            virials[structures] = self._left(strain).reshape(-1, 6)
        return forces, virials

    def _left(self, rows):
        self.terms.whiten(rows, self.penalty_factors)
        remaining = solve_triangular(self.posterior_factor, rows.T, trans="T", check_finite=False)
        return self.noise_scale**2 * np.sum(remaining**2, axis=0)


def _derivative_rows(references, features):
    """Yield atoms and structures as slices, and the rows of their forces and virials."""
    m, first = len(references), features.atom_offsets
    for lo, hi in block_ranges(8.0 * m * (3 * features.n_atoms + 6), _BYTES):
        part = features[lo:hi]
        rows = GradientRows.zeros(part, m)
        references.gradient_rows(part, rows, _BYTES)
        yield slice(first[lo], first[hi]), slice(lo, hi), *rows


class ExactProcess(NamedTuple):
    r"""Process that knows the covariance of all labels.

    .. math:: s^2 = k_{**} - k_{*N} (K_{NN} + \Sigma)^{-1} k_{N*}
    """

    kernel: Covariance
    factor: np.ndarray  # (N, N) lower Cholesky factor; labels in units of their noise
    functionals: Functionals  # the labels
    training: AtomicFeatures  # features of the training set

    def energies(self, features: AtomicFeatures) -> FloatArray:
        """Return the variance of total energies, shape (n_structures,)."""
        variance = prior_variance(self.kernel, features)
        for s in range(len(features)):
            rows = np.arange(features.offsets[s], features.offsets[s + 1])
            rows = rows[np.argsort(features.species[rows], kind="stable")]
            x, species = features.values[rows], features.species[rows]
            own = Expansion(self.kernel, x, species, np.ones(len(rows)), None)
            u, gradient = own.expand(self.training, self.functionals.derivatives)
            covariance = self.functionals.observe(u, gradient, self.training)
            variance[s] -= self._explained(covariance[None])[0]
        return variance

    def environments(self, features: AtomicFeatures) -> FloatArray:
        """Return the variance of each environment's energy, shape (n_environments,)."""
        variance = np.array(self.kernel.diag(features.values), dtype=float)
        n = len(features.values)
        for lo, hi in block_ranges(np.full(n, 8.0 * len(self.factor)), _BYTES):
            covariance = np.zeros((hi - lo, len(self.factor)))
            for batch in label_batches(self.functionals, self.training):
                for begin in range(lo, hi, _TOGETHER):
                    rows = np.arange(begin, min(begin + _TOGETHER, hi))
                    left = _energies_of(features, rows)
                    block = label_covariance(self.kernel, left, batch)
                    covariance[rows[0] - lo : rows[-1] + 1 - lo, batch[0]] = block
            variance[lo:hi] -= self._explained(covariance * self.functionals.scale)
        return variance

    def derivatives(self, features: AtomicFeatures) -> tuple[FloatArray, FloatArray]:
        """Return the variances of forces (n_atoms, 3) and of virials (n_structures, 6)."""
        forces, virials = prior_derivative_variance(self.kernel, features)
        first, n = features.atom_offsets, len(self.factor)
        for lo, hi in block_ranges(8.0 * n * (3 * features.n_atoms + 6), _BYTES):
            part = features[lo:hi]
            rows, strain = np.zeros((first[hi] - first[lo], 3, n)), np.zeros((hi - lo, 6, n))
            for moves in motions(part):
                for batch in label_batches(self.functionals, self.training):
                    for atoms, left in moves.of_atoms(_TOGETHER):
                        block = label_covariance(self.kernel, left, batch)
                        rows[atoms[:, None], :, batch[0]] += np.moveaxis(
                            block.reshape(len(atoms), 3, -1), 1, 2
                        )
                    for s, left in moves.of_strain():
                        strain[s, :, batch[0]] += label_covariance(self.kernel, left, batch).T
            scale = self.functionals.scale
            rows, strain = (a.reshape(-1, n) * scale for a in (rows, strain))
            forces[first[lo] : first[hi]] -= self._explained(rows).reshape(-1, 3)
            virials[lo:hi] -= self._explained(strain).reshape(-1, 6)
        return forces, virials

    def _explained(self, covariance):
        """Return how much of the variance of rows labels explain, given covariances with them."""
        whitened = solve_triangular(self.factor, covariance.T, lower=True, check_finite=False)
        return np.sum(whitened**2, axis=0)


def prior_variance(kernel: Covariance, features: AtomicFeatures) -> FloatArray:
    """Return the variance of each structure's energy before any label, shape (n_structures,)."""
    prior = np.zeros(len(features))
    for s in range(len(features)):
        rows = slice(features.offsets[s], features.offsets[s + 1])
        x, species = features.values[rows], features.species[rows]
        for z in np.unique(species):
            prior[s] += _total(kernel, x[species == z])
    return prior


def _total(kernel, x, limit=1024):
    """Return the sum of k over all pairs of rows, a block at a time."""
    return sum(float(np.sum(kernel(x[b : b + limit], x))) for b in range(0, len(x), limit))


def prior_derivative_variance(
    kernel: Covariance, features: AtomicFeatures
) -> tuple[FloatArray, FloatArray]:
    """Return the variances of forces and virials before any label.

    Of a force they are a sum over pairs of environments that its atom moves, of a virial over all
    pairs of a structure. Structures whose Jacobian is large are treated in parts, pair by pair.

    Returns
    -------
    forces : ndarray of shape (n_atoms, 3)
        In (eV/Å)^2.
    virials : ndarray of shape (n_structures, 6)
        In eV^2.
    """
    forces, virials = np.zeros((len(features.numbers), 3)), np.zeros((len(features), 6))
    for s in range(len(features)):
        parts = _parts(features, features.offsets[s], features.offsets[s + 1])
        for k, part in enumerate(parts):
            left = _Motions(features, part)
            for other in parts[: k + 1]:
                right = left if other is part else _Motions(features, other)
                times = 1.0 if right is left else 2.0
                for atom in np.intersect1d(left.atoms, right.atoms, assume_unique=True):
                    a = left.of([atom])
                    b = a if right is left else right.of([atom])
                    forces[atom] += times * np.diag(label_covariance(kernel, a, b))
                (_, a), (_, b) = *left.of_strain(), *right.of_strain()
                virials[s] += times * np.diag(label_covariance(kernel, a, b))
    return forces, virials


def motions(features: AtomicFeatures) -> Iterator[_Motions]:
    """Yield the derivatives of all environments, a few at a time."""
    for part in _parts(features, 0, len(features.values)):
        yield _Motions(features, part)


def _parts(features, begin, end):
    """Return environments begin ... end in parts whose Jacobians take little memory."""
    sizes = 24.0 * features.shape[1] * features.neighborhood_sizes()[begin:end]
    limits = block_ranges(np.maximum(sizes, _BYTES / _MOST), _BYTES)
    return [np.arange(begin + lo, begin + hi) for lo, hi in limits]


class _Motions:
    """How features of some environments change with atoms and strain, in the form of labels."""

    def __init__(self, features: AtomicFeatures, rows: FloatArray) -> None:
        self.x, self.species = features.values[rows], features.species[rows]
        block = features.jacobian(rows)
        order = np.argsort(block.atom, kind="stable")
        self.atoms, begin = np.unique(block.atom[order], return_index=True)
        self._entries = dict(zip(self.atoms.tolist(), np.split(order, begin[1:]), strict=True))
        self._center = np.repeat(np.arange(len(rows)), np.diff(block.start))
        self._block = block
        self._structure = np.searchsorted(features.offsets, rows, side="right") - 1

    def of(self, atoms: Any) -> tuple[Any, ...]:
        """Return the batch of the forces on some atoms, three labels each."""
        entries = [self._entries[int(a)] for a in atoms]
        centers, where = np.unique(self._center[np.concatenate(entries)], return_inverse=True)
        label = np.repeat(np.arange(len(atoms)), list(map(len, entries)))
        vectors = np.zeros((len(atoms), 3, len(centers), self.x.shape[1]))
        vectors[label, :, where] = -self._block.values[np.concatenate(entries)]
        return self._batch(centers, vectors.reshape(-1, *vectors.shape[2:]))

    def of_atoms(self, n: int) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        """Yield atoms, n at a time, and the batch of their forces."""
        for begin in range(0, len(self.atoms), n):
            yield self.atoms[begin : begin + n], self.of(self.atoms[begin : begin + n])

    def of_strain(self) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        """Yield structures and the batch of their virials, six labels."""
        for s in np.unique(self._structure):
            centers = np.flatnonzero(self._structure == s)
            yield int(s), self._batch(centers, -self._block.strain[centers].swapaxes(0, 1))

    def _batch(self, centers, vectors):
        scalars = np.zeros(vectors.shape[:2])
        return None, self.x[centers], self.species[centers], scalars, vectors


def _energies_of(features, rows):
    """Return the batch of the energies of some environments."""
    n = len(rows)
    vectors = np.zeros((n, n, features.shape[1]))
    return None, features.values[rows], features.species[rows], np.eye(n), vectors


def largest_training_std(
    process: PosteriorProcess, features: AtomicFeatures, limit: int
) -> dict[int, float]:
    """Return the largest standard deviation of a training environment's energy, by species.

    Parameters
    ----------
    process : PosteriorProcess
        What is known after the fit.
    features : AtomicFeatures
        The training set.
    limit : int
        Most environments of each species that are looked at; see `some_of_each_species`.
    """
    chosen, largest = np.full(len(features.species), -1), {}
    for z, members in some_of_each_species(features, limit):
        chosen[members] = z
    species = features.species
    for members, values in environment_blocks(features):
        for z in np.unique(chosen[members][chosen[members] >= 0]).tolist():
            rows = np.flatnonzero(chosen[members] == z)
            alone = AtomicFeatures(values[rows], np.arange(len(rows) + 1), species[members[rows]])
            variance = float(process.environments(alone).max())
            largest[z] = max(largest.get(z, 0.0), variance)
    return {z: float(np.sqrt(largest[z])) for z in sorted(largest)}


def some_of_each_species(features: AtomicFeatures, limit: int) -> Iterator[tuple[int, IntArray]]:
    """Yield each species with some of its environments, at most `limit`.

    They are the same in any order of the data, with some of each kind of structures as far as they
    fit into a quarter.
    """
    order = environment_order(features)
    kinds = np.repeat(structure_kinds(features), features.n_rows)
    for z in np.unique(features.centers):
        members = order[features.centers[order] == z]
        yield int(z), rare_first(members, kinds, limit // 4)[:limit]
