"""Labels as linear functionals of the energy, all at once: what exact models are made of."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ..data import LABEL_KINDS, block_ranges
from ..rows.memory import ROW_LIMIT
from ..solvers import refuse_not_finite
from .expansion import Expansion
from .references import every_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import NDArray

    from skpot.data import AtomicFeatures
    from skpot.kernels.contracts import Covariance
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray


class Functionals:
    """The labels of a training set, each divided by its standard deviation.

    In this order: energies of the structures that have one, forces of the atoms that have them,
    stress of the structures that have it.

    Parameters
    ----------
    training : TrainingSet
        The structures and their labels.
    """

    def __init__(self, training: TrainingSet) -> None:
        features, labels = training.features, training.labels
        self.n_structures, self.n_atoms = len(features), len(features.numbers)
        self.energy = np.flatnonzero(labels.has_energy)  # structures
        self.atoms, _ = training.labeled_atoms()
        self.stress = np.flatnonzero(labels.has_stress)  # structures
        self.volumes = features.volumes[self.stress]
        self.scale = 1.0 / training.noise()
        edges = np.cumsum([0, len(self.energy), 3 * len(self.atoms), 6 * len(self.stress)])
        self.parts = [slice(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]

    def __len__(self):
        return len(self.scale)

    @property
    def derivatives(self) -> bool:
        """Whether there are labels besides energies."""
        return len(self.atoms) + len(self.stress) > 0

    def by_kind(self, values: NDArray[Any]) -> dict[str, Any]:
        """Return the sums of values (n_labels,) over each kind of label."""
        sums = (float(values[part].sum()) for part in self.parts)
        present = zip(LABEL_KINDS, sums, self.parts, strict=True)
        return {kind: total for kind, total, part in present if part.stop > part.start}

    def values(self, training: TrainingSet) -> FloatArray:
        """Return the labels themselves, as those of the constructor; shape (n_labels,)."""
        labels = training.labels
        forces, stress = labels.forces_flat, np.empty(0)
        forces = forces[~np.isnan(forces).all(axis=1)].ravel()
        if len(self.stress):
            stress = labels.stress[self.stress].ravel()
        values = self.scale * np.concatenate([training.residual[self.energy], forces, stress])
        refuse_not_finite(values, "a label over its noise")
        return values

    def gather(
        self, energies: FloatArray, forces: FloatArray | None, virials: FloatArray | None
    ) -> FloatArray:
        """Return predictions of the labels from those of all structures, shape (n_labels,)."""
        parts = [energies[self.energy]]
        if self.derivatives:
            stress = -virials[self.stress] / self.volumes[:, None]
            parts += [forces[self.atoms].ravel(), stress.ravel()]
        return self.scale * np.concatenate(parts)

    def spread(self, z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the adjoint of `gather`: factors of energies, forces and virials."""
        z = self.scale * z
        energy, forces, stress = (z[part] for part in self.parts)
        energies = np.zeros(self.n_structures)
        energies[self.energy] = energy
        all_forces = np.zeros((self.n_atoms, 3))
        all_forces[self.atoms] = forces.reshape(-1, 3)
        virials = np.zeros((self.n_structures, 6))
        virials[self.stress] = -stress.reshape(-1, 6) / self.volumes[:, None]
        return energies, all_forces, virials

    def fold(self, z: FloatArray, features: AtomicFeatures) -> tuple[FloatArray, FloatArray | None]:
        """Return the scalar and the vector of each environment that a sum of labels amounts to.

        Returns
        -------
        a : ndarray of shape (n_environments,)
            Factors of the environments' energies.
        v : ndarray of shape (n_environments, n_features) or None
            Factors of their derivatives; None if all labels are energies.
        """
        energies, forces, virials = self.spread(z)
        v = features.push_forward(-forces, -virials) if self.derivatives else None
        return np.repeat(energies, features.n_rows), v

    def observe(self, energies: FloatArray, gradient: Any, features: AtomicFeatures) -> FloatArray:
        """Return the labels of an energy given on all environments: the adjoint of `fold`."""
        total = np.add.reduceat(energies, features.offsets[:-1])
        forces, virials = features.pull_back(gradient) if self.derivatives else (None, None)
        return self.gather(total, forces, virials)

    def within(self, lo: int, hi: int, atom_offsets: IntArray) -> IntArray:
        """Return the indices of the labels of structures lo ... hi, in the same order."""

        def between(index, begin, end, width):
            a, b = np.searchsorted(index, [begin, end])
            return np.arange(width * a, width * b)

        atoms = between(self.atoms, atom_offsets[lo], atom_offsets[hi], 3)
        parts = between(self.energy, lo, hi, 1), atoms, between(self.stress, lo, hi, 6)
        return np.concatenate([p + q.start for p, q in zip(parts, self.parts, strict=True)])

    def of(self, structures: IntArray, atom_offsets: IntArray) -> IntArray:
        """Return the indices of the labels of some structures, ascending."""
        return np.sort(np.concatenate([self.within(s, s + 1, atom_offsets) for s in structures]))


