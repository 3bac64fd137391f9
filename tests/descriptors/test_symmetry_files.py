"""Symmetry functions read from files of other programs."""

import numpy as np
import pytest
from ase import Atoms

from skpot import SymmetryFunctions
from skpot.descriptors import SymmetryFunction, read_n2p2, read_simple_nn
from skpot.testing import sample_structures

BOHR = 0.529177210903

PARAMS_SI = """2 1 0 6.0 0.003214 0.0 0.0
2 2 0 6.0 0.035711 1.5 0.0

4 1 2 5.0 0.000357 1.0 -1.0
5 2 2 6.0 0.028569 4.0 1.0
"""
PARAMS_O = "2 1 0 6.0 0.003214 0.0 0.0\n"

INPUT_NN = """
number_of_elements  2   # two
cutoff_type 6 0.25
symfunction_short H 2 O 0.5 1.0 12.0   # radial
#symfunction_short H 2 H 0.5 1.0 12.0
symfunction_short O 3 H O 0.03 -1.0 4.0 12.0
symfunction_short O 3 H H 0.03 -1.0 4.0 12.0 0.8
symfunction_short O 9 H H 0.07 1.0 1.0 10.0
symfunction_short O 12 0.02 3.0 12.0
symfunction_short H 13 0.01 0.4 -1.0 2.0 8.0
"""


@pytest.fixture
def params(tmp_path):
    (tmp_path / "params_Si").write_text(PARAMS_SI)
    (tmp_path / "params_O").write_text(PARAMS_O)
    return {"Si": tmp_path / "params_Si", "O": tmp_path / "params_O"}


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "input.nn"
    path.write_text(INPUT_NN)
    return path


def test_simple_nn(params):
    cosine = {"cutoff_function": "cosine"}
    assert read_simple_nn(params) == [
        SymmetryFunction("G2", ("Si",), "Si", eta=0.003214, cutoff=6.0, **cosine),
        SymmetryFunction("G2", ("O",), "Si", eta=0.035711, shift=1.5, cutoff=6.0, **cosine),
        SymmetryFunction(
            "G4", ("Si", "O"), "Si", eta=0.000357, zeta=1, lambda_=-1, cutoff=5.0, **cosine
        ),
        SymmetryFunction(
            "G5", ("O", "O"), "Si", eta=0.028569, zeta=4, lambda_=1, cutoff=6.0, **cosine
        ),
        SymmetryFunction("G2", ("Si",), "O", eta=0.003214, cutoff=6.0, **cosine),
    ]


def test_n2p2_in_angstrom(settings):
    poly = {"cutoff_function": "polynomial"}
    assert read_n2p2(settings, units="angstrom") == [
        SymmetryFunction(
            "G2", ("O",), "H", eta=0.5, shift=1.0, cutoff=12.0, cutoff_width=9.0, **poly
        ),
        SymmetryFunction(
            "G4", ("H", "O"), "O", 0.03, 0.0, 4.0, -1.0, cutoff=12.0, cutoff_width=9.0, **poly
        ),
        SymmetryFunction(
            "G4", ("H", "H"), "O", 0.03, 0.8, 4.0, -1.0, cutoff=12.0, cutoff_width=9.0, **poly
        ),
        SymmetryFunction(
            "G5", ("H", "H"), "O", 0.07, 0.0, 1.0, 1.0, cutoff=10.0, cutoff_width=7.5, **poly
        ),
        SymmetryFunction(
            "G2", None, "O", 0.02, 3.0, cutoff=12.0, cutoff_width=9.0, weighted=True, **poly
        ),
        SymmetryFunction(
            "G4", None, "H", 0.01, 0.4, 2.0, -1.0, cutoff=8.0, cutoff_width=6.0, weighted=True,
            **poly,
        ),
    ]  # fmt: skip


