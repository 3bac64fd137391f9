"""Labels that are wrong, missing or odd, the same way in every regressor."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone

import skpot
from skpot.exceptions import LabelError, LabelWarning
from tests import registry
from tests.test_contract import molecules

ALL = registry.REGRESSORS | registry.MOLECULAR_REGRESSORS | registry.STRUCTURE_REGRESSORS


@pytest.fixture(scope="module", params=ALL)
def case(request, structures, features, targets):
    """Return a regressor, what it takes as X, and sound labels."""
    name = request.param
    if name in registry.REGRESSORS:
        return ALL[name], features, targets
    if name in registry.STRUCTURE_REGRESSORS:
        return ALL[name], structures, targets
    forces = np.random.default_rng(0).normal(size=(12, 6, 3))
    y = skpot.Targets(np.arange(12.0), forces)
    return ALL[name], skpot.InverseDistances().fit_transform(molecules()), y


@pytest.mark.parametrize(
    ("odd", "text"),
    [("-5.0 eV", "is '-5.0 eV'"), ("1.0", "is '1.0'"), (True, "is True"), (1j, "is 1j"),
     ([1.0, 2.0], r"has shape \(2,\)"), (1e300, "cannot be"), (float("nan"), "is nan")],
)  # fmt: skip
def test_what_is_no_energy_is_refused_where_it_is(case, odd, text):
    regressor, X, y = case
    energies = list(y.energy)
    energies[1] = odd
    for values in (energies, tuple(energies)):
        with pytest.raises(LabelError, match=f"structure 1: energy.* {text}"):
            clone(regressor).fit(X, values)


def test_what_cannot_be_a_force_or_a_stress_is_refused_where_it_is(case):
    regressor, X, y = case
    forces = [f.copy() for f in y.forces]
    forces[1][0, 2] = 1e200
    with pytest.raises(LabelError, match=r"structure 1: forces of 1e\+200 eV/Å cannot be"):
        clone(regressor).fit(X, skpot.Targets(y.energy, forces))
    volumes = X.info.volumes if hasattr(X, "info") else [atoms.cell.volume for atoms in X]
    bulk = np.flatnonzero(np.nan_to_num(volumes) > 0)
    if not len(bulk):
        return  # molecules have no stress
    stress = [np.full(6, 1e99) if i == bulk[0] else None for i in range(len(y))]
    with pytest.raises(LabelError, match=rf"structure {bulk[0]}: stress of 1e\+99 eV/Å³ cannot be"):
        clone(regressor).fit(X, skpot.Targets(y.energy, y.forces, stress))


def test_masked_energies_are_missing(case):
    regressor, X, y = case
    mask = np.arange(len(y)) == 1
    garbage = np.where(mask, 1e5, y.energy)
    masked = skpot.Targets(np.ma.array(garbage, mask=mask), y.forces)
    gap = skpot.Targets([None if m else e for m, e in zip(mask, y.energy, strict=True)], y.forces)
    a, b = (clone(regressor).fit(X, labels).predict(X) for labels in (masked, gap))
    np.testing.assert_array_equal(a.energy, b.energy)
    np.testing.assert_array_equal(a.forces_flat, b.forces_flat)


def test_one_cause_is_one_warning(case):
    regressor, X, y = case
    rows = [*range(len(y)), 0, 1]  # two structures occur twice
    X = X[rows] if hasattr(X, "info") else [X[i] for i in rows]
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        clone(regressor).fit(X, y[rows])
    causes = [str(w.message) for w in found if w.category is LabelWarning]
    assert sum("occur twice" in text for text in causes) == 1
    assert [w.filename for w in found if "occur twice" in str(w.message)] == [__file__]
