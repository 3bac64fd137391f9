"""The unified model, with an imitation of the data that ML-IAP passes to it."""

import numpy as np
import pytest
from ase.build import bulk

from skpot.core.pairs import scatter
from skpot.data import as_batch
from skpot.md.lammps import mliap
from tests.md.lammps.toy import Toy
from tests.samples import crystal


class Data:
    """Owned atoms and ghosts of one rank, as LAMMPS would hold them; ghosts have no neighbors."""

    eflag = vflag = 1

    def __init__(self, atoms, cutoff, iatoms):
        shifts = np.stack(np.meshgrid(*3 * [np.arange(-1, 2)]), -1).reshape(-1, 3) @ atoms.cell
        shifts = sorted(shifts, key=lambda s: s @ s)  # the owned ones first
        positions = np.concatenate([atoms.positions + shift for shift in shifts])
        index = np.tile(np.searchsorted(Toy.species, atoms.numbers), len(shifts))
        self.tags = np.tile(np.arange(len(atoms)), len(shifts))
        self.elems = index.astype(np.int32)
        self.ntotal = len(positions)
        self.nlistatoms = self.natomneigh = len(iatoms)
        self.iatoms = np.array(iatoms, dtype=np.int32)
        rows = []
        for i in iatoms:
            delta = positions - positions[i]
            near = np.linalg.norm(delta, axis=1) < cutoff
            near[i] = False
            rows.append((np.flatnonzero(near), delta[near]))
        self.numneighs = np.array([len(j) for j, _ in rows], dtype=np.int32)
        self.jatoms = np.concatenate([j for j, _ in rows]).astype(np.int32)
        self.rij = np.concatenate([delta for _, delta in rows])
        self.pair_i = np.repeat(self.iatoms, self.numneighs)
        self.npairs = len(self.rij)
        self.forces = np.zeros((len(atoms), 3))

    def update_pair_forces(self, g):
        assert g.flags.c_contiguous and g.dtype == np.float64
        g[0]  # fails without pairs, as in ML-IAP
        np.add.at(self.forces, self.tags[self.pair_i], g)
        np.subtract.at(self.forces, self.tags[self.jatoms], g)


def structure():
    atoms = crystal("Si")
    atoms.symbols[::3] = "C"
    return atoms


def reference(atoms):
    pairs = as_batch([atoms]).neighbors(Toy.cutoff).pairs
    index = np.searchsorted(Toy.species, atoms.numbers)
    energies, gradient = Toy().evaluate_pairs(pairs, index)
    forces, virials = np.zeros((len(atoms), 3)), np.zeros((1, 6))
    scatter(pairs, np.zeros(len(atoms), dtype=np.int64), gradient, forces, virials)
    return energies, forces


@pytest.mark.parametrize("order", [range(8), [5, 0, 7, 2, 1, 3, 6, 4]])
def test_energies_and_forces(order):
    atoms = structure()
    energies, forces = reference(atoms)
    data = Data(atoms, Toy.cutoff, list(order))
    unified = mliap.UnifiedModel(Toy())
    unified.compute_forces(data)
    np.testing.assert_allclose(data.eatoms, energies[list(order)], rtol=1e-12)
    assert data.energy == pytest.approx(energies.sum(), rel=1e-12)
    np.testing.assert_allclose(data.forces, forces, atol=1e-12)


def test_a_rank_with_some_atoms_or_none():
    atoms = structure()
    energies, _ = reference(atoms)
    data = Data(atoms, Toy.cutoff, [2, 3])
    mliap.UnifiedModel(Toy()).compute_forces(data)
    np.testing.assert_allclose(data.eatoms, energies[[2, 3]], rtol=1e-12)
    atoms = bulk("Si", a=20.0)  # no pairs
    atoms.positions[1] += 5.0
    data = Data(atoms, Toy.cutoff, [0, 1])
    assert data.npairs == 0
    data.rij = data.jatoms = None
    mliap.UnifiedModel(Toy()).compute_forces(data)
    assert len(data.eatoms) == 2


def test_what_lammps_asks_of_a_model():
    unified = mliap.UnifiedModel(Toy())
    assert unified.element_types == ["H", "C", "O", "Si"]
    assert 2 * unified.rcutfac == Toy.cutoff
    assert unified.ndescriptors >= 1 and unified.nparams >= 1


def test_builds_without_it_are_refused():
    class Bare:
        installed_packages = ["ML-IAP", "MISC"]

    with pytest.raises(ValueError, match="built without PYTHON.*attach works with any"):
        mliap.attach(Bare(), Toy(), species=["Si"])
