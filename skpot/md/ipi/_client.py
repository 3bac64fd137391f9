"""A client of i-PI's socket protocol."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.calculators.socketio import SocketClient, SocketClosed

from ..._parameters import number, whole
from ...data import cell_volumes
from ...exceptions import InputError, InputTypeError, ServerError
from .._calculator import Calculator
from ._order import refuse_another_order

if TYPE_CHECKING:
    from typing import Any

_PAUSE = 0.2  # s between attempts to connect


def run_client(
    model: Any,
    atoms: Atoms,
    *,
    unix: str | None = None,
    host: str = "localhost",
    port: int = 31415,
    patience: float = 30.0,
) -> int:
    """Serve energies, forces and virials to i-PI until it ends.

    Other servers with the same protocol work as well.

    Parameters
    ----------
    model : Pipeline, CalibratedPotential or DeltaRegressor
        The fitted model.
    atoms : ase.Atoms
        A structure with the species and periodicity of the server, in the order of its atoms, best
        the one that the server starts from. The server sends positions and cells, but no elements:
        its first positions are compared with those of the structure, which is not changed.
    unix : str, optional
        Name of a Unix socket on this machine, as in i-PI's ``address`` in mode "unix".
    host : str, default="localhost"
        Machine of the server, if `unix` is not given.
    port : int, default=31415
        Port of the server, if `unix` is not given.
    patience : float, default=30.0
        Time in s to wait for the server to start.

    Returns
    -------
    n_evaluations : int
        Number of structures that were evaluated.

    Raises
    ------
    ServerError
        If there is no server, or it violates the protocol.
    ValueError
        If the model does not know the species, or the server has another number or, as far as the
        first positions tell, another order of atoms.

    Examples
    --------
    With ``<ffsocket name='skpot' mode='unix'> <address> silicon </address> </ffsocket>`` in
    i-PI's input::

        skpot.md.ipi.run_client(skpot.load("model.skpot"), atoms, unix="silicon")
    """
    patience = number("patience", patience, low=0.0, unit="s")
    whole("port", port, low=1, high=65535)
    for name, value in (("host", host), ("unix", "" if unix is None else unix)):
        if not isinstance(value, str):
            raise InputTypeError(f"{name} must be a name, got {value!r} ({type(value).__name__}).")
    if not isinstance(atoms, Atoms):
        raise InputTypeError(f"atoms must be ase.Atoms, got {type(atoms).__name__}")
    atoms = atoms.copy()
    atoms.calc = Calculator(model)
    if atoms.calc.compiled_ is not None:
        atoms.calc.compiled_.species_index(atoms.numbers)  # refuses unknown species early
    client = _connect(atoms.copy(), unix, host, port, patience)
    n_evaluations = 0
    try:
        for _ in client.irun(atoms, use_stress=True):
            n_evaluations += 1
    except (ConnectionResetError, BrokenPipeError, SocketClosed):
        pass  # some servers end like this
    except (KeyError, AssertionError) as error:
        raise ServerError(f"the server violates the protocol of i-PI: {error}") from error
    finally:
        client.close()
    return n_evaluations


class _Client(SocketClient):
    """Client that refuses other atoms and sends the virial if the cell has a volume."""

    def __init__(self, start: Atoms, **where: Any) -> None:
        super().__init__(**where)
        receive, compared = self.protocol.recvposdata, []

        def received():
            cell, inverse, positions = receive()
            if len(positions) != len(start):
                raise InputError(
                    f"the server has {len(positions)} atoms, but the start structure {len(start)}: "
                    "name the file that i-PI starts from"
                )
            if not compared:
                frame = Atoms(start.numbers, positions, cell=cell, pbc=start.pbc)
                refuse_another_order(start, frame)
                compared.append(True)
            return cell, inverse, positions

        self.protocol.recvposdata = received

    def calculate(self, atoms: Atoms, use_stress: bool) -> Any:
        has_stress = bool(np.isfinite(cell_volumes([atoms.cell.array])[0]))
        return super().calculate(atoms, has_stress)


def _connect(start, unix, host, port, patience):
    where = f"unix socket {unix}" if unix is not None else f"{host}:{port}"
    deadline = time.monotonic() + patience
    while True:
        try:
            return _Client(start, host=host, port=port, unixsocket=unix)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if time.monotonic() > deadline:
                raise ServerError(
                    f"no server at {where} within {patience:g} s: start i-PI first, with the same "
                    "address in <ffsocket>"
                ) from error
            time.sleep(_PAUSE)
        except OSError as error:
            raise ServerError(f"{where} cannot be reached: {error}") from error
