import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, graphene, molecule
from ase.io import Trajectory
from sklearn.pipeline import make_pipeline

import skpot
from skpot import SOAP, SparseGPR
from skpot.data import Targets, as_batch, check_pair_distances, check_structures
from skpot.exceptions import StructureError, StructureWarning
from tests.project import ROOT


def pair(distance=1.0, **kwargs):
    return Atoms("H2", [[0, 0, 0], [0, 0, distance]], **kwargs)


def sound():
    slab = fcc111("Cu", (2, 2, 3), vacuum=5.0)
    chain = Atoms("C2", [[0, 0, 0], [1.2, 0, 0]], cell=[2.4, 0, 0], pbc=[1, 0, 0])
    flat = graphene()  # no cell vector along c
    return [molecule("C2H6"), bulk("Si"), slab, chain, flat, Atoms("H"), pair(cell=[5, 5, 5])]


def test_sound_structures_come_back():
    X = sound()
    checked = check_structures(X)
    assert all(a is b for a, b in zip(X, checked, strict=True)) and isinstance(checked, list)


def test_any_sequence_will_do(tmp_path):
    X = sound()
    assert len(check_structures(tuple(X))) == len(X)
    array = np.empty(len(X), dtype=object)
    array[:] = X
    assert check_structures(array)[1] is X[1]
    with Trajectory(tmp_path / "a.traj", "w") as trajectory:
        for atoms in X:
            trajectory.write(atoms)
    assert len(check_structures(Trajectory(tmp_path / "a.traj"))) == len(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (bulk("Si"), r"single structure \(Si2\).*\[atoms\]"),
        (np.asarray([bulk("Si"), bulk("Si")]), r"shape \(2, 2\).*array of atoms"),
        (np.zeros((3, 2)), r"shape \(3, 2\) and type float64"),
        ("train.xyz", "skpot.read"),
        (7, "X is of type int"),
        ([bulk("Si"), None], "structure 1: is a NoneType"),
        (list(bulk("Si")), "structure 0: is a Atom"),
        ([[1.0, 2.0]], "structure 0: is a list"),
    ],
)
def test_what_is_no_list_of_structures(X, message):
    with pytest.raises(TypeError, match=message):
        check_structures(X)


def test_an_empty_list():
    with pytest.raises(ValueError, match="X is empty"):
        check_structures([])


def broken(atoms, **changes):
    for name, value in changes.items():
        getattr(atoms, name)[0] = value
    return atoms


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(), "has no atoms"),
        (broken(pair(), positions=np.nan), "positions are not finite, atoms 0"),
        (broken(pair(), numbers=0), r"atomic numbers are not in 1..118, atoms 0"),
        (pair(pbc=True), "periodic along a, b, c but its cell vector there is zero"),
        (pair(cell=[3, 3, 0], pbc=True), "periodic along c"),
        (broken(pair(cell=[3, 3, 3]), cell=np.inf), "cell is not finite"),
        (pair(cell=[[3, 0, 0], [0, 3, 0], [3, 3, 0]], pbc=True), "linearly dependent"),
        (pair(cell=[[3, 0, 0], [6, 0, 0], [0, 0, 3]], pbc=[1, 1, 0]), "linearly dependent"),
        (pair(0.05), r"atoms 0 and 1 are 0.05 Å apart"),
        (pair(4.95, cell=[5, 5, 5], pbc=True), r"atoms 0 and 1 are 0.05 Å apart"),
        (pair(4.95, cell=[0, 0, 5], pbc=[0, 0, 1]), r"atoms 0 and 1 are 0.05 Å apart"),
        (pair(0.3), r"atoms 0 and 1 are 0.3 Å apart"),
        (Atoms("Cs", cell=[0.3, 9, 9], pbc=True), r"atom 0 is 0.3 Å from its own periodic image"),
        (Atoms("H", cell=[0.3] * 3, pbc=True), r"atom 0 is 0.3.* Å from its own periodic image"),
        (Atoms("H", cell=[1e-3] * 3, pbc=True), "images of its cell .* too small"),
    ],
)
def test_problems_are_found_where_they_are(atoms, message):
    with pytest.raises(ValueError, match=f"1 of 3 structures(.|\n)*structure 1: .*{message}"):
        check_structures([bulk("Si"), atoms, molecule("H2O")])


