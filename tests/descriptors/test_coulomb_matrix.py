"""Coulomb matrices and their eigenvalues against plain Python, and awkward geometries."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from skpot import CoulombMatrix
from skpot.testing import check_descriptor, finite_difference_forces
from skpot.testing._structures import rotated
from tests.naive.coulomb_matrix import coulomb_matrix, eigenvalues
from tests.samples import displaced


@pytest.fixture(scope="module")
def molecules():
    names = ("CH4", "H2O", "CH3CH2OH", "H2")
    return displaced([*map(molecule, names), Atoms("O")], 0.1)


def test_matrix_elements(molecules):
    features = CoulombMatrix("none").fit_transform(molecules)
    for atoms, row in zip(molecules, features.values, strict=True):
        expected = np.array(coulomb_matrix(atoms.numbers, atoms.positions, 9))
        np.testing.assert_allclose(row, expected[np.triu_indices(9)], rtol=1e-13)


def test_eigenvalues(molecules):
    features = CoulombMatrix(n_atoms_max=10).fit_transform(molecules)
    for atoms, row in zip(molecules, features.values, strict=True):
        n = len(atoms)
        expected = eigenvalues(coulomb_matrix(atoms.numbers, atoms.positions, n))
        np.testing.assert_allclose(row[:n], expected, rtol=1e-12, atol=1e-12)
        assert not row[n:].any()


def test_promises(molecules):
    check_descriptor(CoulombMatrix(), molecules)
    check_descriptor(CoulombMatrix("none"), molecules, skip=("permutation",))


def test_equal_eigenvalues_keep_the_symmetry():
    methane = molecule("CH4")
    matrix = CoulombMatrix().fit([methane])
    values = matrix.transform([methane]).values[0]
    group = np.flatnonzero(np.isclose(values[:-1], values[1:]))
    assert len(group) == 2  # three equal ones
    equal = [*group, group[-1] + 1]
    g = np.random.default_rng(0).normal(size=(1, 5))
    forces, _ = matrix.transform([methane]).pull_back(g)
    # The derivative of their sum exists.
    summed = g.copy()
    summed[0, equal] = g[0, equal].mean()

    def energy(copies):
        return matrix.transform(copies).values @ summed[0]

    np.testing.assert_allclose(forces, finite_difference_forces(energy, methane), atol=1e-7)
    # Whatever basis LAPACK chooses, forces turn and move along with the atoms.
    turned, rotation = rotated(methane, np.random.default_rng(1))
    order = [0, 2, 3, 1, 4]
    other, _ = matrix.transform([turned[order]]).pull_back(g)
    np.testing.assert_allclose(other, (forces @ rotation)[order], atol=1e-10)


def test_jacobian_of_equal_eigenvalues_agrees_with_the_pull_back():
    features = CoulombMatrix().fit_transform([molecule("CH4"), molecule("C6H6"), molecule("H2O")])
    g = np.random.default_rng(0).normal(size=features.values.shape)
    block = features.jacobian([2, 0, 1])
    forces = np.empty((20, 3))
    forces[block.atom] = -np.einsum(
        "rkd,rd->rk", block.values, np.repeat(g[[2, 0, 1]], np.diff(block.start), axis=0)
    )
    np.testing.assert_allclose(forces, features.pull_back(g)[0], atol=1e-10)


def test_eigenvalues_of_opposite_sign_do_not_change_places():
    # Where lambda = -lambda', ordering by magnitude would make the row jump.
    X = [Atoms("H2", [[0, 0, 0], [0, 0, r]]) for r in np.linspace(0.5, 3.0, 200)]
    values = CoulombMatrix().fit_transform(X).values
    assert (values[:, 1] < 0).any() and (values[:, 1] > 0).any()
    assert np.abs(np.diff(values, axis=0)).max() < 0.06


def test_larger_molecules_are_refused_with_their_index(molecules):
    small = CoulombMatrix().fit([molecule("H2O")])
    with pytest.raises(ValueError, match="structure 2: 9 atoms, .* room for 3.*n_atoms_max"):
        small.transform([molecule("H2O"), molecule("H2"), molecule("CH3CH2OH")])
    with pytest.raises(ValueError, match="room for 3"):
        CoulombMatrix(n_atoms_max=3).fit(molecules)
    assert CoulombMatrix(n_atoms_max=9).fit([molecule("H2O")]).transform(molecules).shape == (5, 9)


def test_periodic_structures_are_refused():
    with pytest.raises(ValueError, match="open boundaries"):
        CoulombMatrix().fit([bulk("Si")])


def test_feature_names():
    water = [molecule("H2O")]
    names = CoulombMatrix("none").fit(water).get_feature_names_out()
    assert list(names) == ["0-0", "0-1", "0-2", "1-1", "1-2", "2-2"]
    assert list(CoulombMatrix().fit(water).get_feature_names_out())[-1] == "eigenvalue2"
