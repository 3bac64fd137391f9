import warnings

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from skpot import SOAP, SparseGPR
from skpot.data import StructureInfo, Targets, check_targets
from skpot.exceptions import LabelError, LabelWarning

RNG = np.random.default_rng()


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state


def labels(n=4, size=3):
    return Targets(RNG.normal(size=n), RNG.normal(size=(n, size, 3)), np.zeros((n, 6)))


def quiet(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return check_targets(*args, **kwargs)


def test_sound_labels_pass():
    y = labels()
    assert quiet(y, [3] * 4) is y
    plain = quiet(np.arange(4.0), [3] * 4)
    assert isinstance(plain, Targets) and not plain.has_forces.any()
    assert len(quiet([1, 2, 3], [1, 1, 1])) == 3


def test_all_problems_at_once():
    forces = [np.zeros((3, 3)), np.zeros((2, 3)), np.full((3, 3), np.nan), None]
    stress = [None, [0, 0, np.inf, 0, 0, 0], None, None]
    y = Targets([np.nan, 1.0, None, np.inf], forces, stress)
    with pytest.raises(ValueError) as error:
        check_targets(y, [3, 3, 3, 3])
    text = str(error.value)
    assert "4 of 4 structures" in text
    for part in (
        "structure 0: energy is nan",
        "structure 1: forces on 2 atoms, but it has 3; stress is [ 0.  0. inf  0.  0.  0.]",
        "structure 2: forces are not finite, atoms 0, 1, 2",
        "structure 3: energy is inf",
        "groups=n_atoms",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y is None"),
        (np.zeros(3), "y has 3 entries but X has 4"),
        (Targets([None] * 4), "no labels at all"),
        (np.zeros((4, 2)), "1d array"),
    ],
)
def test_what_are_no_labels(y, message):
    with pytest.raises(ValueError, match=message):
        check_targets(y, [3] * 4)


def test_columns_are_flattened_as_scikit_learn_does():
    with pytest.warns(DataConversionWarning):
        assert check_targets(np.zeros((4, 1)), [3] * 4).shape == (4,)


def test_named_blocks_must_be_there():
    y = labels()
    only = quiet(y, [3] * 4, ("energy", "forces"))
    assert only.has_forces.all() and only.stress is None
    only = quiet(y, [3] * 4, "forces")
    assert not only.has_energy.any() and only.has_forces.all()

    partly = Targets([1.0, None, 2.0], [None, np.ones((1, 3)), None])
    assert quiet(partly, [1, 1, 1]) is partly
    with pytest.raises(ValueError, match=r"energy missing for structures 1; forces.*0, 2"):
        check_targets(partly, [1, 1, 1], ("energy", "forces"))
    with pytest.raises(ValueError, match="no structure has forces.*VotingRegressor"):
        check_targets(np.zeros(2), [1, 1], ("energy", "forces"))
    with pytest.raises(ValueError, match="targets must be.*got .*'force'"):
        check_targets(np.zeros(2), [1, 1], "force")


def info(volumes, bulk=True):
    volumes = np.asarray(volumes, dtype=float)
    return StructureInfo(volumes, np.full(len(volumes), bulk), np.arange(len(volumes)))


def test_stress_is_demanded_where_there_is_a_volume_only():
    y = Targets([1.0, 2.0], stress=[None, np.zeros(6)])
    quiet(y, [1, 1], ("energy", "stress"), info=info([np.nan, 10.0]))
    with pytest.raises(ValueError, match="stress missing for structures 1"):
        check_targets(y[::-1], [1, 1], ("energy", "stress"), info=info([np.nan, 10.0]))
    with pytest.raises(ValueError, match="no structure has stress"):
        check_targets(Targets([1.0]), [1], ("stress",), info=info([np.nan]))


def caught(match, *args, **kwargs):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        check_targets(*args, **kwargs)
    return [str(w.message) for w in found if match in str(w.message)]


