"""Atoms and their periodic images as points in bins, through which the neighbor search goes.

The points of a structure are its atoms, moved into the cell, and all images that can be within the
cutoff of one of them. They are sorted into bins along the cell vectors. Bins along the last vector
are consecutive, so the points that can be neighbors of an atom are a few contiguous ranges.
"""

import math
from typing import NamedTuple

import numpy as np

from ._jit import exact_inline_jit, exact_jit, run_blocks

MARGIN = 1e-5  # Å; far above the rounding errors of points, yet few pairs are so near the cutoff
_FAR = 1e7  # Å; rounding errors of positions or shifts beyond this exceed the margin
_FINE = (1.0, 2.0, 4.0)  # bins per cutoff in each direction; these were the fastest
_SMALL = 48  # so few points are not sorted into bins
_FEW = 4096  # so few points are not distributed to threads


class Survey(NamedTuple):
    """Structures in coordinates along their cell vectors, or, where these are open, normals (Å)."""

    positions: np.ndarray  # (n_atoms, 3) Å
    cells: np.ndarray  # (n_structures, 3, 3) Å
    pbc: np.ndarray  # (n_structures, 3)
    offsets: np.ndarray  # (n_structures + 1,) first atom of each structure
    fraction: np.ndarray  # (n_atoms, 3) coordinates, within [0, 1] in periodic directions
    wrap: np.ndarray  # (n_atoms, 3) cell vectors from `fraction` to the position
    reach: np.ndarray  # (n_structures, 3) the cutoff in these coordinates
    low: np.ndarray  # (n_structures, 3) lowest coordinate of a point
    high: np.ndarray  # (n_structures, 3) highest coordinate of a point
    bins: np.ndarray  # (n_structures, 3) number of bins
    n_points: np.ndarray  # (n_structures,) atoms and images; NaN if positions are too far away


class Points(NamedTuple):
    """Atoms and images of consecutive structures, sorted into bins."""

    start: np.ndarray  # (n_structures + 1,) first point of each structure
    first_bin: np.ndarray  # (n_structures + 1,) where the bins of each begin in `bin_start`
    bin_start: np.ndarray  # first point of each bin, and the end of each structure's last bin
    coordinate: np.ndarray  # (3, n_points) Å
    atom: np.ndarray  # (n_points,) the atom or the one of which the point is an image
    shift: np.ndarray  # (n_points, 3) cell vectors from that atom's position
    home: np.ndarray  # (n_atoms,) the point that is the atom itself


def survey(positions, cells, pbc, offsets, cutoff):
    """Return where images and bins will be.

    The caller must look at `n_points` first: `search` takes time and memory in proportion to it.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3)
        In Å, inside the cell or not.
    cells : ndarray of shape (n_structures, 3, 3)
        Cell vectors as rows, in Å; those along open directions are not read.
    pbc : ndarray of shape (n_structures, 3)
        Which cell vectors are periodic.
    offsets : ndarray of shape (n_structures + 1,)
        First atom of each structure.
    cutoff : float
        In Å.
    """
    # Copies of one type and layout, so that one compiled version serves all kinds of arrays.
    positions, cells = np.array(positions, float, order="C"), np.array(cells, float, order="C")
    pbc, offsets = np.array(pbc, bool, order="C"), np.array(offsets, np.int64)
    n = len(cells)
    result = Survey(
        positions, cells, pbc, offsets,
        np.empty_like(positions), np.empty_like(positions),
        np.empty((n, 3)), np.empty((n, 3)), np.empty((n, 3)),
        np.empty((n, 3), dtype=np.int64), np.empty(n),
    )  # fmt: skip
    _survey(result, float(cutoff))
    return result


def place(plan, first, last):
    """Return the points of structures first to last - 1."""
    start = np.zeros(last - first + 1, dtype=np.int64)
    start[1:] = np.cumsum(plan.n_points[first:last])
    first_bin = np.zeros(last - first + 1, dtype=np.int64)
    np.cumsum(plan.bins[first:last].prod(axis=1) + 2, out=first_bin[1:])
    n = int(start[-1])
    points = Points(
        start,
        first_bin,
        np.zeros(first_bin[-1], dtype=np.int64),
        np.empty((3, n)),
        np.empty(n, dtype=np.int64),
        np.empty((n, 3), dtype=np.int32),
        np.empty(len(plan.positions), dtype=np.int64),
    )
    few = last - first if n < _FEW else 1
    run_blocks(_place, last - first, plan, first, points, smallest=few)
    return points


