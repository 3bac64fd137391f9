"""Training rows in blocks: labels as linear functionals of the coefficients."""

from typing import NamedTuple

import numpy as np

from ..data import Targets


class Noise(NamedTuple):
    """Standard deviations of the labels, as the regressors take them."""

    energy: float  # per atom (eV): the total energy of n atoms has energy * sqrt(n)
    forces: float  # per component (eV/Å)
    stress: float  # per component (eV/Å^3)


def blocks(features, labels, n_columns, max_bytes):
    """Yield ranges of structures whose rows fit in `max_bytes`, or single structures."""
    # Force rows are made for all atoms of a block, labelled or not.
    derivative = np.diff(labels.force_offsets).any() or labels.has_stress.any()
    rows = 1 + (3 * features.n_atoms + 6) * bool(derivative)
    limit = max_bytes / (8.0 * n_columns)
    begin, total = 0, 0
    for s, count in enumerate(rows):
        if s > begin and total + count > limit:
            yield begin, s
            begin, total = s, 0
        total += count
    if begin < len(rows):
        yield begin, len(rows)


def training_rows(references, features, labels, residual, weight, noise, jacobian_bytes, map_tiles):
    """Yield whitened rows of a few structures, targets in the last column.

    Parameters
    ----------
    references : References
        What the columns stand for.
    features : AtomicFeatures
        The structures.
    labels : Targets
        Their labels.
    residual : ndarray of shape (n_structures,)
        Energies less the baseline (eV); not read where there is no energy.
    weight : ndarray of shape (n_structures,)
        Multiplies the inverse variance of all labels of a structure.
    noise : Noise
        Standard deviations.
    jacobian_bytes : float
        Size of the dense Jacobian held at a time.
    map_tiles : callable
        See `References.gradient_rows`.

    Yields
    ------
    ndarray of shape (n_rows, n_references + 1)
        Energies, then forces, then stress; each row divided by its standard deviation.
    """
    m = len(references)
    root = np.sqrt(weight)
    n, n_atoms = len(features), features.n_atoms
    rows = np.zeros((n, m + 1))
    references.sums(features, rows[:, :m])
    rows[:, m] = np.where(labels.has_energy, residual, 0.0)
    rows *= (root / (noise.energy * np.sqrt(n_atoms)))[:, None]
    yield rows[labels.has_energy]
    if not (labels.has_forces.any() or labels.has_stress.any()):
        return

    rows = np.zeros((3 * len(features.numbers), m + 1))
    strain_rows = np.zeros((6 * n, m + 1))
    references.gradient_rows(features, rows[:, :m], strain_rows[:, :m], jacobian_bytes, map_tiles)
    labelled = np.repeat(labels.has_forces, 3 * n_atoms)
    rows[labelled, m] = labels.forces_flat.ravel()
    rows *= np.repeat(root / noise.forces, 3 * n_atoms)[:, None]
    yield rows if labelled.all() else rows[labelled]

    stress = labels.has_stress
    if stress.any():
        rows = strain_rows.reshape(n, 6, m + 1)[stress]
        rows[:, :, :m] /= features.volumes[stress, None, None]
        rows[:, :, m] = labels.stress[stress]
        rows *= (root[stress] / noise.stress)[:, None, None]
        yield rows.reshape(-1, m + 1)


def as_targets(energy, features, forces, virials):
    """Return predictions as `Targets`; stress only where a cell has a volume."""
    periodic = np.isfinite(features.volumes)
    stress = None
    if periodic.any():
        stress = np.full((len(features), 6), np.nan)
        stress[periodic] = -virials[periodic] / features.volumes[periodic, None]
    return Targets(energy, np.split(forces, features.atom_offsets[1:-1]), stress)
