"""The difference to a calculator is learned, and the sum is a potential."""

import copy
import functools
import pickle

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from ase.md.verlet import VelocityVerlet
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skpot
from skpot import DeltaRegressor, Targets
from skpot.kernels import DotProduct
from skpot.metrics import forces_rmse
from skpot.testing import check_potential
from tests.samples import crystal, labels_of_emt

# Parameters for something like copper, with a smooth end at the cutoff.
Morse = functools.partial(MorsePotential, epsilon=0.4, r0=2.6, rho0=3.6, rcut1=3.0, rcut2=3.6)


class EnergyOnly(Calculator):
    implemented_properties = ["energy"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=("positions",)):
        super().calculate(atoms, properties, system_changes)
        if len(self.atoms) == 3:
            raise RuntimeError("not converged")
        self.results = {"energy": np.nan if len(self.atoms) == 2 else float(len(self.atoms))}


@pytest.fixture(scope="module")
def copper():
    X = [crystal("Cu", 0.15, seed, a=3.6 + 0.01 * (seed % 5)) for seed in range(12)]
    y = labels_of_emt(X)
    return X[:8], y[:8], X[8:], y[8:]


def rest(**options):
    options = dict(n_sparse=30, sigma_forces=0.02) | options
    soap = skpot.SOAP(cutoff=4.5, n_max=4, l_max=3)
    return make_pipeline(soap, skpot.SparseGPR(DotProduct(2), **options))


def test_what_makes_no_calculator_is_told():
    model = DeltaRegressor(make_pipeline(skpot.SOAP(), skpot.SparseGPR()), lambda: 3)
    with pytest.raises(skpot.exceptions.ParameterError, match="returns int, which is no calc"):
        model.fit([bulk("Cu")], [0.0])


def test_labels_less_the_calculator_are_learned(copper):
    X, y, X_test, _ = copper
    model = DeltaRegressor(rest(), Morse).fit(X, y)
    base, base_test = (
        Targets.from_atoms([_with(Morse(), atoms) for atoms in each]) for each in (X, X_test)
    )
    difference = Targets(
        y.energy - base.energy,
        [f - g for f, g in zip(y.forces, base.forces, strict=True)],
        y.stress - base.stress,
    )
    by_hand = rest().fit(X, difference).predict(X_test)
    y_pred, std = model.predict(X_test, return_std=True)
    np.testing.assert_allclose(y_pred.energy, by_hand.energy + base_test.energy, atol=1e-10)
    expected = by_hand.forces_flat + base_test.forces_flat
    np.testing.assert_allclose(y_pred.forces_flat, expected, atol=1e-10)
    np.testing.assert_allclose(y_pred.stress, by_hand.stress + base_test.stress, atol=1e-10)
    # The deviation is that of the model of the difference.
    np.testing.assert_array_equal(std, model.estimator_.predict(X_test, return_std=True)[1])
    energies = DeltaRegressor(rest(), Morse).fit(X, y.energy).predict(X_test)
    assert type(energies) is np.ndarray


def _with(calculator, atoms):
    atoms = atoms.copy()
    atoms.calc = calculator
    return atoms


def test_a_good_baseline_helps(copper):
    X, y, X_test, y_test = copper
    alone = forces_rmse(y_test, rest().fit(X[:2], y[:2]).predict(X_test))
    model = DeltaRegressor(rest(), Morse).fit(X[:2], y[:2])
    assert forces_rmse(y_test, model.predict(X_test)) < 0.7 * alone
    # If the calculator made the labels, the difference is zero.
    exact = DeltaRegressor(rest(), EMT).fit(X[:4], y[:4])
    np.testing.assert_allclose(exact.predict(X_test).forces_flat, y_test.forces_flat, atol=1e-8)


def test_keeps_the_promises_of_a_potential(copper):
    X, y, _, _ = copper
    model = DeltaRegressor(rest(), Morse).fit(X, y)
    skip = ("stress", "cell", "batches", "inputs", "threads", "copies")
    check_potential(model, X[:1], skip=skip, rtol=1e-5)


