"""Fitted models of copper for the tests of drivers."""

import functools

import numpy as np
import pytest
from ase.build import add_adsorbate, bulk, fcc111
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

import skpot
from skpot.md.dynamics import thermalize
from tests.samples import crystal, labels_of_emt


@pytest.fixture(scope="package")
def copper_models():
    """A compiled model, one without compiled form, and one that corrects another calculator."""
    X, y = training_set()
    soap = skpot.SOAP(cutoff=4.5, n_max=4, l_max=3)
    sparse = skpot.SparseGPR(n_sparse=60)
    morse = functools.partial(MorsePotential, epsilon=0.02, r0=2.5, rcut1=3.0, rcut2=4.0)
    models = {
        "compiled": make_pipeline(soap, sparse),
        "by steps": make_pipeline(soap, skpot.PerAtom(Normalizer()), skpot.SparseGPR(n_sparse=12)),
        "delta": skpot.DeltaRegressor(make_pipeline(soap, sparse), morse),
    }
    return {name: clone(model).fit(X, y) for name, model in models.items()}


def training_set():
    """Return strained and rattled copper, slabs of it with an atom on top, and their labels."""
    frames = [bulk("Cu", cubic=True) for _ in range(8)] + [slab() for _ in range(3)]
    rng = np.random.default_rng(0)
    for seed, atoms in enumerate(frames):
        atoms.set_cell(atoms.cell.array * rng.uniform(0.96, 1.05), scale_atoms=True)
        atoms.rattle(0.08, seed=seed)
    return frames, labels_of_emt(frames)


def slab():
    """Return two layers of copper with an atom on top, in a cell with vacuum."""
    atoms = fcc111("Cu", (1, 1, 2), vacuum=5.0)
    add_adsorbate(atoms, "Cu", 2.0, "fcc")
    return atoms


def copper(repeat=2, rattle=0.0):
    """Return copper at 300 K, with EMT as its calculator."""
    atoms = crystal("Cu", rattle, seed=1, repeat=repeat)
    atoms.calc = EMT()
    thermalize(atoms, 300.0)
    return atoms
