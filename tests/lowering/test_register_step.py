"""Steps of other packages are compiled if they register how, without changes in skpot."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import skpot
from skpot.compose import register_jacobian
from skpot.data import ScaleColumns, SpeciesMap
from skpot.exceptions import NotCompilableError
from skpot.kernels import RBF, DotProduct
from skpot.lowering import register_step
from skpot.testing import check_potential
from tests.samples import labeled, small_structures

SYMBOLS = "Si", "O", "H"


class Turned(TransformerMixin, BaseEstimator):
    """Rows times a matrix, plus a shift; a transformer of plain arrays."""

    def fit(self, X, y=None):
        rng = np.random.default_rng(3)
        self.matrix_ = rng.normal(size=(X.shape[1], 6)) / np.sqrt(X.shape[1])
        self.shift_ = rng.normal(size=6)
        return self

    def transform(self, X):
        return X @ self.matrix_ + self.shift_


class AlsoTurned(Turned):
    """A subclass."""


class TurnedJacobian:
    """Derivative of `Turned`, as `register_jacobian` asks for it."""

    def __init__(self, step):
        self.matrix = step.matrix_

    def vjp(self, rows, g):
        return g @ self.matrix.T

    def jvp(self, rows, v):
        return v @ self.matrix


class Doubled(TransformerMixin, BaseEstimator):
    """A step that changes only the values of features and keeps their origin."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        chain = ScaleColumns(X.derivatives, np.full(X.shape[1], 2.0))
        return X.mapped(2.0 * X.values, chain, origin=X.origin)


class Whitened(TransformerMixin, BaseEstimator):
    """Rows times a matrix for their species, plus a shift; a step between atomic features."""

    def fit(self, X, y=None):
        rng = np.random.default_rng(4)
        self.matrices_ = {
            int(z): rng.normal(size=(X.shape[1], 5)) / np.sqrt(X.shape[1])
            for z in np.unique(X.species)
        }
        self.shift_ = rng.normal(size=5)
        return self

    def transform(self, X):
        species = np.array(sorted(self.matrices_))
        stack = np.array([self.matrices_[z] for z in species.tolist()])
        kinds = np.searchsorted(species, X.species)
        chain = SpeciesMap(X.derivatives, kinds, stack, X.offsets)
        values = np.einsum("ni,nij->nj", X.values, stack[kinds]) + self.shift_
        return X.mapped(values, chain)


def register():
    register_jacobian(Turned, TurnedJacobian)
    register_step(Turned, lambda step, tree: tree.mapped(step.matrix_, step.shift_))
    register_step(Doubled, lambda step, tree: tree.scaled(2.0))
    register_step(Whitened, lambda step, tree: tree.mapped(step.matrices_, step.shift_))


def soap():
    return skpot.SOAP(cutoff=3.0, n_max=2, l_max=2)


def sparse():
    return skpot.SparseGPR(RBF(2.0), n_sparse=12, selection="random")


