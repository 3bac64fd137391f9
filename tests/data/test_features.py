"""Features with one row for each atom, and with one for each structure."""

import numpy as np
import pytest
from ase.build import molecule
from sklearn.pipeline import FeatureUnion

from skpot import SOAP, AtomicFeatures, CoulombMatrix, InverseDistances, PerStructure
from skpot.exceptions import InputTypeError


@pytest.fixture(scope="module")
def molecules():
    return [molecule(name) for name in ("H2O", "CH4", "H2", "NH3")]


@pytest.fixture(scope="module")
def features(molecules):
    return CoulombMatrix().fit_transform(molecules)


def test_weights_of_a_union_are_refused_with_advice():
    union = FeatureUnion([("soap", SOAP(n_max=2, l_max=1))], transformer_weights={"soap": 2.0})
    with pytest.raises(InputTypeError, match="a kernel with a variance of its own"):
        union.fit_transform([molecule("CH4")])


def test_rows_of_structures_know_their_atoms(molecules, features):
    assert features.per_structure and len(features) == 4 and features.shape == (4, 5)
    assert features.n_atoms.tolist() == [3, 5, 2, 4]
    assert features.n_rows.tolist() == [1, 1, 1, 1]
    assert features.numbers.tolist() == [z for atoms in molecules for z in atoms.numbers]
    assert not features.species.any()
    assert "one row each" in repr(features)


@pytest.mark.parametrize(
    "key", [1, [2, 0, 0], np.array([3]), slice(None, None, -2), ([1, 2], Ellipsis)], ids=str
)
def test_selections_keep_the_atoms(molecules, features, key):
    part = features[key]
    index = key[0] if isinstance(key, tuple) else key
    chosen = np.atleast_1d(np.arange(4)[index])
    numbers = np.concatenate([molecules[s].numbers for s in chosen])
    assert part.per_structure and part.numbers.tolist() == numbers.tolist()
    np.testing.assert_array_equal(part.values, features.values[chosen])
    forces, virials = part.pull_back(np.ones_like(part.values))
    whole, whole_virials = features.pull_back(np.ones_like(features.values))
    offsets = features.atom_offsets
    expected = np.concatenate([whole[offsets[s] : offsets[s + 1]] for s in chosen])
    np.testing.assert_allclose(forces, expected, atol=1e-12)
    np.testing.assert_allclose(virials, whole_virials[chosen], atol=1e-12)


def test_joined_structures_keep_their_atoms(features):
    again = np.concatenate([features[:1], features[1:3], features[3:]])
    assert again.atom_offsets.tolist() == features.atom_offsets.tolist()
    assert again.numbers.tolist() == features.numbers.tolist()
    g = np.ones_like(features.values)
    np.testing.assert_allclose(again.pull_back(g)[0], features.pull_back(g)[0], atol=1e-12)


def test_rows_of_structures_are_arrays_on_request(features):
    array = np.asarray(features)
    np.testing.assert_array_equal(array, features.values)
    assert np.asarray(features, dtype=np.float32).dtype == np.float32
    assert np.mean(features) == features.values.mean()
    assert np.stack([features, array]).shape == (2, 4, 5)
    copied = np.array(features)
    copied[:] = 0.0
    assert features.values.any()


def test_rows_of_atoms_are_not(molecules):
    features = SOAP(3.0, n_max=2, l_max=1).fit_transform(molecules)
    for function in (np.asarray, np.mean, lambda f: np.concatenate([f, np.ones((4, 1))])):
        with pytest.raises(TypeError, match=r"PerAtom\(StandardScaler.*PerStructure\(\)"):
            function(features)


def test_the_two_kinds_do_not_mix(molecules, features):
    atoms = SOAP(3.0, n_max=2, l_max=1).fit_transform(molecules)
    for axis in (0, 1):
        with pytest.raises(ValueError, match=r"cannot be joined.*PerStructure\(\)"):
            np.concatenate([atoms, features], axis=axis)
    side = np.concatenate([PerStructure().fit_transform(atoms), features], axis=1)
    assert side.per_structure and side.n_atoms.tolist() == [3, 5, 2, 4]


def test_features_without_derivatives():
    features = AtomicFeatures.of_structures(
        np.ones((2, 3)), np.array([0, 2, 3]), np.array([1, 8, 1])
    )
    assert features[1:].n_atoms.tolist() == [1]
    assert PerStructure().fit_transform(features) is features
    with pytest.raises(ValueError, match="carry no derivatives"):
        features.pull_back(np.ones((2, 3)))


def test_derivatives_of_selected_geometries():
    X = [molecule("H2O") for _ in range(3)]
    X[1].positions[0] += 0.1
    features = InverseDistances().fit_transform(X)
    block = features[[1]].jacobian([0])
    whole = features.jacobian([1])
    np.testing.assert_array_equal(block.values, whole.values)
    assert whole.atom.tolist() == [3, 4, 5] and block.atom.tolist() == [0, 1, 2]


def test_blocks_keep_their_names_side_by_side(molecules):
    parts = [SOAP(3.0, n_max=n, l_max=1).fit_transform(molecules) for n in (1, 2, 1)]
    joined = np.concatenate(parts, axis=1)
    np.testing.assert_array_equal(np.hstack(parts).values, joined.values)
    assert list(joined.blocks) == ["soap", "soap2", "soap3"]
    for part, columns in zip(parts, joined.blocks.values(), strict=True):
        np.testing.assert_array_equal(joined.values[:, columns], part.values)
    twice = np.concatenate([joined, parts[0]], axis=1)
    assert list(twice.blocks) == ["soap", "soap2", "soap3", "soap4"]
    assert joined[1:].blocks == joined.blocks


def test_arrays_of_another_shape_are_refused(molecules):
    features = SOAP(n_max=2, l_max=2).fit_transform(molecules)
    with pytest.raises(ValueError, match=r"g has shape \(4, .* must have \(14, "):
        features.pull_back(np.ones(features.shape))  # structures, not atoms
    with pytest.raises(ValueError, match=r"displacements has shape \(4, 3\)"):
        features.push_forward(np.ones((4, 3)), np.ones((4, 6)))
    with pytest.raises(ValueError, match=r"strains has shape \(6,\)"):
        features.push_forward(np.ones((14, 3)), np.ones(6))
