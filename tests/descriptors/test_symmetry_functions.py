"""Symmetry functions against plain loops, every promise of a descriptor, and files."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skpot import PerAtom, SparseGPR, SymmetryFunctions
from skpot.data.elements import SYMBOLS
from skpot.descriptors import SymmetryFunction, descriptor_cache
from skpot.kernels import RBF
from skpot.testing import check_descriptor, check_potential, sample_structures
from tests import samples
from tests.naive.symmetry_functions import symmetry_functions

SPECIES = [["Si"], ["Si", "O"], ["H", "C", "N", "O"]]
ALL_KINDS = [
    SymmetryFunction("G1"),
    SymmetryFunction("G2", eta=1.2, shift=2.1, cutoff=3.1),
    SymmetryFunction("G3", kappa=1.7),
    SymmetryFunction("G4", eta=0.05, zeta=1, lambda_=-1),
    SymmetryFunction("G4", eta=0.11, zeta=4, lambda_=1, cutoff=3.3),
    SymmetryFunction("G4", eta=0.11, shift=1.1, zeta=2.5, lambda_=-1),
    SymmetryFunction("G4", eta=0.11, zeta=16, lambda_=0.7, cutoff_function="polynomial"),
    SymmetryFunction("G5", eta=0.08, zeta=3, lambda_=-1),
    SymmetryFunction("G5", zeta=1.5, cutoff=3.4, cutoff_width=1.1),
    SymmetryFunction("G2", eta=0.3, shift=1.0, cutoff=3.5, cutoff_function="tanh"),
    SymmetryFunction("G4", eta=0.04, zeta=2, cutoff=3.5, cutoff_function="tanh"),
    SymmetryFunction("G2", eta=0.4, shift=1.5, weighted=True),
    SymmetryFunction("G4", eta=0.06, zeta=2, weighted=True),
    SymmetryFunction("G5", eta=0.06, zeta=2, weighted=True, cutoff=3.0),
]


def number(symbol):
    return SYMBOLS.index(symbol)


def as_dicts(functions, species, cutoff, switch="cosine"):
    """Write every column out, in order, as the naive formula takes it."""
    out = []
    for f in functions:
        radial = f.kind in ("G1", "G2", "G3")
        if f.weighted:
            combinations = [None]
        elif f.neighbors is not None:
            combinations = [tuple(sorted(number(s) for s in np.atleast_1d(f.neighbors)))]
        elif radial:
            combinations = [(z,) for z in species]
        else:
            combinations = [(a, b) for a in species for b in species if a <= b]
        for neighbors in combinations:
            out.append(
                {
                    "kind": f.kind,
                    "neighbors": neighbors,
                    "center": None if f.center is None else number(f.center),
                    "eta": f.eta,
                    "shift": f.shift,
                    "zeta": f.zeta,
                    "lambda": f.lambda_,
                    "kappa": f.kappa,
                    "cutoff": cutoff if f.cutoff is None else f.cutoff,
                    "switch": f.cutoff_function or switch,
                    "width": f.cutoff_width,
                }
            )
    return out


def compare_with_oracle(descriptor, functions, structures, switch="cosine"):
    features = descriptor.fit_transform(structures)
    species = sorted({int(z) for atoms in structures for z in atoms.numbers})
    dicts = as_dicts(functions, species, descriptor.cutoff, switch)
    expected = np.concatenate(
        [symmetry_functions(a.numbers, a.positions, a.cell.array, a.pbc, dicts) for a in structures]
    )
    assert features.values.shape == expected.shape
    assert np.isfinite(expected).all()
    scale = np.maximum(abs(expected).max(axis=0), 1e-3)
    np.testing.assert_allclose(features.values / scale, expected / scale, rtol=0, atol=1e-12)


@pytest.mark.parametrize("symbols", SPECIES, ids="-".join)
def test_values_of_all_kinds_of_functions_and_cells(symbols):
    # The bulk cell is smaller than the cutoff, the slab open in one direction, the cluster in all.
    descriptor = SymmetryFunctions(3.6, functions=ALL_KINDS)
    compare_with_oracle(descriptor, ALL_KINDS, sample_structures(symbols))


@pytest.mark.parametrize("weighted", [False, True])
def test_values_of_the_automatic_set(weighted):
    descriptor = SymmetryFunctions(
        3.5, 3, 2, zetas=(1, 4), weighted=weighted, cutoff_function="polynomial"
    )
    functions = [
        SymmetryFunction("G2", eta=0.5 / 0.875**2, shift=k * 0.875, weighted=weighted)
        for k in (1, 2, 3)
    ] + [
        SymmetryFunction("G4", eta=eta, zeta=zeta, lambda_=sign, weighted=weighted)
        for eta in (1 / 3.5**2, 2 / 3.5**2)
        for zeta in (1, 4)
        for sign in (1, -1)
    ]
    compare_with_oracle(descriptor, functions, sample_structures(["Si", "O"]), "polynomial")


def test_number_of_functions_of_the_automatic_set():
    for symbols, plain in zip(SPECIES, [26, 2 * 8 + 3 * 18, 4 * 8 + 10 * 18], strict=True):
        X = sample_structures(symbols)
        assert SymmetryFunctions().fit(X).n_features_out_ == plain
        assert SymmetryFunctions(weighted=True).fit(X).n_features_out_ == 8 + 18


def test_functions_of_one_center_are_zero_at_others_and_shared_where_equal():
    functions = [
        SymmetryFunction("G2", "O", "Si", eta=0.3),
        SymmetryFunction("G2", "O", "O", eta=0.3),
        SymmetryFunction("G2", "Si", "O", eta=0.3),
        SymmetryFunction("G4", ("Si", "O"), "O", eta=0.1),
        SymmetryFunction("G5", ("N", "O"), eta=0.1),  # no N: no column
    ]
    X = sample_structures(["Si", "O"])
    descriptor = SymmetryFunctions(4.0, functions=functions).fit(X)
    assert descriptor.get_feature_names_out().tolist() == [
        "G2 O eta=0.3 shift=0 rc=4",
        "O: G2 Si eta=0.3 shift=0 rc=4",
        "O: G4 O-Si eta=0.1 shift=0 zeta=1 lambda=1 rc=4",
    ]
    shared = [functions[0]._replace(center=None), *functions[2:4]]
    compare_with_oracle(descriptor, shared, X)


@pytest.mark.parametrize("symbols", SPECIES, ids="-".join)
def test_promises_of_a_descriptor(symbols):
    structures = sample_structures(symbols)[:: 1 if len(symbols) < 4 else 2]
    check_descriptor(SymmetryFunctions(3.8, functions=ALL_KINDS), structures)


@pytest.mark.parametrize(
    "options",
    [
        {"weighted": True},
        {"cutoff_function": "polynomial", "cache": False},
        {"n_angular": 0},
        {"n_radial": 0},
    ],
    ids=str,
)
def test_promises_of_automatic_sets(options):
    check_descriptor(SymmetryFunctions(**{"cutoff": 3.8} | options), sample_structures(["Si", "O"]))


def test_straight_and_equilateral_triplets():
    from ase import Atoms

    from skpot.testing import finite_difference_forces

    straight = Atoms("Si3", [[0, 0, 0], [0, 0, 2.0], [0, 0, -2.1]])
    equal = Atoms("Si3", [[0, 0, 0], [2.0, 0, 0], [1.0, 3**0.5, 0]])
    descriptor = SymmetryFunctions(4.5).fit([straight])
    for atoms in (straight, equal):
        features = descriptor.transform([atoms])
        g = np.random.default_rng(0).normal(size=features.values.shape)

        def energy(copies, g=g):
            values = descriptor.transform(copies).values
            return (values.reshape(len(copies), *g.shape) * g).sum(axis=(1, 2))

        numerical = finite_difference_forces(energy, atoms)
        np.testing.assert_allclose(features.pull_back(g)[0], numerical, atol=1e-7)


def test_cached_features_know_their_functions():
    X = sample_structures()[:1]
    descriptor_cache.clear()
    first = SymmetryFunctions(4.0, functions=[SymmetryFunction("G2", eta=0.1)]).fit_transform(X)
    other = SymmetryFunctions(4.0, functions=[SymmetryFunction("G2", eta=0.2)]).fit_transform(X)
    assert abs(first.values - other.values).min() > 1e-3
    again = SymmetryFunctions(4.0, functions=[("G2", None, None, 0.1)]).fit_transform(X)
    assert np.array_equal(first.values, again.values)
    assert descriptor_cache.hits == 1


@pytest.mark.parametrize("scaler", [MinMaxScaler(), StandardScaler()], ids=repr)
def test_a_potential_on_scaled_functions(scaler):
    X, y = samples.labeled(["Si", "O"], 3, stress=None)
    model = make_pipeline(
        SymmetryFunctions(4.0, 4, 1), PerAtom(scaler), SparseGPR(RBF(length_scale=2.0), n_sparse=12)
    )
    check_potential(clone(model).fit(X, y), X[:4])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (SymmetryFunction("G6"), r"functions\[1\]: kind='G6'"),
        (SymmetryFunction("G4", zeta=0.5), r"zeta=0.5 is below 1"),
        (SymmetryFunction("G4", lambda_=2.0), r"lambda_=2.0 is not between"),
        (SymmetryFunction("G2", eta=-1.0), r"eta=-1.0 is negative"),
        (SymmetryFunction("G2", eta="a"), r"eta='a' is not a finite number"),
        (SymmetryFunction("G2", ("O", "Si")), "G2 needs 1 species"),
        (SymmetryFunction("G4", "O"), "G4 needs 2 species"),
        (SymmetryFunction("G2", "O", weighted=True), "takes all species"),
        (SymmetryFunction("G2", cutoff=-1.0), "cutoff=-1.0 is not positive"),
        (SymmetryFunction("G2", cutoff_function="cos"), "cutoff_function='cos'"),
        (SymmetryFunction("G2", cutoff=3.0, cutoff_width=4.0), "cutoff_width=4.0 Å"),
        (
            SymmetryFunction("G2", cutoff=3.0, cutoff_width=2.0, cutoff_function="tanh"),
            "no cutoff_w",
        ),
        (SymmetryFunction("G2", "Xx"), "no chemical element has the symbol 'Xx'"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_invalid_functions_are_named(function, message):
    descriptor = SymmetryFunctions(functions=[SymmetryFunction("G1"), function])
    with pytest.raises(ValueError, match=message):
        descriptor.fit(sample_structures())


def test_other_mistakes():
    X = sample_structures()
    with pytest.raises(TypeError, match=r"functions\[0\] is 3; give .*SymmetryFunction"):
        SymmetryFunctions(functions=[3]).fit(X)
    with pytest.raises(ValueError, match="none of the 1 functions applies to the species Si"):
        SymmetryFunctions(functions=[SymmetryFunction("G2", "O")]).fit(X)
    with pytest.raises(ValueError, match=r"species O .* this SymmetryFunctions knows only Si"):
        SymmetryFunctions(4.0, 2, 1).fit(X).transform(sample_structures(["Si", "O"]))
