"""Neighbor search: all pairs of atoms and periodic images within a cutoff.

Points (see `images`) tell which pairs may be within the cutoff. The vector of a pair, and whether
it is within, is computed from the positions as given, by operations in an order that makes the
vectors i->j and j->i exactly opposite. Pairs are counted first and written then, so that no other
array than the result grows with their number.
"""

import numpy as np

from ._jit import exact_inline_jit, exact_jit, run_blocks
from .images import MARGIN, bin_of, place, smallest_block
from .pairs import Pairs

_BLOCK = 500_000  # most points held at a time, unless one structure has more; 50 bytes each


def search(plan, cutoff, with_shifts=False):
    """Return the pairs closer than `cutoff`, in both directions, and their shifts.

    The order of an atom's neighbors depends on its own structure only, not on others of the batch.

    Parameters
    ----------
    plan : Survey
        With `n_points` finite.
    cutoff : float
        In Å, the same as in `survey`.
    with_shifts : bool
        Whether to return shifts too.

    Returns
    -------
    pairs : Pairs
        An atom is not its own neighbor, but its periodic images are neighbors.
    shift : ndarray of int32 of shape (n_pairs, 3), or None
        Cell vectors to add to the neighbor's position.
    """
    cutoff = float(cutoff)
    n_atoms = len(plan.positions)
    counts = np.zeros((2, n_atoms), dtype=np.int64)  # pairs; points that may be pairs
    blocks = _blocks(plan.n_points)
    for first, last in blocks:
        points = place(plan, first, last)
        n = int(points.start[-1])
        few = smallest_block(n)
        run_blocks(_count, n, plan, points, first, cutoff, counts, smallest=few)
    start = np.zeros(n_atoms + 1, dtype=np.int64)
    np.cumsum(counts[0], out=start[1:])
    n_pairs = int(start[-1])
    pairs = Pairs(start, np.empty(n_pairs, dtype=np.int64), np.empty((n_pairs, 3)))
    shift = np.empty((n_pairs if with_shifts else 0, 3), dtype=np.int32)
    room = int(counts[1].max(initial=0)) + 1
    for first, last in blocks:
        if len(blocks) > 1:  # the points of a single block are still there
            points = place(plan, first, last)
        n = int(points.start[-1])
        few = smallest_block(n)
        run_blocks(_fill, n, plan, points, first, cutoff, room, pairs, shift, smallest=few)
    return pairs, shift if with_shifts else None


def _blocks(n_points):
    """Return ranges of structures that have at most `_BLOCK` points, or only one structure."""
    blocks, first, total = [], 0, 0.0
    for s, n in enumerate(n_points.tolist()):
        if s > first and total + n > _BLOCK:
            blocks.append((first, s))
            first, total = s, 0.0
        total += n
    return [*blocks, (first, len(n_points))]


@exact_inline_jit
def _window(i, s, k, plan):
    """Return the first and the last bin along direction k within the cutoff of atom i."""
    f, reach = plan.fraction[i, k], plan.reach[s, k]
    low, high, bins = plan.low[s, k], plan.high[s, k], plan.bins[s, k]
    return bin_of(f - reach, low, high, bins), bin_of(f + reach, low, high, bins)


# The two functions below share their loops over bins: helpers for these cost 5 % of a search.


@exact_inline_jit
def _candidates(i, t, s, plan, points, limit, hits):
    """Write the points nearer to atom i than `limit` (squared), itself included; return how many.

    `hits` must have room for one more.
    """
    x, y, z = points.coordinate[0], points.coordinate[1], points.coordinate[2]
    q = points.home[i]
    x_i, y_i, z_i = x[q], y[q], z[q]
    a0, e0 = _window(i, s, 0, plan)
    a1, e1 = _window(i, s, 1, plan)
    a2, e2 = _window(i, s, 2, plan)
    n = 0
    for b0 in range(a0, e0 + 1):
        for b1 in range(a1, e1 + 1):
            row = points.first_bin[t] + (b0 * plan.bins[s, 1] + b1) * plan.bins[s, 2]
            begin = points.start[t] + points.bin_start[row + a2]
            end = points.start[t] + points.bin_start[row + e2 + 1]
            for q in range(begin, end):
                dx, dy, dz = x[q] - x_i, y[q] - y_i, z[q] - z_i
                # Each point is written, but kept only if it is near: faster than a branch.
                hits[n] = q
                n += dx * dx + dy * dy + dz * dz < limit
    return n


