"""Neighbor pairs in compressed rows, one row for each atom."""

from typing import NamedTuple

import numpy as np

from ._jit import inline_jit, jit


class Pairs(NamedTuple):
    """Neighbors in compressed rows: those of atom i are at `start[i]:start[i + 1]`."""

    start: np.ndarray  # (n_atoms + 1,)
    neighbor: np.ndarray  # (n_pairs,) index of the neighbor in the batch
    vector: np.ndarray  # (n_pairs, 3) from the atom to the neighbor, Å


@jit
def take_pairs(pairs, atoms, start, shift, neighbor, vector):
    """Copy the rows of `atoms` to `neighbor`, `vector`, adding `shift` to neighbor indices."""
    for row in range(len(atoms)):
        source = pairs.start[atoms[row]]
        for p in range(start[row], start[row + 1]):
            q = source + p - start[row]
            neighbor[p] = pairs.neighbor[q] + shift[row]
            for axis in range(3):
                vector[p, axis] = pairs.vector[q, axis]


@jit
def largest(lo, hi, pairs):
    """Return the largest number of neighbors of any of atoms lo to hi - 1, at least 1."""
    size = 1
    for i in range(lo, hi):
        size = max(size, pairs.start[i + 1] - pairs.start[i])
    return size


@jit
def largest_of(atoms, pairs):
    """Return the largest number of neighbors of any of `atoms`, at least 1."""
    size = 1
    for i in atoms:
        size = max(size, pairs.start[i + 1] - pairs.start[i])
    return size


@jit
def closest_squared(vector):
    """Return the smallest squared length among `vector` (n_pairs, 3); inf without pairs."""
    best = np.inf
    for p in range(len(vector)):
        x, y, z = vector[p, 0], vector[p, 1], vector[p, 2]
        best = min(best, x * x + y * y + z * z)
    return best


@jit
def closest_by_size(pairs, radii):
    """Return the smallest squared distance, in Å² and relative to the sum of the two radii.

    `radii` is (n_atoms,), in Å.
    """
    closest, relative = np.inf, np.inf
    for i in range(len(radii)):
        for p in range(pairs.start[i], pairs.start[i + 1]):
            x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
            squared = x * x + y * y + z * z
            closest = min(closest, squared)
            relative = min(relative, squared / (radii[i] + radii[pairs.neighbor[p]]) ** 2)
    return closest, relative


@jit
def scatter(pairs, atom_structure, pair_gradient, forces, virials):
    """Add the forces -dE/dr and virials -dE/d(strain) of all pairs, always in the same order.

    `pair_gradient` (n_pairs, 3) is dE/dr_ij, `forces` (n_atoms, 3), `virials` (n_structures, 6) in
    Voigt order xx yy zz yz xz xy.
    """
    for i in range(len(pairs.start) - 1):
        virial = virials[atom_structure[i]]
        for p in range(pairs.start[i], pairs.start[i + 1]):
            x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
            g_x, g_y, g_z = pair_gradient[p, 0], pair_gradient[p, 1], pair_gradient[p, 2]
            scatter_pair(i, pairs.neighbor[p], (x, y, z), (g_x, g_y, g_z), forces, virial)


@inline_jit
def scatter_pair(i, j, vector, gradient, forces, virial):
    """Add the forces and the virial (6,) of a pair, given dE/d(vector); see `scatter`."""
    x, y, z = vector
    g_x, g_y, g_z = gradient
    forces[i, 0] += g_x
    forces[i, 1] += g_y
    forces[i, 2] += g_z
    forces[j, 0] -= g_x
    forces[j, 1] -= g_y
    forces[j, 2] -= g_z
    virial[0] -= x * g_x
    virial[1] -= y * g_y
    virial[2] -= z * g_z
    virial[3] -= 0.5 * (y * g_z + z * g_y)
    virial[4] -= 0.5 * (x * g_z + z * g_x)
    virial[5] -= 0.5 * (x * g_y + y * g_x)