def smallest_block(n_points):
    """Return how many points one task of a thread should have at least."""
    return 512 if n_points > _FEW else _FEW


@exact_jit
def complete_cell(cell, periodic, basis):
    """Write the periodic cell vectors, and unit vectors normal to them for the others.

    Parameters
    ----------
    cell : ndarray of shape (3, 3)
        Cell vectors as rows.
    periodic : ndarray of bool of shape (3,)
        Which of them count.
    basis : ndarray of shape (3, 3)
        Output.
    """
    n_periodic = 0
    axis = 0  # the only periodic direction, or the only open one
    for k in range(3):
        n_periodic += periodic[k]
        for d in range(3):
            unit = 1.0 if k == d else 0.0
            basis[k, d] = cell[k, d] if periodic[k] else unit
    if n_periodic == 0 or n_periodic == 3:
        return
    for k in range(3):
        if periodic[k] == (n_periodic == 1):
            axis = k
    b, c = (axis + 1) % 3, (axis + 2) % 3
    if n_periodic == 1:
        # The coordinate axis along which the vector is shortest is surely not parallel to it.
        least = 0
        for d in range(1, 3):
            if abs(basis[axis, d]) < abs(basis[axis, least]):
                least = d
        basis[c] = 0.0
        basis[c, least] = 1.0
        _normal(basis, c, axis, b)
        _normal(basis, axis, b, c)
    else:
        _normal(basis, b, c, axis)


@exact_jit
def _normal(basis, a, b, c):
    """Make vector c the unit normal of vectors a and b."""
    x = basis[a, 1] * basis[b, 2] - basis[a, 2] * basis[b, 1]
    y = basis[a, 2] * basis[b, 0] - basis[a, 0] * basis[b, 2]
    z = basis[a, 0] * basis[b, 1] - basis[a, 1] * basis[b, 0]
    length = math.sqrt(x * x + y * y + z * z)
    basis[c, 0], basis[c, 1], basis[c, 2] = x / length, y / length, z / length


@exact_jit
def _invert(basis, dual):
    """Write the vectors, as rows, whose dot products with a position are its cell coordinates."""
    for k in range(3):
        a, b = (k + 1) % 3, (k + 2) % 3
        for d in range(3):
            e, f = (d + 1) % 3, (d + 2) % 3
            dual[k, d] = basis[a, e] * basis[b, f] - basis[a, f] * basis[b, e]
    volume = basis[0, 0] * dual[0, 0] + basis[0, 1] * dual[0, 1] + basis[0, 2] * dual[0, 2]
    for k in range(3):
        for d in range(3):
            dual[k, d] /= volume


@exact_inline_jit
def _image_range(fraction, low, high, periodic):
    """Return the first and the last image, as floats, whose coordinate is within the bounds."""
    if not periodic:
        return 0.0, 0.0
    return math.ceil(low - fraction), math.floor(high - fraction)


@exact_jit
def _survey(plan, cutoff):
    basis, dual = np.empty((3, 3)), np.empty((3, 3))
    for s in range(len(plan.cells)):
        periodic = plan.pbc[s]
        first, last = plan.offsets[s], plan.offsets[s + 1]
        complete_cell(plan.cells[s], periodic, basis)
        _invert(basis, dual)
        sound = True  # the comparisons below are false for NaN, too
        for k in range(3):
            x, y, z = basis[k, 0], basis[k, 1], basis[k, 2]
            length = math.sqrt(x * x + y * y + z * z)
            a, b, c = dual[k, 0], dual[k, 1], dual[k, 2]
            reach = (cutoff + MARGIN) * math.sqrt(a * a + b * b + c * c)
            low, high = math.inf, -math.inf
            for i in range(first, last):
                f = plan.positions[i, 0] * a + plan.positions[i, 1] * b + plan.positions[i, 2] * c
                sound &= abs(plan.positions[i, k]) < _FAR
                sound &= (abs(f) + reach + 1.0) * length < _FAR or not periodic[k]
                whole = math.floor(f) if periodic[k] else 0.0
                f -= whole
                plan.wrap[i, k], plan.fraction[i, k] = whole, f
                low, high = min(low, f), max(high, f)
            plan.reach[s, k] = reach
            plan.low[s, k] = low - reach if periodic[k] else low
            plan.high[s, k] = high + reach if periodic[k] else high
        n_points = 0.0 if sound else math.nan
        for i in range(first, last):
            images = 1.0
            for k in range(3):
                begin, end = _image_range(
                    plan.fraction[i, k], plan.low[s, k], plan.high[s, k], periodic[k]
                )
                images *= end - begin + 1.0
            n_points += images
        plan.n_points[s] = n_points
        _choose_bins(plan.reach[s], plan.low[s], plan.high[s], n_points, plan.bins[s])


