r"""What networks see: centered and scaled principal components of the features, and how they move.

For each species of the center, rows less their mean are projected on the leading directions, of
variances :math:`\lambda_k`, and scaled to

.. math:: x_k \to c\, \lambda_k^{-\omega/2} x_k

by the whitening exponent :math:`\omega` and the factor c for which the mean variance is 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from ..core.network_loss import StoredParts
from ..data import SpeciesMap, StreamedFeatures, block_ranges, rows_of
from ..data.order import environment_order, species_blocks
from ..solvers import leading_directions, rows_times
from .jacobian_store import NoRoom, Store, stores, warn_of_no_room

if TYPE_CHECKING:
    from typing import Any

    from skpot.data import AtomicFeatures
    from skpot.rows.training_set import TrainingSet
    from skpot.typing import FloatArray, IntArray

_MOST_ROWS = 20000  # environments of each species whose directions are looked at
_BLOCK_ROWS = 4096  # environments that are projected together
_AT_HAND = 2000  # environments whose derivatives are computed together
_BLOCK_BYTES = 24e6  # of Jacobians before they are projected


class Components(NamedTuple):
    """Maps of features to the rows that networks see."""

    species: np.ndarray  # (n_species,) atomic numbers, ascending; 0 for whole structures
    centers: np.ndarray  # (n_species, n_features) mean rows
    matrices: np.ndarray  # (n_species, n_features, n_components)

    @classmethod
    def of(cls, features: AtomicFeatures, n: int, whitening: float, seed: int) -> Components:
        """Return at most n components of each species; further columns are zero."""
        species = np.unique(features.species)
        n = min(n, features.shape[1])
        centers = np.zeros((len(species), features.shape[1]))
        matrices = np.zeros((len(species), features.shape[1], n))
        order = environment_order(features)  # by the digests of structures: at random
        rng = check_random_state(seed)
        for k, z in enumerate(species):
            members = order[features.species[order] == z]
            members = members[:: -(-len(members) // _MOST_ROWS)]
            rows = features.environments(members)
            centers[k] = rows.mean(axis=0)
            rows = rows - centers[k]
            squares, directions = leading_directions(rows, n, rng)
            variances = squares / len(rows)
            scales = variances ** (-0.5 * whitening)
            unit = np.sum(variances * scales**2)
            if unit > 0.0:
                scales *= np.sqrt(len(scales) / unit)
                matrices[k, :, : len(scales)] = directions * scales
        return cls(species, centers, matrices)

    def rows(self, features: AtomicFeatures, kind: Any) -> FloatArray:
        """Return the rows that networks see of all environments, in their order."""
        out = np.empty((features.offsets[-1], self.matrices.shape[2]), dtype=kind)
        for z, some, values in species_blocks(features, _BLOCK_ROWS):
            k = int(np.searchsorted(self.species, z))
            out[some] = rows_times(values - self.centers[k], self.matrices[k])
        return out

    def chain(self, features: AtomicFeatures) -> SpeciesMap | ComputedChain:
        """Return the derivatives of these rows."""
        if isinstance(features, StreamedFeatures):
            return ComputedChain(self, features)
        kinds = np.searchsorted(self.species, features.species)
        return SpeciesMap(features.require_derivatives(), kinds, self.matrices, features.offsets)


class ComputedChain(NamedTuple):
    """Derivatives of structures in files, which are computed when they are needed."""

    components: Components
    features: StreamedFeatures

    def take(self, structures: IntArray) -> Any:
        """Return those of some structures, in memory."""
        return self.components.chain(self.features.computed(structures))


class NetworkInputs(NamedTuple):
    """Rows of the training structures, in the canonical order, and their derivatives."""

    rows: np.ndarray  # (n_environments, n_components)
    kinds: np.ndarray  # (n_environments,) index of the species
    offsets: np.ndarray  # (n_structures + 1,) first environment
    atom_offsets: np.ndarray  # (n_structures + 1,) first atom
    order: np.ndarray  # (n_structures,) index of each in the training set
    chain: Any  # derivatives of the training set, or None if energies are the only labels
    parts: StoredParts | None  # Jacobians, if they are stored
    stores: tuple[Store, ...] = ()  # where these are

    def take_rows(self, structures: IntArray) -> tuple[IntArray, IntArray]:
        """Return the rows of some structures, and where those of each begin."""
        return rows_of(structures, self.offsets)

    def release(self) -> None:
        """Give back memory into which Jacobians were read from files."""
        for store in self.stores:
            store.release()


def network_inputs(
    components: Components,
    training: TrainingSet,
    max_memory: float | None,
    kind: Any = np.float32,
) -> NetworkInputs:
    """Return what networks see of a training set.

    Parameters
    ----------
    components : Components
        The map.
    training : TrainingSet
        The structures.
    max_memory : float or None
        Bytes that Jacobians may take in memory; None stands for 2 GB. If they take more, they are
        in files, or nowhere if the disk has no room; see `stores`.
    kind : dtype
        Of rows and Jacobians.
    """
    features = training.features
    order = training.order()
    members, offsets = rows_of(order, features.offsets)
    _, atom_offsets = rows_of(order, features.atom_offsets)
    rows = components.rows(features, kind)[members]
    kinds = np.searchsorted(components.species, features.species[members])
    inputs = NetworkInputs(rows, kinds, offsets, atom_offsets, order, None, None)
    if not training.has_derivatives:
        return inputs
    inputs = inputs._replace(chain=components.chain(features))
    sizes = np.empty(len(rows), dtype=np.int64)
    for some, part in features.in_parts():
        sizes[rows_of(some, features.offsets)[0]] = part.neighborhood_sizes()
    # Images of one atom share a row, so that there are at most so many.
    most, n = int(sizes.sum()), rows.shape[1]
    stressed = training.labels.has_stress.any()
    arrays = [
        ((most, 3, n), kind), ((len(rows) if stressed else 0, 6, n), kind), ((most,), np.int64)
    ]  # fmt: skip
    try:
        places = stores(arrays, max_memory)
        return _stored(inputs, training, sizes[members] * 24.0 * features.shape[1], places)
    except NoRoom as reason:
        warn_of_no_room(arrays, reason)
    return inputs


def _stored(inputs, training, n_bytes, places):
    """Return inputs with the Jacobians of all environments, in the canonical order.

    Each takes some of `n_bytes` (n_environments,) before it is projected.
    """
    values, strain, atoms = places
    stressed = training.labels.has_stress.any()
    starts, total = [np.zeros(1, dtype=np.int64)], 0
    begin = end = 0  # structures whose derivatives are at hand
    for lo, hi in block_ranges(n_bytes, _BLOCK_BYTES):
        if hi > inputs.offsets[end]:
            begin = int(np.searchsorted(inputs.offsets, lo, side="right")) - 1
            far = max(hi, inputs.offsets[begin] + _AT_HAND)
            end = min(int(np.searchsorted(inputs.offsets, far)), len(inputs.order))
            chain = inputs.chain.take(inputs.order[begin:end])
        block = chain.jacobian(np.arange(lo, hi) - inputs.offsets[begin])
        starts.append(block.start[1:] + total)
        atoms.append(block.atom + inputs.atom_offsets[begin])
        values.append(block.values)
        if stressed:
            strain.append(block.strain)
        total += len(block.values)
    for store in places:
        store.finish()
    parts = StoredParts(
        inputs.offsets,
        inputs.atom_offsets,
        np.concatenate(starts),
        atoms.values,
        values.values,
        strain.values,
    )
    return inputs._replace(parts=parts, stores=tuple(places))


def parts_of(inputs: NetworkInputs, s: int) -> tuple[int, StoredParts, IntArray]:
    """Return the place of a structure in Jacobians, these, and the species of environments."""
    if inputs.parts is not None:
        return s, inputs.parts, inputs.kinds
    own = slice(*inputs.offsets[s : s + 2])
    edges, atoms = np.diff(inputs.offsets)[s], np.diff(inputs.atom_offsets)[s]
    block = inputs.chain.take(inputs.order[s : s + 1]).jacobian(np.arange(edges))
    kind = inputs.rows.dtype
    offsets = np.array([0, edges]), np.array([0, atoms])
    values = block.values.astype(kind), block.strain.astype(kind)
    return 0, StoredParts(*offsets, block.start, block.atom, *values), inputs.kinds[own]
