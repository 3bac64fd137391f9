"""Any structure gives features with right derivatives and symmetries, or an error of ours."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from skpot.exceptions import SkpotError
from skpot.testing import sample_structures
from tests import registry
from tests.properties.drawn import SEEDS, bounded, rotation, structures

NAMES = ["SOAP", "SOAP-bispectrum", "PairBasis", "TripletBasis", "SymmetryFunctions", "ZBL"]
STEP = 1e-5


@pytest.fixture(scope="module")
def descriptors():
    X = sample_structures(["H", "O", "Si"])
    return {
        name: registry.DESCRIPTORS[name].__class__(**registry.DESCRIPTORS[name].get_params()).fit(X)
        for name in NAMES
    }


def features(descriptor, atoms):
    """Return the features of a structure; skip those that are refused, by an error of ours."""
    try:
        found = descriptor.transform([atoms])
    except SkpotError:
        assume(False)
    assert np.isfinite(found.values).all()
    return found


def energy(descriptor, atoms, weights):
    return float((features(descriptor, atoms).values @ weights).sum())


def differences(descriptor, atoms, weights, change):
    """Return the derivative of the energy along `change(atoms, step)`, and its uncertainty."""
    values = []
    for step in (STEP, STEP / 2):
        plus, minus = (change(atoms, s) for s in (step, -step))
        slope = energy(descriptor, plus, weights) - energy(descriptor, minus, weights)
        values.append(slope / (2 * step))
    return values[1], abs(values[1] - values[0])


@pytest.mark.parametrize("name", NAMES)
def test_forces_and_virials(descriptors, name):
    descriptor = descriptors[name]
    weights = np.random.default_rng(0).normal(size=descriptor.n_features_out_)

    @bounded(30)
    @given(structures(), SEEDS)
    def check(atoms, seed):
        found = features(descriptor, atoms)
        forces, virials = found.pull_back(np.tile(weights, (len(found.values), 1)))
        assert np.isfinite(forces).all() and np.isfinite(virials).all()
        assume(np.abs(atoms.positions).max() < 1e4)  # steps are lost beyond
        rng = np.random.default_rng(seed)
        along, strain = rng.normal(size=(len(atoms), 3)), rng.normal(size=(3, 3))
        strain = 0.5 * (strain + strain.T)

        def move(a, step):
            a = a.copy()
            a.positions += step * along
            return a

        def stretch(a, step):
            a = a.copy()
            a.set_cell(a.cell.array @ (np.eye(3) + step * strain), scale_atoms=False)
            a.positions = a.positions @ (np.eye(3) + step * strain)
            return a

        voigt = strain[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] * [1, 1, 1, 2, 2, 2]
        scale = 1.0 + abs(energy(descriptor, atoms, weights)) + np.abs(virials).max()
        scale += np.abs(forces).max()
        for change, expected in ((move, -(forces * along).sum()), (stretch, -virials[0] @ voigt)):
            slope, spread = differences(descriptor, atoms, weights, change)
            assert abs(slope - expected) < 1e-6 * scale + 10.0 * spread

    check()


@pytest.mark.parametrize("name", NAMES)
def test_symmetries(descriptors, name):
    """Rotation, permutation, other images of atoms and other cells of the same lattice."""
    descriptor = descriptors[name]

    @bounded(30)
    @given(structures(), SEEDS, st.lists(st.integers(-2, 2), min_size=3, max_size=3))
    def check(atoms, seed, shifts):
        found = features(descriptor, atoms).values
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(atoms))
        turned = atoms[order]
        turned.positions += (np.array(shifts) * atoms.pbc) @ atoms.cell.array
        if atoms.pbc[0] and atoms.pbc[1]:
            cell = turned.cell.array
            cell[1] += shifts[0] * cell[0]
            turned.set_cell(cell, scale_atoms=False)
        q = rotation(rng)
        if shifts[1] > 0:
            q = -q
        turned.set_cell(turned.cell.array @ q, scale_atoms=False)
        turned.positions = turned.positions @ q + (shifts[2] if np.abs(q).max() < 2 else 0)
        assume(np.abs(turned.positions).max() < 1e4)
        again = features(descriptor, turned).values  # a flat cell may be refused
        scale = max(1.0, np.abs(found).max())
        np.testing.assert_allclose(again, found[order], atol=1e-7 * scale, rtol=0)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_supercells_and_batches(descriptors, name):
    descriptor = descriptors[name]

    @bounded(30)
    @given(st.lists(structures(most=3), min_size=1, max_size=3), st.integers(0, 2))
    def check(X, axis):
        kept = []
        for atoms in X:
            try:
                kept.append((atoms, descriptor.transform([atoms]).values))
            except SkpotError:
                continue
        assume(kept)
        together = descriptor.transform([atoms for atoms, _ in kept]).values
        np.testing.assert_allclose(together, np.concatenate([v for _, v in kept]), atol=1e-10)
        atoms, values = kept[0]
        if atoms.pbc[axis] and np.abs(atoms.positions).max() < 1e4:
            repeats = [1, 1, 1]
            repeats[axis] = 2
            twice = features(descriptor, atoms.repeat(repeats)).values
            scale = max(1.0, np.abs(values).max())
            np.testing.assert_allclose(twice, np.tile(values, (2, 1)), atol=1e-7 * scale)

    check()
