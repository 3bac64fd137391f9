"""A client of i-PI's socket protocol."""

import time

import numpy as np
from ase.calculators.socketio import SocketClient, SocketClosed

from ...data import cell_volumes
from ...exceptions import ServerError
from .._calculator import Calculator

_PAUSE = 0.2  # s between attempts to connect


def run_client(model, atoms, *, unix=None, host="localhost", port=31415, patience=30.0):
    """Serve energies, forces and virials to i-PI, or another server of its protocol, until it ends.

    Parameters
    ----------
    model : Pipeline, CalibratedPotential or DeltaRegressor
        Fitted.
    atoms : ase.Atoms
        Species and periodicity, in the order of the server; the server sends positions and cell.
        A copy is moved.
    unix : str, optional
        Name of a socket on this machine, i-PI's ``address`` of mode "unix".
    host : str, default="localhost"
        Without `unix`: machine of the server.
    port : int, default=31415
        Without `unix`: its port.
    patience : float, default=30.0
        How long to wait for the server to appear, in s.

    Returns
    -------
    n_evaluations : int
        How many structures were evaluated.

    Raises
    ------
    ServerError
        If there is no server.

    Examples
    --------
    With ``<ffsocket name='skpot' mode='unix'> <address> silicon </address> </ffsocket>`` in
    i-PI's input::

        skpot.md.ipi.run_client(skpot.load("model.skpot"), atoms, unix="silicon")
    """
    atoms = atoms.copy()
    atoms.calc = Calculator(model, uncertainty=False)
    client = _connect(unix, host, port, patience)
    n_evaluations = 0
    try:
        has_stress = bool(np.isfinite(cell_volumes([atoms.cell.array])[0]))
        for _ in client.irun(atoms, use_stress=has_stress):
            n_evaluations += 1
    except (ConnectionResetError, BrokenPipeError, SocketClosed):
        pass  # how some servers end
    finally:
        client.close()
    return n_evaluations


def _connect(unix, host, port, patience):
    where = f"unix socket {unix}" if unix is not None else f"{host}:{port}"
    deadline = time.monotonic() + patience
    while True:
        try:
            return SocketClient(host=host, port=port, unixsocket=unix)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if time.monotonic() > deadline:
                raise ServerError(
                    f"no server at {where} within {patience:g} s: start i-PI first, with the same "
                    "address in <ffsocket>"
                ) from error
            time.sleep(_PAUSE)
