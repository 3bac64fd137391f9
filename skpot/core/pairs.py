"""Neighbor pairs in compressed rows."""

from typing import NamedTuple

import numpy as np

from ._jit import jit


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
    """Return the largest number of neighbors among atoms lo ... hi, at least 1."""
    size = 1
    for i in range(lo, hi):
        size = max(size, pairs.start[i + 1] - pairs.start[i])
    return size


@jit
def largest_of(atoms, pairs):
    """Return the largest number of neighbors among `atoms`, at least 1."""
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
    """Return the smallest squared length of pairs, in Å² and in units of both radii (n_atoms,)."""
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
    """Add the forces -dE/dr and virials -dE/d(strain) of all pairs; one fixed order."""
    for i in range(len(pairs.start) - 1):
        w = virials[atom_structure[i]]
        for p in range(pairs.start[i], pairs.start[i + 1]):
            j = pairs.neighbor[p]
            g_x, g_y, g_z = pair_gradient[p, 0], pair_gradient[p, 1], pair_gradient[p, 2]
            x, y, z = pairs.vector[p, 0], pairs.vector[p, 1], pairs.vector[p, 2]
            forces[i, 0] += g_x
            forces[i, 1] += g_y
            forces[i, 2] += g_z
            forces[j, 0] -= g_x
            forces[j, 1] -= g_y
            forces[j, 2] -= g_z
            w[0] -= x * g_x
            w[1] -= y * g_y
            w[2] -= z * g_z
            w[3] -= 0.5 * (y * g_z + z * g_y)
            w[4] -= 0.5 * (x * g_z + z * g_x)
            w[5] -= 0.5 * (x * g_y + y * g_x)


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
    """Return, cumulated, how many distinct atoms (itself included) each center depends on.

    `marker` is scratch of length n_atoms.
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
    """Give each atom that moves center i its Jacobian row, from `first` on; zero the rows.

    `atom[e]` gets the atom of row e (the center first, images of one atom merged) and `slot[j]`,
    all -1 before, the row of atom j. Returns the end of the rows.
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
    """Undo the marks that `open_rows` left in `slot`."""
    for e in range(first, used):
        slot[atom[e]] = -1


@jit
def add_move(move, vector, neighbor, center, strain, begin=0, margin=0):
    """Add a pair's derivative to the neighbor's, the center's and the strain's rows.

    The columns of `move`, without `margin` at both ends, go to the columns from `begin` on.
    """
    # One row at a time: a loop over all twelve at once is too much for the vectorizer.
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
    """Write those candidate pairs that are within the cutoff now; return how many.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3)
        In Å.
    cell : ndarray of shape (3, 3)
        Cell vectors as rows.
    cutoff : float
        In Å.
    candidates : Pairs
        Pairs of a longer list; only `start` and `neighbor` are read.
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
    """Write those candidate pairs that are within the cutoff; return how many.

    As `filter_pairs`, of atoms whose images are atoms of their own: candidates have rows for the
    first of `positions` (n_atoms, 3) only, and neighbors among all.
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
    """Return how many pairs the first of `positions` (n_atoms, 3) have within the cutoff, open."""
    low, count = np.empty(3), np.empty(3, dtype=np.int64)
    width = np.empty(3)
    for axis in range(3):
        low[axis] = positions[:, axis].min()
        span = positions[:, axis].max() - low[axis]
        width[axis] = max(cutoff, span / 50)  # which bounds the number of boxes
        count[axis] = int(span / width[axis]) + 1
    # Atoms of a box are linked in a list, and a box is as wide as the cutoff.
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
    """Add row p of `source` (n, m) to row `rows[p]` of `target`, in order."""
    for p in range(len(rows)):
        for column in range(source.shape[1]):
            target[rows[p], column] += source[p, column]