@exact_jit
def _choose_bins(reach, low, high, n_points, bins):
    """Write the number of bins along each direction: not many more in all than there are points."""
    bins[:] = 1
    if not n_points > _SMALL:
        return
    for k in range(3):
        wanted = (high[k] - low[k]) / reach[k] * _FINE[k]
        bins[k] = int(min(max(wanted, 1.0), n_points))
    while float(bins[0]) * float(bins[1]) * float(bins[2]) > 2.0 * n_points:
        bins[np.argmax(bins)] //= 2


@exact_inline_jit
def bin_of(coordinate, low, high, bins):
    """Return the bin of a coordinate; a larger coordinate never has a lower bin."""
    if bins == 1:
        return 0
    b = int((coordinate - low) * (bins / (high - low)))
    return max(0, min(b, bins - 1))


@exact_jit
def _place(first, last, plan, first_structure, points):
    """Sort the points of some structures into their bins."""
    for t in range(first, last):
        s = first_structure + t
        bin_start = points.bin_start[points.first_bin[t] : points.first_bin[t + 1]]
        for count in (True, False):
            for i in range(plan.offsets[s], plan.offsets[s + 1]):
                _place_atom(i, s, plan, points.start[t], count, bin_start, points)
            if count:
                for b in range(1, len(bin_start)):
                    bin_start[b] += bin_start[b - 1]


@exact_inline_jit
def _place_atom(i, s, plan, first_point, count, bin_start, points):
    """Count the points of an atom (if `count`), or write them to their bins.

    Points of bin b are counted in entry b + 2 of `bin_start`. After the caller has added the counts
    up, entry b + 1 is the first point of bin b. It is raised by each point that is written, and so
    ends as the first point of bin b + 1, as it should be.
    """
    low, high, bins, periodic = plan.low[s], plan.high[s], plan.bins[s], plan.pbc[s]
    f0, f1, f2 = plan.fraction[i, 0], plan.fraction[i, 1], plan.fraction[i, 2]
    a0, e0 = _image_range(f0, low[0], high[0], periodic[0])
    a1, e1 = _image_range(f1, low[1], high[1], periodic[1])
    a2, e2 = _image_range(f2, low[2], high[2], periodic[2])
    for n0 in range(int(a0), int(e0) + 1):
        b0 = bin_of(f0 + n0, low[0], high[0], bins[0]) * bins[1]
        for n1 in range(int(a1), int(e1) + 1):
            b1 = (b0 + bin_of(f1 + n1, low[1], high[1], bins[1])) * bins[2]
            for n2 in range(int(a2), int(e2) + 1):
                b = b1 + bin_of(f2 + n2, low[2], high[2], bins[2])
                if count:
                    bin_start[b + 2] += 1
                    continue
                q = first_point + bin_start[b + 1]
                bin_start[b + 1] += 1
                points.atom[q] = i
                if n0 == 0 and n1 == 0 and n2 == 0:
                    points.home[i] = q
                t0, t1, t2 = n0 - plan.wrap[i, 0], n1 - plan.wrap[i, 1], n2 - plan.wrap[i, 2]
                points.shift[q, 0], points.shift[q, 1], points.shift[q, 2] = t0, t1, t2
                for d in range(3):
                    points.coordinate[d, q] = (
                        plan.positions[i, d]
                        + t0 * plan.cells[s, 0, d]
                        + t1 * plan.cells[s, 1, d]
                        + t2 * plan.cells[s, 2, d]
                    )
