"""Energies linear or quadratic in the features, with coefficients of each species' own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse.csgraph import connected_components

from ..data.order import environment_blocks

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from skpot.data import AtomicFeatures
    from skpot.rows.contracts import GradientRows
    from skpot.typing import FloatArray

_RIDGE = 1e-3  # of the unit matrix, beside a penalty of roughness that leaves some slopes free


class LinearTerms:
    """Columns of a linear model: features and products of two features, for each species.

    It has the interface of `References` as far as rows of training data are concerned.

    Parameters
    ----------
    columns : dict of int to ndarray
        For each atomic number the columns of `expand_columns` that count.
    n_features : int
        Number of features.
    degree : {1, 2}
        Features, or features and their products.
    """

    def __init__(self, columns: dict[int, Any], n_features: int, degree: int) -> None:
        self.n_features = n_features
        self.degree = degree
        self.active = columns
        self.pairs = np.triu_indices(n_features)
        edges = np.cumsum([0, *(len(c) for c in columns.values())]).tolist()
        self.columns = {z: slice(*edges[k : k + 2]) for k, z in enumerate(columns)}
        self.n_terms = edges[-1]

    def __len__(self):
        return self.n_terms

    def values(self, x: FloatArray, z: int) -> FloatArray:
        """Return the columns of a species, shape (n, n_columns), of feature rows x."""
        x = np.asarray(x, dtype=float)
        if self.degree == 2:
            a, b = self.pairs
            x = np.hstack([x, x[:, a] * x[:, b]])
        return x[:, self.active[z]]

    def _moved(self, x, change, z):
        """Return how columns change along stacks of changes (n, k, n_features) of rows x."""
        if self.degree == 2:
            a, b = self.pairs
            products = x[:, None, a] * change[..., b] + x[:, None, b] * change[..., a]
            change = np.concatenate([change, products], axis=2)
        return np.ascontiguousarray(change[..., self.active[z]])

    def sums(self, features: AtomicFeatures, out: FloatArray) -> None:
        """Add each structure's columns to `out` (n_structures, n_terms)."""
        structure = np.repeat(np.arange(len(features)), features.n_rows)
        for z, columns in self.columns.items():
            members = np.flatnonzero(features.species == z)
            if len(members):
                owners, first = np.unique(structure[members], return_index=True)
                values = self.values(features.values[members], z)
                out[owners, columns] += np.add.reduceat(values, first)

    def gradient_rows(
        self, features: AtomicFeatures, out: GradientRows, n_bytes: float, map_tiles: Any = map
    ) -> None:
        """Add -d/dr and d/d(strain) of all columns to rows; see `References.gradient_rows`."""
        structure = np.repeat(np.arange(len(features)), features.n_rows)
        width = self.n_features + (len(self.pairs[0]) if self.degree == 2 else 0)
        largest = max(1, features.neighborhood_sizes().max(initial=1))
        limit = max(1, int(n_bytes / (24.0 * width * largest)))
        m = self.n_terms
        for z, columns in self.columns.items():
            members = np.flatnonzero(features.species == z)
            for begin in range(0, len(members), limit):
                part = members[begin : begin + limit]
                block = features.jacobian(part)
                x = np.asarray(features.values[part], dtype=float)
                rows = self._moved(np.repeat(x, np.diff(block.start), axis=0), block.values, z)
                atoms, index = np.unique(block.atom, return_inverse=True)
                collect = sp.csr_array(
                    (np.ones(len(index)), index, np.arange(len(index) + 1)),
                    shape=(len(index), len(atoms)),
                )
                total = collect.T @ rows.reshape(len(rows), -1)
                out.forces.reshape(-1, 3, m)[atoms, :, columns] -= total.reshape(len(atoms), 3, -1)
                owners, first = np.unique(structure[part], return_index=True)
                strains = np.add.reduceat(self._moved(x, block.strain, z), first)
                out.strain.reshape(-1, 6, m)[owners, :, columns] += strains

    def whiten(self, rows: FloatArray, factors: dict[int, FloatArray | None]) -> None:
        """Replace rows w by w L^-T, in coefficients whose penalty is the unit matrix."""
        for z, columns in self.columns.items():
            if factors[z] is not None:
                part = np.ascontiguousarray(rows[:, columns]).T
                rows[:, columns] = solve_triangular(factors[z], part, lower=True).T

    def coefficients(
        self, whitened: FloatArray, factors: dict[int, FloatArray | None]
    ) -> FloatArray:
        """Return coefficients of the columns from those of whitened rows."""
        out = np.array(whitened)
        for z, columns in self.columns.items():
            if factors[z] is not None:
                out[columns] = solve_triangular(factors[z], out[columns], lower=True, trans="T")
        return out

    def forms(self, coefficients: FloatArray) -> LinearForms:
        """Return the energies that coefficients of the columns mean."""
        p, linear, quadratic = self.n_features, {}, {}
        for z, columns in self.columns.items():
            full = np.zeros(p + (len(self.pairs[0]) if self.degree == 2 else 0))
            full[self.active[z]] = coefficients[columns]
            linear[z] = full[:p]
            if self.degree == 2:
                half = np.zeros((p, p))
                half[self.pairs] = 0.5 * full[p:]
                quadratic[z] = half + half.T
        return LinearForms(p, linear, quadratic if self.degree == 2 else None)


