"""What descriptors of a neighborhood share: the transformer and the leaf of its derivatives."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._base import ContainerOutput, NamedFeatures, VersionedEstimator
from .._sklearn import ItemizedAttributes, _fit_context
from ..core import borrow, give_back, run_blocks
from ..core.pairs import count_entries, pair_moves, scatter
from ..data import (
    AtomicFeatures,
    Frames,
    JacobianBlock,
    NeighborGraph,
    StreamedFeatures,
    StructureBatch,
    as_batch,
    push_by_jacobian,
    rows_of,
)
from ..data.elements import SYMBOLS
from ..data.origin import Origin, content_digest
from ..exceptions import StructureError
from ..solvers import serial_blas
from ._cache import descriptor_cache, structure_key
from ._hypers import choose
from ._limits import named_species
from ._table_sizes import checked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

    from skpot.descriptors.contracts import DescriptorKernels
    from skpot.typing import FloatArray, IntArray, Structures


def lone_atoms(species: IntArray) -> StructureBatch:
    """Return a batch of one free atom of each of the species."""
    n = len(species)
    cells, pbc = np.zeros((n, 3, 3)), np.zeros((n, 3), dtype=bool)
    return StructureBatch(np.zeros((n, 3)), species, cells, pbc, np.arange(n + 1))


class PairDerivatives:
    """Leaf of the derivative chain of a descriptor that depends on vectors to neighbors.

    A subclass names its `kernels`, the module of `skpot.core` with the compiled functions; see
    `skpot.descriptors.contracts`, and `skpot.data.contracts` for what a leaf offers.

    Parameters
    ----------
    graph : NeighborGraph
        Pairs within the cutoff.
    species : ndarray of shape (n_atoms,)
        Index of each atom's species.
    tables : NamedTuple
        What the kernels need to know of the descriptor.
    """

    kernels: DescriptorKernels
    smallest = 16  # atoms that are worth a task of their own

    def __init__(self, graph: NeighborGraph, species: IntArray, tables: Any) -> None:
        self.graph = graph
        self.species = species
        self.tables = tables

    def _run(self, kernel, n, *args):
        run_blocks(kernel, n, *args, smallest=self.smallest)

    def fill(self, values: FloatArray) -> None:
        """Write the features of all atoms to `values` (n_atoms, n_features)."""
        args = self.graph.pairs, self.species, self.tables, values
        self._run(self.kernels.values, len(values), *args)

    def pull_back(self, g: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return forces and virials from g = dE/d(features)."""
        pairs = self.graph.pairs
        gradient = borrow((len(pairs.neighbor), 3))
        args = pairs, self.species, self.tables, np.ascontiguousarray(g), gradient
        self._run(self.kernels.pull_back, len(g), *args)
        forces = np.zeros((self.graph.n_atoms, 3))
        virials = np.zeros((len(self.graph), 6))
        scatter(pairs, self.graph.atom_structure(), gradient, forces, virials)
        give_back(gradient)
        return forces, virials

    def push_forward(self, displacements: FloatArray, strains: FloatArray) -> FloatArray:
        """Return the change of the features along one motion, the adjoint of `pull_back`."""
        structure = self.graph.atom_structure()
        n_features = self.kernels.n_features(self.tables)
        if not hasattr(self.kernels, "push_forward"):
            return push_by_jacobian(self, structure, n_features, displacements, strains)
        pairs = self.graph.pairs
        moves = np.empty((len(pairs.neighbor), 3))
        pair_moves(pairs, structure, displacements, strains, moves)
        out = np.empty((self.graph.n_atoms, n_features))
        args = pairs, self.species, self.tables, moves, out
        self._run(self.kernels.push_forward, len(out), *args)
        return out

    def jacobian(self, centers: IntArray) -> JacobianBlock:
        """Return the dense `JacobianBlock` of some centers."""
        pairs = self.graph.pairs
        marker = np.empty(self.graph.n_atoms, dtype=np.int64)
        start = count_entries(centers, pairs, marker)
        n_features = self.kernels.n_features(self.tables)
        atom = np.empty(start[-1], dtype=np.int64)
        values = np.empty((start[-1], 3, n_features))
        strain = np.empty((len(centers), 6, n_features))
        args = centers, pairs, self.species, self.tables, start, atom, values, strain
        self._run(self.kernels.jacobian, len(centers), *args)
        return JacobianBlock(start, atom, values, strain)

    def take(self, structures: IntArray) -> Self:
        """Return the leaf of some structures."""
        graph = self.graph.take(structures)
        rows, _ = rows_of(structures, self.graph.offsets)
        return type(self)(graph, self.species[rows], self.tables)

    @classmethod
    def concatenate(cls, chains: Sequence[Any]) -> Self:
        """Return the leaf of several batches."""
        return cls(
            NeighborGraph.concatenate([c.graph for c in chains]),
            np.concatenate([c.species for c in chains]),
            chains[0].tables,
        )

    def neighborhood_sizes(self) -> IntArray:
        """Return how many neighbors, images apart, each environment has, and itself."""
        return 1 + np.diff(self.graph.pairs.start)


