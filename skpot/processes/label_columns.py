r"""Covariances of all labels with some of them, column by column of the matrix.

A label is a functional of the energy: scalars a and vectors v of a few environments
(`Functionals.fold` of a unit vector). Its covariance with the energy of any environment x is

.. math:: u(x) = \sum_m [a_m + v_m \cdot \partial_q] k(x, q_m)

and with forces and stress follows by the Jacobian of x, for many labels at once as matrix products.
With the notation of `skpot.kernels._functions` and t the motion of a similarity along v,

.. math:: u = \sum_m f a_m + \sum_s f_s t_s, \qquad
          \partial_x u = \sum_{ms} W_s S_s^2 (q_m - \tau_s x) + f_s S_s^2 v_m, \qquad
          W_s = f_s a_m + \sum_r f_{sr} t_r
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data import block_ranges
from ..solvers import tile_threads
from .variance import prior_derivative_variance, prior_variance

if TYPE_CHECKING:
    from typing import Any

    from skpot.data import AtomicFeatures
    from skpot.kernels.contracts import Covariance, Kernel
    from skpot.processes.functionals import Functionals
    from skpot.typing import FloatArray, IntArray

_ROWS = 256  # environments that are treated together, unless one structure has more
_BYTES = 96e6  # of memory for gradients of labels at these environments


class _Functions(NamedTuple):
    """Some labels as functions of the environments of one species, pair by pair."""

    x: np.ndarray  # (n_environments, n_features)
    environment: np.ndarray  # (n_pairs,) which environment a pair is of
    label: np.ndarray  # (n_pairs,) which label, ascending
    scalars: np.ndarray  # (n_pairs,)
    vectors: np.ndarray  # (n_pairs, n_features)
    dtype: Any  # of what gradients are made of
    sides: dict  # by similarity: of each pair the environment, then the vector, for products


def label_variances(
    kernel: Covariance, functionals: Functionals, features: AtomicFeatures
) -> FloatArray:
    """Return the prior variance of each label, in units of its noise; shape (n_labels,)."""
    parts = [prior_variance(kernel, features)[functionals.energy]]
    if functionals.derivatives:
        forces, virials = prior_derivative_variance(kernel, features)
        stress = virials[functionals.stress] / functionals.volumes[:, None] ** 2
        parts += [forces[functionals.atoms].ravel(), stress.ravel()]
    return functionals.scale**2 * np.concatenate(parts)


def label_columns(
    kernel: Kernel,
    functionals: Functionals,
    features: AtomicFeatures,
    chosen: IntArray,
    dtype: Any = np.float64,
) -> FloatArray:
    """Return the covariance of all labels with those chosen.

    Parameters
    ----------
    kernel : kernel object
        See `skpot.kernels`.
    functionals : Functionals
        All labels.
    features : AtomicFeatures
        The structures.
    chosen : ndarray of int of shape (n_chosen,)
        Labels, ascending.
    dtype : type, default=float64
        Single or double precision of covariances between forces and stress. Those with energies,
        which are far larger, are always double.

    Returns
    -------
    ndarray of shape (n_labels, n_chosen)
        Of the labels divided by their standard deviations.
    """
    if not len(chosen):
        return np.empty((len(functionals), 0))
    n, width = len(chosen), max(1, int(_BYTES / (8.0 * _ROWS * features.shape[1])))
    # Of energies, derivatives too are large, and most of them cancels in a factor.
    first = int(np.searchsorted(chosen, functionals.parts[0].stop))
    ranges = [
        (slice(b, min(b + width, hi)), of_part)
        for lo, hi, of_part in ((0, first, np.float64), (first, n, dtype))
        for b in range(lo, hi, width)
    ]
    groups = [
        (part, _functions(kernel, functionals, features, chosen[part], of_part))
        for part, of_part in ranges
    ]
    energies = np.zeros((len(features), n))
    moving = functionals.derivatives
    forces = np.zeros((len(features.numbers) * moving, 3, n))
    virials = np.zeros((len(features) * bool(len(functionals.stress)), 6, n))

    def add(structures):
        tile = _Tile(features, *structures, moving)
        for part, by_species in groups:
            out = [of_kind[..., part] for of_kind in (energies, forces, virials)]
            for z, functions in by_species.items():
                tile.add(kernel, z, functions, *out)

    tiles = list(block_ranges(features.n_rows.astype(float), float(_ROWS)))
    with tile_threads(len(tiles)) as map_tiles:
        for _ in map_tiles(add, tiles):
            pass
    columns = np.empty((len(functionals), n))  # filled without copies, which are as large
    of_energies, of_forces, of_stress = (columns[part] for part in functionals.parts)
    take = partial(np.take, axis=0, mode="clip")
    take(energies, functionals.energy, out=of_energies)
    if moving:
        take(forces, functionals.atoms, out=of_forces.reshape(-1, 3, n))
    if len(functionals.stress):
        take(virials, functionals.stress, out=of_stress.reshape(-1, 6, n))
        of_stress /= -np.repeat(functionals.volumes, 6)[:, None]
    columns *= functionals.scale[:, None]
    columns *= functionals.scale[chosen]
    return columns


def _functions(kernel, functionals, features, chosen, dtype):
    """Return the chosen labels, without their noise, as `_Functions` by species."""
    kinds = np.searchsorted([part.stop for part in functionals.parts], chosen, side="right")
    rows, vectors, at = [], [], (-1, None)
    for kind, label in zip(kinds, chosen, strict=True):
        k = label - functionals.parts[kind].start
        if kind == 0:
            own = _rows(features, functionals.energy[k])
            rows.append(own)
            vectors.append(np.zeros((len(own), features.shape[1])))
            continue
        if kind == 1:
            atom, axis = functionals.atoms[k // 3], k % 3
            s = int(np.searchsorted(features.atom_offsets, atom, side="right")) - 1
        else:
            s, axis = int(functionals.stress[k // 6]), k % 6
        own = _rows(features, s)
        if at[0] != s:
            at = s, features.jacobian(own)
        block = at[1]
        if kind == 1:
            moved = np.flatnonzero(block.atom == atom)
            rows.append(own[np.searchsorted(block.start, moved, side="right") - 1])
            vectors.append(-block.values[moved, axis])
        else:
            rows.append(own)
            vectors.append(block.strain[:, axis] / features.volumes[s])
    counts = list(map(len, rows))
    rows, vectors = np.concatenate(rows), np.concatenate(vectors)
    label = np.repeat(np.arange(len(chosen)), counts)
    out = {}
    for z in np.unique(features.species[rows]):
        pairs = np.flatnonzero(features.species[rows] == z)
        used, environment = np.unique(rows[pairs], return_inverse=True)
        scalars = (kinds[label[pairs]] == 0).astype(float)
        x, along = features.values[used].astype(float), vectors[pairs]
        sides = {s: _sides(s, x[environment], along) for s in kernel.similarities}
        sides = {s: side.astype(dtype, copy=False) for s, side in sides.items()}
        out[int(z)] = _Functions(x, environment, label[pairs], scalars, along, dtype, sides)
    return out


def _sides(s, q, vectors):
    """Return rows of q and of vectors in turn, shape (2 n_pairs, n_columns)."""
    q, vectors = s.against(s.turned(q)), s.against(s.turned(vectors))
    return np.stack([q, vectors], axis=1).reshape(-1, q.shape[1])


def _rows(features, s):
    return np.arange(features.offsets[s], features.offsets[s + 1])


class _Tile:
    """Environments of a few structures, to which covariances with labels are added."""

    def __init__(self, features: AtomicFeatures, lo: int, hi: int, moving: Any) -> None:
        rows = np.arange(features.offsets[lo], features.offsets[hi])
        self.x = features.values[rows].astype(float)
        self.species = features.species[rows]
        self.structure = np.searchsorted(features.offsets, rows, side="right") - 1
        self.block = features.jacobian(rows) if moving else None

    def add(
        self, kernel: Covariance, z: int, functions: Any, energies: Any, forces: Any, virials: Any
    ) -> None:
        """Add what environments of one species have in common with some labels."""
        members = np.flatnonzero(self.species == z)
        if not len(members):
            return
        x, owner = self.x[members], functions.environment
        f, slopes, curvatures = kernel.with_curvature(x, functions.x)
        labels, first = np.unique(functions.label, return_index=True)
        u = f[:, owner] * functions.scalars
        moves = {s: _moves(s, x, functions) for s in slopes}
        for s, slope in slopes.items():
            u += slope[:, owner] * moves[s]
        total = np.add.reduceat(u, first, axis=1)
        np.add.at(energies, (self.structure[members][:, None], labels), total)
        if self.block is None:
            return
        gradient = np.zeros((energies.shape[1], *x.shape), dtype=functions.dtype)
        ends = np.append(first[1:], len(owner))
        pulls = {}
        for s, slope in slopes.items():
            left = np.empty(
                (len(x), len(owner), 2), dtype=functions.dtype
            )  # factors of what `sides` holds
            weights, left[:, :, 1] = left[:, :, 0], slope[:, owner]
            weights[...] = left[:, :, 1] * functions.scalars
            for t, motion in moves.items():
                if (s, t) in curvatures:
                    weights += curvatures[s, t][:, owner] * motion
            left, right = left.reshape(len(x), -1), functions.sides[s]
            for label, lo, hi in zip(labels, 2 * first, 2 * ends, strict=True):
                s.take(gradient[label])[...] += left[:, lo:hi] @ right[lo:hi]
            if s.centered:
                pulls[s] = np.zeros((len(x), len(gradient)))
                pulls[s][:, labels] = np.add.reduceat(weights, first, axis=1)
        for k, i in enumerate(members):
            entries = slice(self.block.start[i], self.block.start[i + 1])
            change = self._change(self.block.values[entries], gradient, pulls, k, i)
            forces[self.block.atom[entries]] -= change
            if len(virials):
                change = self._change(self.block.strain[i], gradient, pulls, k, i)
                virials[self.structure[i]] -= change

    def _change(self, motions, gradient, pulls, k, i):
        """Return how labels' covariances with the k-th member, i, change along motions."""
        rows = motions.reshape(-1, motions.shape[-1])
        change = rows.astype(gradient.dtype, copy=False) @ gradient[:, k].T
        for s, pull in pulls.items():
            change -= np.outer(s.take(rows) @ s.against(self.x[i]), pull[k])
        return change.reshape(*motions.shape[:-1], -1)


def _moves(s, x, functions):
    """Return how a similarity with x changes along the vectors, shape (n, n_pairs)."""
    moves = s.products(x, functions.vectors)
    if s.centered:
        along = s.against(s.turned(functions.vectors))
        q = s.take(s.turned(functions.x))
        moves -= np.einsum("pi,pi->p", along, q[functions.environment])
    return moves