def test_searches_and_copies(copper):
    X, y, X_test, _ = copper
    model = DeltaRegressor(rest(), Morse)
    grid = {"estimator__sparsegpr__sigma_forces": [0.02, 10.0]}
    search = GridSearchCV(model, grid, scoring="neg_forces_rmse", cv=2).fit(X, y)
    assert search.best_params_["estimator__sparsegpr__sigma_forces"] == 0.02
    fitted = search.best_estimator_
    expected = fitted.predict(X_test).forces_flat
    for again in (pickle.loads(pickle.dumps(fitted)), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(again.predict(X_test).forces_flat, expected)
    assert not hasattr(clone(fitted), "estimator_")
    # A calculator, unlike a function that makes one, is copied.
    given = clone(DeltaRegressor(rest(), Morse())).fit(X, y)
    given.set_params(estimator__sparsegpr__sigma_forces=0.02)
    np.testing.assert_allclose(given.predict(X_test).forces_flat, expected, atol=1e-9)


def test_files_hold_what_makes_the_calculator(copper, tmp_path):
    X, y, X_test, _ = copper
    path = tmp_path / "model"
    model = DeltaRegressor(rest(), Morse).fit(X, y)
    skpot.dump(model, path)
    with pytest.raises(TypeError, match="MorsePotential"):
        skpot.load(path)
    trusted = ["functools.partial", "ase.calculators.morse.MorsePotential"]
    again = skpot.load(path, trusted=trusted)
    np.testing.assert_array_equal(
        again.predict(X_test).forces_flat, model.predict(X_test).forces_flat
    )
    with pytest.raises(TypeError, match="Give DeltaRegressor a class or function"):
        skpot.dump(model.set_params(calculator=Morse()), path)
    assert skpot.load(path, trusted=trusted).calculator.func is MorsePotential
    assert list(tmp_path.iterdir()) == [path]


def test_a_calculator_may_be_named(copper, tmp_path):
    X, y, X_test, _ = copper
    model = DeltaRegressor(rest(), "emt").fit(X, y)
    by_class = DeltaRegressor(rest(), EMT).fit(X, y)
    path = tmp_path / "model.skpot"
    skpot.dump(model, path)
    again = skpot.load(path)  # no type has to be trusted
    np.testing.assert_array_equal(
        again.predict(X_test).forces_flat, by_class.predict(X_test).forces_flat
    )


@pytest.mark.parametrize("name", ["emtt", "os.system", "../emt"])
def test_names_of_no_calculator(copper, name):
    with pytest.raises(ValueError, match=f"'{name}' is no calculator that can be named; .* emt, "):
        DeltaRegressor(rest(), name).fit(copper[0], copper[1])


def test_named_calculators_that_are_not_installed(copper):
    with pytest.raises(ValueError, match="the calculator 'hotbit' cannot be used: .*hotbit"):
        DeltaRegressor(rest(), "hotbit").fit(copper[0], copper[1])


def test_drives_dynamics(copper):
    X, y, X_test, _ = copper
    model = DeltaRegressor(rest(), Morse).fit(X, y)
    atoms = _with(skpot.Calculator(model, uncertainty=True), X_test[0])
    y_pred, std = model.predict([atoms], return_std=True)
    assert atoms.get_potential_energy() == pytest.approx(y_pred.energy[0], abs=1e-9)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    np.testing.assert_allclose(atoms.get_forces(), y_pred.forces[0], atol=1e-9)
    np.testing.assert_allclose(atoms.get_stress(), y_pred.stress[0], atol=1e-10)
    assert atoms.calc.results["energy_std"] == pytest.approx(std[0])
    assert "energies" not in atoms.calc.results
    start = atoms.get_total_energy()
    kinetic = 0.0
    dynamics = VelocityVerlet(atoms, 2 * units.fs)
    for _ in range(25):
        dynamics.run(1)
        kinetic = max(kinetic, atoms.get_kinetic_energy())
    assert kinetic > 0.1
    assert abs(atoms.get_total_energy() - start) < 0.02 * kinetic


def test_what_the_calculator_lacks(copper):
    X, y, X_test, _ = copper
    model = DeltaRegressor(rest(), EnergyOnly)
    with pytest.raises(ValueError, match="EnergyOnly gives no forces and stress, which y has"):
        model.fit(X, y)
    y_pred = model.fit(X, Targets(y.energy)).predict(X_test)
    assert y_pred.forces is None and y_pred.stress is None
    atoms = _with(skpot.Calculator(model), X_test[0])
    assert atoms.get_potential_energy() == pytest.approx(y_pred.energy[0])
    assert not {"forces", "stress"} & set(atoms.calc.results)
    with pytest.raises(ValueError, match="structure 1.*EnergyOnly gives no finite energy"):
        model.predict([X[0], X[0][:2]])
    with pytest.raises(RuntimeError) as raised:
        model.predict([X[0], X[0][:3]])
    assert "EnergyOnly for structure 1" in raised.value.__notes__[0]
    with pytest.raises(ValueError, match="y has 3 entries but X has"):
        model.fit(X, y[:3])
    missing = Targets([None, *y.energy[1:]], [*y.forces[:-1], None])
    fitted = DeltaRegressor(rest(), Morse).fit(X, missing)
    assert fitted.estimator_[-1].n_rows_ == len(X) - 1 + 12 * (len(X) - 1)