@exact_inline_jit
def _count_near(i, t, s, plan, points, inner, outer):
    """Return how many points are nearer to atom i than two limits (squared), itself included."""
    x, y, z = points.coordinate[0], points.coordinate[1], points.coordinate[2]
    q = points.home[i]
    x_i, y_i, z_i = x[q], y[q], z[q]
    a0, e0 = _window(i, s, 0, plan)
    a1, e1 = _window(i, s, 1, plan)
    a2, e2 = _window(i, s, 2, plan)
    n_inner, n_outer = 0, 0
    for b0 in range(a0, e0 + 1):
        for b1 in range(a1, e1 + 1):
            row = points.first_bin[t] + (b0 * plan.bins[s, 1] + b1) * plan.bins[s, 2]
            begin = points.start[t] + points.bin_start[row + a2]
            end = points.start[t] + points.bin_start[row + e2 + 1]
            for q in range(begin, end):
                dx, dy, dz = x[q] - x_i, y[q] - y_i, z[q] - z_i
                squared = dx * dx + dy * dy + dz * dz
                n_inner += squared < inner
                n_outer += squared < outer
    return n_inner, n_outer


@exact_inline_jit
def _three(array, i):
    """Return a row of an array as three scalars, which the compiler can keep in registers."""
    return array[i, 0], array[i, 1], array[i, 2]


@exact_inline_jit
def _pair_vector(here, wrap, there, shift, a, b, c):
    """Return the vector from one position to an image of another; a, b, c are cell vectors."""
    u, v, w = shift[0] + wrap[0], shift[1] + wrap[1], shift[2] + wrap[2]
    return (
        (there[0] - here[0]) + (u * a[0] + v * b[0] + w * c[0]),
        (there[1] - here[1]) + (u * a[1] + v * b[1] + w * c[1]),
        (there[2] - here[2]) + (u * a[2] + v * b[2] + w * c[2]),
    )


@exact_jit
def _limits(cutoff):
    """Return the squared distances of points below, or above, which a pair is certain."""
    return max(cutoff - MARGIN, 0.0) ** 2, (cutoff + MARGIN) ** 2


@exact_jit
def _count(first, last, plan, points, first_structure, cutoff, counts):
    """Count the neighbors, and the points that may be neighbors, of atoms in a range of points."""
    inner, outer = _limits(cutoff)
    # Arrays are taken out of the tuples before the loop, since doing so counts references.
    start, atom, home, image = points.start, points.atom, points.home, points.shift
    positions, cells, wrap = plan.positions, plan.cells, plan.wrap
    t = np.searchsorted(start, first, side="right") - 1
    for q in range(first, last):
        while q >= start[t + 1]:
            t += 1
        s = first_structure + t
        i = atom[q]
        if home[i] != q:
            continue
        n, n_outer = _count_near(i, t, s, plan, points, inner, outer)
        if n != n_outer:
            hits = np.empty(n_outer + 1, dtype=np.int64)
            _candidates(i, t, s, plan, points, outer, hits)
            here, whole = _three(positions, i), _three(wrap, i)
            a, b, c = _three(cells[s], 0), _three(cells[s], 1), _three(cells[s], 2)
            n = 1
            for h in range(n_outer):
                there, to = _three(positions, atom[hits[h]]), _three(image, hits[h])
                x, y, z = _pair_vector(here, whole, there, to, a, b, c)
                n += hits[h] != q and x * x + y * y + z * z < cutoff * cutoff
        counts[0, i], counts[1, i] = n - 1, n_outer


@exact_jit
def _fill(first, last, plan, points, first_structure, cutoff, room, pairs, shift):
    """Write the neighbors of the atoms in a range of points."""
    outer = _limits(cutoff)[1]
    hits = np.empty(room, dtype=np.int64)
    start, atom, home, image = points.start, points.atom, points.home, points.shift
    positions, cells, wrap = plan.positions, plan.cells, plan.wrap
    row, neighbor, vector = pairs.start, pairs.neighbor, pairs.vector
    t = np.searchsorted(start, first, side="right") - 1
    for q in range(first, last):
        while q >= start[t + 1]:
            t += 1
        s = first_structure + t
        i = atom[q]
        if home[i] != q:
            continue
        here, whole = _three(positions, i), _three(wrap, i)
        a, b, c = _three(cells[s], 0), _three(cells[s], 1), _three(cells[s], 2)
        p = row[i]
        for n in range(_candidates(i, t, s, plan, points, outer, hits)):
            h = hits[n]
            j, to = atom[h], _three(image, h)
            x, y, z = _pair_vector(here, whole, _three(positions, j), to, a, b, c)
            if h == q or not x * x + y * y + z * z < cutoff * cutoff:
                continue
            neighbor[p] = j
            vector[p, 0], vector[p, 1], vector[p, 2] = x, y, z
            if len(shift):
                for k in range(3):
                    shift[p, k] = to[k] + whole[k]
            p += 1