def test_force_outliers():
    forces = RNG.normal(size=(200, 3, 3))
    assert not caught("forces", Targets(np.zeros(200), forces), [3] * 200)
    forces[17, 1] = [60.0, 0, 0]
    (text,) = caught("forces", Targets(np.zeros(200), forces), [3] * 200)
    assert "1 atoms" in text and "structures 17." in text and "60 eV/Å" in text
    forces[17, 1] *= 0.5  # no longer huge, yet twenty times what is usual
    forces[:17] *= 0.1
    forces[18:] *= 0.1
    assert caught("forces", Targets(np.zeros(200), forces), [3] * 200)


def test_crystals_do_not_make_outliers_of_liquids():
    forces = np.zeros((100, 3, 3))
    forces[:30] = RNG.normal(0, 3.0, size=(30, 3, 3))
    assert not caught("forces", Targets(np.zeros(100), forces), [3] * 100)


@pytest.fixture(scope="module")
def molecules():
    """Total energies of 50 molecules of 4 to 39 atoms H and O, sizes, numbers."""
    rng = np.random.default_rng(2)
    sizes = rng.integers(4, 40, size=50)
    numbers = rng.choice([1, 8], size=sizes.sum())
    owner = np.repeat(np.arange(50), sizes)
    total = np.bincount(owner, np.where(numbers == 1, -13.6, -430.0)) + rng.normal(size=50)
    return total, sizes, numbers


@pytest.fixture(scope="module")
def alloys():
    """Energies by EMT, which composition does not explain, of 60 alloys; sizes, numbers."""
    rng = np.random.default_rng(3)
    energies, sizes, numbers = [], [], []
    for _ in range(60):
        atoms = bulk("Cu", cubic=True, a=rng.uniform(3.55, 3.95)) * rng.integers(1, 3, 3)
        atoms.symbols = rng.choice(["Cu", "Au", "Ni"], len(atoms))
        atoms.rattle(rng.choice([0.01, 0.2]), rng=rng)
        atoms.calc = EMT()
        energies.append(atoms.get_potential_energy())
        sizes.append(len(atoms))
        numbers.append(atoms.numbers)
    return np.array(energies), np.array(sizes), np.concatenate(numbers)


def test_surfaces_and_clusters_by_the_energy_of_bulk_are_no_matter():
    """EMT counts from bulk: slabs of any thickness have the same energy, clusters about that."""
    for counts, each in (((8, 16), (3.0, 3.0)), ((3, 8), (4.5, 4.6)), ((8, 4), (1.6, 6.3))):
        sizes = np.repeat(counts, 12)
        y = np.repeat(each, 12) + RNG.normal(0, 0.2, 24)
        assert not caught("composition", y, sizes, numbers=np.full(sizes.sum(), 29))


UNITS = {"Hartree": 27.2114, "Rydberg": 13.6057, "kcal/mol": 1 / 23.0605, "kJ/mol": 1 / 96.4853}


def test_total_energies_are_no_matter(molecules, alloys):
    for total, sizes, numbers in (molecules, alloys):
        for shift in (0.0, -3.5):
            y = total + shift * sizes
            assert not caught("composition", y, sizes, numbers=numbers)
            few = slice(0, 9), numbers[: sizes[:9].sum()]
            assert not caught("composition", y[few[0]], sizes[:9], numbers=few[1])
    # One size: nothing can be said. Nor of energies that are zero on average, or zero.
    assert not caught("composition", RNG.normal(size=50), [3] * 50, numbers=np.ones(150))
    sizes = RNG.integers(2, 30, 50)
    for energy in (RNG.normal(size=50) * sizes, RNG.normal(size=50) * sizes**0.5, np.zeros(50)):
        assert not caught("composition", energy, sizes, numbers=np.ones(sizes.sum()))


def test_free_atoms_among_crystals_are_no_matter():
    sizes = np.where(np.arange(40) % 4 == 0, 1, 8)
    y = np.where(sizes == 1, -0.19, -3.74 * 8) + RNG.normal(0, 0.1, 40)
    assert not caught("composition", y, sizes, numbers=np.full(sizes.sum(), 13))


