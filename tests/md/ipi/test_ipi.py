"""Fitted models in i-PI itself, by direct calls and over a socket."""

import importlib.util
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from sklearn.pipeline import make_pipeline

import skpot
from skpot.md.ipi import run_client, skpot_driver
from tests.project import ROOT
from tests.samples import labeled

if importlib.util.find_spec("ipi") is None:
    pytest.skip("no i-PI", allow_module_level=True)

SMALL = dict(cutoff=4.0, n_max=4, l_max=3)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def fitted(data, n):
    X, y, X_test, _ = data(return_X_y=True)
    model = make_pipeline(skpot.SOAP(**SMALL), skpot.SparseGPR(n_sparse=100))
    return model.fit(X[:n], y[:n]), X_test


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ipi")
    model, _ = fitted(skpot.datasets.load_silicon, 60)
    skpot.dump(model, folder / "silicon.skpot")
    ase.io.write(folder / "silicon.xyz", bulk("Si", cubic=True))
    model, frames = fitted(skpot.datasets.load_ethanol, 60)
    skpot.dump(model, folder / "ethanol.skpot")
    atoms = frames[0].copy()
    atoms.center(vacuum=5.0)
    ase.io.write(folder / "ethanol.xyz", atoms, columns=["symbols", "positions"])
    return folder


