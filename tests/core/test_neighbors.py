"""Neighbor search against trying every image, and against another library."""

import itertools
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import vesin

from skpot.core import neighbors
from skpot.core.images import complete_cell, survey
from skpot.core.neighbors import search
from tests.naive.neighbors import neighbor_list
from tests.project import ROOT

ALL_PBC = list(itertools.product([False, True], repeat=3))
OBLIQUE = np.array([[3.0, 0.0, 0.0], [14.0, 2.5, 0.0], [-8.0, 6.0, 3.0]])


def find(structures, cutoff):
    """Search a list of (positions, cell, pbc) as one batch; return pairs, shifts and offsets."""
    offsets = np.cumsum([0, *(len(p) for p, _, _ in structures)])
    positions = np.concatenate([p for p, _, _ in structures])
    cells = np.array([c for _, c, _ in structures], dtype=float)
    pbc = np.array([p for _, _, p in structures])
    pairs, shift = search(survey(positions, cells, pbc, offsets, cutoff), cutoff, True)
    return pairs, shift, offsets


def as_dict(structure, cutoff):
    """Return {(i, j, shift): vector}; no pair may come twice, rows must belong to their atom."""
    (start, neighbor, vector), shift, _ = find([structure], cutoff)
    first = np.repeat(np.arange(len(structure[0])), np.diff(start))
    keys = list(zip(first.tolist(), neighbor.tolist(), map(tuple, shift.tolist()), strict=True))
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, vector, strict=True))


def check(structure, cutoff, atol=1e-13):
    mine = as_dict(structure, cutoff)
    expected = {(i, j, tuple(s)): v for i, j, s, v in neighbor_list(*structure, cutoff)}
    assert mine.keys() == expected.keys()
    if mine:
        keys = list(mine)
        np.testing.assert_allclose(
            [mine[k] for k in keys], [expected[k] for k in keys], rtol=0, atol=atol
        )
    for (i, j, s), vector in mine.items():
        assert np.array_equal(vector, -mine[j, i, tuple(-n for n in s)])
    return mine


def random_structure(rng, pbc, n_atoms, size, stray=1.0):
    """Return atoms in a random triclinic cell of edge `size`, `stray` cells around it."""
    cell = size * (np.eye(3) + rng.uniform(-0.4, 0.4, (3, 3)))
    return rng.uniform(-stray, 1 + stray, (n_atoms, 3)) @ cell, cell, np.array(pbc)


@pytest.mark.parametrize("pbc", ALL_PBC)
def test_random_triclinic_cells(pbc):
    rng = np.random.default_rng(sum(2**k for k in range(3) if pbc[k]))
    for size, n_atoms in [(1.5, 1), (2.5, 3), (6.0, 9), (14.0, 12)]:
        check(random_structure(rng, pbc, n_atoms, size), 4.1)


@pytest.mark.parametrize("pbc", ALL_PBC)
def test_cells_of_many_bins_against_vesin(pbc):
    rng = np.random.default_rng(8)
    positions, cell, pbc = random_structure(rng, pbc, 900, 20.0, stray=0.3)
    first, second, shift, vector = vesin.NeighborList(cutoff=3.7, full_list=True).compute(
        points=positions, box=cell, periodic=[bool(p) for p in pbc], quantities="ijSD"
    )
    keys = zip(first.tolist(), second.tolist(), map(tuple, shift.tolist()), strict=True)
    expected = dict(zip(keys, vector, strict=True))
    mine = as_dict((positions, cell, pbc), 3.7)
    assert len(mine) > 1000 and mine.keys() == expected.keys()
    keys = list(mine)
    np.testing.assert_allclose([mine[k] for k in keys], [expected[k] for k in keys], atol=1e-12)


def test_cell_far_smaller_than_the_cutoff():
    mine = check((np.array([[0.3, 0.2, 0.1]]), 1.1 * np.eye(3), np.ones(3, dtype=bool)), 5.0)
    assert len(mine) > 300