@jit
def conducted_heat(pairs, pair_gradient, velocities, flux):
    """Add the flux of heat by the work that atoms do on each other to `flux` (3,).

    It is sum_ij (r_i - r_j) (dE_i/dr_j . v_j) over centers i and neighbors j (Fan et al., Phys.
    Rev. B 92, 094301, 2015). `pair_gradient` (n_pairs, 3) is dE_i/dr_ij, `velocities` is
    (n_atoms, 3).
    """
    for i in range(len(pairs.start) - 1):
        for p in range(pairs.start[i], pairs.start[i + 1]):
            j = pairs.neighbor[p]
            rate = 0.0
            for axis in range(3):
                rate += pair_gradient[p, axis] * velocities[j, axis]
            for axis in range(3):
                flux[axis] -= pairs.vector[p, axis] * rate


@jit
def pair_moves(pairs, atom_structure, displacements, strains, moves):
    """Write how pair vectors change when atoms are displaced and cells strained.

    The adjoint of `scatter` with the sign reversed: `displacements` is (n_atoms, 3) in Å, `strains`
    (n_structures, 6) in Voigt order, `moves` (n_pairs, 3).
    """
    for i in range(len(pairs.start) - 1):
        s = strains[atom_structure[i]]
        s_yz, s_xz, s_xy = 0.5 * s[3], 0.5 * s[4], 0.5 * s[5]
        for p in range(pairs.start[i], pairs.start[i + 1]):
            j = pairs.neighbor[p]
            x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
            for axis in range(3):
                moves[p, axis] = displacements[j, axis] - displacements[i, axis]
            moves[p, 0] += s[0] * x + s_xy * y + s_xz * z
            moves[p, 1] += s_xy * x + s[1] * y + s_yz * z
            moves[p, 2] += s_xz * x + s_yz * y + s[2] * z


@jit
def count_entries(centers, pairs, marker):
    """Return the offsets (n_centers + 1,) of Jacobian rows: one for each atom a center depends on.

    These are the center and its neighbors, where images of one atom count once. `marker` is scratch
    of length n_atoms.
    """
    start = np.zeros(len(centers) + 1, dtype=np.int64)
    marker[:] = -1
    for row in range(len(centers)):
        i = centers[row]
        marker[i] = row
        count = 1
        for p in range(pairs.start[i], pairs.start[i + 1]):
            if marker[pairs.neighbor[p]] != row:
                marker[pairs.neighbor[p]] = row
                count += 1
        start[row + 1] = start[row] + count
    return start


@jit
def open_rows(i, pairs, first, slot, atom, jacobian, strain):
    """Give each atom that center i depends on a row of the Jacobian, and fill these with zeros.

    Rows begin at `first`; the end of the rows is returned. The center has the first row, and images
    of one atom share one. `atom[e]` becomes the atom of row e and `slot[j]`, which must be -1
    before, the row of atom j.
    """
    slot[i], atom[first] = first, i
    used = first + 1
    for p in range(pairs.start[i], pairs.start[i + 1]):
        j = pairs.neighbor[p]
        if slot[j] < 0:
            slot[j], atom[used] = used, j
            used += 1
    jacobian[first:used] = 0.0
    strain[:] = 0.0
    return used


@jit
def close_rows(first, used, slot, atom):
    """Set the entries of `slot` that `open_rows` has set back to -1."""
    for e in range(first, used):
        slot[atom[e]] = -1


@jit
def add_move(move, vector, neighbor, center, strain, begin=0, margin=0):
    """Add a pair's derivative to the rows of the neighbor, of the center and of the strain.

    The columns of `move`, without the first and the last `margin`, are added to the columns from
    `begin` on.
    """
    # One row at a time: the compiler does not vectorize a loop over all twelve rows.
    n = move.shape[1] - 2 * margin
    for axis in range(3):
        along = vector[axis]
        for d in range(n):
            neighbor[axis, np.uint64(begin + d)] += move[axis, np.uint64(margin + d)]
        for d in range(n):
            center[axis, np.uint64(begin + d)] -= move[axis, np.uint64(margin + d)]
        for d in range(n):
            strain[axis, np.uint64(begin + d)] += along * move[axis, np.uint64(margin + d)]
    for axis in range(3):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        half_first, half_second = 0.5 * vector[first], 0.5 * vector[second]
        for d in range(n):
            shear = half_first * move[second, np.uint64(margin + d)]
            shear += half_second * move[first, np.uint64(margin + d)]
            strain[3 + axis, np.uint64(begin + d)] += shear


