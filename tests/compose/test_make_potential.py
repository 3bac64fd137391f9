"""The recommended pipelines, fitted to the bundled sets."""

import numpy as np
import pytest
from ase import Atoms
from sklearn.base import clone

from skpot import Calculator, dump, load, make_potential, metrics
from skpot.datasets import load_ethanol, load_silicon
from skpot.testing import check_potential


@pytest.fixture(scope="module", params=["silicon", "ethanol"])
def fitted(request):
    loader = {"silicon": load_silicon, "ethanol": load_ethanol}[request.param]
    X, y, X_test, y_test = loader(return_X_y=True)
    return make_potential("fast").fit(X[:60], y[:60]), X, X_test, y_test


def test_learns(fitted):
    model, X, X_test, y_test = fitted
    predicted = model.predict(X_test)
    size = np.sqrt(np.mean(y_test.forces_flat**2))
    assert metrics.forces_rmse(y_test, predicted) < 0.15 * size
    assert metrics.energy_mae(y_test, predicted) < 0.012
    assert not model[-1].exact_


def test_promises(fitted):
    model, _, X_test, _ = fitted
    # Very small noise makes large coefficients, whose rounding finite differences amplify.
    check_potential(model, X_test[:2], rtol=1e-5)


def test_core_is_repulsive(fitted):
    # At distances far below the data, nuclei must repel each other, whatever kernels predict.
    model, X, _, _ = fitted
    radii = dict(model["features"].transformer_list)["zbl"].outer_
    symbol = X[0].symbols[0]
    which = sorted(set(X[-1].symbols.numbers)).index(X[0].numbers[0])
    energies = []
    for share in (0.9, 0.82, 0.74):
        r = share * radii[which, which]
        dimer = Atoms(symbol * 2, [[0, 0, 0], [0, 0, r]])
        dimer.calc = Calculator(model)
        energies.append(dimer.get_potential_energy())
        assert dimer.get_forces()[1, 2] > 10.0
    assert energies[0] < energies[1] < energies[2]


def test_parameters_reach_the_regressor():
    given = {"e0": {"Si": -1.0}, "sigma_energy": 0.1, "sigma_forces": 0.2, "sigma_stress": 0.3}
    regressor = make_potential("fast", **given, random_state=7)[-1]
    assert regressor.get_params().items() >= (given | {"random_state": 7}).items()
    X, y, _, _ = load_silicon(return_X_y=True)
    regressor = make_potential("fast", **given).fit(X[:6], y[:6])[-1]
    assert (regressor.e0_, regressor.e0_source_) == ({14: -1.0}, "given")
    assert (regressor.sigma_energy_, regressor.sigma_stress_) == (0.1, 0.3)


def test_presets_that_are_exact_learn_more():
    X, y, X_test, y_test = load_silicon(return_X_y=True)
    errors = {}
    for preset in ("fast", "default", "accurate"):
        model = make_potential(preset).fit(X[:30], y[:30])
        assert model[-1].exact_ == (preset != "fast")
        errors[preset] = metrics.forces_mae(y_test[:10], model.predict(X_test[:10]))
    assert max(errors["accurate"], errors["default"]) < errors["fast"]


def test_networks_know_their_errors():
    X, y, X_test, y_test = load_silicon(return_X_y=True)
    model = make_potential("network", sigma_stress=0.01, random_state=3)
    assert model[-1].get_params().items() >= {"n_members": 4, "baseline": "zbl"}.items()
    model.set_params(regressor__hidden_layer_sizes=(16, 16), regressor__max_iter=60)
    model.fit(X, y)
    predicted, std = model.predict(X_test, return_std="all")
    assert model[-1].sigma_stress_ == 0.01
    size = np.sqrt(np.mean(y_test.forces_flat**2))
    assert metrics.forces_rmse(y_test, predicted) < 0.15 * size
    for kind in ("energy", "forces"):
        assert metrics.calibration_error(y_test, predicted, std, kind=kind) < 0.15


def test_species_are_passed_on():
    X, y, _, _ = load_silicon(return_X_y=True)
    model = make_potential("fast", species=["Si", "O"]).fit(X[:4], y[:4])
    parts = dict(model["features"].transformer_list)
    assert parts["zbl"].species_.tolist() == parts["soap"]["soap"].species_.tolist() == [8, 14]
    with pytest.raises(ValueError, match="species Si"):
        make_potential("fast", species=["O"]).fit(X[:4], y[:4])


def test_unfitted_clone_and_persistence(fitted, tmp_path):
    model, _, X_test, _ = fitted
    assert clone(make_potential("fast"))[-1].get_params() == model[-1].get_params()
    dump(model, tmp_path / "model.skpot")
    again = load(tmp_path / "model.skpot").predict(X_test[:2])
    np.testing.assert_array_equal(again.forces_flat, model.predict(X_test[:2]).forces_flat)


def test_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="'best' is not one of 'fast', 'default', .*'network'"):
        make_potential("best")