MODELS = {
    "rows": make_pipeline(soap(), skpot.PerAtom(Turned()), sparse()),
    "by species": make_pipeline(soap(), Whitened(), sparse()),
    "keeps the origin": make_pipeline(soap(), Doubled(), sparse()),
    "one after the other": make_pipeline(soap(), Whitened(), skpot.PerAtom(Turned()), sparse()),
    "before others": make_pipeline(
        soap(), skpot.PerAtom(Turned()), skpot.PerAtom(StandardScaler()), sparse()
    ),
    "scaled before": make_pipeline(
        soap(), skpot.PerAtom(StandardScaler()), skpot.PerAtom(Turned()), sparse()
    ),
    "in a pipeline": make_pipeline(
        soap(), make_pipeline(Whitened(), skpot.PerAtom(PCA(3))), skpot.LinearRidge(1e-3)
    ),
    "before species vectors": make_pipeline(
        soap(), skpot.PerAtom(Turned()), skpot.SpeciesCoupling(),
        skpot.GPR(
            DotProduct(2, block=(0, 6)) * RBF(1.5).on("species"), sigma_energy=0.5, sigma_forces=0.5
        ),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    register()
    return labeled(SYMBOLS, 3, per_atom=-2.0, stress=None)


@pytest.mark.filterwarnings("ignore:.*reference energies", "ignore:.*occur twice")
@pytest.mark.parametrize("name", MODELS)
def test_a_registered_step_runs_compiled(name, data):
    model = MODELS[name].fit(*data)
    calculator = skpot.Calculator(model)
    assert calculator.compiled_ is not None
    for atoms in small_structures(SYMBOLS, first=9):
        predicted = model.predict([atoms])
        energy = calculator.get_property("energy", atoms)
        assert energy == pytest.approx(predicted.energy[0], rel=1e-10)
        largest = np.abs(predicted.forces_flat).max()
        difference = calculator.get_property("forces", atoms) - predicted.forces[0]
        assert np.abs(difference).max() < 1e-10 * max(1.0, largest)


@pytest.mark.filterwarnings("ignore:.*reference energies", "ignore:.*occur twice")
def test_derivatives_of_registered_steps_are_right(data):
    check_potential(MODELS["one after the other"].fit(*data), small_structures(SYMBOLS, first=9))


@pytest.mark.filterwarnings("ignore:.*reference energies", "ignore:.*occur twice")
def test_steps_that_cannot_be_lowered_are_refused_and_run_all_the_same(data):
    frames, y = data

    def refuse(step, tree):
        raise NotCompilableError("this step is none of them.")

    class Refused(Whitened):
        pass

    class Unknown(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None):
            return self

        def transform(self, X):
            return X

    register_step(Refused, refuse)
    refused = {
        "this step is none of them": make_pipeline(soap(), Refused(), sparse()),
        "Unknown has no compiled form": make_pipeline(soap(), Unknown(), sparse()),
        "a matrix for each species": make_pipeline(
            soap(), skpot.PerAtom(StandardScaler()), Whitened(), sparse()
        ),
        "SpeciesCoupling has no compiled form": make_pipeline(
            soap(), skpot.SpeciesCoupling(), Whitened(), sparse()
        ),
    }
    for message, model in refused.items():
        model.fit(frames, y)
        with pytest.raises(NotCompilableError, match=message):
            skpot.compile(model)
        assert skpot.Calculator(model).compiled_ is None


@pytest.mark.filterwarnings("ignore:.*reference energies", "ignore:.*occur twice")
def test_a_lowering_of_subclasses_is_that_of_their_class(data):
    model = make_pipeline(soap(), skpot.PerAtom(AlsoTurned()), sparse()).fit(*data)
    assert skpot.Calculator(model).compiled_ is not None


@pytest.mark.filterwarnings("ignore:.*reference energies", "ignore:.*occur twice")
def test_mistakes_of_a_registration_are_named(data):
    class Wrong(Whitened):
        pass

    model = make_pipeline(soap(), Wrong(), sparse()).fit(*data)
    mistakes = [
        (lambda step, tree: None, TypeError, "registered for Wrong .* returned NoneType"),
        (lambda step, tree: tree.mapped(np.eye(3)), ValueError, r"matrices of shape \(3, 3\)"),
        (
            lambda step, tree: tree.mapped(step.matrices_, np.zeros(2)),
            ValueError,
            r"5 features shifts them by an array of shape \(2,\)",
        ),
    ]
    for lower, error, message in mistakes:
        register_step(Wrong, lower)
        with pytest.raises(error, match=message):
            skpot.compile(model)


def test_a_step_that_comes_first_is_refused(data):
    step = Whitened().fit(soap().fit_transform(data[0]))
    with pytest.raises(NotCompilableError, match="Whitened has no compiled form"):
        skpot.compile(Pipeline([("step", step), ("model", fitted_regressor(data))]))


def fitted_regressor(data):
    features = Whitened().fit_transform(soap().fit_transform(data[0]))
    return sparse().fit(features, data[1])
