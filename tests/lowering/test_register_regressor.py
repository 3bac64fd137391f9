"""Regressors of other packages are compiled once they say how; skpot itself is not touched."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

import skpot
from skpot.exceptions import NotCompilableError
from skpot.lowering import register_regressor
from skpot.models import LinearForms
from skpot.testing import check_potential
from tests.third_party import SummedFeatures


class Registered(SummedFeatures):
    """The same, known to `skpot.compile`."""


class Derived(Registered):
    """A subclass of one that is known."""


class Unusual(SummedFeatures):
    """One that cannot always be compiled, of which its package says so."""


def linear_forms(model):
    coefficients = {z: model.coef_ for z in model.e0_}
    return LinearForms(model.n_features_in_, coefficients, None)


def refuse(model):
    raise NotCompilableError("today it cannot")


register_regressor(Registered, linear_forms)
register_regressor(Unusual, refuse)


@pytest.fixture(scope="module")
def silicon():
    X, y, X_test, _ = skpot.datasets.load_silicon(return_X_y=True)
    return X[:12], y[:12], X_test[:3]


def fitted(regressor, silicon):
    X, y, _ = silicon
    return make_pipeline(skpot.SOAP(cutoff=4.0, n_max=3, l_max=2), regressor).fit(X, y)


@pytest.mark.parametrize("kind", [Registered, Derived])
def test_a_registered_regressor_runs_compiled(kind, silicon):
    model = fitted(kind(), silicon)
    compiled, predicted = skpot.compile(model).predict(silicon[2]), model.predict(silicon[2])
    np.testing.assert_allclose(compiled.energy, predicted.energy, rtol=1e-10)
    np.testing.assert_allclose(compiled.forces_flat, predicted.forces_flat, atol=1e-10)
    np.testing.assert_allclose(compiled.stress, predicted.stress, atol=1e-12)
    check_potential(model, silicon[2][:1])


def test_the_calculator_runs_it(silicon):
    model, atoms = fitted(Registered(), silicon), silicon[2][0].copy()
    atoms.calc = skpot.Calculator(model)
    np.testing.assert_allclose(atoms.get_forces(), model.predict([atoms]).forces[0], atol=1e-10)


@pytest.mark.parametrize(
    "kind, message",
    [(SummedFeatures, "skpot.lowering.register_regressor"), (Unusual, "today it cannot")],
)
def test_others_run_step_by_step(kind, message, silicon):
    model, atoms = fitted(kind(), silicon), silicon[2][0].copy()
    with pytest.raises(NotCompilableError, match=message):
        skpot.compile(model)
    atoms.calc = skpot.Calculator(model)
    np.testing.assert_allclose(atoms.get_forces(), model.predict([atoms]).forces[0], atol=1e-10)


class Wrong(SummedFeatures):
    """One whose package makes mistakes."""


def test_mistakes_of_a_registration_are_named(silicon):
    model = fitted(Wrong(), silicon)
    register_regressor(Wrong, lambda model: None)
    with pytest.raises(TypeError, match="registered for Wrong .* returned NoneType"):
        skpot.compile(model)
    register_regressor(Wrong, lambda model: LinearForms(model.n_features_in_, {}, None))
    del model[-1].e0_
    with pytest.raises(TypeError, match="Wrong has no dict e0_"):
        skpot.compile(model)