class KernelProduct:
    """Products of the covariance of all labels with vectors; no block of it is formed.

    Parameters
    ----------
    kernel : kernel object
        See `skpot.kernels`.
    functionals : Functionals
        The labels.
    features : AtomicFeatures
        Their structures.
    compare : {"nothing", "similarities", "kernels"}, default="nothing"
        What is held of all pairs of environments; "kernels" with their derivatives.
    """

    def __init__(
        self,
        kernel: Covariance,
        functionals: Functionals,
        features: AtomicFeatures,
        compare: str = "nothing",
    ) -> None:
        self.functionals = functionals
        self.features = features
        references, self._order = every_environment(features, kernel)
        zeros = np.zeros(len(self._order))
        self._empty = Expansion(kernel, references.values, references.species, zeros, None)
        self._compared = None
        if compare != "nothing":
            self._compared = self._empty.compared(features, derive=compare == "kernels")

    def expansion(self, z: FloatArray) -> Expansion:
        """Return the energies that labels with the coefficients z (n_labels,) mean."""
        a, v = self.functionals.fold(z, self.features)
        vectors = None if v is None else v[self._order]
        return self._empty._replace(alpha=a[self._order], vectors=vectors)

    def __call__(self, z: FloatArray, dtype: Any = np.float64) -> FloatArray:
        """Return the covariance of all labels times z (n_labels,).

        In single precision, products with derivatives of features are rounded; sums of kernels,
        which energies have a large part of, are not.
        """
        form = self.expansion(z)
        moving = form.vectors is not None
        u, gradient = form.expand(self.features, moving, self._compared, dtype)
        return self.functionals.observe(u, gradient, self.features)


def covariance(
    kernel: Covariance,
    functionals: Functionals,
    features: AtomicFeatures,
    batch_bytes: float = np.inf,
) -> FloatArray:
    """Return the covariance matrix of all labels, dense.

    Parameters
    ----------
    kernel, functionals, features
        As in `KernelProduct`.
    batch_bytes : float, default=inf
        Memory for each of two batches of labels. Batches that do not fit are made several times.

    Returns
    -------
    ndarray of shape (n_labels, n_labels)
        Symmetric; of the labels divided by their standard deviations.
    """
    n = len(functionals)
    if functionals.derivatives:
        matrix = np.zeros((n, n))
        for left, right in _pairs_of_batches(functionals, features, batch_bytes):
            block = label_covariance(kernel, left, right)
            matrix[np.ix_(left[0], right[0])] = block
            matrix[np.ix_(right[0], left[0])] = block.T
    else:
        references, order = every_environment(features, kernel)
        sums = np.zeros((len(features), len(features.values)))
        references.sums(features, sums)
        sums[:, order] = sums.copy()
        sums = np.add.reduceat(sums, features.offsets[:-1], axis=1)[:, functionals.energy]
        matrix = sums[functionals.energy]
    matrix *= functionals.scale[:, None]
    matrix *= functionals.scale
    refuse_not_finite(matrix, "the covariance of the labels over their noise")
    return matrix


def _pairs_of_batches(functionals, features, batch_bytes):
    """Yield all pairs of batches of labels, see `label_batches`; each batch with itself too."""
    ranges = list(_batches(features.offsets, ROW_LIMIT))
    sizes = [
        8.0 * features.shape[1] * float(features.offsets[hi] - features.offsets[lo])
        * len(functionals.within(lo, hi, features.atom_offsets))
        for lo, hi in ranges
    ]  # fmt: skip
    parts = [ranges[begin:end] for begin, end in block_ranges(sizes, batch_bytes)]
    for i, part in enumerate(parts):
        lefts = [_batch(functionals, features, *some) for some in part]
        for k, left in enumerate(lefts):
            yield from ((left, right) for right in lefts[: k + 1])
        for other in parts[:i]:
            rights = [_batch(functionals, features, *some) for some in other]
            yield from product(lefts, rights)


def label_batches(
    functionals: Functionals, features: AtomicFeatures, row_limit: int = ROW_LIMIT
) -> Iterator[tuple[Any, ...]]:
    """Yield labels of a few structures each, as `label_covariance` takes them.

    Yields
    ------
    tuple
        Indices of the labels, features and species of the environments, and each label's factors
        of their energies (n_labels, n_environments) and derivatives (n_labels, n_environments,
        n_features).
    """
    for lo, hi in _batches(features.offsets, row_limit):
        yield _batch(functionals, features, lo, hi)


