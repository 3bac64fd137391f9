"""Energies along a path on which the last neighbor leaves, for every descriptor and step."""

import numpy as np
import pytest
from ase import Atoms
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, Normalizer, StandardScaler

import skpot
from skpot.exceptions import SkpotError
from skpot.testing import sample_structures
from tests import registry

SPECIES = ["Si", "O"]
DESCRIPTORS = registry.DESCRIPTORS | {
    "SOAP-not-normalized": skpot.SOAP(3.0, 2, 1, normalize=False),
    "SOAP-without-center": skpot.SOAP(3.0, 2, 1, normalize=False, central_weight=0.0),
    "SOAP-without-center-normalized": skpot.SOAP(3.0, 2, 1, central_weight=0.0),
    "SOAP-oxygen-weighs-nothing": skpot.SOAP(3.0, 2, 1, species_weights={"O": 0.0}),
    "SOAP-hardly-a-center": skpot.SOAP(3.0, 2, 1, central_weight=0.1, body_order=2),
    "SOAP-pair-cutoffs": skpot.SOAP(3.0, 2, 1, pair_cutoffs={("Si", "O"): 2.5}),
    "SOAP-bessel": skpot.SOAP(3.0, 2, 1, radial_basis="bessel"),
    "SymmetryFunctions-tanh": skpot.SymmetryFunctions(3.0, 3, 1, cutoff_function="tanh"),
    "SymmetryFunctions-polynomial": skpot.SymmetryFunctions(3.0, 3, cutoff_function="polynomial"),
}
STEPS = {
    "nothing": None,
    "Normalizer": skpot.PerAtom(Normalizer()),
    "StandardScaler": skpot.PerAtom(StandardScaler()),
    "MaxAbsScaler": skpot.PerAtom(MaxAbsScaler()),
    "PrincipalComponents": skpot.PrincipalComponents(4),
    "sum": skpot.PerStructure(),
    "mean-Normalizer": skpot.PerStructure(Normalizer(), pool="mean"),
    "SpeciesCoupling": skpot.SpeciesCoupling(),
}
REFUSED = {"SOAP-without-center-normalized", "SOAP-oxygen-weighs-nothing"}


def leaving(distances, pair):
    """Return dimers, whose atoms have no neighbor left beyond the cutoff."""
    return [Atoms(pair, [[0, 0, 0], [0.6 * r, 0, 0.8 * r]]) for r in distances]


def assert_smooth(model, first, last):
    """Compare the energies g . q of 400 points of a path with the integral of their forces."""
    r = np.linspace(first, last, 401)
    for pair in (["Si", "O"], ["O", "O"]):
        features = model.transform(leaving(r, pair))
        g = np.random.default_rng(1).normal(size=features.shape[1])
        rows = np.add.reduceat(features.values, features.offsets[:-1])
        energies = rows @ g
        forces, _ = features.pull_back(np.tile(g, (len(features.values), 1)))
        slope = -(forces[1::2] @ [0.6, 0.0, 0.8])
        steps = 0.5 * (slope[1:] + slope[:-1]) * (r[1] - r[0])
        size = np.abs(energies).max() + np.abs(slope).max() * (last - first) / 100
        np.testing.assert_allclose(np.diff(energies), steps, atol=2e-4 * size)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", DESCRIPTORS)
def test_no_energy_jumps_where_the_last_neighbor_leaves(name, step):
    X = sample_structures(SPECIES)
    model = make_pipeline(clone(DESCRIPTORS[name]), *([STEPS[step]] if STEPS[step] else []))
    try:
        model = clone(model).fit(X)
    except SkpotError as error:
        assert "last neighbor" in str(error)
        assert name in REFUSED or "Normalizer" in step
        return
    assert name not in REFUSED
    radius = model[0].radius()
    assert_smooth(model, 0.75 * radius, 1.02 * radius)