class PairDescriptor(
    ContainerOutput, NamedFeatures, VersionedEstimator, ItemizedAttributes, BaseEstimator
):
    """Transformer whose features depend on each atom's neighbors within a radius.

    A subclass has parameters `species` and `cache`, and defines what stands below this docstring.
    It reads the parameters named in `_chosen` from `hypers_` only. After `fit` it reads no other
    parameters: what `tables`, `radius` and names of features need are fitted attributes.
    """

    dtype = "float64"  # of the features; a parameter where a subclass makes it one
    _derivatives = None  # its subclass of `PairDerivatives`
    _block = None  # name of its columns in `AtomicFeatures.blocks`
    _chosen = ()  # names of the parameters that `hypers` may choose
    _itemized = "hypers_"
    _needs_neighbors = True  # whether structures in which no atom has a neighbor are refused

    hypers = None  # a parameter where there are lengths to choose

    def _learn(self, batch, index):
        """Set `n_features_out_` and what else the tables need; `index` is each atom's species."""
        raise NotImplementedError

    def _rules(self, preset, scales, given):
        """Return what a preset chooses; see `skpot.descriptors._hypers`."""
        raise NotImplementedError

    def tables(self) -> Any:
        """Return what the compiled functions need to know of the fitted descriptor.

        Returns
        -------
        NamedTuple
            Its type says which functions these are, see `skpot.core.centers`.
        """
        raise NotImplementedError

    def radius(self) -> float:
        """Return how far neighbors matter to the fitted descriptor, in Å."""
        return float(self.hypers_["cutoff"])

    def checked_tables(self) -> Any:
        """Return `tables`, or raise `InputError` if fitted attributes do not fit each other."""
        return checked(self.tables(), len(self.species_), self.n_features_out_)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Structures, y: Any = None) -> Self:
        """Note the species, choose what `hypers` leaves open and tabulate the functions.

        Parameters
        ----------
        X : list[Atoms]
            Structures.
        y : ignored
            For the scikit-learn interface.

        Returns
        -------
        self : estimator
            The descriptor itself.

        Raises
        ------
        ValueError
            If parameters contradict each other, or species are not among those named.
        """
        batch = as_batch(X)
        self.species_ = self._find_species(batch)
        index = self._species_index(batch)  # refuses species that `species` does not name
        self.dtype_ = str(self.dtype)
        with serial_blas():  # the last bits of tables must not depend on the number of threads
            self.hypers_ = choose(self, self._rules, batch)
            self._learn(batch, index)
        if self._needs_neighbors:
            self._refuse_lonely(batch)
        self.origin_ = self._find_origin()
        return self

    def transform(self, X: Structures | StructureBatch) -> AtomicFeatures:
        """Compute the descriptor of every atom.

        Parameters
        ----------
        X : list[Atoms], Frames, or StructureBatch
            Structures.

        Returns
        -------
        features : AtomicFeatures
            With `n_features_out_` columns and analytic derivatives; those of `Frames` are computed
            when they are needed.

        Raises
        ------
        ValueError
            If a species was not seen in `fit`, or atoms coincide.
        """
        check_is_fitted(self, "n_features_out_")
        if isinstance(X, Frames):
            return StreamedFeatures(X, copy.copy(self)._compute)  # a later fit changes `self`
        batch = as_batch(X, search_follows=True)
        if not self.cache or isinstance(X, StructureBatch):
            return self._compute(batch)
        self._species_index(batch)  # errors name the index in X, not among structures not cached
        return self._compute_cached(batch)

    def _compute(self, batch):
        species = self._species_index(batch)
        tables = self.checked_tables()  # before the radius, which may come from arrays it checks
        chain = self._derivatives(batch.neighbors(self.radius()), species, tables)
        values = np.empty((len(batch.numbers), self.n_features_out_), dtype=self.dtype_)
        chain.fill(values)
        blocks = {self._block: slice(None)}
        return AtomicFeatures(
            values, batch.offsets, batch.numbers, chain, batch.info(), blocks,
            penalties=self._penalties(), origin=Origin(*self.origin_),
        )  # fmt: skip

    def _penalties(self):
        """Return the matrix of a penalty for each block whose coefficients should be smooth."""
        return {}

    def _find_origin(self):
        """Return a digest of the fitted state, and whether rows of lone atoms may be zero."""
        content = self.species_, self.tables(), self.dtype_
        return content_digest(type(self).__name__, *content), self._vanishing()

    def _vanishing(self):
        """Return whether an atom of some species has a row of zeros if it has no neighbors."""
        return bool((self._lone_rows(self.tables()) == 0.0).all(axis=1).any())

    def _lone_rows(self, tables):
        """Return the features of an atom of each species without neighbors."""
        rows = np.empty((len(self.species_), self.n_features_out_))
        graph = lone_atoms(self.species_).neighbors(self.radius())
        self._derivatives(graph, np.arange(len(rows)), tables).fill(rows)
        return rows

    def _refuse_lonely(self, batch):
        """Raise `StructureError` if atoms could have neighbors, but no atom has one."""
        radius, n = self.radius(), np.diff(batch.offsets)
        if (n == 1).all() and not batch.pbc.any():
            return
        if all(not len(part.neighbors(radius).pairs.neighbor) for part in batch.in_blocks(1000)):
            raise StructureError(
                f"no atom of the {len(batch)} structures has a neighbor within the cutoff of "
                f"{radius:.3g} Å, so that all features of this {type(self).__name__} are constant. "
                "Raise the cutoff above the shortest distance of the data, or check their unit of "
                "length, which is Å."
            )

    def _compute_cached(self, batch):
        origin = self.origin_[0].encode()
        keys = [structure_key(origin, batch, s) for s in range(len(batch))]
        parts = [descriptor_cache.get(key) for key in keys]
        missing = [s for s, part in enumerate(parts) if part is None]
        if missing:
            computed = self._compute(batch.take(missing))
        for place, s in enumerate(missing):
            parts[s] = computed[place]
            pairs = parts[s].derivatives.graph.pairs
            size = parts[s].values.nbytes + sum(a.nbytes for a in pairs) + 500
            descriptor_cache.put(keys[s], parts[s], size)
        return computed if len(missing) == len(batch) else AtomicFeatures.vstack(parts)

    def _used(self):
        """Return `hypers_` with its items as attributes."""
        return SimpleNamespace(**self.hypers_)

    def _find_species(self, batch):
        """Return the atomic numbers named in `species`, or else those of the batch."""
        if self.species is None:
            return np.unique(batch.numbers)
        return named_species(self.species)

    def _species_index(self, batch):
        """Return each atom's index in `species_`; refuse unknown ones."""
        index = np.searchsorted(self.species_, batch.numbers)
        known = self.species_[np.minimum(index, len(self.species_) - 1)] == batch.numbers
        if not known.all():
            bad = np.flatnonzero(~known)
            structures = np.unique(np.searchsorted(batch.offsets, bad, side="right") - 1)
            if batch.given is not None:
                structures = batch.given.index[structures]
            names = [SYMBOLS[z] for z in np.unique(batch.numbers[bad])]
            name = type(self).__name__
            raise StructureError(
                f"species {', '.join(names)} in structures {structures[:10].tolist()}"
                f"{' ...' if len(structures) > 10 else ''} but this {name} knows only "
                f"{', '.join(SYMBOLS[z] for z in self.species_)}. Fit on data that has them, or "
                f"name them in {name}(species=...)."
            )
        return index.astype(np.int64)
