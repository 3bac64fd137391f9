"""Regressors are made of parts, not of ancestors."""

import pytest

import skpot
from skpot import _base, models
from tests.registry import REGRESSORS

MOST = 2


@pytest.mark.parametrize("kind", sorted({type(r).__name__ for r in REGRESSORS.values()}))
def test_at_most_two_classes_stand_above_a_regressor(kind):
    above = [
        base.__name__
        for base in getattr(skpot, kind).__mro__[1:]
        if base.__module__.startswith("skpot.") and base.__module__ != _base.__name__
    ]
    assert len(above) <= MOST, above
    assert set(above) <= {"Potential", "KernelPotential"}


@pytest.mark.parametrize("kind", [models.Potential, models.KernelPotential])
def test_none_of_them_is_a_regressor_itself(kind):
    assert "fit" not in vars(kind)
