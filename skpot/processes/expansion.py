"""The one form that all fitted kernel models have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..solvers import tile_threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from skpot.data import AtomicFeatures
    from skpot.kernels.contracts import Covariance
    from skpot.typing import FloatArray, IntArray

_MEMBERS = 256  # environments that are treated together


class Expansion(NamedTuple):
    r"""Energies of environments as a sum over references.

    .. math:: \epsilon(x) = \sum_m (\alpha_m + v_m \cdot \partial_{q_m}) k(x, q_m)

    where the sum goes over the references of the species of the center.
    """

    kernel: Covariance  # k, with its blocks found
    features: np.ndarray  # (n_references, n_features) q, species after species
    species: np.ndarray  # (n_references,) atomic numbers, ascending
    alpha: np.ndarray  # (n_references,) eV
    vectors: np.ndarray | None  # (n_references, n_features) v, of models that have any

    def take(self, some: IntArray) -> Expansion:
        """Return the expansion in some of the references, given by ascending indices."""
        parts: Any = (None if part is None else part[some] for part in self[1:])
        return Expansion(self.kernel, *parts)

    def terms(self) -> dict[str, Expansion]:
        """Return the expansion in each summand of the kernel, by its name."""
        terms = self.kernel.terms().items()  # type: ignore[attr-defined]
        return {name: self._replace(kernel=kernel) for name, kernel in terms}

    def expand(
        self,
        features: AtomicFeatures,
        slopes: bool = True,
        compared: list[Any] | None = None,
        dtype: Any = np.float64,
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return energies of environments and, with `slopes`, their derivatives.

        Parameters
        ----------
        features : AtomicFeatures
            The environments.
        slopes : bool, default=True
            Whether derivatives are wanted.
        compared : list, optional
            What `compared` returns for these features, of use where there are vectors.
        dtype : type, default=float64
            Of products with vectors; see `Covariance.sides`.

        Returns
        -------
        energies : ndarray of shape (n_environments,)
            Zero for species without references.
        gradient : ndarray of shape (n_environments, n_features) or None
            dE/d(features).
        """
        x = features.values
        energies = np.zeros(len(x))
        gradient = np.zeros(x.shape) if slopes else None

        def add(k):
            members, columns = groups[k]
            q, alpha = self.features[columns], self.alpha[columns]
            if self.vectors is None:
                e, g = _plain(self.kernel, x[members], q, alpha, slopes)
            else:
                known, side = compared[k] if compared else None, sides[columns.start]
                vectors = self.vectors[columns]
                e, g = self.kernel.expansion(x[members], q, alpha, vectors, known, side)
            energies[members] = e
            if slopes:
                gradient[members] = g

        slices = species_slices(self.species)
        groups = list(species_groups(slices, features.species, _MEMBERS))
        sides = {}
        if self.vectors is not None:
            for part in slices.values():
                q, v = self.features[part], self.vectors[part]
                sides[part.start] = self.kernel.sides(q, v, dtype)
        with tile_threads(len(groups)) as map_tiles:
            for _ in map_tiles(add, range(len(groups))):
                pass
        return energies, gradient

    def compared(self, features: AtomicFeatures, derive: bool = False) -> list[Any]:
        """Return what `expand` compares, for environments that it is to see again and again.

        With `derive`, return the kernel and its derivatives instead, which takes more memory.
        """
        x = features.values
        groups = list(species_groups(species_slices(self.species), features.species, _MEMBERS))

        def compare(group):
            members, columns = group
            return self.kernel.compared(x[members], self.features[columns], derive)

        with tile_threads(len(groups)) as map_tiles:
            return list(map_tiles(compare, groups))


def expand_together(
    forms: Sequence[Expansion], features: AtomicFeatures
) -> tuple[FloatArray, FloatArray]:
    """Return energies and derivatives of expansions in the same references.

    Returns
    -------
    energies : ndarray of shape (n_forms, n_environments)
        As of `Expansion.expand`.
    gradients : ndarray of shape (n_forms, n_environments, n_features)
        dE/d(features).
    """
    first, x = forms[0], features.values
    if first.vectors is not None:
        every: Any = zip(*(form.expand(features) for form in forms), strict=True)
        energies, gradients = map(np.array, every)
        return energies, gradients
    alphas = np.column_stack([form.alpha for form in forms])
    energies, gradients = np.zeros((len(forms), len(x))), np.zeros((len(forms), *x.shape))

    def add(group):
        members, columns = group
        q, rows, alpha = first.features[columns], x[members], alphas[columns]
        kernel, by_similarity = first.kernel.with_slope(rows, q)
        energies[:, members] = (kernel @ alpha).T
        for k in range(len(forms)):
            gradients[k, members] = _gradient(by_similarity, rows, q, alpha[:, k])

    groups = list(species_groups(species_slices(first.species), features.species, _MEMBERS))
    with tile_threads(len(groups)) as map_tiles:
        for _ in map_tiles(add, groups):
            pass
    return energies, gradients


def species_slices(species: IntArray) -> dict[int, slice]:
    """Return where each species stands among references, whose atomic numbers ascend."""
    kinds, first = np.unique(species, return_index=True)
    ends = [*first[1:], len(species)]
    return {int(z): slice(int(lo), int(hi)) for z, lo, hi in zip(kinds, first, ends, strict=True)}


def species_groups(
    slices: dict[int, slice], species: IntArray, limit: int
) -> Iterator[tuple[IntArray, slice]]:
    """Yield environments of one species, at most `limit` at a time, and its references."""
    for z, columns in slices.items():
        members = np.flatnonzero(species == z)
        for begin in range(0, len(members), limit):
            yield members[begin : begin + limit], columns


def _plain(kernel, x, q, alpha, slopes):
    """Return energies and derivatives where references have no vectors."""
    if not slopes:
        return kernel(x, q) @ alpha, None
    values, by_similarity = kernel.with_slope(x, q)
    return values @ alpha, _gradient(by_similarity, x, q, alpha)


def _gradient(slopes, x, q, alpha):
    """Return the gradient of the sum of alpha k, given slopes from `with_slope`."""
    gradient = np.zeros(x.shape)
    for s, slope in slopes.items():
        part, weights = s.take(gradient), slope * alpha
        part += weights @ s.against(s.turned(q))
        if s.centered:
            part -= weights.sum(axis=1)[:, None] * s.against(x)
    return gradient
