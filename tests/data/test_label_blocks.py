"""What users give as labels: numbers are taken, gaps are kept, anything else is refused."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from skpot.data import Targets
from skpot.exceptions import LabelError


class NAType:
    """Stands for `pandas.NA`, which is known by the name of its type."""


@pytest.mark.parametrize("container", [list, tuple, np.ma.array, "object"])
@pytest.mark.parametrize(
    "odd",
    ["-5.0 eV", "-5.0", "None", "", b"-1", True, np.True_, 1j, [1.0, 2.0], [], {}, 10**400],
    ids=lambda x: repr(x)[:8],
)
def test_what_is_no_energy_is_refused_where_it_is(container, odd):
    values = np.empty(3, dtype=object)
    values[:] = [-4.9, odd, -5.1]
    if container != "object":
        values = container(values)
    with pytest.raises(LabelError, match="structure 1: energy (is|has|holds) "):
        Targets(values)


@pytest.mark.parametrize("values", [["-4.9", "x"], [True, False], [1j, 2.0]], ids=repr)
def test_arrays_of_what_is_no_energy(values):
    with pytest.raises(LabelError, match="structure 0: energy is "):
        Targets(np.array(values))


def test_numbers_of_other_kinds_are_energies():
    values = [np.float32(1), np.int64(2), [3.0], np.array([4.0]), np.array(5), Fraction(6)]
    y = Targets(values)
    np.testing.assert_array_equal(y.energy, [1, 2, 3, 4, 5, 6])
    assert y.has_energy.all() and Targets([Decimal(7)]).energy[0] == 7


def test_masked_entries_are_missing():
    energy = np.ma.array([1.0, 99.0, 3.0], mask=[False, True, False])
    forces = np.ma.array(np.ones((3, 2, 3)), mask=np.zeros((3, 2, 3), bool))
    forces[0] = np.ma.masked
    forces[1, 1] = np.ma.masked
    stress = np.ma.array(np.ones((3, 6)), mask=np.repeat([[1], [0], [0]], 6, axis=1))
    y = Targets(energy, forces, stress)
    assert y.has_energy.tolist() == [True, False, True] and np.isnan(y.energy[1])
    assert y.has_forces.tolist() == [False, True, True]
    np.testing.assert_array_equal(y.forces[1], [[1, 1, 1], [np.nan] * 3])  # one atom is not known
    assert y.has_stress.tolist() == [False, True, True]
    assert Targets([1.0, NAType()]).has_energy.tolist() == [True, False]
    assert not Targets([1.0], [NAType()], [NAType()]).has_forces.any()


@pytest.mark.parametrize(
    "block", ["forces", "stress", "groups", "sigma_energy", "sigma_forces", "sigma_stress"]
)
@pytest.mark.parametrize("value", [0.1, np.array(0.1), "ab", [None], {}])
def test_one_entry_for_each_structure(block, value):
    with pytest.raises(LabelError, match=r"got 2 energies but .*give one per structure"):
        Targets([-1.0, -2.0], **{block: value})


def test_groups_that_are_missing_have_no_name():
    missing = [None, float("nan"), np.nan, np.ma.masked, NAType()]
    assert Targets([0.0] * 6, groups=[*missing, 5]).groups.tolist() == [""] * 5 + ["5"]
    masked = np.ma.array(["a", "b"], mask=[False, True])
    assert Targets([0.0, 0.0], groups=masked).groups.tolist() == ["a", ""]