@pytest.mark.parametrize("pbc", ALL_PBC)
def test_very_oblique_cell(pbc):
    positions = np.array([[0.0, 0.0, 0.0], [1.5, 1.0, 1.2]])
    check((positions, OBLIQUE, np.array(pbc)), 4.0)
    check((positions, OBLIQUE[[1, 0, 2]], np.array(pbc)), 4.0)  # left-handed


def test_atoms_far_outside_the_cell():
    rng = np.random.default_rng(1)
    check(random_structure(rng, [True] * 3, 4, 4.0, stray=1000.0), 4.0, atol=1e-10)
    near, cell, pbc = random_structure(rng, [False] * 3, 4, 4.0)
    check((near + 1e5, cell, pbc), 4.0)


@pytest.mark.parametrize("axis", range(3))
def test_zero_vectors_along_open_axes(axis):
    positions = np.array([[0.0, 0.0, 0.0], [40.0, 1.0, -1.0], [0.5, 39.5, 40.5]])
    cell = np.zeros((3, 3))
    cell[axis, axis] = 2.5
    pbc = np.arange(3) == axis
    check((positions, cell, pbc), 4.0)
    cell[axis - 1] = [0.7, 0.8, 0.9]
    check((positions, cell, pbc | (np.arange(3) == (axis - 1) % 3)), 4.0)


def test_molecule_without_cell_and_sparse_gas():
    rng = np.random.default_rng(3)
    open_axes = np.zeros(3, dtype=bool)
    check((rng.uniform(0, 7, (30, 3)), np.zeros((3, 3)), open_axes), 5.0)
    gas = np.concatenate([c + rng.uniform(0, 3, (20, 3)) for c in ([0] * 3, [9e5] * 3, [0, 3, 1])])
    check((gas, np.zeros((3, 3)), open_axes), 2.0, atol=1e-9)


def test_an_atom_at_the_cutoff_is_no_neighbor():
    positions = np.array([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0], [0.0, 0.0, np.nextafter(5.0, 0.0)]])
    mine = check((positions, np.zeros((3, 3)), np.zeros(3, dtype=bool)), 5.0)
    assert {k[:2] for k in mine} == {(0, 2), (2, 0)}
    lattice = (np.array([[0.25, 0.5, 0.75]]), np.eye(3), np.ones(3, dtype=bool))
    assert len(check(lattice, 2.0)) == 26  # 6 + 12 + 8; the next 6 are at 2 Å
    assert len(check(lattice, np.nextafter(2.0, 3.0))) == 32
    for cutoff in (1e-3, 1e-7):  # the second is below the margin of points
        pair = np.array([[0.0] * 3, [0.0, 0.9 * cutoff, 0.0], [0.0, 0.0, 1.1 * cutoff]])
        assert len(check((pair, np.zeros((3, 3)), np.zeros(3, dtype=bool)), cutoff)) == 2


def test_coincident_atoms_are_neighbors():
    mine = as_dict((np.ones((2, 3)), np.zeros((3, 3)), np.zeros(3, dtype=bool)), 5.0)
    assert sorted(mine) == [(0, 1, (0, 0, 0)), (1, 0, (0, 0, 0))]


def test_nothing_within_the_cutoff():
    lone = (np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, dtype=bool))
    empty = (np.zeros((0, 3)), np.zeros((3, 3)), np.zeros(3, dtype=bool))
    apart = (np.array([[0.0] * 3, [9.0] * 3]), 20.0 * np.eye(3), np.ones(3, dtype=bool))
    pairs, shift, _ = find([lone, empty, apart, lone], 5.0)
    assert pairs.start.tolist() == [0] * 5
    assert pairs.neighbor.shape == (0,) and pairs.vector.shape == shift.shape == (0, 3)


