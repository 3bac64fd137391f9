"""Neighbor lists against trying every image."""

import itertools

import numpy as np
import pytest
from ase import Atoms

from skpot.data import as_batch
from tests.naive.neighbors import neighbor_list

ALL_PBC = list(itertools.product([False, True], repeat=3))


def random_structure(rng, pbc, n_atoms, size, stray=1.0):
    """Return atoms in a random triclinic cell of edge `size`, `stray` cells around it."""
    while True:
        cell = size * (np.eye(3) + rng.uniform(-0.4, 0.4, (3, 3)))
        positions = rng.uniform(-stray, 1 + stray, (n_atoms, 3)) @ cell
        atoms = Atoms(f"H{n_atoms}", positions, cell=cell, pbc=pbc)
        closest = [np.sqrt(v @ v) for *_, v in neighbor_list(positions, cell, pbc, 0.5)]
        if not closest:
            return atoms


def as_set(i, j, vectors):
    """Sort pairs by atoms and by rounded vector; images are told apart by their vectors."""
    rows = np.column_stack([i, j, np.round(vectors, 6)])
    return rows[np.lexsort(rows.T[::-1])]


def check(structures, cutoff):
    graph = as_batch(structures).neighbors(cutoff)
    counts = np.diff(graph.pairs.start)
    first = np.repeat(np.arange(graph.n_atoms), counts)
    atom = 0
    for s, atoms in enumerate(structures):
        rows = slice(graph.pairs.start[atom], graph.pairs.start[atom + len(atoms)])
        mine = as_set(
            first[rows] - atom, graph.pairs.neighbor[rows] - atom, graph.pairs.vector[rows]
        )
        pairs = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
        expected = as_set(
            [p[0] for p in pairs], [p[1] for p in pairs], np.reshape([p[3] for p in pairs], (-1, 3))
        )
        assert mine.shape == expected.shape, f"structure {s}: {len(mine)} of {len(expected)} pairs"
        np.testing.assert_allclose(mine, expected, atol=2e-6)
        atom += len(atoms)


@pytest.mark.parametrize("pbc", ALL_PBC)
@pytest.mark.parametrize("size", [2.0, 6.0])
def test_random_triclinic_cells(pbc, size):
    rng = np.random.default_rng(int(10 * size) + 100 * sum(2**k for k in range(3) if pbc[k]))
    check([random_structure(rng, pbc, n, size) for n in (1, 2, 4)], cutoff=4.1)


def test_cell_far_smaller_than_the_cutoff():
    rng = np.random.default_rng(0)
    check([random_structure(rng, [True] * 3, 1, 1.1, stray=0.0)], cutoff=5.0)


def test_very_oblique_cell():
    cell = np.array([[3.0, 0.0, 0.0], [14.0, 2.5, 0.0], [-8.0, 6.0, 3.0]])
    check([Atoms("H2", [[0, 0, 0], [1.5, 1.0, 1.2]], cell=cell, pbc=True)], cutoff=4.0)


def test_left_handed_cell():
    cell = np.array([[0.0, 3.0, 0.2], [2.7, 0.0, 0.1], [0.1, 0.3, 3.2]])
    check([Atoms("H2", [[0, 0, 0], [1.5, 1.0, 1.2]], cell=cell, pbc=True)], cutoff=4.0)


def test_periodic_axes_without_the_others():
    cell = np.diag([2.5, 0.0, 0.0])
    atoms = Atoms("H2", [[0, 0, 0], [40.0, 1.0, -1.0]], cell=cell, pbc=[True, False, False])
    check([atoms], cutoff=4.0)


def test_atoms_far_outside_the_cell():
    rng = np.random.default_rng(1)
    check([random_structure(rng, [True] * 3, 3, 4.0, stray=20.0)], cutoff=4.0)


def test_lone_atom_has_no_neighbors():
    graph = as_batch([Atoms("H")]).neighbors(5.0)
    assert graph.pairs.start.tolist() == [0, 0]


def test_no_pair_in_any_structure_of_a_batch():
    graph = as_batch([Atoms("H"), Atoms("H2", [[0, 0, 0], [9, 0, 0]]), Atoms("H")]).neighbors(5.0)
    assert graph.pairs.start.tolist() == [0] * 5
    assert len(graph) == 3


def test_selection_equals_the_graph_of_the_selection():
    rng = np.random.default_rng(2)
    structures = [random_structure(rng, ALL_PBC[k], 3, 3.0) for k in range(8)]
    order = [6, 1, 7]
    whole = as_batch(structures).neighbors(3.5).take(order)
    part = as_batch([structures[s] for s in order]).neighbors(3.5)
    assert np.array_equal(whole.offsets, part.offsets)
    for mine, other in zip(whole.pairs, part.pairs, strict=True):
        assert np.array_equal(mine, other)


def test_what_cannot_be_searched_is_refused_with_the_structure():
    batch = as_batch([Atoms("H", cell=[3.0] * 3, pbc=True), Atoms("H2", [[0.0] * 3, [2.0] * 3])])
    batch.positions = np.where(np.arange(3)[:, None] == 2, np.nan, batch.positions)
    with pytest.raises(ValueError, match="structure 1: positions or cell are not finite"):
        batch.neighbors(4.0)
    batch = as_batch([Atoms("H", cell=[3.0] * 3, pbc=True)])
    batch.cells = np.array([[[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [3.0, 3.0, 1e-5]]])
    with pytest.raises(ValueError, match="structure 0: .* too flat or too small; take"):
        batch.neighbors(4.0)
    batch.cells[0, 2, 2] = 0.0
    with pytest.raises(ValueError, match="structure 0: positions or cell"):
        batch.neighbors(4.0)
    with pytest.raises(ValueError, match="cutoff is 0.0"):
        batch.neighbors(0.0)
