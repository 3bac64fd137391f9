"""`skpot ipi`."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from ._console import command, say
from ._options import ModelFile


@command
def ipi(
    model: ModelFile,
    start: Annotated[Path, typer.Argument(help="Structure with the atoms that i-PI has.")],
    unix: Annotated[str | None, Option(help="Name of a Unix socket (<address>).")] = None,
    host: Annotated[str, Option(help="Machine that i-PI runs on.")] = "localhost",
    port: Annotated[int, Option(min=1, max=65535, help="Port of i-PI on that machine.")] = 31415,
    patience: Annotated[float, Option(min=0.0, help="Seconds to wait for i-PI.")] = 30.0,
) -> None:
    """Serve energies, forces and virials to i-PI until it ends.

    With --unix the connection is a Unix socket, for which the input of i-PI has <ffsocket
    mode='unix'> <address> NAME </address>; otherwise it is a network connection, with mode='inet'
    and <port>. To evaluate all beads in one call, use <ffdirect> with the file
    skpot.md.ipi.DRIVER instead of this command.
    """
    from skpot.md.dynamics import read_structure
    from skpot.md.ipi import run_client
    from skpot.persistence import load

    fitted = load(model)
    atoms = read_structure(start)
    say(f"{len(atoms)} atoms, {atoms.get_chemical_formula()}; waiting for i-PI")
    n = run_client(fitted, atoms, unix=unix, host=host, port=port, patience=patience)
    say(f"i-PI has ended after {n} evaluations")