def mixed_batch():
    rng = np.random.default_rng(5)
    sizes = [(1, 2.0), (5, 3.0), (40, 8.0), (150, 12.0)]
    structures = [random_structure(rng, p, n, a) for p in ALL_PBC for n, a in sizes]
    return structures + [(p + 0.1, OBLIQUE, np.ones(3, dtype=bool)) for p, _, _ in structures[:2]]


@pytest.mark.parametrize("block", [1, 3000, 10**9])
def test_a_batch_is_its_structures_one_after_another(block, monkeypatch):
    monkeypatch.setattr(neighbors, "_BLOCK", block)
    structures = mixed_batch()
    pairs, shift, offsets = find(structures, 4.0)
    for s, structure in enumerate(structures):
        alone, alone_shift, _ = find([structure], 4.0)
        first = pairs.start[offsets[s]]
        rows = slice(first, pairs.start[offsets[s + 1]])
        assert np.array_equal(alone.start, pairs.start[offsets[s] : offsets[s + 1] + 1] - first)
        assert np.array_equal(alone.neighbor, pairs.neighbor[rows] - offsets[s])
        assert np.array_equal(alone.vector, pairs.vector[rows])
        assert np.array_equal(alone_shift, shift[rows])


def test_inputs_stay_as_they_are_and_may_be_read_only():
    positions, cell, pbc = mixed_batch()[3]
    positions = positions[::2]
    arrays = [positions, np.asfortranarray(cell)[None], pbc[None], np.array([0, len(positions)])]
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    pairs, shift = search(survey(*arrays, 3.0), 3.0)
    assert shift is None and len(pairs.start) == len(positions) + 1
    assert all(map(np.array_equal, arrays, copies))


def test_positions_out_of_all_bounds_and_flat_cells_are_told_before_the_search():
    good = np.zeros((1, 3)), 3.0 * np.eye(3), np.ones(3, dtype=bool)
    flat = 3.0 * np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    cases = [
        (np.full((1, 3), np.nan), good[1], good[2]),
        (np.full((1, 3), np.inf), good[1], good[2]),
        (np.full((1, 3), 1e300), good[1], good[2]),
        (np.array([[0.0, 2e7, 0.0]]), good[1], good[2]),
        (good[0] + 0.1, flat, good[2]),
        (good[0] + 0.1, np.zeros((3, 3)), good[2]),
        (good[0] + 0.1, np.full((3, 3), np.nan), good[2]),
        good,
    ]
    positions, cells, pbc = (np.array(c) for c in zip(*cases, strict=True))
    n = survey(positions[:, 0], cells, pbc, np.arange(len(cases) + 1), 4.0).n_points
    assert np.isnan(n).tolist() == [True] * 7 + [False]
    flat[2, 2] = 1e-5
    assert survey(good[0], flat[None], pbc[:1], np.array([0, 1]), 4.0).n_points[0] > 1e15


@pytest.mark.parametrize("pbc", ALL_PBC)
def test_completed_cell(pbc):
    for cell in (OBLIQUE, OBLIQUE[[2, 0, 1]], np.diag([1e-3, -2.0, 9.0]) + 1e-3):
        pbc, basis = np.array(pbc), np.empty((3, 3))
        complete_cell(cell, pbc, basis)
        assert np.array_equal(basis[pbc], cell[pbc])
        products = basis @ basis.T
        np.testing.assert_allclose(products[~pbc], np.eye(3)[~pbc], atol=1e-12)


def test_the_number_of_threads_does_not_matter():
    code = """
    import hashlib
    from tests.core.test_neighbors import find, mixed_batch
    pairs, shift, _ = find(mixed_batch() * 4, 5.0)
    assert len(pairs.neighbor) > 100_000
    print(hashlib.sha256(b"".join(a.tobytes() for a in [*pairs, shift])).hexdigest())
    """
    outputs = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            capture_output=True, text=True, check=True, cwd=ROOT,
            env={**os.environ, "NUMBA_NUM_THREADS": n, "OMP_NUM_THREADS": n},
        ).stdout
        for n in "12"
    }  # fmt: skip
    assert len(outputs) == 1
