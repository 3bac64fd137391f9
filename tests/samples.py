"""Structures and labels that several tests share.

Most tests take random labels: whether the algebra is right does not depend on the physics.
"""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from skpot.data import Targets
from skpot.datasets import load_ethanol, load_silicon
from skpot.testing import sample_structures


def small_structures(symbols=("Si",), n=1, *, first=0, lone_atom=True):
    """Return bulk, slab, cluster and lone atom, each `n` times with seeds from `first` on.

    Without `lone_atom`, the last of the four is left out.
    """
    return [
        atoms
        for seed in range(first, first + n)
        for atoms in sample_structures(list(symbols), random_state=seed)[: 4 if lone_atom else 3]
    ]


def random_labels(X, per_atom=-3.0, *, forces=1.0, stress="periodic", missing=None, seed=0):
    """Return energies, forces and stresses, drawn in this order.

    Parameters
    ----------
    X : list[Atoms]
        The structures.
    per_atom : float, default=-3.0
        The mean energy of an atom in eV; the deviation of a structure is 1 eV.
    forces : float, default=1.0
        The deviation of the components of forces in eV/Å.
    stress : {"periodic", "volume", None}, default="periodic"
        Which structures have a stress, with a deviation of 0.01 eV/Å³: those that are periodic
        in three directions, those that have three cell vectors, or none.
    missing : dict, default=None
        The structures whose "energy" or "forces" are left out, by their indices.
    seed : int, default=0
        Seed of the labels.
    """
    rng = np.random.default_rng(seed)
    has_stress = {
        "periodic": lambda atoms: atoms.pbc.all(),
        "volume": lambda atoms: atoms.cell.rank == 3,
        None: lambda atoms: False,
    }[stress]
    blocks = {
        "energy": [per_atom * len(atoms) + rng.normal() for atoms in X],
        "forces": [forces * rng.normal(size=(len(atoms), 3)) for atoms in X],
        "stress": [0.01 * rng.normal(size=6) if has_stress(atoms) else None for atoms in X],
    }
    for name, indices in (missing or {}).items():
        for i in indices:
            blocks[name][i] = None
    return Targets(**blocks)


def labeled(symbols=("Si",), n=1, *, lone_atom=True, **options):
    """Return small structures and random labels of them."""
    X = small_structures(symbols, n, lone_atom=lone_atom)
    return X, random_labels(X, **options)


def crystal(symbol="Cu", rattle=0.1, seed=0, *, a=None, repeat=1):
    """Return cubic cells of a crystal whose atoms are displaced at random."""
    atoms = bulk(symbol, a=a, cubic=True) * repeat
    atoms.rattle(rattle, seed=seed)
    return atoms


def oxide():
    """Return a triclinic crystal of three species with cell vectors shorter than the cutoff."""
    atoms = bulk("NaCl", "rocksalt", 4.6) * (2, 2, 1)
    atoms.symbols = ["Si", "O", "C", "O", "Si", "Si", "C", "O"]
    atoms.set_cell(atoms.cell @ [[1.0, 0.1, 0.0], [0.0, 0.9, 0.05], [0.1, 0.0, 1.1]], True)
    return atoms


def crystals(symbol="Cu", n=6, rattle=0.1, *, first=0):
    """Return `n` of these crystals, with seeds from `first` on."""
    return [crystal(symbol, rattle, seed) for seed in range(first, first + n)]


def labels_of_emt(X):
    """Return labels by ASE's EMT, which the structures then have as their calculator."""
    for atoms in X:
        atoms.calc = EMT()
    return Targets.from_atoms(X)


def displaced(X, amount, seed=0):
    """Return copies of structures whose atoms are displaced at random, all by one generator."""
    rng = np.random.default_rng(seed)
    copies = [atoms.copy() for atoms in X]
    for atoms in copies:
        atoms.positions += rng.normal(0.0, amount, atoms.positions.shape)
    return copies


def silicon(steps, n_train=12, n_test=6):
    """Return features and labels of the bundled silicon, to train on and to test."""
    X, y, X_test, y_test = load_silicon(return_X_y=True)
    features = steps.fit_transform(X[:n_train])
    return features, y[:n_train], steps.transform(X_test[:n_test]), y_test[:n_test]


def ethanol(test_step=1):
    """Return the molecules of the bundled ethanol, without free atoms, and their labels.

    Of those to test, every `test_step`-th is returned.
    """
    X, y, X_test, y_test = load_ethanol(return_X_y=True)
    train = [i for i, atoms in enumerate(X) if len(atoms) == 9]
    test = [i for i, atoms in enumerate(X_test) if len(atoms) == 9][::test_step]
    return [X[i] for i in train], y[train], [X_test[i] for i in test], y_test[test]


def features_of(descriptor):
    """Return the features as a function of numbers, positions, cell and pbc, for oracles."""

    def features(numbers, positions, cell, pbc):
        return descriptor.transform([Atoms(numbers, positions, cell=cell, pbc=pbc)]).values

    return features
