"""Fitted networks in LAMMPS: the library returns what the model predicts, on one and two ranks."""

import numpy as np
import pytest
from ase.build import bulk

import skpot
from skpot.datasets import load_silicon
from skpot.md.lammps import export
from tests.md.lammps.program import run
from tests.md.lammps.test_plugin import rattled


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    X, y, _, _ = load_silicon(return_X_y=True)
    model = skpot.make_potential("network")
    model.set_params(
        features__soap__soap__hypers=None, features__soap__soap__cutoff=4.0,
        features__soap__soap__n_max=3, features__soap__soap__l_max=2,
        regressor__hidden_layer_sizes=(7, 5), regressor__max_iter=5, regressor__n_members=2,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("network") / "model.so"
    export(model.fit(X[:20], y[:20]), path, cpu="host")
    return model, path


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_lammps_gives_what_networks_predict(n_ranks, exported, plugins, tmp_path):
    model, path = exported
    atoms = rattled(bulk("Si", cubic=True) * (3, 2, 2))
    potential = f"pair_style skpot {path}\npair_coeff * * Si\n"
    result = run(tmp_path, atoms, ["Si"], potential, n_ranks=n_ranks, plugins=plugins)
    predicted, frame = model.predict([atoms]), result.frames[0]
    np.testing.assert_allclose(result.thermo["PotEng"], predicted.energy, rtol=1e-10)
    np.testing.assert_allclose(frame.forces, predicted.forces[0], rtol=0, atol=1e-9)
    virial = -predicted.stress[0] * atoms.get_volume()
    np.testing.assert_allclose(result.virial[0], virial, rtol=0, atol=1e-8)
