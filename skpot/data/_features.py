"""Features of atomic environments, with derivatives as a chain of maps."""

import numpy as np

from ._derivatives import Concatenated
from ._graph import join_offsets, rows_of

_WRAP = (
    "AtomicFeatures hold one row per atom, not one per structure, so an ordinary transformer "
    "cannot take them: wrap it, as in skpot.PerAtom(StandardScaler())."
)


class AtomicFeatures:
    """Feature rows of atomic environments, grouped by structure.

    `len(features)` is the number of structures and indexing selects structures, so the object is
    itself a valid X: compute it once, then run a grid search over a regressor on it.

    Parameters
    ----------
    values : ndarray of shape (n_environments, n_features)
        Features, structure after structure.
    offsets : ndarray of shape (n_structures + 1,)
        First row of each structure.
    species : ndarray of shape (n_environments,)
        Atomic number of each centre.
    derivatives : object, optional
        Chain of maps with `pull_back`, `jacobian`, `take` and `concatenate`; see
        `skpot.data.Derivatives`. Without it only energies can be learnt.
    volumes : ndarray of shape (n_structures,), optional
        Cell volumes in Å^3, NaN for structures that are not periodic in three directions.
    blocks : dict of str to slice, optional
        Named groups of columns.

    Examples
    --------
    >>> import numpy as np
    >>> from skpot import AtomicFeatures
    >>> rows = np.arange(10.0).reshape(5, 2)
    >>> features = AtomicFeatures(rows, np.array([0, 2, 5]), np.array([1, 1, 8, 1, 1]))
    >>> len(features), features[1].values.shape
    (2, (3, 2))
    """

    def __init__(self, values, offsets, species, derivatives=None, volumes=None, blocks=None):
        self.values = values
        self.offsets = offsets
        self.species = species
        self.derivatives = derivatives
        self.volumes = np.full(len(offsets) - 1, np.nan) if volumes is None else volumes
        self.blocks = {"features": slice(0, values.shape[1])} if blocks is None else blocks

    @property
    def shape(self):
        """(n_structures, n_features)."""
        return len(self), self.values.shape[1]

    ndim = 2

    @property
    def dtype(self):
        """Type of the values."""
        return self.values.dtype

    def __len__(self):
        return len(self.offsets) - 1

    def __repr__(self):
        n, p = self.shape
        gradients = "with" if self.derivatives is not None else "without"
        return (
            f"AtomicFeatures({n} structures, {len(self.values)} environments, {p} features, "
            f"{gradients} derivatives)"
        )

    def __array__(self, dtype=None, copy=None):
        raise TypeError(_WRAP)

    def __getitem__(self, key):
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]
        structures = np.atleast_1d(np.arange(len(self))[key])
        rows, offsets = rows_of(structures, self.offsets)
        return AtomicFeatures(
            self.values[rows],
            offsets,
            self.species[rows],
            None if self.derivatives is None else self.derivatives.take(structures),
            self.volumes[structures],
            self.blocks,
        )

    def __array_function__(self, func, types, args, kwargs):
        parts = args[0] if args else ()
        if func is np.concatenate and all(isinstance(p, AtomicFeatures) for p in parts):
            axis = args[1] if len(args) > 1 else kwargs.get("axis", 0)
            return self.hstack(parts) if axis == 1 else self.vstack(parts)
        raise TypeError(_WRAP)

    @staticmethod
    def hstack(parts, names=None):
        """Return features of the same environments side by side, as `FeatureUnion` does."""
        first = parts[0]
        for part in parts[1:]:
            if not np.array_equal(part.offsets, first.offsets):
                raise ValueError("features of different structures cannot be put side by side")
        names = [f"block{k}" for k in range(len(parts))] if names is None else names
        edges = np.cumsum([0, *(part.shape[1] for part in parts)])
        chains = [part.derivatives for part in parts]
        return AtomicFeatures(
            np.hstack([part.values for part in parts]),
            first.offsets,
            first.species,
            None if any(chain is None for chain in chains) else Concatenated(chains, edges),
            first.volumes,
            {n: slice(int(edges[k]), int(edges[k + 1])) for k, n in enumerate(names)},
        )

    @staticmethod
    def vstack(parts):
        """Return the structures of several parts one after the other."""
        chains = [part.derivatives for part in parts]
        atoms = np.cumsum([0, *(len(part.values) for part in parts)])
        return AtomicFeatures(
            np.concatenate([part.values for part in parts]),
            join_offsets([part.offsets for part in parts], atoms),
            np.concatenate([part.species for part in parts]),
            None if any(c is None for c in chains) else type(chains[0]).concatenate(chains),
            np.concatenate([part.volumes for part in parts]),
            parts[0].blocks,
        )

    @property
    def n_atoms(self):
        """Number of environments of each structure, shape (n_structures,)."""
        return np.diff(self.offsets)

    def pull_back(self, g):
        """Turn derivatives with respect to features into forces and virials.

        Parameters
        ----------
        g : ndarray of shape (n_environments, n_features)
            dE/d(features), in eV.

        Returns
        -------
        forces : ndarray of shape (n_environments, 3)
            -dE/dr in eV/Å.
        virials : ndarray of shape (n_structures, 6)
            -dE/d(strain) in eV, Voigt order xx yy zz yz xz xy.
        """
        return self.require_derivatives().pull_back(g)

    def jacobian(self, centres):
        """Return the `JacobianBlock` of some environments; for training rows.

        Parameters
        ----------
        centres : array-like of int
            Environment indices. The block holds about 3 x 8 bytes x n_features for each atom in
            each centre's neighbourhood, so ask for few at a time.
        """
        return self.require_derivatives().jacobian(np.asarray(centres, dtype=np.int64))

    def neighborhood_sizes(self):
        """Return how many neighbours each environment has, periodic images apart, and itself."""
        return self.require_derivatives().neighborhood_sizes()

    def require_derivatives(self):
        """Return the chain; raise `ValueError` if there is none."""
        if self.derivatives is None:
            raise ValueError(
                "these features carry no derivatives, so forces and stress are out of reach; "
                "take them from a descriptor such as skpot.SOAP."
            )
        return self.derivatives
