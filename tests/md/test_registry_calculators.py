"""The calculator with every regressor: stress of a slab, grades, and calls after a refusal."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import skpot
from skpot.exceptions import SkpotError
from tests.md.conftest import slab, training_set
from tests.md.test_stress import by_differences
from tests.registry import REGRESSORS


@pytest.fixture(scope="module")
def data():
    return training_set()


def grades(model, atoms):
    """Return what the regressor itself says of the environments of a structure."""
    while not hasattr(model, "steps"):
        model = model.estimator_
    return model[-1].extrapolation_grade(model[:-1].transform([atoms]))


def pipeline(name):
    soap = skpot.SOAP(cutoff=3.5, n_max=2, l_max=1, species=["Cu", "Ag"])
    regressor = clone(REGRESSORS[name])
    if isinstance(regressor, skpot.CalibratedPotential):  # it wraps a pipeline
        return regressor.set_params(estimator=make_pipeline(soap, regressor.estimator))
    return make_pipeline(soap, regressor)


NOT_COMPILED = {"Committee", "GPR-product"}


# Sums of kernels take long to compile; tests/lowering/test_compile.py has one.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(REGRESSORS.keys() - {"SparseGPR-sum"}))
def test_a_slab_has_a_stress_and_a_refusal_changes_nothing(name, data):
    X, y = data
    model = pipeline(name).fit(X, y)
    calculator, atoms = skpot.Calculator(model), X[-1].copy()
    expected = model.predict([atoms])
    alloy = atoms.copy()
    alloy.symbols[0] = "Ag"
    broken = slab()
    broken.positions[1] = broken.positions[0]
    for wrong in (alloy, broken, alloy):
        with pytest.raises(SkpotError):
            calculator.get_property("energy", wrong)
    found = calculator.get_property("stress", atoms)
    np.testing.assert_allclose(found, expected.stress[0], atol=1e-8)
    np.testing.assert_allclose(
        calculator.get_property("forces", atoms), expected.forces[0], atol=1e-8
    )
    assert calculator.compiled_ is not None or name in NOT_COMPILED
    grade = calculator.get_property("extrapolation_grade", atoms)
    np.testing.assert_allclose(grade, grades(model, atoms), rtol=1e-5, atol=1e-6)
    numeric = by_differences(lambda a: calculator.get_property("energy", a), atoms)
    np.testing.assert_allclose(found, numeric, atol=1e-6 * np.abs(numeric).max() + 1e-9)