@jit
def filter_pairs(positions, cell, cutoff, candidates, shift, start, neighbor, vector):
    """Write the candidate pairs that are within the cutoff; return how many these are.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3)
        In Å.
    cell : ndarray of shape (3, 3)
        Cell vectors as rows.
    cutoff : float
        In Å.
    candidates : Pairs
        Pairs within a longer cutoff at earlier positions; only `start` and `neighbor` are read.
    shift : ndarray of shape (n_candidates, 3)
        Lattice translation of each candidate's neighbor, in cell vectors.
    start, neighbor, vector : ndarray
        Output, long enough for all candidates.
    """
    n = 0
    start[0] = 0
    for i in range(len(candidates.start) - 1):
        for p in range(candidates.start[i], candidates.start[i + 1]):
            j = candidates.neighbor[p]
            squared = 0.0
            for axis in range(3):
                d = positions[j, axis] - positions[i, axis]
                for k in range(3):
                    d += shift[p, k] * cell[k, axis]
                vector[n, axis] = d
                squared += d * d
            if squared < cutoff * cutoff:
                neighbor[n] = j
                n += 1
        start[i + 1] = n
    return n


@jit
def close_pairs(positions, cutoff, candidates, start, neighbor, vector):
    """Write the candidate pairs that are within the cutoff; return how many these are.

    As `filter_pairs`, where periodic images are listed as atoms: `positions` (n_atoms, 3) has the
    centers first, for which candidates have rows, and then the images.
    """
    n = 0
    start[0] = 0
    for i in range(len(candidates.start) - 1):
        x, y, z = positions[i, 0], positions[i, 1], positions[i, 2]
        for p in range(candidates.start[i], candidates.start[i + 1]):
            j = candidates.neighbor[p]
            d_x, d_y, d_z = positions[j, 0] - x, positions[j, 1] - y, positions[j, 2] - z
            if d_x * d_x + d_y * d_y + d_z * d_z < cutoff * cutoff:
                neighbor[n] = j
                vector[n, 0], vector[n, 1], vector[n, 2] = d_x, d_y, d_z
                n += 1
        start[i + 1] = n
    return n


@jit
def count_close(positions, n_centers, cutoff):
    """Return how many pairs within the cutoff the first `n_centers` of `positions` have.

    `positions` is (n_atoms, 3); there are no periodic images.
    """
    low, count = np.empty(3), np.empty(3, dtype=np.int64)
    width = np.empty(3)
    for axis in range(3):
        low[axis] = positions[:, axis].min()
        span = positions[:, axis].max() - low[axis]
        width[axis] = max(cutoff, span / 50)  # at most 50 boxes along each axis
        count[axis] = int(span / width[axis]) + 1
    # Boxes are at least as wide as the cutoff. `first` and `following` link the atoms of a box.
    first = np.full((count[0], count[1], count[2]), -1)
    following = np.empty(len(positions), dtype=np.int64)
    box = np.empty((len(positions), 3), dtype=np.int64)
    for i in range(len(positions)):
        for axis in range(3):
            box[i, axis] = int((positions[i, axis] - low[axis]) / width[axis])
        a, b, c = box[i]
        following[i] = first[a, b, c]
        first[a, b, c] = i
    n = 0
    for i in range(n_centers):
        begin, end = np.maximum(box[i] - 1, 0), np.minimum(box[i] + 2, count)
        for a in range(begin[0], end[0]):
            for b in range(begin[1], end[1]):
                for c in range(begin[2], end[2]):
                    j = first[a, b, c]
                    while j >= 0:
                        squared = 0.0
                        for axis in range(3):
                            squared += (positions[j, axis] - positions[i, axis]) ** 2
                        n += j != i and squared < cutoff * cutoff
                        j = following[j]
    return n


@jit
def add_rows(rows, source, target):
    """Add row p of `source` (n, m) to row `rows[p]` of `target`, for p = 0, 1, 2, ..."""
    for p in range(len(rows)):
        for column in range(source.shape[1]):
            target[rows[p], column] += source[p, column]
