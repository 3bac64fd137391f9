"""Reference environments: the fitted form of every kernel model."""

from functools import partial

import numpy as np
from scipy.linalg import solve_triangular

from ..core.similarity import add_force_rows, add_segments, add_strain_rows
from ..solvers import jittered_cholesky
from ._threads import tile_threads

_TILE = 256  # references a matrix product takes at a time; the product then stays in cache


class References:
    """Environments that the kernel compares with, grouped by species.

    Only environments of one species are compared; others have zero covariance.

    Parameters
    ----------
    values : ndarray of shape (n_references, n_features)
        Their features, species after species.
    species : ndarray of shape (n_references,)
        Atomic numbers, ascending.
    kernel : kernel object
        See `skpot.kernels`.
    """

    def __init__(self, values, species, kernel):
        self.values = values
        self.species = species
        self.kernel = kernel
        kinds, first = np.unique(species, return_index=True)
        ends = [*first[1:], len(species)]
        self.columns = {
            int(z): slice(int(lo), int(hi)) for z, lo, hi in zip(kinds, first, ends, strict=True)
        }

    def __len__(self):
        return len(self.values)

    def covariance(self):
        """Return the blocks of K_MM, one for each species, as (columns, matrix)."""
        for columns in self.columns.values():
            q = self.values[columns]
            k = self.kernel(q, q)
            yield columns, 0.5 * (k + k.T)

    def cholesky(self, jitter):
        """Return the lower Cholesky factor of K_MM and the largest jitter that it needed."""
        m = len(self)
        factor, largest = np.zeros((m, m)), 0.0
        for columns, covariance in self.covariance():
            factor[columns, columns], needed = jittered_cholesky(covariance, jitter)
            largest = max(largest, needed)
        return factor, largest

    def whiten(self, rows, factor):
        """Replace rows k by k L^-T, in coefficients whose prior is the unit matrix.

        The prior's rows then have a scale that rounding of the much larger label rows leaves alone.
        Columns beyond those of the references stay as they are.
        """
        for columns in self.columns.values():
            part = np.ascontiguousarray(rows[:, columns]).T
            rows[:, columns] = solve_triangular(
                factor[columns, columns], part, lower=True, overwrite_b=True, check_finite=False
            ).T

    def groups(self, species, limit):
        """Yield (environments, columns): indices of one species, at most `limit` at a time."""
        for z, columns in self.columns.items():
            members = np.flatnonzero(species == z)
            for begin in range(0, len(members), limit):
                yield members[begin : begin + limit], columns

    def sums(self, features, out, limit=1024):
        """Add each structure's summed kernel with every reference to `out` (n_structures, m)."""
        segment = np.repeat(np.arange(len(features)), features.n_rows)
        for members, columns in self.groups(features.species, limit):
            kernel = self.kernel(features.values[members], self.values[columns])
            add_segments(kernel, segment[members], out[:, columns])

    def expand(self, x, species, coefficients, vectors=None, slopes=True):
        """Return energies of environments and, with `slopes`, their derivatives.

        Parameters
        ----------
        x : ndarray of shape (n_environments, n_features)
            Features of the environments.
        species : ndarray of shape (n_environments,)
            Their atomic numbers.
        coefficients : ndarray of shape (n_references,)
            A scalar for each reference.
        vectors : ndarray of shape (n_references, n_features) or None
            A vector for each reference, along which its kernel is differentiated.
        slopes : bool, default=True
            Whether derivatives are wanted.

        Returns
        -------
        energies : ndarray of shape (n_environments,)
            Zero for species without references.
        gradient : ndarray of shape (n_environments, n_features) or None
            dE/d(features).
        """
        energies = np.zeros(len(x))
        gradient = np.zeros(x.shape) if slopes else None

        def add(group):
            members, columns = group
            q, alpha = self.values[columns], coefficients[columns]
            if vectors is None:
                e, g = self._plain(x[members], q, alpha, slopes)
            else:
                e, g = self.kernel.expansion(x[members], q, alpha, vectors[columns])
            energies[members] = e
            if slopes:
                gradient[members] = g

        groups = list(self.groups(species, limit=256))
        with tile_threads(len(groups)) as map_tiles:
            for _ in map_tiles(add, groups):
                pass
        return energies, gradient

    def _plain(self, x, q, alpha, slopes):
        if not slopes:
            return self.kernel(x, q) @ alpha, None
        kernel, by_similarity = self.kernel.with_slope(x, q)
        gradient = np.zeros(x.shape)
        for s, slope in by_similarity.items():
            slope *= alpha
            part = s.take(gradient)
            part += slope @ s.against(q)
            if s.centred:
                part -= slope.sum(axis=1)[:, None] * s.against(x)
        return kernel @ alpha, gradient

    def gradient_rows(self, features, forces, strain, jacobian_bytes, map_tiles=map):
        """Add -dk/dr and dk/d(strain) of all environments to rows of a training block.

        Parameters
        ----------
        features : AtomicFeatures
            Structures of one block.
        forces : ndarray of shape (3 * n_atoms, n_references)
            Row 3 i + axis belongs to atom i.
        strain : ndarray of shape (6 * n_structures, n_references)
            Row 6 s + v belongs to structure s.
        jacobian_bytes : float
            Size of the dense Jacobian held at a time.
        map_tiles : callable, default=map
            Applies a function to tiles of references, which are independent; see `tile_threads`.
        """
        structure = np.repeat(np.arange(len(features)), features.n_rows)
        row_bytes = 24.0 * self.values.shape[1]
        sizes = features.neighborhood_sizes()
        limit = max(1, int(jacobian_bytes / (row_bytes * max(1, sizes.max(initial=1)))))
        for members, columns in self.groups(features.species, limit):
            block = features.jacobian(members)
            begins = range(columns.start, columns.stop, _TILE)
            tiles = [slice(b, min(b + _TILE, columns.stop)) for b in begins]
            add = partial(
                self._add_tile, block, features.values[members], structure[members], forces, strain
            )
            for _ in map_tiles(add, tiles):
                pass

    def _add_tile(self, block, x, structure, forces, strain, tile):
        rows, strain_rows = (a.reshape(-1, x.shape[1]) for a in (block.values, block.strain))
        q = self.values[tile]
        _, slopes = self.kernel.with_slope(x, q)
        for s, slope in slopes.items():
            along = strain_along = np.empty(0)
            if s.centred:
                own, counts = s.against(x), 3 * np.diff(block.start)
                along = np.einsum("rp,rp->r", s.take(rows), np.repeat(own, counts, axis=0))
                strain_along = np.einsum("rp,rp->r", s.take(strain_rows), np.repeat(own, 6, axis=0))
            product = s.products(rows, q)
            place = block.start, block.atom
            add_force_rows(slope, s.centred, *place, product, along, forces[:, tile])
            product = s.products(strain_rows, q)
            add_strain_rows(slope, s.centred, structure, product, strain_along, strain[:, tile])