def test_all_problems_at_once():
    with pytest.raises(ValueError) as error:
        check_structures([pair(), pair(0.0), Atoms(), pair(pbc=True)])
    text = str(error.value)
    assert "3 of 4 structures" in text
    assert all(f"structure {i}: " in text for i in (1, 2, 3))
    with pytest.raises(ValueError, match="20 of 20 structures(.|\n)*and 10 more"):
        check_structures([pair(0.0)] * 20)


@pytest.mark.parametrize("cache", [False, True])
def test_descriptors_leave_coincident_atoms_to_their_search(cache):
    soap = SOAP(n_max=2, l_max=2, cache=cache).fit([pair()])
    with pytest.raises(ValueError, match="2 of 3 structures") as error:
        soap.transform([pair(), pair(0.05), pair(0.0)])
    assert all(f"structure {i}: atoms 0 and 1 are" in str(error.value) for i in (1, 2))
    with pytest.raises(ValueError, match="2 of 2 structures(.|\n)*apart(.|\n)*has no atoms"):
        soap.transform([pair(0.05), Atoms()])


@pytest.mark.parametrize("pbc", [(0, 0, 0), (1, 0, 0), (0, 1, 1), (1, 1, 1)], ids=str)
def test_close_atoms_against_all_distances(pbc):
    rng = np.random.default_rng(sum(pbc))
    structures, expected = [], set()
    for i in range(60):
        cell = np.diag(rng.uniform(2, 8, 3)) + rng.uniform(-1.5, 1.5, (3, 3))
        atoms = Atoms("H12", rng.uniform(-9, 9, (12, 3)), cell=cell, pbc=pbc)
        shift = rng.integers(-2, 3, 3) * np.array(pbc) @ cell
        step = rng.normal(size=3)
        step *= rng.uniform(0.15, 0.45) / np.linalg.norm(step)
        atoms.positions[7] = atoms.positions[3] + step + shift
        structures.append(atoms)
        distances = atoms.get_all_distances(mic=True)
        if distances[np.triu_indices(12, 1)].min() < 0.32:
            expected.add(i)
    assert 10 < len(expected) < 50
    for i, atoms in enumerate(structures):
        found = False
        try:
            check_structures([atoms])
        except ValueError as error:
            found = "Å apart" in str(error)
        assert found == (i in expected), i


def test_copies_far_from_the_origin_and_large_cells():
    big = bulk("Cu", cubic=True) * (8, 8, 8)
    check_structures([big])
    big.positions[100] = big.positions[2000] + [0.03, 0, 0] + big.cell[0] * 3
    with pytest.raises(ValueError, match="atoms 100 and 2000 are 0.03"):
        check_structures([big])
    far = pair()
    far.positions += 1e6
    check_structures([far])


def test_it_is_quick():
    X = [molecule("CH3CH2OH") for _ in range(2000)]
    check_structures(X)
    best = min(_timed(X) for _ in range(3))
    assert best / len(X) < 100e-6  # about 15 µs on a quiet machine


def _timed(X):
    start = time.perf_counter()
    check_structures(X)
    return time.perf_counter() - start


