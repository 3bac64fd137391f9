"""The client with a server of the same protocol that is not i-PI."""

import threading
import uuid

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.socketio import SocketIOCalculator
from sklearn.pipeline import make_pipeline

import skpot
from skpot.exceptions import SkpotError
from skpot.md.ipi import run_client
from tests.md.conftest import slab
from tests.samples import labeled


class Served(threading.Thread):
    """A client in a thread; keeps the error that ended it."""

    def __init__(self, *args, **options):
        super().__init__()
        self.args, self.options, self.error = args, options, None

    def run(self):
        try:
            run_client(*self.args, **self.options)
        except Exception as error:
            self.error = error


@pytest.mark.parametrize("cell", [None, [7.0, 7.0, 7.0]])
def test_virials_are_by_the_cell_that_the_server_has(copper_models, cell):
    """The structure that the client starts from may have none."""
    model, name = copper_models["compiled"], uuid.uuid4().hex
    atoms = slab()
    expected = model.predict([atoms])
    start = Atoms("Cu3", np.arange(9.0).reshape(3, 3), cell=cell, pbc=atoms.pbc)
    client = Served(model, start, unix=name)
    with SocketIOCalculator(unixsocket=name, timeout=60) as server:
        client.start()
        atoms.calc = server
        np.testing.assert_allclose(atoms.get_stress(), expected.stress[0], atol=1e-8)
        np.testing.assert_allclose(atoms.get_forces(), expected.forces[0], atol=1e-8)
    client.join()
    assert client.error is None


@pytest.mark.parametrize("atoms", [bulk("Cu"), bulk("Cu") * (5, 1, 1)])
def test_a_server_with_other_atoms_is_refused(copper_models, atoms):
    name = uuid.uuid4().hex
    client = Served(copper_models["compiled"], slab(), unix=name)
    with pytest.raises(OSError), SocketIOCalculator(unixsocket=name, timeout=60) as server:
        client.start()
        atoms.calc = server
        atoms.get_forces()
    client.join()
    assert f"the server has {len(atoms)} atoms, but the start structure 3" in str(client.error)


def test_a_server_with_atoms_in_another_order_is_refused():
    """The model knows two elements, whose labels are random."""
    X, y = labeled(["H", "O"], stress=None)
    model = make_pipeline(skpot.SOAP(cutoff=3.0, n_max=3, l_max=2), skpot.SparseGPR(n_sparse=9))
    name, start = uuid.uuid4().hex, molecule("H2O")
    client = Served(model.fit(X, y), start, unix=name)
    with pytest.raises(OSError), SocketIOCalculator(unixsocket=name, timeout=60) as server:
        client.start()
        atoms = start[[1, 0, 2]]
        atoms.calc = server
        atoms.get_forces()
    client.join()
    assert "its atom 0 is where the template has atom 1, H" in str(client.error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"atoms": bulk("Ag")}, "species Ag did not occur in fit"),
        ({"atoms": [bulk("Cu")]}, "must be ase.Atoms"),
        ({"port": 0}, "port must be"),
        ({"port": "31415"}, "port must be"),
        ({"patience": np.nan}, "patience must be"),
        ({"patience": -1.0}, "patience must be"),
        ({"host": 3}, "host must be"),
        ({"unix": 3}, "unix must be"),
        ({"host": "no such machine", "patience": 0.0}, "no such machine:31415 cannot be reached"),
    ],
)
def test_what_is_refused_before_a_server_is_looked_for(copper_models, options, message):
    with pytest.raises(SkpotError, match=message):
        run_client(copper_models["compiled"], **{"atoms": bulk("Cu")} | options)
