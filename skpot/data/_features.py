"""Features of atomic environments, with derivatives as a chain of maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn import get_config

from ..exceptions import InputError, InputTypeError, SkpotWarning, warn_once
from ._columns import (
    NO_TABLE,
    WRAP,
    joined_blocks,
    refuse_mixed,
    refuse_other_columns,
    refuse_shape,
    selected_blocks,
    selected_chain,
)
from ._derivatives import Concatenated
from ._frames import ATOMS_AT_A_TIME, parts_of
from ._graph import join_offsets, rows_of
from ._sized import array_bytes
from ._structure_info import StructureAtoms, StructureInfo
from .origin import joined
from .tables import table_of_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import ArrayLike
    from pandas import DataFrame

    from skpot.data.contracts import DerivativeChain, JacobianBlock
    from skpot.data.origin import Origin
    from skpot.typing import BoolArray, FloatArray, IntArray


class AtomicFeatures:
    """Feature rows of atomic environments, grouped by structure.

    Rows belong to atoms or, where `atoms` is given, to whole structures (one row each). The latter
    can be converted to an array, so that ordinary steps of scikit-learn take them.

    `len(features)` is the number of structures and indexing selects structures, so the object is
    itself a valid X: compute it once, then run a grid search over a regressor on it.

    Parameters
    ----------
    values : ndarray of shape (n_environments, n_features)
        Features, structure after structure.
    offsets : ndarray of shape (n_structures + 1,)
        First row of each structure.
    species : ndarray of shape (n_environments,)
        Atomic number of each center; 0 for rows of whole structures, and where kernels compare
        environments of all species.
    derivatives : object, optional
        The chain of maps that made the features, see `skpot.data.DerivativeChain`. Without it only
        energies can be learned.
    info : StructureInfo, optional
        Volumes, periodicity and keys of the structures.
    blocks : dict of str to slice, optional
        Named groups of columns.
    atoms : StructureAtoms, optional
        Offsets and atomic numbers of the atoms, if each row describes a whole structure (see
        `of_structures`) or `species` does not have them (see `of_one_species`).
    penalties : dict of str to sparse array, optional
        For blocks whose coefficients w should be smooth: the matrix P of the roughness w' P w.
    origin : Origin, optional
        Digest of what made the features. Regressors refuse features of another origin than those
        that they learned from. None means that it is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from skpot import AtomicFeatures
    >>> rows = np.arange(10.0).reshape(5, 2)
    >>> features = AtomicFeatures(rows, np.array([0, 2, 5]), np.array([1, 1, 8, 1, 1]))
    >>> len(features), features[1].values.shape
    (2, (3, 2))
    """

    def __init__(
        self,
        values: FloatArray,
        offsets: IntArray,
        species: IntArray,
        derivatives: DerivativeChain | None = None,
        info: StructureInfo | None = None,
        blocks: dict[str, slice] | None = None,
        atoms: StructureAtoms | None = None,
        penalties: dict[str, Any] | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.values = values
        self.offsets = offsets
        self.species = species
        self.derivatives = derivatives
        self.info = StructureInfo.of_rows(values, offsets) if info is None else info
        self.blocks = {"features": slice(0, values.shape[1])} if blocks is None else blocks
        self.atoms = atoms
        self.penalties = {} if penalties is None else penalties
        self.origin = origin

    @classmethod
    def of_structures(
        cls,
        values: FloatArray,
        atom_offsets: IntArray,
        numbers: IntArray,
        derivatives: DerivativeChain | None = None,
        info: StructureInfo | None = None,
        blocks: dict[str, slice] | None = None,
        origin: Origin | None = None,
    ) -> AtomicFeatures:
        """Return features with one row for each structure.

        Parameters
        ----------
        values : ndarray of shape (n_structures, n_features)
            Features.
        atom_offsets : ndarray of shape (n_structures + 1,)
            First atom of each structure.
        numbers : ndarray of shape (n_atoms,)
            Atomic numbers.
        derivatives, info, blocks, origin : optional
            As in the class.
        """
        n = len(values)
        atoms = StructureAtoms(atom_offsets, numbers)
        rows = np.arange(n + 1), np.zeros(n, dtype=np.int64)
        return cls(values, *rows, derivatives, info, blocks, atoms, origin=origin)

    def of_one_species(self) -> AtomicFeatures:
        """Return the same rows, which kernels then compare whatever the species of centers."""
        if self.per_structure:
            return self
        atoms = StructureAtoms(self.offsets, self.numbers, True)
        return AtomicFeatures(
            self.values,
            self.offsets,
            np.zeros_like(self.species),
            self.derivatives,
            self.info,
            self.blocks,
            atoms,
            self.penalties,
            joined("one species", [self.origin]),
        )

    def mapped(
        self,
        values: FloatArray,
        derivatives: DerivativeChain | None,
        blocks: dict[str, slice] | None = None,
        origin: Origin | None = None,
    ) -> AtomicFeatures:
        """Return other columns, shape (n_environments, any), of the same environments.

        A single block keeps its name; several are merged unless `blocks` are given. Without
        `origin`, the origin of the result is not known.
        """
        if blocks is None and len(self.blocks) == 1:
            blocks = {name: slice(0, values.shape[1]) for name in self.blocks}
        return AtomicFeatures(
            values,
            self.offsets,
            self.species,
            derivatives,
            self.info,
            blocks,
            self.atoms,
            origin=origin,
        )

    def select(self, columns: IntArray) -> AtomicFeatures:
        """Return the features with the indices `columns`, of the same environments.

        Blocks keep their penalties if all of their columns are selected, in order.
        """
        chain = self.derivatives
        if chain is not None:
            chain = selected_chain(chain, columns, self.values.shape[1])
        blocks = selected_blocks(self.blocks, columns, self.values.shape[1])
        origin = joined("select", [self.origin], np.asarray(columns))
        values = np.take(self.values, columns, axis=1)  # a slice would be copied twice
        selected = self.mapped(values, chain, blocks, origin)
        place = np.full(self.values.shape[1], -1)
        place[columns] = np.arange(len(columns))
        for name, penalty in self.penalties.items():
            inside = place[self.blocks[name]]
            if (inside >= 0).all() and (np.diff(inside) == 1).all():
                selected.penalties[name] = penalty
        return selected

    @property
    def per_structure(self) -> bool:
        """Whether rows belong to whole structures instead of atoms."""
        return self.atoms is not None and not self.atoms.rows_are_atoms

    @property
    def atom_offsets(self) -> IntArray:
        """First atom of each structure, shape (n_structures + 1,)."""
        return self.offsets if self.atoms is None else self.atoms.offsets

    @property
    def numbers(self) -> IntArray:
        """Atomic numbers of all atoms, shape (n_atoms,)."""
        return self.species if self.atoms is None else self.atoms.numbers

    # Cell volumes in Å³, (n_structures,); NaN for structures that have no stress.
    volumes = property(lambda self: self.info.volumes)

    @property
    def centers(self) -> IntArray:
        """Atomic number of each row's center, shape (n_environments,); 0 for whole structures."""
        return self.species if self.per_structure else self.numbers

    @property
    def shape(self) -> tuple[int, int]:
        """(n_structures, n_features)."""
        return len(self), self.values.shape[1]

    ndim = 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    def to_pandas(self, columns: ArrayLike | None = None) -> DataFrame:
        """Return the values as a table of pandas, without their derivatives.

        Parameters
        ----------
        columns : array-like of str, optional
            Names of the features, such as ``soap.get_feature_names_out()``. By default they are
            numbered within their blocks.

        Returns
        -------
        DataFrame of shape (n_environments, n_features)
            Its index has the number of the structure, that of the atom in it and the chemical
            symbol ("structure", "atom", "species"); for rows of whole structures the first only.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            If there are not as many names as features.

        Examples
        --------
        >>> import skpot
        >>> from ase.build import molecule
        >>> soap = skpot.SOAP(cutoff=3.0, n_max=2, l_max=1)
        >>> table = soap.fit_transform([molecule("H2O")]).to_pandas(soap.get_feature_names_out())
        >>> table.groupby("species").mean().shape
        (2, 20)
        """
        return table_of_rows(self, columns)

    def __len__(self):
        return len(self.offsets) - 1

    def __repr__(self):
        n, p = self.shape
        gradients = "with" if self.derivatives is not None else "without"
        rows = "one row each" if self.per_structure else f"{len(self.values)} environments"
        return f"AtomicFeatures({n} structures, {rows}, {p} features, {gradients} derivatives)"

    def __mul__(self, factor):
        raise InputTypeError(
            "features cannot be multiplied, so FeatureUnion takes no transformer_weights; give "
            'each block a kernel with a variance of its own, as in RBF(block="soap", variance=2.0) '
            '+ RBF(block="pairbasis").'
        )

    def __array__(self, dtype=None, copy=None):
        if not self.per_structure:
            raise InputTypeError(WRAP)
        return np.array(self.values, dtype=dtype, copy=copy)

    def __getitem__(self, key):
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]
        structures = np.atleast_1d(np.arange(len(self))[key])
        rows, offsets = rows_of(structures, self.offsets)
        atoms = None
        if self.atoms is not None:
            index, atom_offsets = rows_of(structures, self.atoms.offsets)
            atoms = self.atoms._replace(offsets=atom_offsets, numbers=self.atoms.numbers[index])
        return AtomicFeatures(
            self.values[rows],
            offsets,
            self.species[rows],
            None if self.derivatives is None else self.derivatives.take(structures),
            self.info.take(structures),
            self.blocks,
            atoms,
            self.penalties,
            self.origin,
        )

    def __array_function__(self, func, types, args, kwargs):
        parts = args[0] if args else ()
        # FeatureUnion of scikit-learn calls hstack before version 1.9 and concatenate since.
        if func in (np.concatenate, np.hstack) and all(isinstance(p, type(self)) for p in parts):
            axis = args[1] if len(args) > 1 else kwargs.get("axis", 0)
            return self.hstack(parts) if func is np.hstack or axis == 1 else self.vstack(parts)
        # Other functions get the plain array, or `__array__` raises an error that says why not.
        return func(*map(_plain, args), **{k: _plain(v) for k, v in kwargs.items()})

    @staticmethod
    def hstack(parts: Any) -> AtomicFeatures:
        """Return features of the same environments side by side, as `FeatureUnion` does.

        Blocks keep their names; those that occur twice are numbered, as in soap, soap2.
        """
        first = parts[0]
        if (wanted := get_config()["transform_output"]) != "default":
            # The union cannot make a table of the result, and says so by an error of that library.
            warn_once("tables of unions", NO_TABLE.format(wanted), SkpotWarning)
        refuse_mixed(parts)
        for part in parts[1:]:
            if not np.array_equal(part.offsets, first.offsets):
                raise InputError("features of different structures cannot be put side by side")
        edges = np.cumsum([0, *(part.shape[1] for part in parts)])
        chains = [part.derivatives for part in parts]
        blocks, penalties = joined_blocks(parts, edges)
        return AtomicFeatures(
            np.hstack([part.values for part in parts]),
            first.offsets,
            first.species,
            None if any(chain is None for chain in chains) else Concatenated(chains, edges),
            first.info,
            blocks,
            first.atoms,
            penalties,
            joined("beside", [part.origin for part in parts]),
        )

    @staticmethod
    def vstack(parts: Any) -> AtomicFeatures:
        """Return the structures of several parts one after the other."""
        refuse_mixed(parts)
        refuse_other_columns(parts)
        chains = [part.derivatives for part in parts]
        rows = np.cumsum([0, *(len(part.values) for part in parts)])
        atoms = None
        if parts[0].atoms is not None:
            shifts = np.cumsum([0, *(part.atoms.offsets[-1] for part in parts)])
            atoms = parts[0].atoms._replace(
                offsets=join_offsets([part.atoms.offsets for part in parts], shifts),
                numbers=np.concatenate([part.atoms.numbers for part in parts]),
            )
        return AtomicFeatures(
            np.concatenate([part.values for part in parts]),
            join_offsets([part.offsets for part in parts], rows),
            np.concatenate([part.species for part in parts]),
            None if any(c is None for c in chains) else type(chains[0]).concatenate(chains),
            StructureInfo.concatenate([part.info for part in parts]),
            parts[0].blocks,
            atoms,
            parts[0].penalties,
            parts[0].origin,
        )

    @property
    def n_atoms(self) -> IntArray:
        """Number of atoms of each structure, shape (n_structures,)."""
        return np.diff(self.atom_offsets)

    @property
    def n_rows(self) -> IntArray:
        """Number of feature rows of each structure, shape (n_structures,)."""
        return np.diff(self.offsets)

    def pull_back(self, g: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Turn derivatives with respect to features into forces and virials.

        Parameters
        ----------
        g : ndarray of shape (n_environments, n_features)
            dE/d(features), in eV.

        Returns
        -------
        forces : ndarray of shape (n_atoms, 3)
            -dE/dr in eV/Å.
        virials : ndarray of shape (n_structures, 6)
            -dE/d(strain) in eV, Voigt order xx yy zz yz xz xy.

        Raises
        ------
        ValueError
            If g has another shape than `values`, or there are no derivatives.
        """
        refuse_shape("g", g, self.values.shape)
        return self.require_derivatives().pull_back(g)

    def push_forward(self, displacements: FloatArray, strains: FloatArray) -> FloatArray:
        """Return how features change along one motion of the atoms and cells.

        This is the adjoint of `pull_back` with the sign reversed, since forces and virials are
        minus derivatives:
        ``sum(forces * u) + sum(virials * s) == -sum(g * push_forward(u, s))``.

        Parameters
        ----------
        displacements : ndarray of shape (n_atoms, 3)
            In Å.
        strains : ndarray of shape (n_structures, 6)
            Strains of the structures and cells, Voigt order xx yy zz yz xz xy.

        Returns
        -------
        ndarray of shape (n_environments, n_features)
            The directional derivative of the features.

        Raises
        ------
        ValueError
            If an argument has another shape, or there are no derivatives.
        """
        refuse_shape("displacements", displacements, (len(self.numbers), 3))
        refuse_shape("strains", strains, (len(self), 6))
        return self.require_derivatives().push_forward(displacements, strains)

    def jacobian(self, centers: ArrayLike) -> JacobianBlock:
        """Return the `JacobianBlock` of some environments, for training rows.

        Parameters
        ----------
        centers : array-like of int
            Indices of environments. Ask for few at a time: the block takes about 24 bytes times
            n_features for each atom in the neighborhood of each center.
        """
        return self.require_derivatives().jacobian(np.asarray(centers, dtype=np.int64))

    def neighborhood_sizes(self) -> IntArray:
        """Return how many neighbors each environment has, each image counted, plus the center.

        For rows of whole structures this is at least the number of atoms that they depend on.
        """
        return self.require_derivatives().neighborhood_sizes()

    def __sizeof__(self):
        return object.__sizeof__(self) + array_bytes(vars(self))

    def lone_atoms(self) -> BoolArray:
        """Return which structures are single atoms without neighbors; False where nothing tells."""
        if self.derivatives is None:
            return np.zeros(len(self), dtype=bool)
        sizes = self.neighborhood_sizes()[self.offsets[:-1]]
        return (self.n_atoms == 1) & (sizes == 1)

    def largest_neighborhood(self) -> int:
        """Return the largest of `neighborhood_sizes`."""
        return int(self.neighborhood_sizes().max())

    def in_parts(self, some: IntArray | None = None) -> Iterator[tuple[IntArray, AtomicFeatures]]:
        """Yield structures and their features: all at once, some of them a part at a time.

        Those in files always come in parts.
        """
        if some is None or len(some) == len(self):
            yield np.arange(len(self)), self
            return
        for part in parts_of(some, self.n_atoms, ATOMS_AT_A_TIME):
            yield part, self[part]

    def environments(self, rows: IntArray) -> FloatArray:
        """Return the features of some environments, shape (n, n_features), in double precision."""
        return self.values[rows].astype(float)

    def loaded(self) -> AtomicFeatures:
        """Return the features in memory: these themselves."""
        return self

    def require_derivatives(self) -> DerivativeChain:
        """Return the chain; raise `ValueError` if there is none."""
        if self.derivatives is None:
            raise InputError(
                "these features carry no derivatives, so there are no forces and no stress: "
                "compute features by a descriptor such as skpot.SOAP."
            )
        return self.derivatives


def _plain(value):
    """Return features, also those in a list or tuple, as an array."""
    if isinstance(value, AtomicFeatures):
        return np.asarray(value)
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return value
