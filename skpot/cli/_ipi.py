"""`skpot ipi`."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from ._console import command, say
from ._options import ModelFile


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("ipi", short_help="Serve forces to i-PI over a socket.")(ipi)


@command
def ipi(
    model: ModelFile,
    start: Annotated[Path, typer.Argument(help="Species and periodicity, in i-PI's order.")],
    unix: Annotated[str | None, Option(help="Name of a unix socket, i-PI's <address>.")] = None,
    host: Annotated[str, Option(help="Machine of i-PI.")] = "localhost",
    port: Annotated[int, Option(min=1, max=65535, help="Its port.")] = 31415,
    patience: Annotated[float, Option(min=0.0, help="Seconds to wait for i-PI.")] = 30.0,
) -> None:
    """Serve energies, forces and virials to i-PI until it ends.

    Without --unix over the network. In i-PI's input: <ffsocket mode='unix'> <address> NAME
    </address>, or mode='inet' with <port>. To have all beads evaluated in one call, use
    <ffdirect> with the file skpot.md.ipi.DRIVER instead.
    """
    from skpot.md.dynamics import read_structure
    from skpot.md.ipi import run_client
    from skpot.persistence import load

    fitted = load(model)
    atoms = read_structure(start)
    say(f"{len(atoms)} atoms, {atoms.get_chemical_formula()}; waiting for i-PI")
    n = run_client(fitted, atoms, unix=unix, host=host, port=port, patience=patience)
    say(f"i-PI has ended after {n} evaluations")