def test_no_ase_is_needed():
    code = """
import sys
sys.modules["ase"] = None
import types, numpy as np
from skpot.data import check_structures
atoms = types.SimpleNamespace(
    positions=np.zeros((1, 3)), numbers=np.ones(1, int), cell=np.zeros((3, 3)), pbc=np.zeros(3)
)
print(len(check_structures([atoms])))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "1", result.stderr


def test_close_pairs_of_a_neighbor_list():
    start, neighbor = np.array([0, 0, 1, 2, 2]), np.array([3, 2])
    offsets = np.array([0, 1, 4])
    check_pair_distances(np.array([0.4, 0.33]), start, neighbor, offsets)
    with pytest.raises(ValueError, match=r"1 of 2(.|\n)*structure 1: atoms 0 and 2 are 0.01 Å"):
        check_pair_distances(np.array([0.01, 2.0]), start, neighbor, offsets)
    with pytest.raises(ValueError, match="from its own periodic image"):
        check_pair_distances(np.array([1.0, 0.01]), start, neighbor, offsets)


def test_what_is_no_list_is_named_for_what_it_is():
    X = [bulk("Si"), bulk("Ge")]
    column = np.empty((2, 1), dtype=object)
    column[:, 0] = X
    for wrong, message in (
        (column, r"shape \(2, 1\) .* pass X.ravel\(\)"),
        (np.asarray(X, dtype=object), "meta-estimator of scikit-learn .* BaggingRegressor"),
        (iter(X), r"list_iterator, which can be gone through only once; pass list\(X\)"),
        ((atoms for atoms in X), r"generator, .* pass list\(X\)"),
        (np.zeros((2, 3)), r"shape \(2, 3\) and type float64, .* pass list\[Atoms\]"),
    ):
        with pytest.raises(TypeError, match=message):
            check_structures(wrong)


@pytest.mark.parametrize("cache", [True, False])
def test_structures_are_named_by_their_place_in_what_was_passed(cache):
    X = [bulk("Si") for _ in range(5)]
    for atoms, length in zip(X, (5.2, 5.3, 5.4, 5.5, 5.6), strict=True):
        atoms.set_cell(atoms.cell * (length / 5.43), scale_atoms=True)
    soap = SOAP(3.0, 2, 1, cache=cache).fit(X)
    soap.transform(X[:4])  # cached, if there is one
    close = Atoms("Si2", [[0, 0, 0], [0, 0, 0.05]])
    flat = Atoms("Si", cell=np.diag([1.0, 1.0, 1e-4]), pbc=True)
    for bad, message in (
        (close, "structure 4: atoms 0 and 1 are 0.05 Å apart"),
        (flat, "structure 4: .* images of its cell"),
        (bulk("Ge"), r"species Ge in structures \[4\]"),
    ):
        with pytest.raises(ValueError, match=message):
            soap.transform([*X[:4], bad])
    pieces = list(as_batch([*X, close], search_follows=True).in_blocks(4))
    with pytest.raises(ValueError, match="1 of 6 structures .*\n *structure 5: atoms"):
        pieces[-1].take([0]).neighbors(3.0)


WAYS = {
    "check_structures": check_structures,
    "neighbors": lambda X: as_batch(X, search_follows=True).neighbors(3.0),
    "descriptor": lambda X: SOAP(cutoff=3.0, n_max=2, l_max=1).fit_transform(X),
    "matrix": lambda X: skpot.CoulombMatrix().fit_transform(X),
}


@pytest.fixture(scope="module")
def calculator():
    X = [pair(r) for r in (0.5, 0.7, 0.9, 1.1)]
    model = make_pipeline(SOAP(cutoff=3.0, n_max=2, l_max=1), SparseGPR(n_sparse=4))
    return skpot.Calculator(model.fit(X, Targets(-np.arange(4.0))))


@pytest.mark.parametrize("way", [*WAYS, "calculator"])
def test_one_rule_of_what_is_too_close(way, calculator):
    def evaluate(X):
        return WAYS[way](X) if way in WAYS else calculator.get_potential_energy(X[0])

    for distance in (0.0, 0.2, 0.3, 0.319):
        with pytest.raises(StructureError, match="structure 0: atoms 0 and 1 are .* Å apart"):
            evaluate([pair(distance)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Setting the shape")  # by ASE, since NumPy 2.5
        evaluate([pair(0.35)])  # H2 of a scan of its energy
        if way != "calculator":
            evaluate([Atoms("Fe2", [[0, 0, 0], [0, 0, 1.28]])])
    if way != "calculator":
        wrong = [pair(), Atoms("CsH", [[0, 0, 0], [0, 0, 0.9]])]
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("default")
            warnings.filterwarnings("ignore", "Setting the shape")
            evaluate(wrong)
        (warning,) = found
        assert warning.category is StructureWarning
        assert "Cs-H at 0.9 Å in structure 1: structures 1." in str(warning.message)