@pytest.mark.parametrize("shift", [0.0, -3.5])
def test_energies_per_atom(molecules, alloys, shift):
    for total, sizes, numbers in (molecules, alloys):
        if not shift and total is alloys[0]:
            continue  # a cohesive energy near zero is as good a number per atom
        total = total + shift * sizes
        (text,) = caught("composition", total / sizes, sizes, numbers=numbers)
        assert "as energies per atom. " in text and f"{sizes.min()} to {sizes.max()} atoms" in text
        for every in (2, 7):
            some = np.arange(len(sizes)) % every == 0
            for mixed in (
                np.where(some, total / sizes, total),
                np.where(some, total, total / sizes),
            ):
                (text,) = caught("composition", mixed, sizes, numbers=numbers)
                assert "per atom in some structures" in text


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("every", [2, 5, 9])
def test_mixes_of_units(molecules, alloys, unit, every):
    for (total, sizes, numbers), shift in ((molecules, 0.0), (alloys, -3.5)):
        total = total + shift * sizes
        some = np.arange(len(sizes)) % every == 0
        for rows in (some, ~some):
            mixed = np.where(rows, total / UNITS[unit], total)
            (text,) = caught("composition", mixed, sizes, numbers=numbers)
            assert f"energies in {unit} in some structures" in text


def test_mixes_of_codes(alloys):
    total, sizes, numbers = alloys
    y = np.where(np.arange(60) % 3 == 0, total - 4000.0 * sizes, total - 5.0 * sizes)
    (text,) = caught("composition", y, sizes, numbers=numbers)
    assert "those of one composition differ by more than 20 eV per atom" in text


def pressure_curve(n=40):
    volumes = np.linspace(50.0, 70.0, n)
    stress = np.zeros((n, 6))
    stress[:, :3] = (0.01 * (volumes - 60.0) + RNG.normal(0, 0.005, n))[:, None]
    return volumes, stress


def test_stress_of_the_wrong_sign_or_unit():
    volumes, stress = pressure_curve()
    options = {"numbers": np.ones(160), "info": info(volumes)}
    y = np.zeros(40)
    assert not caught("stress", Targets(y, stress=stress), [4] * 40, **options)
    (text,) = caught("stress", Targets(y, stress=-stress), [4] * 40, **options)
    assert "sign looks wrong" in text
    assert caught("GPa", Targets(y, stress=160 * stress), [4] * 40, **options)
    # Too few, or of many compositions, or hardly strained: no verdict.
    few = {"numbers": np.ones(40), "info": info(volumes[::4])}
    assert not caught("sign", Targets(y[::4], stress=-stress[::4]), [4] * 10, **few)
    many = {"numbers": np.repeat(np.arange(40) + 1, 4), "info": info(volumes)}
    assert not caught("sign", Targets(y, stress=-stress), [4] * 40, **many)
    narrow = {"numbers": np.ones(160), "info": info(60 + (volumes - 60) / 100)}
    assert not caught("sign", Targets(y, stress=-stress), [4] * 40, **narrow)
    slabs = {"numbers": np.ones(160), "info": info(volumes, bulk=False)}
    assert not caught("sign", Targets(y, stress=-stress), [4] * 40, **slabs)


def test_stress_of_structures_without_volume():
    y = Targets([1.0, 2.0, 3.0], stress=[np.ones(6), np.zeros(6), np.zeros(6)])
    where = info([10.0, np.nan, 10.0])
    with pytest.warns(LabelWarning, match="structures 1. These labels are ignored") as record:
        labels = check_targets(y, [1, 1, 1], info=where)
    assert len(record) == 1
    assert labels.has_stress.tolist() == [True, False, True]
    np.testing.assert_equal(labels.stress[[0, 2]], y.stress[[0, 2]])
    y.stress[1, 3] = 1e-6
    with pytest.raises(LabelError, match="structure 1: stress is .* no three independent vectors"):
        check_targets(y, [1, 1, 1], info=where)


def test_structures_that_occur_twice():
    y = np.array([1.0, 2.0, 3.0, 1.5, 2.0])
    (text,) = caught("twice", y, [2] * 5, keys=[7, 8, 9, 7, 8])
    assert "2 structures occur twice: 0 = 3, 1 = 4; 1 of them with another energy" in text
    assert not caught("twice", y, [2] * 5, keys=np.arange(5))
    assert not caught("twice", y, [2] * 5)