class LinearForms(NamedTuple):
    r"""Energies of environments linear or quadratic in their features.

    .. math:: \epsilon(x) = b_z \cdot x + x^T A_z x

    with coefficients for each species z of the center.
    """

    n_features: int
    linear: dict[int, Any]  # (n_features,) b by atomic number
    quadratic: dict[int, Any] | None  # (n_features, n_features) A, symmetric; or None

    def terms(self) -> dict[str, LinearForms]:
        """Return the one term that there is."""
        return {"features": self}

    def expand(
        self, features: AtomicFeatures, slopes: bool = True
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return energies of environments and, with `slopes`, dE/d(features); see `FittedForm`.

        Species without coefficients have no energy.
        """
        x = np.asarray(features.values, dtype=float)
        energies, gradient = np.zeros(len(x)), np.zeros(x.shape) if slopes else None
        for z, b in self.linear.items():
            members = np.flatnonzero(features.species == z)
            slope = np.broadcast_to(b, (len(members), self.n_features))
            energies[members] = x[members] @ b
            if self.quadratic is not None:
                product = x[members] @ self.quadratic[z]
                energies[members] += np.einsum("ij,ij->i", product, x[members])
                slope = slope + 2.0 * product
            if gradient is not None:
                gradient[members] = slope
        return energies, gradient


def penalty_of(
    features: AtomicFeatures, degree: int, scales: dict[str, float], smooth: bool
) -> csr_array:
    """Return the matrix of the penalty of one species' coefficients, as a CSR array.

    Parameters
    ----------
    features : AtomicFeatures
        Its blocks, and penalties of roughness that came with them.
    degree : {1, 2}
        See `LinearTerms`; products have a unit matrix.
    scales : dict of str to float
        Factors of the blocks' penalties; one where missing.
    smooth : bool
        Whether roughness counts, where it is known, instead of size.
    """
    p = features.shape[1]
    matrix = sp.lil_array(sp.eye_array(p))
    for name, block in features.blocks.items():
        columns = np.arange(p)[block]
        part = sp.eye_array(len(columns), format="csr")
        if smooth and name in features.penalties:
            part = features.penalties[name] + _RIDGE * part
        matrix[block, block] = (scales.get(name, 1.0) * part).tolil()
    if degree == 2:
        matrix = sp.block_diag([matrix, sp.eye_array(p * (p + 1) // 2)])
    return sp.csr_array(matrix)


def active_columns(
    features: AtomicFeatures, penalty: Any, degree: int
) -> dict[int, NDArray[np.int64]]:
    """Return for each species the columns that its environments have, and what is tied to them.

    A column that is zero throughout is left out, unless the penalty couples it to others: then
    smoothness determines its coefficient.
    """
    tied = connected_components(penalty, directed=False)[1]
    kinds = np.unique(features.species)
    everything = {int(z): np.arange(penalty.shape[0]) for z in kinds}
    terms = LinearTerms(everything, features.shape[1], degree)
    present = {z: np.zeros(penalty.shape[0], dtype=bool) for z in everything}
    species = features.species
    for members, values in environment_blocks(features, 1024):
        for z in np.unique(species[members]).tolist():
            own = values[species[members] == z]
            present[z] |= (terms.values(own, z) != 0).any(axis=0)
    return {z: np.flatnonzero(np.isin(tied, tied[present[z]])) for z in everything}


def penalty_factors(
    penalty: Any, active: dict[int, NDArray[np.int64]]
) -> dict[int, FloatArray | None]:
    """Return each species' lower Cholesky factor of the penalty; None for a unit matrix."""
    factors = {}
    for z, columns in active.items():
        part = penalty[columns][:, columns]
        unit = (part != sp.eye_array(len(columns))).nnz == 0
        factors[z] = None if unit else cholesky(part.toarray(), lower=True)
    return factors