def test_n2p2_in_bohr_has_the_same_values_on_lengths_in_bohr(settings):
    X = sample_structures(["H", "O"])
    larger = [a.copy() for a in X]
    for atoms in larger:
        atoms.set_cell(atoms.cell / BOHR)
        atoms.positions /= BOHR
    bohr = SymmetryFunctions(functions=read_n2p2(settings, "bohr")).fit_transform(X)
    angstrom = SymmetryFunctions(functions=read_n2p2(settings, "angstrom")).fit_transform(larger)
    assert bohr.values.any()
    np.testing.assert_allclose(bohr.values, angstrom.values, rtol=1e-10, atol=1e-12)


def test_functions_of_files_make_a_descriptor(params):
    X = sample_structures(["Si", "O"])
    features = SymmetryFunctions(functions=read_simple_nn(params)).fit_transform(X)
    assert features.values.shape[1] == 4  # one function occurs at both centers
    silicon = features.species == 14
    assert (features.values[silicon][:-1, 0] > 0).all()  # the last structure is one atom
    assert not features.values[~silicon, 1:].any()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3 1 1 6.0 0.1 1.0 1.0", "params_Si, line 2: type 3 is none of 2, 4 and 5"),
        ("2 1 0 6.0 0.1", "line 2: 5 words, not 7"),
        ("2 3 0 6.0 0.1 0.0 0.0", r"line 2: neighbors \[3\] are not among the 2 elements Si, O"),
        ("2 1 0 6.0 x 0.0 0.0", "line 2: could not convert string to float: 'x'"),
    ],
)
def test_bad_lines_of_simple_nn(params, line, message):
    params["Si"].write_text("2 1 0 6.0 0.003214 0.0 0.0\n" + line)
    with pytest.raises(ValueError, match=message):
        read_simple_nn(params)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cutoff_type 3", r"input.nn, line 1: only the cutoff types 1 .* got 3"),
        ("cutoff_type", "input.nn, line 1: only the cutoff types 1 .* got none"),
        ("cutoff_type 1\ncutoff_type 2", "line 2: cutoff_type occurs again, after .*line 1"),
        ("cutoff_type 1 1.5", r"fraction 1.5 is not in \[0, 1\)"),
        ("symfunction_short H 20 O 1 2 3", "type 20 is none of 2, 3, 9, 12, 13"),
        ("symfunction_short H 2 O 0.5 12.0", "type 2 takes 4 words after it, not 3"),
        ("symfunction_short H", "input.nn, line 1: not enough values"),
        ("nothing", "input.nn has no symfunction_short line"),
    ],
)
def test_bad_lines_of_n2p2(settings, line, message):
    settings.write_text(line)
    with pytest.raises(ValueError, match=message):
        read_n2p2(settings)


@pytest.mark.parametrize(("units", "cutoff"), [("bohr", 6.0 * BOHR), ("angstrom", 6.0)])
def test_the_hyperbolic_cutoff_of_n2p2(tmp_path, units, cutoff):
    path = tmp_path / "input.nn"
    path.write_text(
        "cutoff_type 2 0.5  # n2p2 takes no notice of an inner cutoff of this type\n"
        "symfunction_short H 2 H 0.0 0.0 6.0\nsymfunction_short H 3 H H 0.0 1.0 1.0 6.0\n"
    )
    r = 2.0
    triangle = Atoms("H3", [[0, 0, 0], [r, 0, 0], [0.5 * r, 0.75**0.5 * r, 0]])
    descriptor = SymmetryFunctions(functions=read_n2p2(path, units))
    f = np.tanh(1 - r / cutoff) ** 3
    values = descriptor.fit_transform([triangle]).values
    np.testing.assert_allclose(values, np.tile([2 * f, 1.5 * f**3], (3, 1)), rtol=1e-12)


def test_units_of_n2p2(settings):
    with pytest.raises(ValueError, match=r"unit of length: give units=\"bohr\" .* 12, is 6.350 Å"):
        read_n2p2(settings)
    with pytest.raises(ValueError, match="units='pm'"):
        read_n2p2(settings, units="pm")