def test_structures_without_neighbors_do_not_occur_twice():
    X = [Atoms("Ar2", [[0, 0, 0], [0, 0, r]]) for r in (2.0, 8.0, 9.0, 10.0, 9.0)]
    features = SOAP(cutoff=3.0, n_max=2, l_max=1).fit_transform(X)
    rows = features.values.reshape(5, -1)
    assert np.array_equal(rows[1], rows[3])
    (text,) = caught("twice", -np.arange(5.0), [2] * 5, keys=features.info.keys)
    assert "1 structures occur twice: 2 = 4" in text
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        SparseGPR(n_sparse=2).fit(features[:4], Targets([-2.0, -1.0, -1.5, -1.7]))
    assert not any("twice" in str(w.message) for w in found)


def test_warnings_point_at_the_caller():
    with pytest.warns(UserWarning) as found:
        check_targets(np.zeros(2), [1, 1], keys=[1, 1])
    assert found[0].filename == __file__


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([-1.0, 1e300], "energy of 5e\\+299 eV per atom cannot be"),
        ([-1.0, -1e9], "energy of -5e\\+08 eV per atom cannot be"),
        (Targets([0.0, 0.0], [None, [[0, 0, 0], [0, 1e200, 0]]]), "forces of 1e\\+200 eV/Å"),
        (Targets([0.0, 0.0], None, [None, [0, 0, 0, 0, -1e9, 0]]), "stress of 1e\\+09 eV/Å³"),
    ],
)
def test_numbers_that_are_none_of_eV(y, message):
    with pytest.raises(LabelError, match=f"1 of 2(.|\n)*structure 1: {message}"):
        check_targets(y, [2, 2], numbers=[1] * 4)
    quiet(y, [2, 2], numbers=[0] * 4) if isinstance(y, list) else None  # rows of a table


@pytest.mark.parametrize("odd", ["-5.0 eV", "3.0", True, [1.0, 2.0], 1j])
def test_what_is_no_number_is_named(odd):
    for y in ([-4.9, odd], (-4.9, odd)):
        with pytest.raises(LabelError, match="structure 1: energy "):
            check_targets(y, [1, 1])


def test_masks_and_none_are_missing_energies():
    for y in (np.ma.array([1.0, 9.0], mask=[0, 1]), [1.0, None], (1.0, np.ma.masked)):
        labels = check_targets(y, [1, 1])
        assert labels.has_energy.tolist() == [True, False]
    column = np.ma.array([[1.0], [9.0]], mask=[[0], [1]])
    with pytest.warns(DataConversionWarning):
        assert check_targets(column, [1, 1]).has_energy.tolist() == [True, False]


def test_a_cross_validation_warns_once():
    rng = np.random.default_rng(0)
    X = [Atoms("Ar2", [[0, 0, 0], [0, 0, r]]) for r in rng.uniform(2.5, 3.0, 40)]
    X += [atoms.copy() for atoms in X[:20]]
    forces = rng.normal(size=(60, 2, 3))
    forces[::6] = 1e4
    y = Targets(rng.normal(size=60), forces)
    model = make_pipeline(SOAP(cutoff=4.0, n_max=2, l_max=1), SparseGPR(n_sparse=4))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        cross_val_score(model, X, y, cv=4)
    texts = [str(w.message) for w in found if issubclass(w.category, LabelWarning)]
    assert sum("occur twice" in text for text in texts) == 1
    assert sum("forces above" in text for text in texts) == 1


@pytest.mark.parametrize("block", ["energy", "stress"])
def test_zeros_that_fill_gaps_are_told(block):
    forces = [np.full((2, 3), float(k != 3)) for k in range(6)]
    labels = {"energy": -1.0 - np.arange(6.0), "stress": np.full((6, 6), 0.01), "forces": forces}
    check_targets(Targets(**labels), [2] * 6)
    labels[block][3] = 0.0  # where there are no forces either
    check_targets(Targets(**labels), [2] * 6)
    labels[block][[1, 4]] = 0.0
    with pytest.warns(LabelWarning, match=f"{block} is exactly zero in 2 .*: structures 1, 4"):
        check_targets(Targets(**labels), [2] * 6)