def _batches(offsets, row_limit):
    """Yield ranges of structures with at most `row_limit` rows, or single ones."""
    begin = 0
    for s in range(1, len(offsets)):
        if s == len(offsets) - 1 or offsets[s + 1] - offsets[begin] > row_limit:
            yield begin, s
            begin = s


def _batch(functionals, features, lo, hi):
    index = functionals.within(lo, hi, features.atom_offsets)
    rows = np.arange(features.offsets[lo], features.offsets[hi])
    rows = rows[np.argsort(features.species[rows], kind="stable")]
    scalars = np.zeros((len(index), len(rows)))
    vectors = np.zeros((len(index), len(rows), features.shape[1]))
    structure = np.repeat(np.arange(len(features)), features.n_rows)[rows]
    position = np.full(len(functionals), -1)
    position[index] = np.arange(len(index))
    energy, forces, stress = functionals.parts
    label = _lookup(functionals.energy, functionals.n_structures, energy.start, 1)[structure]
    known = label >= 0
    scalars[position[label[known]], np.flatnonzero(known)] = 1.0
    if not functionals.derivatives:
        return index, features.values[rows], features.species[rows], scalars, vectors
    block = features.jacobian(rows)
    center = np.repeat(np.arange(len(rows)), np.diff(block.start))
    label = _lookup(functionals.atoms, functionals.n_atoms, forces.start, 3)[block.atom]
    known = label >= 0
    for axis in range(3):
        vectors[position[label[known] + axis], center[known]] = -block.values[known, axis]
    label = _lookup(functionals.stress, functionals.n_structures, stress.start, 6)[structure]
    known = np.flatnonzero(label >= 0)
    volumes = features.volumes[structure[known], None]
    for v in range(6):
        vectors[position[label[known] + v], known] = block.strain[known, v] / volumes
    return index, features.values[rows], features.species[rows], scalars, vectors


def _lookup(members, size, begin, width):
    """Return where the labels of each structure or atom begin, -1 for those without."""
    out = np.full(size, -1)
    out[members] = begin + width * np.arange(len(members))
    return out


def label_covariance(
    kernel: Covariance, left: tuple[Any, ...], right: tuple[Any, ...]
) -> FloatArray:
    """Return the covariance of the labels of two batches, as `label_batches` yields them.

    Environments of other batches may be in any order; grouped by species, they take less time.
    """
    _, x, x_species, a, v = left
    _, q, q_species, b, w = right
    alike, shared = x_species[:, None] == q_species, _shared_species(x_species, q_species)
    f, slopes, curvatures = kernel.with_curvature(x, q)
    out = a @ (f * alike) @ b.T
    p, r = {}, {}
    for s, slope in slopes.items():
        slope *= alike
        # How w changes along the vectors: p of x, r of q, both (label, i, m).
        p[s], r[s] = (np.zeros((len(some), *slope.shape)) for some in (v, w))
        turned, moved = s.turned(w), np.zeros((len(w), *s.take(x).shape))
        for i, m in shared:
            p[s][:, i, m] = s.products(v[:, i], q[m])
            r[s][:, i, m] = np.swapaxes(s.take(turned[:, m]) @ s.against(x[i]).T, 1, 2)
            moved[:, i] += slope[i, m] @ s.against(turned[:, m])
        if s.centered:
            p[s] -= np.einsum("lid,id->li", s.take(v), s.against(x))[:, :, None]
            r[s] -= np.einsum("lmd,md->lm", s.take(turned), s.against(s.turned(q)))[:, None]
        out += np.einsum("lim,im->lm", p[s], slope) @ b.T
        out += a @ np.einsum("lim,im->il", r[s], slope)
        out += s.take(v).reshape(len(v), -1) @ moved.reshape(len(w), -1).T
    for (s, t), curvature in curvatures.items():
        bent = p[s] * (curvature * alike)
        out += bent.reshape(len(v), -1) @ r[t].reshape(len(w), -1).T
    return out


def _shared_species(left, right):
    """Return where each species is in both, as pairs of slices; all at once if not together."""
    found = []
    for z in np.intersect1d(left, right):
        places = [np.flatnonzero(species == z) for species in (left, right)]
        found.append(tuple(slice(int(k[0]), int(k[-1]) + 1) for k in places))
        if any(k[-1] - k[0] >= len(k) for k in places):
            return [(slice(None), slice(None))]
    return found