def run(folder, system, ensemble, steps=20, beads=1, over_socket=False, kelvin=300):
    """Run i-PI; return its final state in eV and Å."""
    from ipi.utils.units import unit_to_user  # they differ from those of ASE, which the socket uses

    name = f"{system}-{uuid.uuid4().hex}"
    here = folder / name
    here.mkdir()
    plan = {
        "model": str(folder / f"{system}.skpot"),
        "structure": str(folder / f"{system}.xyz"),
        "socket": name if over_socket else None,
        **{"ensemble": ensemble, "steps": steps, "beads": beads, "kelvin": kelvin},
    }
    (here / "plan.json").write_text(json.dumps(plan))
    options = {"cwd": here, "env": ENVIRONMENT, "text": True}
    options |= {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    commands = [[sys.executable, Path(__file__).with_name("simulate.py"), "plan.json", "out.npz"]]
    if over_socket:
        serve = [sys.executable, "-m", "skpot.cli", "ipi", plan["model"], plan["structure"]]
        commands.append([*serve, "--unix", name])
    processes = [subprocess.Popen(command, **options) for command in commands]
    try:
        output = [process.communicate(timeout=60)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == 0 for process in processes), output
    found = dict(np.load(here / "out.npz"))
    length, energy = units.Bohr, units.Hartree
    if not over_socket:
        length = unit_to_user("length", "angstrom", 1.0)
        energy = unit_to_user("energy", "electronvolt", 1.0)
    for key in ("positions", "cell"):
        found[key] *= length
    for key in ("energies", "virials"):
        found[key] *= energy
    found["forces"] *= energy / length
    found["record"] *= [energy, energy, length**3]
    found["output"] = output
    return found


def check(folder, system, found):
    atoms = ase.io.read(folder / f"{system}.xyz")
    model = skpot.load(folder / f"{system}.skpot")
    for bead, positions in enumerate(found["positions"]):
        frame = atoms.copy()
        frame.positions, frame.cell = positions.reshape(-1, 3), found["cell"]
        y = model.predict([frame])
        assert found["energies"][bead] == pytest.approx(y.energy[0], rel=1e-10)
        forces = found["forces"][bead].reshape(-1, 3)
        np.testing.assert_allclose(forces, y.forces[0], atol=1e-9)
        virial = np.zeros((3, 3))
        if np.isfinite(skpot.data.cell_volumes([atoms.cell.array])[0]):
            xx, yy, zz, yz, xz, xy = -y.stress[0] * frame.cell.volume
            virial = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        # i-PI keeps cells and virials as triangular matrices.
        np.testing.assert_allclose(np.triu(found["virials"][bead]), np.triu(virial), atol=1e-8)


def test_three_species_in_a_periodic_cell(folder):
    """Labels are random: a few steps are enough to compare."""
    X, y = labeled(["H", "C", "O"], per_atom=-4.0, forces=0.5, stress=None)
    regressor = skpot.SparseGPR(n_sparse=30, e0=dict.fromkeys("HCO", -4.0))
    model = make_pipeline(skpot.SOAP(**SMALL), regressor).fit(X, y)
    skpot.dump(model, folder / "mixture.skpot")
    atoms = Atoms("HCO", [[0, 0, 0], [2, 2, 0], [0, 2, 2]], cell=3 * [4.0], pbc=True) * 2
    atoms.rattle(0.1, seed=2)
    ase.io.write(folder / "mixture.xyz", atoms)
    check(folder, "mixture", run(folder, "mixture", "nve", steps=3))


def test_networks(folder):
    X, y, *_ = skpot.datasets.load_silicon(return_X_y=True)
    networks = skpot.AtomicMLP((8, 8), n_members=2, max_iter=5, calibrate=False)
    model = make_pipeline(skpot.SOAP(**SMALL), networks).fit(X[:20], y[:20])
    skpot.dump(model, folder / "networks.skpot")
    (folder / "networks.xyz").write_text((folder / "silicon.xyz").read_text())
    check(folder, "networks", run(folder, "networks", "nve", steps=3))


@pytest.mark.parametrize("system", ["silicon", "ethanol"])
def test_one_bead_by_direct_calls(folder, system):
    found = run(folder, system, "nve", steps=40)
    check(folder, system, found)
    conserved, kinetic, _ = found["record"].T
    assert np.ptp(conserved) < 0.02 * np.ptp(kinetic)
    assert set(found["batches"]) == {1}


def test_all_beads_come_in_one_batch(folder):
    found = run(folder, "ethanol", "nvt", steps=40, beads=4)
    assert set(found["batches"]) == {4}
    check(folder, "ethanol", found)
    assert np.ptp(found["positions"], axis=0).max() > 0.01  # the beads have spread


@pytest.mark.parametrize(("system", "ensemble"), [("silicon", "npt"), ("ethanol", "nve")])
def test_over_a_socket(folder, system, ensemble):
    found = run(folder, system, ensemble, steps=30, over_socket=True)
    check(folder, system, found)
    assert found["output"][1].splitlines()[-1].startswith("i-PI has ended after ")


def test_a_barostat_acts_on_the_virial_and_holds(folder):
    found = run(folder, "silicon", "npt", steps=150, kelvin=300)
    check(folder, "silicon", found)
    conserved, kinetic, volume = found["record"].T
    assert 1e-4 < np.ptp(volume) / volume[0] < 0.2
    assert np.ptp(conserved) < 0.05 * np.ptp(kinetic)


def test_no_server_is_an_error(folder):
    model, atoms = skpot.load(folder / "silicon.skpot"), bulk("Si")
    with pytest.raises(ConnectionError, match="no server at unix socket nobody-"):
        run_client(model, atoms, unix=f"nobody-{uuid.uuid4().hex}", patience=0.0)


@pytest.mark.parametrize("last", ["reset", "closed"])
def test_a_server_that_breaks_off_ends_the_client(folder, last):
    """i-PI may close its socket without a message, or before it has read all data."""
    server = socket.create_server(("localhost", 0))
    port = server.getsockname()[1]

    def serve():
        connection, _ = server.accept()
        connection.sendall(b"STATUS".ljust(12))
        assert connection.recv(12).strip() == b"READY"
        if last == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    model = skpot.load(folder / "silicon.skpot")
    assert run_client(model, bulk("Si"), port=port) == 0
    thread.join()
    server.close()


def test_the_driver_refuses_another_structure(folder):
    driver = skpot_driver.SkpotDriver(folder / "silicon.skpot", folder / "silicon.xyz")
    with pytest.raises(ValueError, match="i-PI has 3 atoms, but the template 8"):
        driver(np.eye(3), np.zeros((3, 3)))


def test_the_driver_refuses_another_order_at_its_first_call(folder):
    driver = skpot_driver.SkpotDriver(folder / "ethanol.skpot", folder / "ethanol.xyz")
    atoms = ase.io.read(folder / "ethanol.xyz")
    bohr, cell = units.Bohr, atoms.cell.array.T / units.Bohr
    with pytest.raises(ValueError, match="another order than the template"):
        driver(cell, atoms.positions[::-1] / bohr)
    driver(cell, atoms.positions / bohr)
