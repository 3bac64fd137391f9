"""Inverse distances against the formula in plain Python, and what they refuse."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from skpot import InverseDistances
from skpot.testing import check_descriptor
from tests.naive.coulomb_matrix import inverse_distances
from tests.samples import displaced


def geometries(name="CH3CH2OH", n=3):
    return displaced(n * [molecule(name)], 0.1)


def test_values():
    X = geometries()
    expected = [inverse_distances(atoms.positions) for atoms in X]
    np.testing.assert_allclose(InverseDistances().fit_transform(X).values, expected, rtol=1e-13)


@pytest.mark.parametrize("name", ["CH3CH2OH", "H2O", "H2"])
def test_promises(name):
    # Rows follow the order of the atoms.
    check_descriptor(InverseDistances(), geometries(name), skip=("permutation",))


def test_feature_names():
    names = InverseDistances().fit(geometries("H2O")).get_feature_names_out()
    assert list(names) == ["O0-H1", "O0-H2", "H1-H2"]


def test_other_molecules_are_refused_with_their_index():
    X = geometries("H2O", 4)
    X[2] = molecule("CH4")
    with pytest.raises(ValueError, match=r"structure 2: 5 atoms \(C H H H H\) where 3 are"):
        InverseDistances().fit(X)
    with pytest.raises(ValueError, match=r"structure 0: atom 0 is S where O is expected \(O H H\)"):
        InverseDistances().fit(X[:2]).transform([molecule("SH2")])


def test_another_order_of_atoms_is_refused():
    X = geometries("H2O", 3)
    X[1] = X[1][[1, 0, 2]]
    with pytest.raises(ValueError, match="structure 1: .*the same atoms in another order"):
        InverseDistances().fit(X)


def test_periodic_structures_are_refused():
    with pytest.raises(ValueError, match=r"structure 0: pbc=\[True, True, True\].*open bound"):
        InverseDistances().fit([bulk("Si")])


def test_a_single_atom_has_no_distance():
    with pytest.raises(ValueError, match="two atoms or more"):
        InverseDistances().fit([Atoms("H")])
