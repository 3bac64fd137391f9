import warnings

import numpy as np
import pytest
from sklearn.exceptions import DataConversionWarning

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


def test_energies_unrelated_to_composition():
    sizes = RNG.integers(4, 40, size=50)
    numbers = RNG.choice([1, 8], size=sizes.sum())
    owner = np.repeat(np.arange(50), sizes)
    total = np.bincount(owner, np.where(numbers == 1, -13.6, -430.0)) + RNG.normal(size=50)
    assert not caught("composition", total, sizes, numbers=numbers)
    (text,) = caught("composition", total / sizes**1.2, sizes, numbers=numbers)
    assert "4 to 39 atoms" in text and "per atom" in text
    mixed = np.where(np.arange(50) % 2 == 0, total / 27.2, total)
    assert caught("composition", mixed, sizes, numbers=numbers)
    # One size: nothing can be said.
    assert not caught("composition", RNG.normal(size=50), [3] * 50, numbers=np.ones(150))


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
    rows = RNG.normal(size=(8, 3))
    rows[6:] = rows[:2]
    y = np.array([1.0, 2.0, 3.0, 1.5])
    (text,) = caught("twice", y, [2] * 4, environments=rows)
    assert "1 structures" in text and "0 = 3" in text and "1 of them with another energy" in text
    assert not caught("twice", y, [2] * 4, environments=rows, numbers=[1, 1, 1, 1, 1, 1, 1, 2])
    assert not caught("twice", y, [2, 2, 2, 2], environments=rows + np.arange(8)[:, None])


def test_warnings_point_at_the_caller():
    with pytest.warns(UserWarning) as found:
        check_targets(np.zeros(2), [1, 1], environments=np.zeros((2, 1)))
    assert found[0].filename == __file__


def test_duplicates_among_rows_of_structures():
    rows = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]])
    with pytest.warns(UserWarning, match="1 structures occur twice.*0 = 2"):
        check_targets([-2.0, -3.0, -2.0], [2, 3, 2], environments=rows)
