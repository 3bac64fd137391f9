from importlib.resources import files

import numpy as np
import pytest

from skpot.datasets import load_ethanol, load_silicon

LOADERS = {"silicon": load_silicon, "ethanol": load_ethanol}
MINIMUM = {"silicon": (150, 30), "ethanol": (290, 100)}


@pytest.fixture(scope="module", params=LOADERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def data(name):
    return LOADERS[name]()


@pytest.fixture(scope="module")
def silicon():
    return load_silicon()


def parts(data):
    return ((data.X, data.y, data.groups), (data.X_test, data.y_test, data.groups_test))


def test_counts_and_shapes(name, data):
    for (X, y, groups), minimum in zip(parts(data), MINIMUM[name], strict=True):
        assert len(X) == len(y) == len(groups) >= minimum
        assert groups.dtype.kind == "U"
        for atoms, forces in zip(X, y.forces, strict=True):
            assert forces.shape == (len(atoms), 3)
        assert [atoms.info["group"] for atoms in X] == list(groups)
        assert all(atoms.info["config_type"] for atoms in X)


def test_return_X_y_gives_the_same(name, data):
    X, y, X_test, y_test = LOADERS[name](return_X_y=True)
    assert X == data.X
    assert X_test == data.X_test
    np.testing.assert_array_equal(y, data.y)
    np.testing.assert_array_equal(y_test.forces_flat, data.y_test.forces_flat)


def test_every_structure_has_finite_energy_and_forces(data):
    for X, y, _ in parts(data):
        assert y.has_energy.all()
        assert y.has_forces.all()
        assert np.isfinite(y.energy).all()
        assert np.isfinite(y.forces_flat).all()
        assert all(atoms.calc is None for atoms in X)
        assert all(np.isfinite(atoms.positions).all() for atoms in X)


def test_stress_of_every_periodic_structure_and_no_other(data):
    for X, y, _ in parts(data):
        assert [atoms.pbc.all() for atoms in X] == list(y.has_stress)
        assert y.stress is None or np.isfinite(y.stress[y.has_stress]).all()


def test_train_and_test_share_no_group_and_no_structure(data):
    assert not set(data.groups) & set(data.groups_test)
    distances = [np.sort(atoms.get_all_distances(mic=True).ravel()) for atoms in data.X]
    for atoms in data.X_test:
        own = np.sort(atoms.get_all_distances(mic=True).ravel())
        same = [d for d in distances if d.shape == own.shape]
        assert min(abs(own - d).max() for d in same) > 1e-3


def test_forces_add_up_to_nothing(data):
    for _, y, _ in parts(data):
        net = np.array([forces.sum(axis=0) for forces in y.forces])
        assert abs(net).max() < 2e-3
        scale = np.sqrt(np.mean(y.forces_flat**2))
        assert 0.1 < scale < 10


def test_isolated_atoms_are_in_the_train_part(name, data):
    alone = [k for k, atoms in enumerate(data.X) if len(atoms) == 1]
    symbols = {data.X[k].get_chemical_symbols()[0] for k in alone}
    assert symbols == {"silicon": {"Si"}, "ethanol": {"H", "C", "O"}}[name]
    assert {data.X[k].info["config_type"] for k in alone} == {"isolated_atom"}
    assert all(not data.y.forces[k].any() for k in alone)
    assert all(len(atoms) > 1 for atoms in data.X_test)


def test_everything_is_bound(data):
    atom = {
        atoms.get_chemical_symbols()[0]: energy
        for atoms, energy in zip(data.X, data.y.energy, strict=True)
        if len(atoms) == 1
    }
    for X, y, _ in parts(data):
        binding = [
            (energy - sum(atom[s] for s in atoms.get_chemical_symbols())) / len(atoms)
            for atoms, energy in zip(X, y.energy, strict=True)
            if len(atoms) > 1
        ]
        assert -6 < min(binding)
        assert max(binding) < -2


def test_stress_is_positive_in_tension(silicon):
    eos = np.flatnonzero(silicon.groups == "eos-train")
    volume = np.array([silicon.X[k].get_volume() for k in eos])
    pressure = -silicon.y.stress[eos, :3].mean(axis=1)
    order = np.argsort(volume)
    assert (np.diff(pressure[order]) < 0).all()
    assert pressure[order[0]] > 0.05  # 10 % compressed, eV/Å³
    assert pressure[order[-1]] < -0.03


def test_stress_is_the_slope_of_energy_over_volume(silicon):
    eos = np.flatnonzero(silicon.groups == "eos-train")
    volume = np.array([silicon.X[k].get_volume() for k in eos])
    middle = volume.mean()
    curve = np.polynomial.Polynomial.fit(volume - middle, silicon.y.energy[eos], 5)
    slope = curve.deriv()(volume - middle)
    stress = silicon.y.stress[eos, :3].mean(axis=1)
    np.testing.assert_allclose(slope, stress, atol=1e-3)
    equilibrium = 5.469**3  # PBE lattice constant
    bulk_modulus = equilibrium * curve.deriv(2)(equilibrium - middle) * 160.2
    assert 80 < bulk_modulus < 100  # GPa; 89 with PBE in the literature


def test_silicon_has_thermal_and_disordered_structures(silicon):
    types = {atoms.info["config_type"] for atoms in silicon.X}
    wanted = {"rattled", "shear", "uniaxial", "vacancy", "md_300K", "md_1500K", "liquid"}
    assert wanted <= types


def test_description(name, data):
    for word in ("PBE", "eV", "Train", "test", "BSD-3-Clause"):
        assert word in data.DESCR
    assert str(len(data.X)) in data.DESCR
    assert str(len(data.X_test)) in data.DESCR


def test_files_are_small(name):
    assert (files("skpot.datasets") / f"{name}.xyz.gz").stat().st_size < 3_000_000
